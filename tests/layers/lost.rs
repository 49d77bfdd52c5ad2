//! Layers that the store lost or damaged. The cache's copies replace them; without a cache, exactly the snapshots that
//! need them are reported.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ibt::error::Kind;
use ibt::job::{Cancel, Problem, ProblemKind, Report, Select};
use ibt::stamp::Stamp;

use crate::support::layered::layered_chain;
use crate::support::series::{Fork, KEY};
use crate::support::*;

/// A way to lose or to damage a file: its name, the function, and whether a list finds the damage. A list does not read
/// the entries.
type Damage = (&'static str, fn(&Path), bool);

const DAMAGES: [Damage; 6] = [
    ("lost", |file| fs::remove_file(file).unwrap(), true),
    ("empty", |file| fs::write(file, "").unwrap(), true),
    ("cut", |file| set_len(file, -1), true),
    ("longer", |file| set_len(file, 1), true),
    ("its middle", |file| flip(file, |len| len / 2), false),
    ("its last bytes", |file| flip(file, |len| len - 2), true),
];

fn set_len(file: &Path, by: i64) {
    let mut bytes = fs::read(file).unwrap();
    bytes.resize((bytes.len() as i64 + by) as usize, 0);
    fs::write(file, bytes).unwrap();
}

fn flip(file: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = fs::read(file).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

/// Damages the state of each snapshot except the newest, each time in a new fork. Then calls `check` with the fork and
/// the index of the snapshot.
fn each_damage(series: &Series, check: impl Fn(&Fork, usize, &Damage, &str)) {
    for index in 0..series.points.len() - 1 {
        // Only the second snapshot gets every kind of damage, to save time.
        let damages =
            DAMAGES.iter().filter(|damage| index == 1 || ["lost", "its middle"].contains(&damage.0));
        for damage in damages {
            let fork = series.fork();
            damage.1(&fork.twin.state_of(series.points[index].stamp));
            check(&fork, index, damage, &format!("{} of snapshot {index}", damage.0));
        }
    }
}

#[test]
fn the_next_increment_or_consolidation_puts_a_lost_layer_back() {
    let series = layered_chain();
    let before = series.sound();
    each_damage(&series, |fork, index, _, what| {
        let layer = series.state_of(series.points[index].stamp);
        let name = layer.file_name().unwrap().to_str().unwrap().to_string();
        let twin = &fork.twin;
        for consolidates in [false, true] {
            if consolidates {
                fs::remove_file(twin.store.join(&name)).unwrap();
            }
            let report = if consolidates { twin.consolidate() } else { twin.incremental() }.ok();
            assert!(fs::read(twin.store.join(&name)).unwrap() == fs::read(&layer).unwrap(), "{what}");
            let told: Vec<_> = report.files.iter().filter(|file| file.name == name).collect();
            assert_eq!(told.len(), 1, "{what}: {:?}", report.files);
            assert_eq!(
                (told[0].kind, told[0].size),
                ("state", fs::metadata(&layer).unwrap().len()),
                "{what}"
            );
            let after = twin.sound();
            assert!(before.iter().all(|(stamp, digest)| after[stamp] == *digest), "{what}");
            twin.assert_newest_is_the_source();
        }
    });
}

/// A user moved an old state away and left a symbolic link, which no list shows: the copy takes the link's name.
#[test]
fn a_layer_is_put_back_where_a_symbolic_link_has_its_name() {
    let series = layered_chain();
    for consolidates in [false, true] {
        let fork = series.fork();
        let twin = &fork.twin;
        let layer = twin.state_of(series.points[1].stamp);
        let (right, elsewhere) = (fs::read(&layer).unwrap(), twin.beside("elsewhere"));
        fs::rename(&layer, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &layer).unwrap();
        if consolidates { twin.consolidate() } else { twin.incremental() }.ok();
        assert!(fs::symlink_metadata(&layer).unwrap().is_file(), "{consolidates}");
        assert!(fs::read(&layer).unwrap() == right && fs::read(&elsewhere).unwrap() == right);
        twin.sound();
    }
}

/// Reads of this store are not cheap. If the cache has a copy of a state, the state is not read from the store, so its
/// damage may stay unnoticed. A lost layer is always noticed.
#[test]
fn a_lost_layer_is_put_back_into_a_store_that_is_not_read() {
    let series = layered_chain();
    each_damage(&series, |fork, index, (_, _, _), what| {
        let twin = &fork.twin;
        let mut store = EachCall::new(twin, |_| Fate::Goes);
        store.cheap = false;
        let made = store.run(&twin.options, &Cancel::default(), |store, job| {
            ibt::backup::incremental(store, &twin.source, job)
        });
        made.whole();
        let layer = series.state_of(series.points[index].stamp);
        let back = twin.state_of(series.points[index].stamp);
        if !what.starts_with("its middle") {
            assert!(fs::read(back).unwrap() == fs::read(layer).unwrap(), "{what}");
            twin.sound();
        }
        // The cache has the newest state, with the same bytes as the store.
        let newest = fs::read(twin.newest("state")).unwrap();
        assert!(cached(twin).values().any(|bytes| *bytes == newest), "{what}");
    });
}

#[test]
fn without_a_cache_a_lost_layer_is_reported_for_the_snapshots_that_need_it() {
    let mut series = layered_chain();
    // This full needs none of the layers.
    let report = series.full().whole();
    series.keep(&report);
    each_damage(&series, |fork, index, (_, _, is_listed), what| {
        let twin = &fork.twin;
        twin.forget_cache();
        let needs = |at: &usize| *at >= index && (*at < 4 || index == 4);
        // A snapshot without a file is not listed.
        let exists = |at: &usize| *at != index || twin.state_of(series.points[index].stamp).exists();
        let expected: BTreeSet<_> =
            (0..5).filter(needs).filter(exists).map(|at| series.points[at].stamp).collect();
        let verified = twin.verify(&twin.options).ok();
        assert_eq!(named(&verified), expected, "{what}: {:?}", verified.problems);
        let listed = twin.list().ok();
        // A list reads a short state whole, so it may find damage among the entries too.
        let told = named(&listed);
        assert!(told == expected || !is_listed && told.is_empty(), "{what}: {:?}", listed.problems);
        let layer = series.points[index].stamp.to_string();
        for problem in verified.problems.iter().chain(&listed.problems) {
            assert!(problem.message.contains(&layer), "{what}: {}", problem.message);
            // A lost state is also noted beside its archives.
            let is_note = what.starts_with("lost") && problem.kind == ProblemKind::Leftover;
            assert!(is_note || problem.kind == kind_of(what), "{what}: {}", problem.message);
        }
        for (at, point) in series.points.iter().enumerate() {
            if needs(&at) {
                let outcome = twin.restore(Select::Exactly(point.stamp), &twin.beside("never"));
                let error = outcome.result.unwrap_err();
                let kind = match (what.starts_with("lost"), at == index) {
                    (true, true) => Kind::NotFound,
                    (true, false) => Kind::Missing,
                    (false, _) => Kind::Corrupt,
                };
                assert_eq!(error.kind, kind, "{what}: {error:?}");
                assert!(at == index || error.to_string().contains(&layer), "{what}: {error}");
                assert!(!twin.beside("never").exists());
            } else {
                fork.assert_point_restores(at);
            }
        }
    });
}

/// The kind of the problem that a damage of [`DAMAGES`] is reported as.
fn kind_of(what: &str) -> ProblemKind {
    if what.starts_with("lost") { ProblemKind::Missing } else { ProblemKind::Damaged }
}

/// The snapshots that the report has a problem of. A note about archives whose state is gone is none.
fn named(report: &Report) -> BTreeSet<Stamp> {
    let problems = report.problems.iter().filter(|problem| problem.kind != ProblemKind::Leftover);
    problems.filter_map(|problem| problem.snapshot).collect()
}

#[test]
fn without_a_cache_an_increment_builds_on_a_whole_snapshot() {
    let series = layered_chain();
    each_damage(&series, |fork, index, _, what| {
        let twin = &fork.twin;
        twin.forget_cache();
        let outcome = twin.incremental();
        if index == 0 {
            let kind = if what.starts_with("lost") { Kind::Missing } else { Kind::Corrupt };
            let error = outcome.refused(kind);
            assert!(error.to_string().contains("make a full backup first"), "{what}: {error}");
        } else {
            let report = outcome.ok();
            let state = stored::file(&twin.newest("state"));
            let parent = series.points[index - 1].stamp.to_string();
            assert_eq!(state["parent"]["snapshot"], parent, "{what}");
            let stamp = report.snapshot.unwrap();
            assert!(!twin.layers_of(stamp).contains(&series.points[index].stamp), "{what}");
            twin.assert_newest_is_the_source();
        }
        // A full needs nothing of the old states.
        let stamp = twin.full().ok().snapshot.unwrap();
        twin.assert_newest_is_the_source();
        twin.verify(&twin.selecting(Select::Exactly(stamp))).whole();
    });
}

/// The names and bytes of the state files in the cache.
fn cached(series: &Series) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = walkdir::WalkDir::new(series.cache()).into_iter().filter_map(Result::ok);
    let states = files.filter(|file| file.file_name().to_string_lossy().contains(".state."));
    states.map(|file| (file.path().to_path_buf(), fs::read(file.path()).unwrap())).collect()
}

#[test]
fn rebuilding_the_cache_never_replaces_a_right_copy() {
    let series = layered_chain();
    each_damage(&series, |fork, index, _, what| {
        let twin = &fork.twin;
        let before = cached(twin);
        assert_eq!(before.len(), 4, "{:?}", before.keys());
        let name = format!("{KEY}.state.{}.json.zst", series.points[index].stamp);
        // If reads are not cheap, the newest state is opened with the cache's copies of its layers.
        for cheap in [true, false] {
            let mut store = EachCall::new(twin, |_| Fate::Goes);
            store.cheap = cheap;
            let rebuilt = store.run(&twin.options, &Cancel::default(), |store, job| {
                ibt::retain::rebuild_cache(store, KEY, job)
            });
            let report = rebuilt.partial();
            let is_named = |problem: &Problem| problem.file.as_ref() == Some(&name);
            assert!(report.problems.iter().all(is_named), "{what}");
            assert!(report.problems.iter().all(|problem| problem.kind == kind_of(what)), "{what}");
            assert!(cached(twin) == before, "{what}");
        }
        twin.incremental().ok();
        twin.sound();
    });
}

/// An empty cache must not take a copy of a damaged layer.
#[test]
fn an_empty_cache_takes_no_damaged_layer() {
    let series = layered_chain();
    let right: BTreeMap<_, _> = cached(&series).into_iter().map(name_and_bytes).collect();
    let compared = std::cell::Cell::new(0);
    each_damage(&series, |fork, _, _, what| {
        fork.twin.forget_cache();
        // With a damaged layer it may fail.
        let _ = fork.twin.rebuild_cache();
        for (name, bytes) in cached(&fork.twin).into_iter().map(name_and_bytes) {
            assert!(right[&name] == bytes, "{what}: {name}");
            compared.set(compared.get() + 1);
        }
    });
    assert!(compared.get() > 0, "no rebuild filled a cache");
}

fn name_and_bytes((path, bytes): (PathBuf, Vec<u8>)) -> (String, Vec<u8>) {
    (path.file_name().unwrap().to_str().unwrap().to_string(), bytes)
}

/// A reader may list the store at any moment.
#[test]
fn a_damaged_layer_that_is_put_back_is_never_gone() {
    let series = layered_chain();
    let fork = series.fork();
    let twin = &fork.twin;
    let stamp = series.points[1].stamp;
    let layer = twin.state_of(stamp);
    flip(&layer, |len| len / 2);
    let mut replaced = false;
    let mut store = EachCall::new(twin, {
        let layer = layer.clone();
        move |call| {
            replaced |= call == "replace";
            assert!(layer.exists(), "{call}: the layer is gone");
            assert!(call != "publish" || replaced, "the snapshot came before its layer");
            Fate::Goes
        }
    });
    store
        .run(&twin.options, &Cancel::default(), |store, job| {
            ibt::backup::incremental(store, &twin.source, job)
        })
        .whole();
    assert!(fs::read(layer).unwrap() == fs::read(series.state_of(stamp)).unwrap());
    // The store has read the damaged file, and now reads the other one.
    store
        .run(&twin.options, &Cancel::default(), |store, job| ibt::inspect::verify(store, Some(KEY), job))
        .whole();
}

/// The number of lists does not depend on the number of lost layers.
#[test]
fn the_key_is_listed_again_only_once() {
    let series = layered_chain();
    let lists =
        |lost: usize,
         operation: fn(&mut dyn ibt::store::Store, &mut ibt::job::Job) -> ibt::error::Result<()>| {
            let fork = series.fork();
            let twin = &fork.twin;
            series.points[..lost]
                .iter()
                .for_each(|point| fs::remove_file(twin.state_of(point.stamp)).unwrap());
            twin.forget_cache();
            let count = std::rc::Rc::new(std::cell::Cell::new(0));
            let mut store = EachCall::new(twin, {
                let count = count.clone();
                move |call| {
                    count.set(count.get() + usize::from(call == "list"));
                    Fate::Goes
                }
            });
            let _ = store.run(&twin.options, &Cancel::default(), operation);
            count.get()
        };
    let list = |lost| lists(lost, |store, job| ibt::inspect::list(store, Some(KEY), job));
    let open = |lost| lists(lost, |store, job| ibt::inspect::Snapshot::open(store, KEY, job).map(drop));
    assert_eq!((list(3), open(3)), (list(1), open(1)));
}
