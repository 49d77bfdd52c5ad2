//! The option heal: an increment reads everything that its parent needs, and stores lost contents again, if the
//! source still has them.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ibt::error::Kind;
use ibt::job::{Cancel, Codec, Counter, DeltaMode, Job, Options, ProblemKind, Report, Select, Silent};
use ibt::store::DirStore;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use support::changes::{Change, changed, changes};
use support::counting::Counting;
use support::failing::Failing;
use support::series::{counter, problem_paths};
use support::tools::{as_ordinary_user, set_mode};
use support::*;

/// A damage of one stored file.
#[derive(Clone, Debug)]
enum Damage {
    Gone,
    Changed(Vec<Change>),
    /// Zeros from this place on, as after a lost sector.
    Zeros(Index),
}

fn damages() -> impl Strategy<Value = Vec<(Index, Damage)>> {
    let damage = prop_oneof![
        2 => Just(Damage::Gone),
        3 => changes().prop_map(Damage::Changed),
        3 => any::<Index>().prop_map(Damage::Zeros),
    ];
    vec((any::<Index>(), damage), 1..5)
}

impl Damage {
    fn apply(&self, file: &Path) {
        let Ok(mut bytes) = fs::read(file) else { return };
        match self {
            Damage::Gone => return fs::remove_file(file).unwrap(),
            Damage::Changed(changes) => bytes = changed(bytes, changes),
            Damage::Zeros(_) if bytes.is_empty() => {}
            Damage::Zeros(at) => {
                let at = at.index(bytes.len());
                let end = bytes.len().min(at + 512);
                bytes[at..end].fill(0);
            }
        }
        fs::write(file, bytes).unwrap();
    }
}

/// Changes the file "large", unless an edit has put something else there.
fn grow_large(series: &Series, by: usize) {
    let path = series.source.join("large");
    if path.symlink_metadata().is_ok_and(|found| found.is_file()) {
        // An ordinary user may have lost the right to write.
        let _ = fs::write(path, [noise(9, 40_000), noise(by as u64, 100 * by)].concat());
    }
}

fn heal(series: &Series) -> Report {
    let options = Options { heal: true, ..series.options.clone() };
    series.silently(&options, |store, job| ibt::backup::incremental(store, &series.source, job)).ok()
}

/// Checks that the snapshot of a report verifies without a loss, and that it is the source.
#[track_caller]
fn assert_whole(series: &Series, report: &Report) {
    let verified = series.verify(&series.selecting(Select::Exactly(report.snapshot.unwrap()))).whole();
    let is_note = |kind: ProblemKind| kind == ProblemKind::Unneeded;
    assert!(verified.problems.iter().all(|problem| is_note(problem.kind)), "{:?}", verified.problems);
    series.assert_newest_is_the_source();
}

/// The archives of a snapshot by kind, without the stamps of their names, and the entries of its state.
fn made(series: &Series, report: &Report) -> BTreeMap<String, Vec<u8>> {
    let read = |name: &str| fs::read(series.store.join(name)).unwrap();
    let files = report.files.iter().filter(|file| file.kind != "state");
    let mut made: BTreeMap<_, _> = files.map(|file| (file.kind.to_string(), read(&file.name))).collect();
    let state = stored::parse(&series.newest("state"));
    made.insert("entries".into(), state["entries"].to_string().into_bytes());
    made
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn whatever_is_damaged_the_next_snapshot_is_whole(
        tree in trees(12),
        rounds in vec(edits(5), 1..4),
        harm in damages(),
        last in edits(4),
        (plain, forgets, by_signatures) in any::<(bool, bool, bool)>(),
    ) {
        let mut series = Series::new();
        series.options.allow_empty = true;
        series.options.codec = if plain { Codec::None } else { Codec::Zstd(1) };
        series.options.delta = if by_signatures { DeltaMode::Signatures } else { DeltaMode::Auto };
        tree.make(&series.source);
        series.write("large", noise(9, 40_000));
        series.snapshot();
        for (number, round) in rounds.iter().enumerate() {
            round.iter().for_each(|edit| edit.apply(&series.source));
            grow_large(&series, number);
            series.snapshot();
        }
        let all = series.archives();
        harm.iter().for_each(|(which, damage)| damage.apply(&all[which.index(all.len())]));
        if forgets {
            let _ = fs::remove_dir_all(series.cache());
        }
        last.iter().for_each(|edit| edit.apply(&series.source));
        let parent = series.points.last().unwrap().stamp;
        let before = series.verify(&series.selecting(Select::Exactly(parent))).ok();
        let report = heal(&series);
        assert_whole(&series, &report);
        // A lost signature that the cache has costs nothing, and is not a problem of an increment.
        let is_content =
            |problem: &&ibt::job::Problem| problem.path.is_some() && !problem.message.contains("signature");
        if before.problems.iter().any(|problem| is_content(&problem)) {
            prop_assert!(report.is_partial(), "a loss is not told: {:?}", before.problems);
        }
        // A second increment finds nothing to heal.
        let again = heal(&series);
        prop_assert_eq!(counter(&again, Counter::Healed), 0, "{:?}", again.problems);
        prop_assert!(!again.is_partial(), "{:?}", again.problems);
        assert_whole(&series, &again);
    }

    #[test]
    fn without_damage_an_increment_with_heal_is_the_same(
        tree in trees(12),
        rounds in vec(edits(5), 1..3),
        last in edits(4),
    ) {
        let mut series = Series::new();
        series.options.allow_empty = true;
        tree.make(&series.source);
        series.write("large", noise(9, 40_000));
        series.snapshot();
        for round in &rounds {
            round.iter().for_each(|edit| edit.apply(&series.source));
            series.snapshot();
        }
        last.iter().for_each(|edit| edit.apply(&series.source));
        let fork = series.fork();
        let (plain, healed) = (series.incremental().whole(), heal(&fork.twin));
        prop_assert!(!healed.is_partial() && counter(&healed, Counter::Healed) == 0);
        prop_assert_eq!(counter(&plain, Counter::BytesRead), counter(&healed, Counter::BytesRead));
        let (plain, healed) = (made(&series, &plain), made(&fork.twin, &healed));
        prop_assert!(plain == healed, "{:?} {:?}", plain.keys(), healed.keys());
    }
}

/// A full of some files of each kind, and two increments: "grows" has deltas, "moves" is moved later.
fn chain() -> Series {
    let mut series = Series::new();
    // A content of 256 KiB or more has a signature, however deltas are made.
    let mut bytes = noise(1, 300_000);
    series.write("grows", &bytes);
    series.write("moves", noise(2, 3000));
    series.write("goes", noise(3, 3000));
    series.write("stays", noise(4, 270_000));
    series.write("dir/first", noise(5, 2000));
    fs::hard_link(series.source.join("dir/first"), series.source.join("second")).unwrap();
    let sparse = fs::File::create(series.source.join("sparse")).unwrap();
    sparse.set_len(300_000).unwrap();
    sparse.write_all_at(b"after a hole", 200_000).unwrap();
    series.snapshot();
    for _ in 0..2 {
        bytes.splice(30_000..30_000, *b"inserted");
        series.write("grows", &bytes);
        series.snapshot();
    }
    series
}

fn flip_everything(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let end = bytes.len() - 40;
    bytes[..end].iter_mut().step_by(50).for_each(|byte| *byte ^= 1);
    fs::write(path, bytes).unwrap();
}

/// Each kind of file, with a full that is gone (which every increment notices) or damaged.
#[test]
fn what_the_full_lost_is_stored_again_and_the_rest_is_listed() {
    for is_gone in [true, false] {
        let series = chain();
        let full = series.newest("full");
        if is_gone {
            fs::remove_file(&full).unwrap()
        } else {
            flip_everything(&full)
        }
        fs::rename(series.source.join("moves"), series.source.join("moved")).unwrap();
        fs::remove_file(series.source.join("goes")).unwrap();
        let options = Options { heal: !is_gone, ..series.options.clone() };
        let made =
            series.silently(&options, |store, job| ibt::backup::incremental(store, &series.source, job));
        let report = made.partial();
        assert_whole(&series, &report);
        let healed = ["dir/first", "grows", "moved", "second", "sparse", "stays"];
        assert_eq!(problem_paths(&report, ProblemKind::Healed), healed, "{:#?}", report.problems);
        assert_eq!(problem_paths(&report, ProblemKind::Lost), ["goes"]);
        assert_eq!((counter(&report, Counter::Healed), counter(&report, Counter::Lost)), (6, 1));
        let kind = if is_gone { ProblemKind::Missing } else { ProblemKind::Damaged };
        let told: Vec<_> = report.problems.iter().filter(|problem| problem.kind == kind).collect();
        assert_eq!(told.len(), 1, "{:#?}", report.problems);
        assert_eq!(told[0].file.as_deref(), full.file_name().unwrap().to_str());
        // No file changed, so none is reported as changed.
        for (which, count) in [(Counter::Modified, 0), (Counter::Moved, 1), (Counter::Deleted, 1)] {
            assert_eq!(counter(&report, which), count, "{which:?}");
        }
        // A content that had deltas is whole again.
        let state = stored::parse(&series.newest("state"));
        assert_eq!(stored::entry(&state, "grows")["at"]["content"].as_array().unwrap().len(), 1);
        assert_eq!(stored::entry(&state, "second")["link"], "dir/first");
        // The older snapshots stay as they are.
        for point in &series.points {
            series.restore(Select::Exactly(point.stamp), &series.beside("old")).partial();
            series::remove(&series.beside("old"));
        }
    }
}

/// Without the option, an increment does not read the contents that it takes over.
#[test]
fn without_the_option_damage_is_inherited_and_verify_names_the_remedy() {
    let series = chain();
    flip_everything(&series.newest("full"));
    let fork = series.fork();
    fork.twin.incremental().whole();
    let stamp = fork.twin.list().whole().snapshots.last().unwrap().stamp;
    let verified = fork.twin.verify(&fork.twin.options).partial();
    assert!(verified.problems.iter().any(|problem| problem.snapshot == Some(stamp)));
    for problem in &verified.problems {
        let remedy = if problem.snapshot == Some(stamp) { "ibt incr --heal" } else { "only another copy" };
        assert!(problem.message.contains(remedy), "{}", problem.message);
    }
    let report = heal(&fork.twin);
    assert!(report.is_partial());
    assert_whole(&fork.twin, &report);
}

#[test]
fn lost_signatures_are_made_again_of_the_same_contents_only() {
    for damaged in [false, true] {
        let mut series = chain();
        let vaults: Vec<_> = series.archives().into_iter().filter(|path| is_vault(path)).collect();
        for vault in &vaults {
            if damaged { flip_everything(vault) } else { fs::remove_file(vault).unwrap() }
        }
        fs::remove_dir_all(series.cache()).unwrap();
        series.write("grows", noise(8, 50_000));
        let report = heal(&series);
        assert_whole(&series, &report);
        assert_eq!(problem_paths(&report, ProblemKind::Healed), ["stays"], "{:?}", report.problems);
        assert_eq!(counter(&report, Counter::Lost), 0);
        series.keep(&report);
        // The new signature is that of the content: the next change is a short delta against it.
        series.options.delta = DeltaMode::Signatures;
        series.write("stays", [noise(4, 270_000), b"appended".to_vec()].concat());
        let (_, added) = series.increment();
        assert!(added["updated"] < 4000 && !added.contains_key("created"), "{added:?}");
        series.assert_newest_is_the_source();
    }
}

fn is_vault(path: &Path) -> bool {
    path.to_string_lossy().contains(".sigvault.")
}

/// The cache has all signatures, so that none is made again.
#[test]
fn signatures_that_the_cache_has_are_stored_again() {
    let series = chain();
    series.archives().iter().filter(|path| is_vault(path)).for_each(|path| flip_everything(path));
    let report = heal(&series);
    assert_whole(&series, &report);
    assert_eq!(counter(&report, Counter::Healed), 0, "made again: {:?}", report.problems);
    fs::remove_dir_all(series.cache()).unwrap();
    let again = heal(&series);
    assert_eq!((counter(&again, Counter::Healed), again.is_partial()), (0, false), "{:?}", again.problems);
}

/// A store whose reads are not cheap is read by an increment with heal nevertheless.
#[test]
fn a_layer_that_the_store_lost_is_put_back_and_noted() {
    let series = layered::layered_chain();
    for is_gone in [true, false] {
        let fork = series.fork();
        let twin = &fork.twin;
        let layer = twin.state_of(series.points[1].stamp);
        let right = fs::read(&layer).unwrap();
        if is_gone {
            fs::remove_file(&layer).unwrap();
        } else {
            let middle = fs::OpenOptions::new().write(true).open(&layer).unwrap();
            middle.write_all_at(&[right[right.len() / 2] ^ 16], right.len() as u64 / 2).unwrap();
        }
        let mut store = EachCall::new(twin, |_| Fate::Goes);
        store.cheap = false;
        let options = Options { heal: true, ..twin.options.clone() };
        let made = store.run(&options, &Cancel::default(), |store, job| {
            ibt::backup::incremental(store, &twin.source, job)
        });
        let report = made.whole();
        assert!(fs::read(&layer).unwrap() == right);
        let noted: Vec<_> =
            report.problems.iter().map(|problem| (problem.kind, problem.file.as_deref())).collect();
        assert_eq!(noted, [(ProblemKind::Healed, layer.file_name().unwrap().to_str())]);
        assert_eq!(counter(&report, Counter::Healed), 1);
    }
}

/// Each byte of the archives is read once: the seek tables, and the frames of all contents and signatures.
#[test]
fn heal_reads_each_archive_once() {
    let series = chain();
    let all: u64 =
        series.stored().into_iter().filter(|(name, _)| name.contains(".tar")).map(|(_, len)| len).sum();
    let read = |heal: bool| {
        let fork = series.fork();
        let options = Options { heal, ..fork.twin.options.clone() };
        let (cancel, mut silent) = (Cancel::default(), Silent);
        let mut store = DirStore::open(&fork.twin.store);
        let mut store = Counting::new(&mut store);
        let mut job = Job::new(&options, &cancel, &mut silent);
        ibt::backup::incremental(&mut store, &series.source, &mut job).unwrap();
        store.read
    };
    let by_heal = read(true) - read(false);
    assert!(by_heal <= all, "{by_heal} bytes of {all}");
    assert!(by_heal > all / 2, "{by_heal} bytes of {all}");
}

/// An increment with heal, of which the first `left` reads of the archive `part` fail with an error of the disk.
fn heal_with_bad_reads(series: &Series, part: &str, left: u64) -> Outcome {
    let options = Options { heal: true, ..series.options.clone() };
    let error = ibt::error::Error::io("read", b"", &std::io::Error::from_raw_os_error(libc::EIO));
    series.silently(&options, |store, job| {
        let mut failing = Failing::new(store, part, error).at_first(left);
        ibt::backup::incremental(&mut failing, &series.source, job)
    })
}

/// How the store loses contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// Some reads of the archive fail with an error of the disk.
    BadReads(u64),
    Damaged,
    Gone,
}

/// A file of the source that cannot be read, a directory that cannot be listed, and files that are whole.
fn with_closed_entries() -> Series {
    let mut series = Series::new();
    series.write("kept", noise(1, 3000));
    series.write("closed/inside", noise(2, 3000));
    series.write("stays", noise(3, 30_000));
    series.write("goes", noise(4, 3000));
    series.snapshot();
    series
}

fn close(series: &Series, closed: bool) {
    let modes = if closed { [0, 0] } else { [0o644, 0o755] };
    for (path, mode) in ["kept", "closed"].into_iter().zip(modes) {
        set_mode(&series.source.join(path), mode);
    }
}

#[test]
fn the_last_version_of_what_the_source_cannot_give_is_never_dropped() {
    if !as_ordinary_user("the_last_version_of_what_the_source_cannot_give_is_never_dropped") {
        return;
    }
    for loss in [Loss::BadReads(1), Loss::BadReads(u64::MAX), Loss::Damaged, Loss::Gone] {
        let series = with_closed_entries();
        let full = series.newest("full");
        let right = fs::read(&full).unwrap();
        let left = match loss {
            Loss::BadReads(left) => left,
            Loss::Damaged => {
                flip_everything(&full);
                0
            }
            Loss::Gone => {
                fs::remove_file(&full).unwrap();
                0
            }
        };
        fs::remove_file(series.source.join("goes")).unwrap();
        close(&series, true);
        let report = heal_with_bad_reads(&series, ".full.", left).partial();
        assert_eq!(problem_paths(&report, ProblemKind::Lost), ["closed/inside", "goes", "kept"], "{loss:?}");
        assert_eq!(problem_paths(&report, ProblemKind::Healed), ["stays"], "{loss:?}");
        for problem in report.problems.iter().filter(|problem| problem.kind == ProblemKind::Lost) {
            let is_told = |text: &str| problem.message.contains(text);
            let is_right = match loss {
                Loss::BadReads(_) => problem.status == Kind::Io && is_told("cannot be read"),
                Loss::Damaged => problem.status == Kind::Corrupt && is_told("is damaged"),
                Loss::Gone => problem.status == Kind::Missing && is_told("is gone"),
            };
            assert!(is_right, "{loss:?}: {problem:?}");
        }
        let state = stored::parse(&series.newest("state"));
        let entries = state["entries"].as_array().unwrap();
        for path in ["kept", "closed/inside"] {
            let is_there = entries.iter().any(|entry| entry["path"] == path);
            assert_eq!(is_there, loss != Loss::Gone, "{loss:?}: {path}");
        }

        // If the store gets the bytes back, the snapshot has the kept versions.
        if loss != Loss::Gone {
            let fork = series.fork();
            fs::write(fork.twin.store.join(full.file_name().unwrap()), &right).unwrap();
            let dest = fork.twin.beside("restored");
            fork.twin.restore(Select::Newest, &dest).whole();
            for (path, seed) in [("kept", 1), ("closed/inside", 2)] {
                let path = dest.join(path);
                set_mode(path.parent().unwrap(), 0o755);
                set_mode(&path, 0o644);
                assert!(fs::read(&path).unwrap() == noise(seed, 3000), "{loss:?}");
            }
            let again = heal(&fork.twin);
            assert_eq!(counter(&again, Counter::Lost), 0, "{loss:?}: {:?}", again.problems);

            // A consolidation has read the contents, so its snapshot does not list them as lost.
            let fork = series.fork();
            fs::write(fork.twin.store.join(full.file_name().unwrap()), &right).unwrap();
            fork.twin.consolidate().whole();
            let listed = stored::parse(&fork.twin.newest("state"))["problems"].clone();
            let lost = listed.as_array().unwrap().iter().filter(|problem| problem["status"] == "lost");
            assert_eq!(lost.map(|problem| &problem["path"]).collect::<Vec<_>>(), ["goes"], "{loss:?}");
            let next = fork.twin.incremental().partial();
            assert_eq!(counter(&next, Counter::Lost), 0, "{loss:?}: {:?}", next.problems);
        }
        // The loss stays known as long as the source cannot give the files.
        let report = series.incremental().partial();
        let lost = if loss == Loss::Gone { &[][..] } else { &["closed/inside", "kept"] };
        assert_eq!(problem_paths(&report, ProblemKind::Lost), lost, "{loss:?}");
        // As soon as the source gives them, an increment stores them again, with or without the option.
        close(&series, false);
        for heals in [false, true] {
            let fork = series.fork();
            let options = Options { heal: heals, ..fork.twin.options.clone() };
            let made = fork
                .twin
                .silently(&options, |store, job| ibt::backup::incremental(store, &series.source, job));
            let stamp = made.ok().snapshot.unwrap();
            let verified = fork.twin.verify(&fork.twin.selecting(Select::Exactly(stamp))).ok();
            let is_note = |problem: &ibt::job::Problem| problem.kind == ProblemKind::Unneeded;
            assert!(verified.problems.iter().all(is_note), "{loss:?}, {heals}: {:?}", verified.problems);
            let dest = fork.twin.beside("restored");
            fork.twin.restore(Select::Newest, &dest).whole();
            assert_same_tree(&series.source, &dest);
        }
    }
}

/// A state lists a thousand losses at most.
#[test]
fn the_next_increment_does_not_trust_a_loss_that_the_state_does_not_list() {
    if !as_ordinary_user("the_next_increment_does_not_trust_a_loss_that_the_state_does_not_list") {
        return;
    }
    let mut series = Series::new();
    for seed in 0..1005 {
        series.write(&format!("closed/{seed:04}"), noise(seed, 300));
    }
    series.snapshot();
    flip_everything(&series.newest("full"));
    set_mode(&series.source.join("closed"), 0);
    let report = heal(&series);
    assert_eq!(counter(&report, Counter::Lost), 1005);
    assert_eq!(problem_paths(&report, ProblemKind::Lost).len(), 1000);
    set_mode(&series.source.join("closed"), 0o755);
    fs::remove_file(series.source.join("closed/1004")).unwrap();
    let report = series.incremental().ok();
    assert_eq!(problem_paths(&report, ProblemKind::Lost), ["closed/1004"]);
    let stamp = report.snapshot.unwrap();
    let verified = series.verify(&series.selecting(Select::Exactly(stamp))).ok();
    let is_note = |problem: &ibt::job::Problem| problem.kind == ProblemKind::Unneeded;
    assert!(verified.problems.iter().all(is_note), "{:?}", verified.problems);
    series.assert_newest_is_the_source();
}

/// A disk that fails one read, or every read of one archive: nothing that the source has is lost.
#[test]
fn bad_reads_of_any_archive_cost_no_content() {
    let mut series = chain();
    series.options.delta = DeltaMode::Signatures;
    for part in [".full.", ".updated.", ".sigvault."] {
        for left in [1, 2, 3, u64::MAX] {
            let fork = series.fork();
            let twin = &fork.twin;
            let report = heal_with_bad_reads(twin, part, left).partial();
            assert_eq!(counter(&report, Counter::Lost), 0, "{part} {left}: {:?}", report.problems);
            let of_archive = report.problems.iter().filter(|problem| problem.file.is_some());
            assert!(of_archive.clone().count() > 0, "{part} {left}");
            assert!(
                of_archive.clone().all(|problem| problem.kind == ProblemKind::Unreadable),
                "{part} {left}: {:?}",
                report.problems
            );
            assert_whole(twin, &report);
        }
    }
}

/// Either name of a file is enough, and so is a copy.
#[test]
fn a_content_that_another_name_keeps_is_not_lost() {
    for removed in ["dir/first", "second", "copy", "original"] {
        let mut series = chain();
        series.write("original", noise(7, 4000));
        series.snapshot();
        series.write("copy", noise(7, 4000));
        series.snapshot();
        for archive in series.archives().iter().filter(|path| !is_vault(path)) {
            flip_everything(archive);
        }
        fs::remove_file(series.source.join(removed)).unwrap();
        let report = heal(&series);
        assert_whole(&series, &report);
        assert_eq!(counter(&report, Counter::Lost), 0, "{removed}: {:?}", report.problems);
        let healed = problem_paths(&report, ProblemKind::Healed);
        let other = match removed {
            "dir/first" => "second",
            "second" => "dir/first",
            "copy" => "original",
            _ => "copy",
        };
        assert!(healed.contains(&other.to_string()), "{removed}: {healed:?}");
    }
}

/// A full stores equal contents once for each file. One of these files is deleted, and one cannot be read now.
#[test]
fn a_content_that_a_kept_entry_has_is_not_lost() {
    if !as_ordinary_user("a_content_that_a_kept_entry_has_is_not_lost") {
        return;
    }
    let cases: [(&[&str], &[&str]); 3] =
        [(&["goes"], &[]), (&["kept"], &["kept"]), (&["goes", "kept"], &["goes", "kept"])];
    for (damaged, lost) in cases {
        let mut series = Series::new();
        series.options.codec = Codec::None;
        for path in ["goes", "kept"] {
            series.write(path, noise(1, 3000));
        }
        series.snapshot();
        let state = stored::parse(&series.newest("state"));
        for path in damaged {
            let range = &stored::entry(&state, path)["at"]["content"][0];
            stored::flip(&series.newest("full"), range[1].as_u64().unwrap());
        }
        fs::remove_file(series.source.join("goes")).unwrap();
        set_mode(&series.source.join("kept"), 0);
        let report = heal(&series);
        let mut told = problem_paths(&report, ProblemKind::Lost);
        told.sort();
        assert_eq!(told, lost, "{damaged:?}: {:?}", report.problems);
        set_mode(&series.source.join("kept"), 0o644);
    }
}

#[test]
fn copies_of_a_content_whose_signature_is_lost_share_the_new_one() {
    let mut series = Series::new();
    series.write("original", noise(1, 30_000));
    series.snapshot();
    series.archives().iter().filter(|path| is_vault(path)).for_each(|path| flip_everything(path));
    series.forget_cache();
    for number in 0..20 {
        series.write(&format!("copy {number}"), noise(1, 30_000));
    }
    let report = heal(&series);
    assert_whole(&series, &report);
    let state = stored::parse(&series.newest("state"));
    let copies = state["entries"].as_array().unwrap().iter();
    let copies = copies.filter(|entry| entry["path"].as_str().unwrap().starts_with("copy"));
    let places: Vec<_> = copies.map(|entry| &entry["at"]["sig"]["content"]).collect();
    assert!(places.len() == 20 && places.iter().all(|place| *place == places[0]), "{places:?}");
}

#[test]
fn a_dry_run_tells_the_same_and_stores_nothing() {
    let series = chain();
    flip_everything(&series.newest("full"));
    fs::remove_file(series.source.join("goes")).unwrap();
    let before = series.stored();
    let options = Options { heal: true, dry_run: true, ..series.options.clone() };
    let dry = series.silently(&options, |store, job| ibt::backup::incremental(store, &series.source, job));
    let dry = dry.partial();
    assert_eq!(series.stored(), before);
    let report = heal(&series);
    for kind in [ProblemKind::Healed, ProblemKind::Lost, ProblemKind::Damaged] {
        assert_eq!(problem_paths(&dry, kind), problem_paths(&report, kind), "{kind:?}");
    }
    let healed = |report: &Report, text: &str| {
        let notes = report.problems.iter().filter(|problem| problem.kind == ProblemKind::Healed);
        notes.clone().count() > 0 && notes.clone().all(|note| note.message.contains(text))
    };
    assert!(healed(&dry, "would be stored") && healed(&report, "was stored"), "{:?}", dry.problems);
}

#[test]
fn without_damage_heal_makes_no_snapshot_of_an_unchanged_source_and_with_damage_it_does() {
    let series = chain();
    let options = Options { heal: true, skip_unchanged: true, ..series.options.clone() };
    let make = || {
        let made =
            series.silently(&options, |store, job| ibt::backup::incremental(store, &series.source, job));
        made.ok()
    };
    // Files that are too young are read again, but have not changed.
    let newest = series.points.last().unwrap().stamp;
    assert_eq!(make().snapshot, Some(newest));
    let vaults: Vec<_> = series.archives().into_iter().filter(|path| is_vault(path)).collect();
    vaults.iter().for_each(|vault| flip_everything(vault));
    let by_cache = make();
    assert_ne!(by_cache.snapshot, Some(newest), "signatures are stored again");
    flip_everything(&series.newest("full"));
    let healed = make();
    assert!(healed.is_partial() && healed.snapshot > by_cache.snapshot, "{:?}", healed.problems);
    assert_whole(&series, &healed);
    assert_eq!(make().snapshot, healed.snapshot, "nothing is left to heal");
}

/// Files of more than 1 MiB are read in pieces.
#[test]
fn large_files_and_their_copies_get_their_signatures_again() {
    let large = |more: &[u8]| [noise(1, 3 << 20), more.to_vec()].concat();
    let mut series = Series::new();
    series.options.delta = DeltaMode::Signatures;
    series.write("large", large(b""));
    series.snapshot();
    series.write("copy", large(b""));
    series.snapshot();
    series.archives().iter().filter(|path| is_vault(path)).for_each(|path| flip_everything(path));
    series.forget_cache();
    series.write("new copy", large(b""));
    let report = heal(&series);
    assert_whole(&series, &report);
    assert_eq!(problem_paths(&report, ProblemKind::Healed), ["copy", "large"], "{:?}", report.problems);
    series.keep(&report);
    let again = heal(&series);
    assert_eq!((counter(&again, Counter::Healed), again.is_partial()), (0, false), "{:?}", again.problems);
    series.keep(&again);
    // Each of the signatures is right: the next changes are short deltas against them.
    for path in ["copy", "large", "new copy"] {
        series.write(path, large(path.as_bytes()));
        let (_, added) = series.increment();
        assert!(added["updated"] < 10_000 && !added.contains_key("created"), "{path}: {added:?}");
        series.assert_newest_is_the_source();
    }
}

/// The contents of large files are damaged. Each is stored again once, and the copies point to the new content.
#[test]
fn large_files_and_their_copies_are_stored_again_once() {
    let mut series = Series::new();
    series.options.delta = DeltaMode::Signatures;
    series.write("large", noise(1, 3 << 20));
    series.snapshot();
    series.write("copy", noise(1, 3 << 20));
    series.snapshot();
    flip_everything(&series.newest("full"));
    series.write("new copy", noise(1, 3 << 20));
    let before = series.stored();
    let report = heal(&series);
    assert_whole(&series, &report);
    assert_eq!(problem_paths(&report, ProblemKind::Healed), ["copy", "large"], "{:?}", report.problems);
    let added = series.added(&before);
    assert!(added["created"] < 4 << 20, "{added:?}");
}
