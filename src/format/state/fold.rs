//! Decides which older layers are merged into a new state file.
//!
//! A state file holds only the changes to the layers below it, so an increment writes few bytes if little changed. But
//! a snapshot that needs many state files is slow to read and easily lost. So small layers are sometimes merged into
//! the new file. If the files together would be much longer than a whole state, a whole state is written.

/// A snapshot needs at most this many state files with changes, besides the whole state below them.
pub(super) const CHANGE_LAYERS_MAX: usize = 7;

/// The numbers of the fold rule. Tests use smaller numbers, so that short chains take every shape.
#[derive(Clone, Copy, Debug)]
pub struct FoldRule {
    /// The most layers with changes, including the new layer.
    pub layers_max: usize,
    /// The longest that all state files of a snapshot may be together, in percent of a whole state.
    pub percent_max: u64,
}

impl Default for FoldRule {
    fn default() -> Self {
        FoldRule { layers_max: CHANGE_LAYERS_MAX, percent_max: 150 }
    }
}

/// The lines that the new state file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// The new changes, merged with this number of the newest layers.
    Changes(usize),
    /// All entries of the snapshot.
    WholeState,
}

impl FoldRule {
    /// Decides which layers are merged into the new file. All parameters are lengths of entry lines in bytes: `new` of
    /// the new changes, `layers` of the layers with changes (the newest first), `base` of the whole state below them,
    /// and `whole` of a whole state of the new snapshot (estimated).
    ///
    /// The layers are tried from the newest on. A layer is merged if it is at most r times as long as everything merged
    /// before it, or if too many layers would be left. The search ends at the first layer that is not merged. The
    /// factor r is (whole / 2 new)^(1/7), but at least 2. So seven layers whose lengths grow by the factor r hold half
    /// a whole state, and an entry is written about seven times before it is in a whole state, rarely more often.
    pub fn decide(&self, new: u64, layers: &[u64], base: u64, whole: u64) -> Fold {
        if new == 0 && layers.len() <= self.layers_max {
            return Fold::Changes(0);
        }
        let ratio = (whole as f64 / (2.0 * new.max(1) as f64)).powf(1.0 / 7.0).max(2.0);
        let (mut merged, mut count) = (new, 0);
        while let Some(&layer) = layers.get(count) {
            let is_small = layer as f64 <= ratio * merged as f64;
            if !is_small && layers.len() - count < self.layers_max {
                break;
            }
            merged = merged.saturating_add(layer);
            count += 1;
        }
        let below = layers[count..].iter().fold(base, |sum, layer| sum.saturating_add(*layer));
        let all = below.saturating_add(merged);
        match all.saturating_mul(100) > whole.saturating_mul(self.percent_max) {
            true => Fold::WholeState,
            false => Fold::Changes(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lengths of the files of one chain: layers with changes, the newest first, and the whole state below.
    struct Chain {
        layers: Vec<u64>,
        base: u64,
        written: u64,
    }

    impl Chain {
        fn add(&mut self, rule: &FoldRule, new: u64, whole: u64) {
            match rule.decide(new, &self.layers, self.base, whole) {
                Fold::WholeState => {
                    (self.base, self.written) = (whole, self.written + whole);
                    self.layers.clear();
                }
                Fold::Changes(count) => {
                    let len = new + self.layers.drain(..count).sum::<u64>();
                    self.written += len;
                    if len > 0 {
                        self.layers.insert(0, len);
                    }
                }
            }
        }
    }

    fn chain(new: u64, whole: u64, increments: usize) -> Chain {
        let mut chain = Chain { layers: Vec::new(), base: whole, written: 0 };
        (0..increments).for_each(|_| chain.add(&FoldRule::default(), new, whole));
        chain
    }

    #[test]
    fn without_a_change_nothing_is_written() {
        let chain = chain(0, 1_000_000, 200);
        assert_eq!((chain.written, chain.layers.len()), (0, 0));
    }

    #[test]
    fn an_increment_costs_little_more_than_what_changed() {
        const WHOLE: u64 = 10_000_000;
        // Changed bytes, and the most bytes written for one increment, both in thousandths of a whole state.
        for (changed, most) in [(1, 6), (10, 60), (70, 300)] {
            let written = chain(WHOLE * changed / 1000, WHOLE, 200).written / 200;
            assert!(written <= WHOLE * most / 1000, "{changed}: {written}");
        }
    }

    #[test]
    fn a_long_layer_below_a_short_one_stays() {
        let rule = FoldRule::default();
        assert_eq!(rule.decide(10, &[100_000], 1_000_000, 1_000_000), Fold::Changes(0));
        assert_eq!(rule.decide(10, &[20, 100_000], 1_000_000, 1_000_000), Fold::Changes(1));
        assert_eq!(rule.decide(10, &[10, 600_000], 1_000_000, 1_000_000), Fold::WholeState);
    }

    proptest! {
        #[test]
        fn a_snapshot_needs_few_files_and_bytes(
            steps in prop::collection::vec((0..300_000u64, 900_000..1_100_000u64), 1..300),
            layers_max in 1..=CHANGE_LAYERS_MAX,
        ) {
            let rule = FoldRule { layers_max, ..FoldRule::default() };
            let mut chain = Chain { layers: Vec::new(), base: 1_000_000, written: 0 };
            for (new, whole) in steps {
                chain.add(&rule, new, whole);
                prop_assert!(chain.layers.len() <= layers_max);
                if new > 0 {
                    let all = chain.base + chain.layers.iter().sum::<u64>();
                    prop_assert!(2 * all <= 3 * whole);
                }
            }
        }

        #[test]
        fn any_lengths_give_a_decision(new: u64, layers in prop::collection::vec(any::<u64>(), 0..20), base: u64, whole: u64) {
            if let Fold::Changes(count) = FoldRule::default().decide(new, &layers, base, whole) {
                prop_assert!(count <= layers.len() && (layers.len() - count < CHANGE_LAYERS_MAX || new == 0));
            }
        }
    }
}
