//! Stores that released versions of libibt wrote, in `tests/golden/VERSION`. Every later version restores, verifies,
//! lists and continues them.
//!
//! Beside each store are the facts of each snapshot's tree: what plain system calls and lsattr(1) found in the source
//! when the snapshot was made. As root, `IBT_WRITE_GOLDEN=1 cargo test --locked --test golden` writes the stores of
//! this version. A version that was released is never written again.

mod support;

#[path = "golden/facts.rs"]
mod facts;
#[path = "golden/write.rs"]
mod write;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ibt::job::{DeltaMode, Options, Report, Select, Silent, meta};
use ibt::stamp::Stamp;
use serde_json::Value;
use support::series::{KEY, Series};
use support::tools::Mount;
use support::{assert_same_tree, is_root, noise, stored};

/// A golden store, and a copy of it that a test may change.
struct Golden {
    /// The file system that keeps everything that a snapshot records; `None` if it cannot be mounted. Unmounted before
    /// the directory of `series` is removed.
    mounted: Option<Mount>,
    dir: PathBuf,
    series: Series,
}

impl Golden {
    fn copy(dir: &Path) -> Golden {
        let series = Series::new();
        write::unpack(dir, &series.store);
        let at = series.beside("mounted");
        fs::create_dir(&at).unwrap();
        let mounted = facts::mount(&series.beside("image"), &at);
        Golden { mounted, dir: dir.to_path_buf(), series }
    }

    /// The stamps of the snapshots, the oldest first.
    fn stamps(&self) -> Vec<Stamp> {
        let listed = fs::read_to_string(self.dir.join("snapshots")).unwrap();
        listed.lines().map(|line| Stamp::parse(line.split(' ').next().unwrap()).unwrap()).collect()
    }

    /// Restores a snapshot, and compares the tree with the recorded facts.
    fn assert_restores(&self, stamp: Stamp) {
        let dest = self.series.beside("mounted/restored");
        let whole = self.mounted.is_some();
        let restore_metadata = (!whole).then_some(meta::MODE | meta::TIMES | meta::SPECIAL);
        let options =
            Options { select: Select::Exactly(stamp), restore_metadata, ..self.series.options.clone() };
        let report = self.series.restore_with(&options, &dest, &mut Silent).ok();
        assert!(!whole || report.problems.is_empty(), "{stamp}: {:?}", report.problems);
        let recorded = fs::read_to_string(self.dir.join(format!("{stamp}.facts"))).unwrap();
        let found = facts::of(&dest);
        let (recorded, found) = match whole {
            true => (recorded, found),
            false => (facts::without_privileges(&recorded), facts::without_privileges(&found)),
        };
        for (recorded, found) in recorded.lines().zip(found.lines()) {
            assert_eq!(found, recorded, "{stamp}");
        }
        assert_eq!(found.lines().count(), recorded.lines().count(), "{stamp}");
        facts::remove(&dest);
    }
}

/// The directories of all golden stores.
fn all() -> Vec<PathBuf> {
    let below = |dir: &Path| -> Vec<PathBuf> {
        let mut dirs: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        dirs.retain(|path| path.is_dir());
        dirs.sort();
        dirs
    };
    let found: Vec<_> = below(&write::home()).iter().flat_map(|version| below(version)).collect();
    assert!(found.len() >= write::STORES.len(), "{found:?}");
    found
}

/// Writes the stores of this version, if the caller asks for that.
#[test]
fn written_on_request() {
    if std::env::var_os("IBT_WRITE_GOLDEN").is_some() {
        assert!(is_root(), "only root makes devices, and files of other owners");
        write::all();
    }
}

#[test]
fn each_snapshot_is_listed_and_verified_and_restores_to_its_facts() {
    if std::env::var_os("IBT_WRITE_GOLDEN").is_some() {
        return;
    }
    for dir in all() {
        println!("{}", dir.display());
        let golden = Golden::copy(&dir);
        let recorded = fs::read_to_string(dir.join("snapshots")).unwrap();
        if recorded.is_empty() {
            continue;
        }
        let listed = golden.series.list().whole();
        assert_eq!(write::lines(&listed), recorded);
        let verified: Report = golden.series.verify(&golden.series.options).whole();
        assert_eq!(write::digests(&verified), write::digests(&listed));
        golden.stamps().into_iter().for_each(|stamp| golden.assert_restores(stamp));
    }
}

/// Restores the newest snapshot of a golden store, changes the tree, and backs it up into the store. A store without a
/// snapshot gets a full.
#[test]
fn a_backup_into_each_store_restores_and_changes_no_older_snapshot() {
    if std::env::var_os("IBT_WRITE_GOLDEN").is_some() {
        return;
    }
    for dir in all() {
        for delta in [DeltaMode::Contents, DeltaMode::Signatures] {
            println!("{} {delta:?}", dir.display());
            let mut golden = Golden::copy(&dir);
            let stamps = golden.stamps();
            golden.series.source = golden.series.beside("mounted").join(KEY);
            let source = golden.series.source.clone();
            if stamps.is_empty() {
                fs::create_dir(&source).unwrap();
            } else {
                golden.series.restore(Select::Newest, &source).ok();
            }
            fs::write(source.join("after the golden store"), noise(1, 20_000)).unwrap();
            write::edit(&source.join("blocks"), 7);
            golden.series.options = Options {
                delta,
                key: Some(KEY.into()),
                host: Some(write::HOST.into()),
                source_name: Some(write::SOURCE.into()),
                allow_source_change: true,
                ..golden.series.options.clone()
            };
            let report = if stamps.is_empty() { golden.series.full() } else { golden.series.incremental() };
            let report = report.whole();
            assert_eq!(report.problems.len(), 0, "{:?}", report.problems);
            let dest = golden.series.beside("mounted/restored");
            golden.series.restore(Select::Newest, &dest).ok();
            match golden.mounted {
                Some(_) => assert_same_tree(&source, &dest),
                None => assert_eq!(
                    facts::without_privileges(&facts::of(&source)),
                    facts::without_privileges(&facts::of(&dest))
                ),
            }
            facts::remove(&dest);
            golden.series.verify(&golden.series.options).whole();
            stamps.into_iter().for_each(|stamp| golden.assert_restores(stamp));
            assert!(!golden.series.stored().keys().any(|name| name.contains(".partial.")));
        }
    }
}

/// What the stored bytes of a golden store have, found without libibt.
struct Contents {
    /// The name of the store and a dot before the name of each file.
    names: Vec<String>,
    /// The documents of all states and partial states.
    states: Vec<Value>,
    /// The first bytes of each range of an archive: its kind, and the bytes.
    ranges: Vec<(String, Vec<u8>)>,
}

impl Contents {
    fn read(dirs: &[PathBuf]) -> Contents {
        let mut found = Contents { names: Vec::new(), states: Vec::new(), ranges: Vec::new() };
        for dir in dirs {
            let room = tempfile::tempdir().unwrap();
            let store = room.path().join("store");
            write::unpack(dir, &store);
            for name in support::series::stored(&store).into_keys() {
                if name.contains(".state.") || name.contains(".partial.") {
                    let state = stored::named_document(&name, &fs::read(store.join(&name)).unwrap());
                    found.read_ranges(&store, &state);
                    found.states.push(state);
                }
                found.names.push(format!("{}.{name}", dir.file_name().unwrap().to_str().unwrap()));
            }
        }
        found
    }

    fn read_ranges(&mut self, store: &Path, state: &Value) {
        let archives = state["archives"].as_array().unwrap();
        let streams: Vec<_> = archives.iter().map(|archive| stored::stream(store, archive)).collect();
        let lists = ["/at/content", "/at/sig/content"];
        let entries = state["entries"].as_array().unwrap();
        let lists = entries.iter().flat_map(|entry| lists.map(|list| entry.pointer(list)));
        for range in lists.flatten().flat_map(|list| list.as_array().unwrap()) {
            let number = |index: usize| range[index].as_u64().unwrap() as usize;
            let kind = archives[number(0)]["kind"].as_str().unwrap().to_string();
            self.ranges.push((kind, streams[number(0)][number(1)..][..number(2)].to_vec()));
        }
    }

    fn entries(&self) -> impl Iterator<Item = &Value> {
        self.states.iter().flat_map(|state| state["entries"].as_array().unwrap())
    }

    fn has_entry(&self, test: impl Fn(&Value) -> bool) -> bool {
        self.entries().any(test)
    }

    fn has_name(&self, part: &str) -> bool {
        self.names.iter().any(|name| name.contains(part))
    }

    fn has_state(&self, test: impl Fn(&Value) -> bool) -> bool {
        self.states.iter().any(test)
    }

    /// Deltas in archives of one kind, each with the offset and the length of its copies.
    fn copies(&self, kind: &str) -> Vec<Vec<(u64, u64)>> {
        let deltas = self.ranges.iter().filter(|(of, bytes)| of == kind && bytes.starts_with(b"rs\x026"));
        deltas.map(|(_, delta)| copies(&delta[4..])).collect()
    }

    /// A state that has no lines of its parent's layer, and the lines of its parent itself.
    fn folds(&self) -> bool {
        let stamps = |state: &Value| -> BTreeSet<String> {
            let layers = state["layers"].as_array().into_iter().flatten();
            layers.map(|layer| layer["snapshot"].as_str().unwrap().to_string()).collect()
        };
        self.has_state(|state| {
            let parent = state["parent"]["snapshot"].as_str().unwrap_or_default();
            let of_parent = self.states.iter().find(|other| other["snapshot"] == parent);
            let layers = stamps(state);
            of_parent.is_some_and(|other| {
                !layers.is_empty() && !layers.contains(parent) && layers.is_subset(&stamps(other))
            })
        })
    }
}

/// The copies of a delta, by a plain reading of its commands.
fn copies(mut rest: &[u8]) -> Vec<(u64, u64)> {
    fn number(rest: &mut &[u8], class: u8) -> u64 {
        let (bytes, tail) = rest.split_at(1 << class);
        *rest = tail;
        bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
    let mut found = Vec::new();
    while let Some((&command, tail)) = rest.split_first() {
        rest = tail;
        match command {
            0 => {}
            1..=64 => rest = &rest[usize::from(command)..],
            65..=68 => {
                let len = number(&mut rest, command - 65);
                rest = &rest[len as usize..];
            }
            69..=84 => {
                let offset = number(&mut rest, (command - 69) / 4);
                found.push((offset, number(&mut rest, (command - 69) % 4)));
            }
            _ => panic!("no command: {command}"),
        }
    }
    found
}

/// A golden store that lost a feature would show nothing about it.
#[test]
fn the_stored_bytes_have_every_feature_of_the_format() {
    if std::env::var_os("IBT_WRITE_GOLDEN").is_some() {
        return;
    }
    let found = Contents::read(&all());
    let has = |pointer: &'static str| move |entry: &Value| entry.pointer(pointer).is_some();
    let is_type = |word: &'static str| move |entry: &Value| entry["type"] == word;
    let is_long = |list: &Value| list.as_array().is_some_and(|list| list.len() > 1);
    let path = |entry: &Value| entry["path"].as_str().unwrap_or_default().to_string();
    let fine = |copies: &Vec<(u64, u64)>| copies.iter().any(|(offset, _)| offset % 2048 != 0);
    let in_blocks = |copies: &Vec<(u64, u64)>| !copies.is_empty() && !fine(copies);
    let whole_signature =
        |(kind, bytes): &(String, Vec<u8>)| kind == "sigvault" && bytes.starts_with(b"rs\x01G");
    // A new path of an increment has a content of an older snapshot.
    let copied = |state: &Value| {
        let entries = state["entries"].as_array().unwrap().iter();
        let copy = entries
            .filter(|entry| entry["path"] == "copied")
            .find_map(|entry| entry.pointer("/at/content/0/0"));
        let archive = copy.map(|number| &state["archives"][number.as_u64().unwrap() as usize]["name"]);
        archive.is_some_and(|name| !name.as_str().unwrap().contains(state["snapshot"].as_str().unwrap()))
    };
    let features = [
        (
            "a compressed archive of each kind",
            ["full", "created", "updated", "sigvault"]
                .iter()
                .all(|kind| found.has_name(&format!(".{kind}."))),
        ),
        ("an archive without compression", found.names.iter().any(|name| name.ends_with(".tar"))),
        (
            "a state without compression",
            found.names.iter().any(|name| name.contains(".state.") && name.ends_with(".json")),
        ),
        (
            "a full in parts",
            found.names.iter().any(|name| name.contains(".full.") && name.ends_with(".00002")),
        ),
        (
            "an increment in parts",
            found.names.iter().any(|name| name.contains(".created.") && name.ends_with(".00002")),
        ),
        (
            "a partial state",
            found.has_name(".partial.")
                && found.has_state(|state| state["needs"] == serde_json::json!(["partial"])),
        ),
        (
            "a full that went on from a partial state",
            found.has_state(|state| {
                state["kind"] == "full"
                    && is_long(&state["archives"])
                    && state["needs"] == serde_json::json!([])
            }),
        ),
        ("a retired state", found.has_name(".retired.")),
        ("two layers", found.has_state(|state| is_long(&state["layers"]))),
        ("a folded layer", found.folds()),
        (
            "a state without lines",
            found.has_state(|state| {
                state["layers"].is_array() && state["entries"].as_array().unwrap().is_empty()
            }),
        ),
        ("a path that is gone", found.has_entry(|entry| entry["gone"].is_string())),
        (
            "labels",
            found.has_state(|state| state["labels"].as_object().is_some_and(|labels| labels.len() > 1)),
        ),
        (
            "names of host and source",
            found.has_state(|state| state["host"] == "golden-host" && state["source"] == "/golden/source%FF"),
        ),
        (
            "omitted names",
            found.has_state(|state| state["omitted"].as_array().is_some_and(|list| !list.is_empty())),
        ),
        (
            "a problem, and a dirty entry",
            found.has_state(|state| state["problems"].as_array().is_some_and(|list| !list.is_empty()))
                && found.has_entry(has("/at/dirty")),
        ),
        ("a whole signature", found.ranges.iter().any(whole_signature)),
        ("a delta of a signature", found.copies("sigvault").iter().any(|copies| !copies.is_empty())),
        ("a delta by signatures", found.copies("updated").iter().any(in_blocks)),
        ("a delta by contents", found.copies("updated").iter().any(fine)),
        (
            "a content of two deltas",
            found.has_entry(|entry| entry["at"]["content"].as_array().is_some_and(|list| list.len() > 2)),
        ),
        ("a content that another path has too", found.has_state(copied)),
        ("holes", found.has_entry(has("/holes"))),
        (
            "hard links of a file, a symbolic link and a FIFO",
            ["file", "symlink", "fifo"]
                .iter()
                .all(|word| found.has_entry(|entry| entry["type"] == *word && entry["link"].is_string())),
        ),
        (
            "a symbolic link whose target is not UTF-8",
            found.has_entry(|entry| entry["target"].as_str().is_some_and(|target| target.contains("%FF"))),
        ),
        ("a FIFO", found.has_entry(is_type("fifo"))),
        ("devices", found.has_entry(is_type("char")) && found.has_entry(is_type("block"))),
        ("names that are not UTF-8", found.has_entry(|entry| path(entry).contains("%FF"))),
        (
            "names with control characters, spaces and a percent sign",
            ["%0A", " ", "%25", "\u{e9}"]
                .iter()
                .all(|part| found.has_entry(|entry| path(entry).contains(part))),
        ),
        (
            "an empty file and an empty directory",
            found.has_entry(|entry| entry["size"] == 0)
                && found.has_entry(|entry| path(entry).ends_with("empty dir")),
        ),
        ("extended attributes", found.has_entry(|entry| entry["xattrs"]["user.a%25=b"].is_string())),
        (
            "ACLs and a capability",
            ["system.posix_acl_access", "system.posix_acl_default", "security.capability"]
                .iter()
                .all(|name| found.has_entry(|entry| entry["xattrs"][name].is_string())),
        ),
        (
            "flags of inodes",
            found.has_entry(|entry| entry["flags"] == serde_json::json!(["noatime", "nodump"]))
                && found.has_entry(|entry| entry["flags"] == serde_json::json!(["immutable"])),
        ),
        ("a birth time", found.has_entry(has("/at/btime"))),
        (
            "a mode with setuid, and other owners",
            found.has_entry(|entry| entry["mode"] == "4751" && entry["uid"] == 1234 && entry["gid"] == 5678),
        ),
        ("a time before 1970", found.has_entry(|entry| entry["mtime"] == "-86400.250000000")),
    ];
    let lost: Vec<_> = features.iter().filter(|(_, there)| !there).map(|(name, _)| name).collect();
    assert!(lost.is_empty(), "no golden store has: {lost:?}");
}

/// A source package holds the stores, so they must be few bytes.
#[test]
fn the_stores_are_small() {
    let files = walkdir::WalkDir::new(write::home()).into_iter().map(|entry| entry.unwrap());
    let sizes =
        files.filter(|entry| entry.file_type().is_file()).map(|entry| entry.metadata().unwrap().len());
    let bytes: u64 = sizes.sum();
    assert!((10_000..800_000).contains(&bytes), "{bytes}");
}
