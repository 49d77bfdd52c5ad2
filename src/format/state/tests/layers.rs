//! Chains of states with layers: every snapshot reads back as the entries that it was made of.

use std::collections::BTreeMap;

use super::*;
use crate::state::Side;

/// A chain of states, and the entries that each snapshot must have.
#[derive(Default)]
struct Chain {
    files: Files,
    snapshots: Vec<(Stamp, Vec<Entry>)>,
}

/// The files of a chain, uncompressed.
#[derive(Default)]
struct Files(BTreeMap<Stamp, Vec<u8>>);

impl StateFiles for Files {
    fn read(
        &mut self,
        snapshot: Stamp,
        size: u64,
        read: &mut dyn FnMut(StoredState<'_>) -> Result<()>,
    ) -> Result<()> {
        let gone = || Error::corrupt("find", "s.json", "it is gone");
        let bytes = self.0.get(&snapshot).filter(|bytes| bytes.len() as u64 == size).ok_or_else(gone)?;
        read(StoredState {
            source: &mut &bytes[..],
            name: "s.json",
            size,
            compressed: false,
            meanwhile: &mut || (),
        })
    }
}

impl Files {
    fn open(&mut self, snapshot: Stamp) -> Result<StateReader> {
        let size = self.0[&snapshot].len() as u64;
        StateReader::open(snapshot, size, &Pool::new(1).unwrap(), None, self)
    }
}

fn at(step: usize) -> Stamp {
    Stamp::from_time(Time { secs: 1_000_000_000 + step as i64, nanos: 0 })
}

/// The header of the snapshot of a step.
fn header_of(step: usize) -> Header {
    let kind = if step == 0 { SnapshotKind::Full } else { SnapshotKind::Incremental };
    Header { snapshot: at(step), kind, unknown: Vec::new(), parent: None, ..header() }
}

fn archive(number: usize) -> ArchiveRef {
    ArchiveRef { name: format!("docs.created.{number}.tar"), size: number as u64, ..archives()[0].clone() }
}

/// One entry: the components of its path (numbers that stand for the names `a`, `a-` and `b`), whether it is a
/// directory, and the number of the archive with its content.
type Item = (Vec<u8>, bool, u8);

/// The entries of a tree. An item is ignored if an earlier item has its path, or is a file above its path.
fn tree(items: &[Item]) -> Vec<Entry> {
    let mut paths: BTreeMap<Path, (bool, u8)> = BTreeMap::new();
    for (names, is_dir, version) in items {
        let names: Vec<String> =
            names.iter().map(|name| ["a", "a-", "b"][usize::from(name % 3)].to_string()).collect();
        let parents = (1..names.len()).map(|count| Path::new(names[..count].join("/")).unwrap());
        let parents: Vec<_> = parents.collect();
        let path = Path::new(names.join("/")).unwrap();
        if parents.iter().any(|dir| paths.get(dir).is_some_and(|(is_dir, _)| !is_dir)) {
            continue;
        }
        for dir in parents {
            paths.entry(dir).or_insert((true, 0));
        }
        paths.entry(path).or_insert((*is_dir, *version));
    }
    let mut entries = vec![entry(b"", Node::Dir)];
    for (path, (is_dir, version)) in paths {
        let made = match is_dir {
            true => entry(path.as_bytes(), Node::Dir),
            false => file(path.as_bytes(), 1 + u64::from(version)),
        };
        entries.push(made);
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    entries
}

impl Chain {
    /// Adds a snapshot of `items`. The contents of version N are in the archive N of the chain.
    fn add(&mut self, items: &[Item], rule: &FoldRule) {
        let step = self.snapshots.len();
        let entries = tree(items);
        let names: Vec<usize> =
            entries.iter().filter_map(|entry| entry.file()).map(|file| file.size as usize).collect();
        let mut needed: Vec<usize> = names.clone();
        needed.sort_unstable();
        needed.dedup();
        let archives: Vec<ArchiveRef> = needed.iter().map(|number| archive(*number)).collect();
        let numbered = |entry: &Entry| {
            let mut entry = entry.clone();
            if let Some(size) = entry.file().map(|file| file.size) {
                entry.place.content[0].archive = needed.binary_search(&(size as usize)).unwrap() as u32;
            }
            entry
        };
        let header = header_of(step);
        let made = made_with(&[]);
        let written = if step == 0 {
            let mut writer = StateWriter::new(frames(Codec::None), &header).unwrap();
            entries.iter().for_each(|entry| writer.entry(&numbered(entry)).unwrap());
            writer.finish(&archives, &made).unwrap()
        } else {
            let mut parent = self.files.open(at(step - 1)).unwrap();
            let of_parent = parent.trailer().archives.clone();
            let inherited = |number: u32| {
                let name = &of_parent[number as usize].name;
                archives.iter().position(|archive| archive.name == *name).map(|at| at as u32)
            };
            let mut changes = StateChanges::new();
            let mut old = parent.recorded().unwrap();
            let mut new = entries.iter().peekable();
            old.advance().unwrap();
            loop {
                let side = Side::next(
                    old.current().map(Recorded::path),
                    new.peek().map(|entry| entry.path.as_bytes()),
                );
                match side {
                    None => break,
                    Some(Side::New) => changes.entry(&numbered(new.next().unwrap()), None).unwrap(),
                    Some(side) => {
                        let recorded = old.current().unwrap();
                        let then = recorded.entry().unwrap();
                        let now = (side == Side::Both).then(|| numbered(new.next().unwrap()));
                        let mut renumbered = Some(then.clone());
                        if let Some(range) =
                            renumbered.as_mut().and_then(|entry| entry.place.content.first_mut())
                        {
                            match inherited(range.archive) {
                                Some(number) => range.archive = number,
                                None => renumbered = None,
                            }
                        }
                        match now {
                            None => changes.gone(&then.path).unwrap(),
                            Some(now) if renumbered.as_ref() == Some(&now) && step.is_multiple_of(2) => {
                                changes.keep(recorded).unwrap()
                            }
                            Some(now) => changes.entry(&now, renumbered.as_ref()).unwrap(),
                        }
                        old.advance().unwrap();
                    }
                }
            }
            let begin = || Ok(frames(Codec::None));
            let archives = NeededArchives { all: &archives, inherited: &inherited };
            changes.write(&mut parent, header, rule, begin, &archives, &made).unwrap()
        };
        self.files.0.insert(at(step), written.file.out);
        self.snapshots.push((at(step), entries));
    }

    /// Checks that every snapshot reads back, with the right archive for each file.
    fn check(&mut self) {
        for (snapshot, entries) in &self.snapshots {
            let mut state = self.files.open(*snapshot).unwrap();
            let archives = state.trailer().archives.clone();
            let read: Vec<Entry> = state.entries().unwrap().map(Result::unwrap).collect();
            assert_eq!(read.len(), entries.len());
            let mut used = vec![false; archives.len()];
            for (read, made) in read.into_iter().zip(entries) {
                let mut read = read;
                if let Some(size) = made.file().map(|file| file.size) {
                    let number = read.place.content[0].archive as usize;
                    assert_eq!(archives[number], archive(size as usize), "{:?}", made.path);
                    used[number] = true;
                    read.place.content[0].archive = 0;
                }
                assert_eq!(&read, made);
            }
            assert!(used.iter().all(|used| *used), "the snapshot needs all archives that it names");
        }
    }
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    vec((vec(0..3u8, 1..4), prop::bool::weighted(0.3), 0..4u8), 0..12)
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn every_snapshot_of_a_chain_reads_back(
        steps in vec(items(), 1..12), repeats in vec(0..3usize, 12), layers_max in 1..8usize, percent_max in 150..2000u64,
    ) {
        let rule = FoldRule { layers_max, percent_max };
        let mut chain = Chain::default();
        for (items, repeats) in steps.iter().zip(repeats) {
            for _ in 0..=repeats {
                chain.add(items, &rule);
            }
        }
        chain.check();
    }
}
