//! Tests of the comparison byte by byte.

use proptest::prelude::*;

use super::edits::{content, edited, edits};
use super::{noise, patched};
use crate::delta::{Command, Commands, FineSearch, FineWriter, MIN_MATCH, OLD_MAX, fine_delta};

fn fine(old: &[u8], new: &[u8]) -> Vec<u8> {
    fine_delta(&mut FineSearch::default(), old, new, Vec::new()).unwrap()
}

/// The number of probes for the delta of `new`, and the length of the delta.
fn probes(old: &[u8], new: &[u8]) -> (u64, usize) {
    let mut search = FineSearch::default();
    let made = fine_delta(&mut search, old, new, Vec::new()).unwrap();
    assert!(patched(old, &made, new.len()).unwrap() == new);
    (search.probes(), made.len())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn a_patched_basis_is_the_new_content(old in content(), edits in edits()) {
        let new = edited(&old, &edits);
        prop_assert!(patched(&old, &fine(&old, &new), new.len()).unwrap() == new);
    }

    #[test]
    fn comparisons_with_parts_of_the_basis_make_one_delta(
        old in content(), edits in edits(), cut in 1..9000usize, window in 0..9000usize,
        expected in any::<i16>(),
    ) {
        let new = edited(&old, &edits);
        let (mut search, mut writer) = (FineSearch::default(), FineWriter::new(Vec::new()));
        let mut copied = 0;
        for (number, part) in new.chunks(cut).enumerate() {
            let from = (number * cut).saturating_sub(window).min(old.len());
            let to = (from + cut + 2 * window).min(old.len());
            let expected = isize::from(expected);
            copied += writer.compare(&mut search, (&old[from..to], from as u64), part, expected).unwrap();
        }
        let made = writer.finish().unwrap();
        prop_assert!(patched(&old, &made, new.len()).unwrap() == new);
        let mut commands = Commands::new(&made[..], old.len() as u64, new.len() as u64).unwrap();
        let mut in_copies = 0;
        while let Some(command) = commands.next().unwrap() {
            if let Command::Copy { len, .. } = command {
                prop_assert!(len >= MIN_MATCH as u64);
                in_copies += len;
            }
        }
        prop_assert_eq!(in_copies, copied);
        prop_assert!(search.probes() <= 4 * new.len() as u64);
    }

    #[test]
    fn an_edit_costs_its_bytes_and_three_commands(seed in any::<u64>(), at in 0..20_000usize, len in 0..300usize) {
        let old = noise(seed, 20_000);
        let mut new = old.clone();
        new.splice(at..at, noise(!seed, len));
        // Two copies, each of at most 7 bytes, and a literal. Up to a minimum match can stay literal at each end.
        prop_assert!(fine(&old, &new).len() <= 5 + 2 * 7 + 3 + len + MIN_MATCH);
    }
}

#[test]
fn an_unchanged_content_is_one_copy() {
    let old = noise(1, 300_000);
    assert_eq!(fine(&old, &old).len(), 4 + 1 + 1 + 4 + 1);
    assert_eq!(fine(&old, &[]).len(), 5);
    assert_eq!(fine(&[], &old[..100]).len(), 4 + 1 + 1 + 100 + 1);
    assert_eq!(fine(&old[..MIN_MATCH - 1], &old[..MIN_MATCH - 1]).len(), 4 + 1 + MIN_MATCH - 1 + 1);
    assert_eq!(fine(&old[..MIN_MATCH], &old[..MIN_MATCH]).len(), 4 + 3 + 1);
}

#[test]
fn a_run_of_one_byte_is_copied_from_the_longest_such_run() {
    let old = [&noise(1, 5000)[..], &[0; 100], &noise(2, 700), &[0; 6000], &noise(3, 50), &[7; 900]].concat();
    let new = [&noise(4, 40)[..], &[0; 5000], &noise(5, 60), &[7; 800], &noise(6, 10)].concat();
    assert!(fine(&old, &new).len() < 5 + 110 + 3 * 2 + 2 * 5);
}

#[test]
fn every_match_of_the_minimum_length_is_found_in_old_bytes_that_are_all_in_the_table() {
    // Each piece of the old content lies between bytes that only the new content has; the positions of the pieces have
    // no common divisor.
    let (old, between) = (noise(1, 9000), noise(2, 90_000));
    let mut new = Vec::new();
    for (number, piece) in old.chunks_exact(MIN_MATCH).enumerate() {
        new.extend_from_slice(&between[new.len()..][..37 + number % 91]);
        new.extend_from_slice(piece);
    }
    let mut found = 0;
    FineSearch::default().matches(&old, &new, 0, |_| found += 1);
    assert_eq!(found, 9000 / MIN_MATCH);
}

#[test]
fn old_bytes_that_do_not_fit_the_table_are_found_too() {
    let old = noise(1, OLD_MAX + 5000);
    let mut new = noise(2, 50_000);
    for (number, at) in (0..OLD_MAX - 1000).step_by(OLD_MAX / 400).enumerate() {
        new.splice(number * 100..number * 100, old[at..at + 200].iter().copied());
    }
    let mut copied = 0;
    FineSearch::default().matches(&old, &new, 0, |found| copied += found.len);
    assert!(copied >= 400 * 200 * 9 / 10, "{copied}");
    // The bytes after OLD_MAX are not compared.
    let mut beyond = 0;
    FineSearch::default().matches(&old, &old[OLD_MAX + 1000..], 0, |_| beyond += 1);
    assert_eq!(beyond, 0);
}

#[test]
fn repetitions_take_no_more_work_than_other_bytes() {
    const LEN: usize = 1 << 18;
    let periodic = |period: usize| noise(1, period).into_iter().cycle().take(LEN).collect::<Vec<u8>>();
    let zeros = vec![0; LEN];
    // Runs of zeros that are shorter than a minimum match, between bytes that all differ.
    let dotted: Vec<u8> =
        noise(3, LEN).iter().enumerate().map(|(n, b)| if n % 31 < 4 { *b } else { 0 }).collect();
    let olds = [zeros, periodic(2), periodic(9), periodic(31), periodic(4096), dotted, noise(4, LEN)];
    for (one, old) in olds.iter().enumerate() {
        for (other, new) in olds.iter().enumerate() {
            let (probes, _) = probes(old, new);
            assert!(probes <= 4 * LEN as u64, "{one} {other}: {probes} probes");
        }
    }
    // Unrelated bytes take less work, because the search skips most of their positions.
    let (unrelated, len) = probes(&noise(5, LEN), &noise(6, LEN));
    assert!(unrelated < LEN as u64 / 3 && len > LEN, "{unrelated} probes");
}
