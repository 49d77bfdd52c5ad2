//! Archives in parts: the parts joined are the archive, each can be lost alone, and no operation removes a part that a
//! snapshot needs.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ibt::error::Kind;
use ibt::job::{Codec, Counter, Keep, Options, ProblemKind, Report, Select, VerifyScope};
use ibt::store::callbacks::Refusal;
use ibt::text::decode_name;
use serde_json::Value;
use support::memory::Trouble;
use support::series::{KEY, remove};
use support::tools::command;
use support::*;

/// A size of parts for these small trees. Options of the C interface have a greater minimum.
const PART: u64 = 6000;

/// A full and two increments, with archives of all kinds in parts.
fn in_parts(mut series: Series) -> Series {
    series.options.part_size = PART;
    fill(&series);
    series.snapshot();
    change(&series);
    series.snapshot();
    series.write("new", noise(8, 30_000));
    series.write("grows", [noise(1, 900_000), noise(7, 22_000)].concat());
    series.snapshot();
    series
}

/// Writes the source of the first snapshot.
fn fill(series: &Series) {
    series.write("grows", noise(1, 900_000));
    for n in 0..40 {
        series.write(&format!("dir/{n}"), noise(100 + n, 1500));
    }
    series.write("text", prose(3, 300_000));
}

/// Changes the source for the second snapshot.
fn change(series: &Series) {
    series.write("grows", [noise(1, 900_000), noise(7, 20_000)].concat());
    (0..20).for_each(|n| drop(series.write(&format!("more/{n}"), noise(200 + n, 1500))));
    let _ = fs::remove_file(series.source.join("dir/7"));
}

/// The archives that the state of a snapshot names, with their parts.
fn archives(series: &Series, index: usize) -> Vec<Value> {
    let state = stored::parse(&series.state_of(series.points[index].stamp));
    state["archives"].as_array().unwrap().clone()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_string()
}

/// The names of all files that the snapshots of a series need, except states.
fn named(series: &Series, points: &[usize]) -> BTreeSet<String> {
    let archives = points.iter().flat_map(|index| archives(series, *index));
    archives.flat_map(|archive| stored::files(&archive)).map(|file| text(&file["name"])).collect()
}

/// The archives in the store, part by part.
fn archive_files(series: &Series) -> BTreeSet<String> {
    series.stored().into_keys().filter(|name| name.contains(".tar")).collect()
}

#[test]
fn the_parts_joined_are_the_archive_that_a_run_without_parts_makes() {
    let series = in_parts(Series { memory: None, ..Series::new() });
    series.assert_every_point_restores();
    assert!(!series.verify(&series.options).whole().is_partial());
    // The same source, stored without parts.
    let mut whole = Series { memory: None, ..Series::new() };
    whole.source = series.source.clone();
    whole.full().whole();
    let full = series.full().whole();
    let newest = series.newest("state");
    let mut kinds = BTreeMap::new();
    for archive in
        archives(&series, 2).into_iter().chain(stored::parse(&newest)["archives"].as_array().unwrap().clone())
    {
        let parts = stored::files(&archive);
        let name = text(&archive["name"]);
        *kinds.entry(text(&archive["kind"])).or_insert(0) += parts.len();
        for (number, part) in (1..).zip(&parts) {
            let file = if number == 1 { name.clone() } else { format!("{name}.{number:05}") };
            let path = series.store.join(&file);
            assert_eq!(part["name"], file);
            assert_eq!(part["size"], fs::metadata(&path).unwrap().len(), "{file}");
            assert!(part["size"].as_u64().unwrap() <= PART, "{file}");
            assert_eq!(part["digest"], stored::b3sum_file(&path), "{file}");
            assert_eq!(
                part["stream"],
                run(command("sh", ["-c", "zstd -dcq < \"$0\""]).arg(&path)).len(),
                "{file}"
            );
        }
        let joined = stored::join_parts(&series.store, &archive);
        assert_eq!(
            (&archive["size"], &archive["digest"]),
            (&joined.len().into(), &stored::b3sum(&joined).into())
        );
    }
    assert!(["full", "created", "updated", "sigvault"].iter().all(|kind| kinds[*kind] > 1), "{kinds:?}");
    // The names sort in the order of the parts, so the shell joins them too.
    for kind in ["full", "sigvault"] {
        let stamp = full.snapshot.unwrap();
        let script = format!("cat {KEY}.{kind}.{stamp}.tar.zst* | zstd -dcq");
        let joined = run(command("sh", ["-c", &script]).current_dir(&series.store));
        assert!(joined == stored::document(&whole.newest(kind)), "{kind}: another stream");
        let listed = |script: &str, dir: &PathBuf| {
            String::from_utf8(run(command("sh", ["-c", script]).current_dir(dir))).unwrap()
        };
        let ours = listed(&format!("{script} | tar tv"), &series.store);
        let theirs = listed(&format!("zstd -dcq {KEY}.{kind}.*.tar.zst | tar tv"), &whole.store);
        assert_eq!(ours, theirs);
        assert!(ours.lines().count() > 1, "{ours}");
    }
}

#[test]
fn an_archive_that_fits_one_part_is_stored_as_without_parts() {
    let mut series = Series { memory: None, ..Series::new() };
    fill(&series);
    series.full().whole();
    let read = |series: &Series, kind: &str| fs::read(series.newest(kind)).unwrap();
    let kinds = ["full", "sigvault"];
    let without = kinds.map(|kind| read(&series, kind));
    series.options.part_size = u64::MAX;
    series.full().whole();
    assert!(without == kinds.map(|kind| read(&series, kind)));
    series.options.part_size = without[0].len() as u64;
    // Frames are shorter where few of them would fit a part, so the archive is a little longer.
    series.full().whole();
    assert!(series.stored().keys().any(|name| name.ends_with(".tar.zst.00002")));
    assert!(!series.stored().keys().any(|name| name.ends_with(".tar.zst.00003")));
}

#[test]
fn the_size_of_parts_may_change_from_run_to_run_and_archives_may_be_uncompressed() {
    let mut series = Series::new();
    fill(&series);
    let sizes = [
        (0, Codec::Zstd(1)),
        (4000, Codec::None),
        (20_000, Codec::Zstd(3)),
        (0, Codec::None),
        (9000, Codec::Zstd(1)),
    ];
    for (n, (size, codec)) in (0..).zip(sizes) {
        (series.options.part_size, series.options.codec) = (size, codec);
        series.write("grows", [noise(1, 200_000 + 30_000 * n), noise(n as u64, 3000)].concat());
        series.write(&format!("new/{n}"), noise(300 + n as u64, 50_000));
        series.snapshot();
    }
    series.assert_every_point_restores();
    series.options.part_size = 5000;
    series.consolidate().whole();
    series.assert_newest_is_the_source();
    series.verify(&series.options).whole();
}

/// The paths whose content needs a byte in the file `name`.
fn need(series: &Series, index: usize, name: &str) -> BTreeSet<Vec<u8>> {
    let state = stored::parse(&series.state_of(series.points[index].stamp));
    let mut paths = BTreeSet::new();
    for entry in state["entries"].as_array().unwrap() {
        let ranges = entry["at"]["content"].as_array().into_iter().flatten();
        if ranges.flat_map(|range| stored::files_of(&state, range)).any(|file| file == name) {
            paths.insert(decode_name(entry["path"].as_str().unwrap()).unwrap());
        }
    }
    paths
}

/// For each of these paths, the first file with a byte of its content.
fn first_files(series: &Series, index: usize, paths: &BTreeSet<Vec<u8>>) -> Vec<String> {
    let state = stored::parse(&series.state_of(series.points[index].stamp));
    let first = |path: &Vec<u8>| {
        let entry = stored::entry(&state, std::str::from_utf8(path).unwrap());
        stored::files_of(&state, &entry["at"]["content"][0]).remove(0)
    };
    paths.iter().map(first).collect()
}

/// The paths that a report lists as lost.
fn lost(report: &Report) -> BTreeSet<Vec<u8>> {
    report.problems.iter().filter_map(|problem| problem.path.clone()).collect()
}

/// Restores a snapshot, of which exactly these paths are lost. The others are right.
#[track_caller]
fn assert_restores_but(series: &Series, index: usize, missing: &BTreeSet<Vec<u8>>) {
    let dest = series.beside("restored");
    let point = &series.points[index];
    let report = series.restore(Select::Exactly(point.stamp), &dest).ok();
    assert_eq!(&lost(&report), missing);
    let mut wanted = point.kept.facts.clone();
    wanted.retain(|path, _| !missing.contains(path));
    assert_same_facts(&wanted, &facts(&dest));
    remove(&dest);
}

/// Damages the file of a part. The second path is that of another part.
type PartDamage = fn(&PathBuf, &PathBuf);

#[test]
fn a_part_that_is_gone_or_damaged_costs_only_the_contents_in_it() {
    let series = in_parts(Series { memory: None, ..Series::new() });
    let harms: [(&str, PartDamage); 4] = [
        ("gone", |path, _| fs::remove_file(path).unwrap()),
        ("cut", |path, _| fs::write(path, &fs::read(path).unwrap()[..100]).unwrap()),
        ("exchanged", |path, other| assert!(fs::copy(other, path).unwrap() > 0)),
        ("of another kind", |path, _| fs::write(path, "not an archive").unwrap()),
    ];
    let parts: Vec<_> =
        named(&series, &[2]).into_iter().filter(|name| !name.contains(".sigvault.")).collect();
    assert!(parts.len() > 100, "{}", parts.len());
    let mut partial = 0;
    // Each part of some that lie anywhere, each harm in turn.
    for (n, name) in parts.iter().enumerate().filter(|(n, _)| n % 7 == 3 || n % 29 == 0) {
        let (what, harm) = harms[n % harms.len()];
        let (path, other) = (series.store.join(name), series.store.join(&parts[(n + 2) % parts.len()]));
        let right = fs::read(&path).unwrap();
        harm(&path, &other);
        let missing = need(&series, 2, name);
        assert_restores_but(&series, 2, &missing);
        let report = series.verify(&series.selecting(Select::Exactly(series.points[2].stamp))).partial();
        // A content with a wrong hash names its first file, because its frames are right.
        let beside = [name.clone()].into_iter().chain(first_files(&series, 2, &missing));
        let beside: BTreeSet<_> = beside.map(Some).collect();
        let files: BTreeSet<_> = report.problems.iter().map(|problem| problem.file.clone()).collect();
        assert!(files.contains(&Some(name.clone())), "{name} {what}: {:?}", report.problems);
        assert!(
            files.len() == 1 || what == "exchanged" && files.is_subset(&beside),
            "{name} {what}: {files:?}"
        );
        assert_eq!(lost(&report), missing, "{name} {what}");
        partial += usize::from(missing.len() > 1);
        fs::write(&path, right).unwrap();
    }
    assert!(partial > 0);
    series.assert_every_point_restores();
}

#[test]
fn a_lost_part_costs_no_content_whose_deltas_leave_out_its_bytes() {
    let mut series = Series { memory: None, ..Series::new() };
    series.options.part_size = PART;
    let bytes = noise(1, 300_000);
    series.write("shrinks", &bytes);
    series.snapshot();
    series.write("shrinks", &bytes[..160_000]);
    series.snapshot();
    let of_full: Vec<_> = named(&series, &[1]).into_iter().filter(|name| name.contains(".full.")).collect();
    let gone = &of_full[of_full.len() * 3 / 4];
    let path = series.store.join(gone);
    let right = fs::read(&path).unwrap();
    for bytes in [None, Some(vec![0; right.len()])] {
        match bytes {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        assert_restores_but(&series, 1, &BTreeSet::new());
        assert_restores_but(&series, 0, &[b"shrinks".to_vec()].into());
        let report = series.verify(&series.selecting(Select::Exactly(series.points[1].stamp))).partial();
        let told: Vec<_> = report.problems.iter().map(|p| (p.path.is_some(), p.file.as_ref())).collect();
        assert_eq!(told, [(false, Some(gone))], "{:?}", report.problems);
    }
}

/// Asserts that the only problem of a report is the note that `part` is lost and not needed.
#[track_caller]
fn assert_unneeded(report: &Report, part: &str) {
    let problems: Vec<_> = report.problems.iter().map(|p| (p.kind, p.file.as_deref())).collect();
    assert_eq!(problems, [(ProblemKind::Unneeded, Some(part))], "{:?}", report.problems);
}

#[test]
fn an_increment_stores_again_what_a_lost_part_had_and_names_the_other_parts() {
    for (heals, large) in [(false, false), (true, false), (false, true)] {
        let mut series = in_parts(Series { memory: None, ..Series::new() });
        series.options.heal = heals;
        let of_full: Vec<_> =
            named(&series, &[0]).into_iter().filter(|name| name.contains(".full.")).collect();
        // A part in the middle of the large file, or one with small files only.
        let is_wanted = |name: &&String| {
            let paths = need(&series, 2, name);
            let is_large = paths.contains(&b"grows"[..]);
            is_large == large && if large { paths.len() == 1 } else { paths.len() > 2 }
        };
        let gone = of_full.iter().skip(1).find(is_wanted).unwrap();
        fs::remove_file(series.store.join(gone)).unwrap();
        let missing = need(&series, 2, gone);
        let before = series.stored();
        let report = series.incremental().ok();
        let missed = report.problems.iter().filter(|problem| problem.kind == ProblemKind::Missing);
        let files: BTreeSet<_> = missed.filter_map(|problem| problem.file.clone()).collect();
        assert!(report.is_partial() && files == BTreeSet::from([gone.clone()]), "{:?}", report.problems);
        series.keep(&report);
        series.assert_newest_is_the_source();
        let added: u64 = series
            .stored()
            .iter()
            .filter(|(name, _)| !before.contains_key(*name))
            .map(|(_, size)| size)
            .sum();
        assert!(large || added < 40_000, "{added} bytes for {missing:?}");
        // The new snapshot needs nothing of the lost part.
        assert_eq!(need(&series, 3, gone), BTreeSet::new());
        let newest = series.selecting(Select::Exactly(series.points[3].stamp));
        let verified = series.verify(&newest).whole();
        assert!(verified.problems.iter().all(|problem| problem.kind == ProblemKind::Unneeded));
        let one_part = VerifyScope::Part { number: 1, parts: 1 };
        assert_unneeded(&series.verify(&Options { verify: one_part, ..newest.clone() }).whole(), gone);
        let presence = Options { verify: VerifyScope::Presence, ..newest };
        let report = series.verify(&presence).partial();
        assert!(report.problems[0].message.contains("only a verify of contents tells"), "{report:?}");
        // So do the next increments, and a prune of the older snapshots removes none of the other parts.
        series.write("again", "again");
        let next = series.incremental().whole();
        assert_unneeded(&next, gone);
        series.keep(&next);
        series.prune(&series.keeping(Keep { last: 1, ..Keep::default() })).ok();
        let mut needed = named(&series, &[4]);
        assert!(needed.remove(gone));
        assert_eq!(archive_files(&series), needed);
        series.assert_point_restores(4);
    }
}

/// The part has its size, but no seek table, so only a read finds the damage.
#[test]
fn heal_reports_a_damaged_part_as_a_problem_only_while_something_needs_it() {
    let mut series = in_parts(Series { memory: None, ..Series::new() });
    series.options.heal = true;
    for kind in [".sigvault.", ".full."] {
        let parts = named(&series, &[0]).into_iter().filter(|name| name.contains(kind));
        let part = parts.skip(1).find(|part| kind != ".full." || need(&series, 2, part).len() > 2);
        let path = series.store.join(part.as_ref().unwrap());
        fs::write(&path, vec![0; fs::read(&path).unwrap().len()]).unwrap();
        series.forget_cache();
        let report = series.incremental().partial();
        let part = part.unwrap();
        assert!(
            report.problems.iter().any(|p| p.kind == ProblemKind::Damaged && p.file.as_ref() == Some(&part))
        );
        series.keep(&report);
        let again = series.incremental().whole();
        let is_named = |problem: &&ibt::job::Problem| problem.file.as_ref() == Some(&part);
        let notes: Vec<_> = again.problems.iter().filter(is_named).map(|problem| problem.kind).collect();
        assert!(notes.iter().all(|kind| *kind == ProblemKind::Unneeded), "{:?}", again.problems);
        assert!(kind != ".full." || notes.len() == 1, "{:?}", again.problems);
        series.keep(&again);
        series.assert_newest_is_the_source();
    }
}

#[test]
fn a_prune_removes_all_parts_of_an_archive_or_none() {
    for memory in [false, true] {
        let series =
            if memory { Series::over(Memory::default()) } else { Series { memory: None, ..Series::new() } };
        let mut series = in_parts(series);
        series.keep(&series.full().whole());
        change(&series);
        series.snapshot();
        let all = [0, 1, 2, 3, 4];
        let state_of = |series: &Series, points: &[usize]| match memory {
            false => named(series, points),
            true => {
                let objects = series.memory.as_ref().unwrap().objects();
                let copies = series.beside("copies");
                fs::create_dir_all(&copies).unwrap();
                objects.iter().for_each(|(name, bytes)| fs::write(copies.join(name), bytes).unwrap());
                let here = |index: &usize| {
                    copies.join(series.state_of(series.points[*index].stamp).file_name().unwrap())
                };
                let states = points.iter().map(|index| stored::parse(&here(index)));
                let archives = states.flat_map(|state| state["archives"].as_array().unwrap().clone());
                archives.flat_map(|archive| stored::files(&archive)).map(|file| text(&file["name"])).collect()
            }
        };
        assert_eq!(archive_files(&series), state_of(&series, &all));
        for remaining in [&[0, 2, 3, 4][..], &[2, 3, 4], &[2, 4], &[4]] {
            let needed = state_of(&series, remaining);
            let gone = (0..5).filter(|index| !remaining.contains(index));
            let listed: BTreeSet<_> = series.list().whole().snapshots.iter().map(|s| s.stamp).collect();
            let removed = gone.map(|index| series.points[index].stamp).filter(|stamp| listed.contains(stamp));
            let options = Options { removed: removed.collect(), ..series.options.clone() };
            let before = archive_files(&series);
            let report = series.prune(&options).whole();
            assert_eq!(archive_files(&series), needed, "{remaining:?}");
            let told: BTreeSet<_> = report
                .files
                .iter()
                .filter(|file| file.name.contains(".tar"))
                .map(|file| file.name.clone())
                .collect();
            assert_eq!(told, &before - &needed);
            remaining.iter().for_each(|index| series.assert_point_restores(*index));
        }
        series.options.part_size = 0;
        let report = series.consolidate().whole();
        let own = report.snapshot.unwrap().to_string();
        series.prune(&series.keeping(Keep { last: 1, ..Keep::default() })).whole();
        assert!(archive_files(&series).iter().all(|name| name.contains(&own) && !name.contains(".tar.zst.")));
        series.assert_newest_is_the_source();
    }
}

/// A part that no state names, for example of a larger archive that another program put there, goes with a prune. Names
/// that are not those of parts stay.
#[test]
fn a_prune_removes_parts_that_no_state_names_and_no_foreign_files() {
    let series = in_parts(Series { memory: None, ..Series::new() });
    let full = text(&archives(&series, 0)[0]["name"]);
    let path = |end: &str| series.store.join(format!("{full}.{end}"));
    let put = |end: &str| fs::write(path(end), "x").unwrap();
    ["65536", "00001", "2", "000002", "65537", "0000x"].iter().for_each(|end| put(end));
    series.prune(&series.keeping(Keep { last: 5, ..Keep::default() })).whole();
    let stays = |end: &str| path(end).exists();
    assert!(!stays("65536"));
    assert!(["00001", "2", "000002", "65537", "0000x"].iter().all(|end| stays(end)));
    series.assert_every_point_restores();
}

#[test]
fn a_store_of_functions_holds_parts_too_and_none_of_a_run_that_failed() {
    let mut series = in_parts(Series::over(Memory::default()));
    series.assert_every_point_restores();
    let memory = series.memory.clone().unwrap();
    let before = memory.objects();
    assert!(before.keys().filter(|name| name.contains(".tar.zst.0")).count() > 100);
    change(&series);
    series.write("late", noise(44, 60_000));
    // Each of the calls fails in turn: creating and committing of parts, the last archive, the state.
    let mut failed = 0;
    for fails in (1..).step_by(3) {
        let mut writes = 0;
        memory.disturb(move |function, _| {
            writes += u32::from(matches!(function, "create" | "commit"));
            let refusal = Refusal { status: -77, os_code: libc::ENOSPC, reason: None };
            match writes == fails && matches!(function, "create" | "commit") {
                true if fails % 2 == 0 => Trouble::Belied(refusal),
                true => Trouble::Refused(refusal),
                false => Trouble::None,
            }
        });
        let outcome = series.incremental();
        memory.mend();
        if outcome.result.is_ok() {
            series.keep(&outcome.report);
            break;
        }
        failed += 1;
        let left: Vec<_> = memory.objects().into_keys().filter(|name| !before.contains_key(name)).collect();
        // If the state's own commit failed, the state may be there, and the archives stay.
        let has_state = left.iter().any(|name| name.contains(".state."));
        assert!(left.is_empty() || has_state, "call {fails}: {left:?}");
        left.iter().for_each(|name| memory.remove(name));
    }
    assert!(failed > 10, "{failed}");
    series.assert_every_point_restores();
}

/// Without locks, a prune may take the parts of a running backup for those of a killed one, if it knows a later
/// snapshot. Until it has deleted the parts, it leaves that snapshot or its mark.
#[test]
fn without_locks_a_backup_fails_if_another_snapshot_or_its_mark_appears() {
    let mut series = Series::over(Memory::without(&["lock"]));
    series.options.allow_unlocked = true;
    let mut series = in_parts(series);
    let memory = series.memory.clone().unwrap();
    let lists = Arc::new(AtomicU32::new(0));
    // Runs an increment that finds a new object `name` in the list with the number `at`. If it is `late`, its first
    // list takes so long that it lists the key once more, before the state gets its name.
    let run = |series: &Series, at: u32, late: bool, name: &str| {
        let (lists, there, name) = (lists.clone(), memory.clone(), name.to_string());
        lists.store(0, Ordering::Relaxed);
        memory.disturb(move |function, _| {
            if function == "list" {
                match lists.fetch_add(1, Ordering::Relaxed) + 1 {
                    number if number == at => there.put(&name, b"x"),
                    1 if late => std::thread::sleep(Duration::from_millis(5100)),
                    _ => {}
                }
            }
            Trouble::None
        });
        let outcome = series.incremental();
        memory.mend();
        outcome
    };
    series.write("new", noise(9, 30_000));
    let report = run(&series, 0, false, "").whole();
    series.keep(&report);
    let last = lists.load(Ordering::Relaxed);
    let before: BTreeSet<_> = memory.objects().into_keys().collect();
    let mark = format!("{KEY}.retired.20991231T000000.000000Z.json");
    let state = format!("{KEY}.state.20991231T000000.000000Z.json");
    // Before the state gets its name, and afterwards.
    for (late, name) in [(true, &mark), (false, &mark), (true, &state), (false, &state)] {
        series.write("new", noise(u64::from(late) + 10, 30_000));
        let error = run(&series, last, late, name).refused(Kind::Busy);
        memory.remove(name);
        let left: BTreeSet<_> = memory.objects().into_keys().filter(|name| !before.contains(name)).collect();
        // A later snapshot may need the new one.
        let stays = !late && *name == state;
        assert_eq!(!left.is_empty(), stays, "{late} {name}: {left:?}");
        assert!(!stays || error.to_string().contains("was left there"), "{error}");
        left.iter().for_each(|name| memory.remove(name));
    }
    series.snapshot();
    series.assert_every_point_restores();
}

/// A failed run removes what it has stored, also archives in one file. Only what it cannot remove is noted.
#[test]
fn objects_that_a_failed_run_cannot_remove_are_noted() {
    let refused = || Trouble::Refused(Refusal { status: -77, os_code: libc::ENOSPC, reason: None });
    for (without, can_delete) in [(&["delete"][..], true), (&[], false), (&[], true)] {
        for part_size in [0, PART] {
            let mut series = Series::over(Memory::without(without));
            series.options.part_size = part_size;
            series.write("a", noise(1, 60_000));
            series.snapshot();
            let memory = series.memory.clone().unwrap();
            let before: BTreeSet<_> = memory.objects().into_keys().collect();
            series.write("late", noise(44, 60_000));
            let mut most = 0;
            for fails in 1.. {
                let calls = Arc::new(AtomicU32::new(0));
                let count = calls.clone();
                memory.disturb(move |function, _| match function {
                    "delete" if can_delete => Trouble::None,
                    "delete" => refused(),
                    // An object whose commit has failed may be there or not.
                    "commit" => Trouble::None,
                    _ if count.fetch_add(1, Ordering::Relaxed) + 1 == fails => refused(),
                    _ => Trouble::None,
                });
                let outcome = series.incremental();
                memory.mend();
                let left: Vec<_> =
                    memory.objects().into_keys().filter(|name| !before.contains(name)).collect();
                left.iter().for_each(|name| memory.remove(name));
                let has_state = left.iter().any(|name| name.contains(".state."));
                if outcome.result.is_err() && !has_state {
                    let notes = outcome
                        .report
                        .problems
                        .iter()
                        .filter(|problem| problem.kind == ProblemKind::Leftover);
                    let mut noted: Vec<_> = notes.filter_map(|note| note.file.clone()).collect();
                    noted.sort();
                    assert_eq!(noted, left, "{without:?}, {can_delete}, {part_size}: call {fails}");
                    most = most.max(left.len());
                }
                if calls.load(Ordering::Relaxed) < fails {
                    break;
                }
            }
            let stays = !without.is_empty() || !can_delete;
            assert_eq!(most > 0, stays, "{without:?}, {can_delete}, {part_size}: {most}");
            series.snapshot();
            series.assert_every_point_restores();
        }
    }
}

#[test]
fn a_dry_run_names_the_parts_that_a_backup_then_makes() {
    let mut series = Series { memory: None, ..Series::new() };
    series.options.part_size = PART;
    fill(&series);
    let dry = Options { dry_run: true, ..series.options.clone() };
    let forecast = series.silently(&dry, |store, job| ibt::backup::full(store, &series.source, job)).whole();
    let parts = |report: &Report| {
        let files = report.files.iter().filter(|file| file.kind != "state");
        let end = |name: &str| name.split_once('Z').unwrap().1.to_string();
        files.map(|file| (file.kind, end(&file.name), file.size)).collect::<Vec<_>>()
    };
    let report = series.snapshot();
    assert!(report.files.len() > 100);
    assert_eq!(parts(&forecast), parts(&report));
    let written: u64 = series.stored().values().sum();
    assert_eq!(report.counters.get(Counter::BytesWritten), written);
    let restored = series.restore(Select::Newest, &series.beside("restored")).whole();
    let files = |report: &Report| report.files.iter().map(|file| file.name.clone()).collect::<BTreeSet<_>>();
    assert_eq!(files(&restored), files(&report));
}

#[test]
fn a_lost_cache_is_filled_again_from_parts_and_a_lost_sigvault_part_costs_no_content() {
    let mut series = in_parts(Series { memory: None, ..Series::new() });
    let vaults = |series: &Series| {
        let names = series::stored(&fs::read_dir(series.cache()).unwrap().next().unwrap().unwrap().path());
        names.into_iter().filter(|(name, _)| name.contains(".sigvault.")).collect::<BTreeMap<_, _>>()
    };
    let cached = vaults(&series);
    let of_state = archives(&series, 2).into_iter().filter(|archive| archive["kind"] == "sigvault");
    let sizes: BTreeMap<_, _> =
        of_state.map(|archive| (text(&archive["name"]), archive["size"].as_u64().unwrap())).collect();
    assert_eq!(cached, sizes, "the cache has each SigVault as one file");
    fs::remove_dir_all(series.cache()).unwrap();
    series.rebuild_cache().whole();
    assert_eq!(vaults(&series), sizes);
    // The signatures come from the cache, whose copies hold the parts joined, and then from the parts.
    for without_cache in [false, true] {
        let mut fork = series.fork().twin;
        fork.options.delta = ibt::job::DeltaMode::Signatures;
        if without_cache {
            fs::remove_dir_all(fork.cache()).unwrap();
            fork.options.cache_dir = Some(PathBuf::new());
        }
        let source = fork.beside("copy");
        run(command("cp", ["-a"]).arg(&series.source).arg(&source));
        fork.source = source;
        (fork.options.allow_source_change, fork.options.key) = (true, Some(KEY.into()));
        fork.write("grows", [noise(1, 900_000), noise(7, 25_000)].concat());
        let report = fork.incremental().whole();
        let written = report.counters.get(Counter::BytesWritten);
        assert!(written < 60_000, "{written} bytes: the file was stored whole");
        fork.assert_newest_is_the_source();
    }
    let gone = named(&series, &[0]).into_iter().rfind(|name| name.contains(".sigvault.")).unwrap();
    fs::remove_file(series.store.join(&gone)).unwrap();
    fs::remove_dir_all(series.cache()).unwrap();
    series.assert_every_point_restores();
    let report = series.verify(&series.options).partial();
    assert!(
        report.problems.iter().all(|problem| problem.file.as_deref() == Some(&gone)),
        "{:?}",
        report.problems
    );
    change(&series);
    let report = series.incremental().ok();
    series.keep(&report);
    series.assert_every_point_restores();
}

/// The sum of the lengths is right, so the state itself is accepted.
#[test]
fn parts_of_a_sigvault_that_do_not_make_the_recorded_streams_are_reported_once() {
    let series = in_parts(Series { memory: None, ..Series::new() });
    let vault = archives(&series, 0).into_iter().find(|archive| archive["kind"] == "sigvault").unwrap();
    let state = series.state_of(series.points[0].stamp);
    let parts = stored::files(&vault);
    for (part, by) in [(&parts[0], 512), (&parts[1], -512)] {
        let text =
            |stream: i64| format!("\"name\":{},\"size\":{},\"stream\":{stream},", part["name"], part["size"]);
        let stream = part["stream"].as_i64().unwrap();
        stored::forge(&state, &text(stream), &text(stream + by));
    }
    let report = series.verify(&series.selecting(Select::Exactly(series.points[0].stamp))).partial();
    let told: Vec<_> = report.problems.iter().map(|p| (p.path.clone(), p.file.clone())).collect();
    let named = |part: &Value| (None, Some(text(&part["name"])));
    assert_eq!(told, [named(&parts[0]), named(&parts[1])], "{:?}", report.problems);
    assert!(report.problems.iter().all(|problem| problem.message.contains("its frames make")));
}

#[test]
fn a_state_whose_parts_are_not_those_of_its_archive_is_refused() {
    let series = in_parts(Series { memory: None, ..Series::new() });
    let name = text(&archives(&series, 0)[0]["name"]);
    for (from, to) in [
        (format!("{name}.00002"), format!("{name}.00003")),
        (format!("{name}.00002"), name.clone()),
        (format!("{name}.00002"), name.replace("tree.full.", "other.full.") + ".00002"),
        (format!("\"name\":\"{name}.00002\",\"size\":"), format!("\"name\":\"{name}.00002\",\"size\":1")),
    ] {
        let fork = series.fork().twin;
        let state = fork.state_of(series.points[0].stamp);
        stored::forge(&state, &from, &to);
        let select = Select::Exactly(series.points[0].stamp);
        let error = fork.restore(select, &fork.beside("restored")).refused(Kind::Corrupt);
        let state = state.file_name().unwrap().to_str().unwrap();
        assert!(error.to_string().contains(state), "{error}");
        let listed = fork.list().partial();
        assert!(listed.problems.iter().any(|problem| problem.file.as_deref() == Some(state)));
        // Nothing is removed, because the state may need any archive.
        let before = archive_files(&fork);
        fork.prune(&fork.keeping(Keep { last: 1, ..Keep::default() })).ok();
        assert_eq!(archive_files(&fork), before);
    }
}
