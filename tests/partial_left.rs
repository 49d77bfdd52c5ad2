//! Partial states that no full goes on from: they are damaged, of another source, or of a later version. And all other
//! operations, which take none for a snapshot.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ibt::error::{Error, Kind};
use ibt::format::names::Name;
use ibt::job::{Counter, Keep, Options, ProblemKind, Report, Select};
use support::failing::Failing;
use support::memory::Trouble;
use support::partials::*;
use support::series::{KEY, counter, remove};
use support::*;

/// A way to make a partial state useless. Its path and that of an archive that it names.
type Harm = fn(&Path, &Path);

#[test]
fn a_partial_state_that_cannot_be_used_is_reported_and_the_full_begins_from_zero() {
    let source = in_directory();
    fill(&source);
    let harms: [(&str, Harm); 8] = [
        ("changed", |partial, _| stored::flip(partial, 60)),
        ("cut", |partial, _| fs::write(partial, &fs::read(partial).unwrap()[..50]).unwrap()),
        ("empty", |partial, _| fs::write(partial, "").unwrap()),
        ("foreign", |partial, _| fs::write(partial, "{\"format\":\"other\"}\n").unwrap()),
        ("a newer version", |partial, _| forge(partial, "\"version\":1,", "\"version\":9,")),
        ("an archive gone", |_, archive| fs::remove_file(archive).unwrap()),
        ("an archive cut", |_, archive| {
            let bytes = fs::read(archive).unwrap();
            fs::write(archive, &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("an archive changed", |_, archive| stored::flip(archive, 500)),
    ];
    for (what, harm) in harms {
        let series = source.fork().twin;
        cancel_at(&series, 25);
        let partial = the_partial(&series);
        let named = archives_of(&series, &partial);
        let archive = named.iter().nth(1).unwrap();
        harm(&series.store.join(&partial), &series.store.join(archive));
        let report = series.full().whole();
        assert_eq!(leftover_files(&report), [Some(partial)], "{what}: {:?}", report.problems);
        assert_eq!(counter(&report, Counter::BytesRead), TOTAL, "{what}");
        assert_eq!(partials(&series), [""; 0], "{what}");
        series.assert_newest_is_the_source();
        series.prune(&series.keeping(Keep { last: 1, ..Keep::default() })).whole();
        assert_all_named(&series);
    }
    // The entries are those of the source, but lie elsewhere: the archives and the digests agree.
    let lies: [(&str, &str); 3] = [
        ("\"path\":\"dir/01\"", "\"path\":\"dir/00\""),
        ("\"needs\":[\"partial\"]", "\"needs\":[]"),
        ("\"kind\":\"full\",\"seq\"", "\"kind\":\"incremental\",\"seq\""),
    ];
    for (from, to) in lies {
        let series = source.fork().twin;
        cancel_at(&series, 25);
        let partial = the_partial(&series);
        forge(&series.store.join(&partial), from, to);
        let report = series.full().whole();
        assert_eq!(leftover_files(&report), [Some(partial)], "{from}: {:?}", report.problems);
        series.assert_newest_is_the_source();
    }
}

#[test]
fn a_partial_state_of_another_source_or_host_is_not_used() {
    let series = in_directory();
    fill(&series);
    cancel_at(&series, 25);
    let partial = the_partial(&series);
    let mut other = in_directory();
    other.share_store_of(&series);
    other.options.key = Some(KEY.into());
    other.write("a", noise(900, LEN));
    let report = other.full().whole();
    assert_eq!(leftover_files(&report), [Some(partial)]);
    other.assert_newest_is_the_source();
    assert_eq!(partials(&other), [""; 0]);
    // Another host may have equal inode numbers and times, so the option of the caller does not matter.
    for allows in [false, true] {
        let mut series = in_directory();
        series.source = other.beside("tree2");
        fs::create_dir(&series.source).unwrap();
        fill(&series);
        series.options.host = Some("here".into());
        cancel_at(&series, 25);
        series.options =
            Options { host: Some("there".into()), allow_source_change: allows, ..series.options.clone() };
        let report = series.full().whole();
        assert_eq!(leftover_files(&report).len(), 1);
        assert_eq!(counter(&report, Counter::BytesRead), TOTAL);
        remove(&series.source);
    }
}

/// Somebody may have copied it from another store of the same source.
#[test]
fn a_partial_state_of_another_series_is_not_used() {
    let series = in_directory();
    fill(&series);
    series.full().whole();
    let of_newest = || stored::parse(&series.newest("state"))["series"].as_str().unwrap().to_string();
    let own = of_newest();
    cancel_at(&series, 25);
    let partial = the_partial(&series);
    forge(&series.store.join(&partial), &own, &"0".repeat(32));
    let report = series.full().whole();
    assert_eq!(leftover_files(&report), [Some(partial)]);
    assert_eq!(counter(&report, Counter::BytesRead), TOTAL);
    assert_eq!(of_newest(), own);
}

/// A clock that was wrong made it, or it is foreign. The new snapshot has an earlier stamp.
#[test]
fn a_partial_state_far_in_the_future_is_not_used() {
    let series = in_directory();
    fill(&series);
    cancel_at(&series, 25);
    let partial = the_partial(&series);
    let (now, future) = (stamp(&partial).to_string(), "20991231T000000.000000Z");
    let header = |stamp: &str| format!("\"snapshot\":\"{stamp}\"");
    forge(&series.store.join(&partial), &header(&now), &header(future));
    fs::rename(series.store.join(&partial), series.store.join(partial.replace(&now, future))).unwrap();
    assert_eq!(go_on(&series, TOTAL), TOTAL);
}

#[test]
fn a_file_with_the_name_of_another_kind_is_refused() {
    let mut series = in_directory();
    fill(&series);
    series.options.key = Some(KEY.into());
    cancel_at(&series, 25);
    let partial = the_partial(&series);
    let state = partial.replace(".partial.", ".state.");
    let state = state[..state.find(".zst").unwrap() + 4].to_string();
    fs::copy(series.store.join(&partial), series.store.join(&state)).unwrap();
    let error = series.restore(Select::Newest, &series.beside("restored")).refused(Kind::Corrupt);
    assert!(error.to_string().contains("partial state"), "{error}");
    assert!(series.list().partial().snapshots.is_empty());
    fs::remove_file(series.store.join(&state)).unwrap();
    // And a state with the name of a partial state.
    series.full().whole();
    let state = series.newest("state").file_name().unwrap().to_str().unwrap().to_string();
    let later = state.replace(".state.20", ".partial.20");
    fs::copy(series.store.join(&state), series.store.join(&later)).unwrap();
    let report = series.full().whole();
    // It is not newer than the snapshot, so nobody looks at it.
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(partials(&series), [""; 0]);
}

#[test]
fn a_partial_state_is_no_snapshot() {
    for series in [in_directory(), in_memory()] {
        fill(&series);
        cancel_at(&series, 25);
        let partial = the_partial(&series);
        series.list().refused(Kind::NotFound);
        series.verify(&series.options).refused(Kind::NotFound);
        series.restore(Select::Newest, &series.beside("restored")).refused(Kind::NotFound);
        let stamp = Name::parse(&partial).unwrap().stamp;
        series.restore(Select::Exactly(stamp), &series.beside("restored")).refused(Kind::NotFound);
        series.consolidate().refused(Kind::NotFound);
        series.rebuild_cache().refused(Kind::NotFound);
        series.incremental().refused(Kind::NotFound);
        series.prune(&series.keeping(Keep { last: 1, ..Keep::default() })).refused(Kind::NotFound);
        let all = series.silently(&series.options, |store, job| ibt::inspect::list(store, None, job));
        assert!(all.whole().snapshots.is_empty());
        let mut keys = BTreeMap::new();
        let listed = series.silently(&series.options, |store, _| {
            keys = ibt::inspect::keys(store)?;
            Ok(())
        });
        listed.whole();
        assert!(keys.is_empty());
        let older = series.full().whole().snapshot;
        fs::write(series.source.join("late"), noise(5, 200_000)).unwrap();
        cancel_at(&series, 43);
        assert_eq!(partials(&series).len(), 1);
        let listed = series.list().whole();
        assert_eq!(listed.snapshots.iter().map(|s| Some(s.stamp)).collect::<Vec<_>>(), [older]);
        assert!(listed.problems.is_empty());
        assert!(series.verify(&series.options).whole().problems.is_empty());
        let dest = series.beside("restored");
        assert_eq!(series.restore(Select::Newest, &dest).whole().snapshot, older);
        remove(&dest);
        // An increment has the snapshot as its parent, and makes the partial state useless.
        let report = series.incremental().whole();
        assert_eq!(counter(&report, Counter::Created), 1);
        series.assert_newest_is_the_source();
        assert_eq!(go_on_after_increment(&series), TOTAL + 200_000);
    }
}

/// Makes a full, and returns the number of bytes that it read.
fn go_on_after_increment(series: &Series) -> u64 {
    let report = series.full().whole();
    assert_eq!(partials(series), [""; 0]);
    counter(&report, Counter::BytesRead)
}

#[test]
fn a_prune_keeps_the_newest_partial_state_until_a_newer_snapshot_exists() {
    for memory in [false, true] {
        let series = if memory { in_memory() } else { in_directory() };
        fill(&series);
        let last = |last| series.keeping(Keep { last, ..Keep::default() });
        series.full().whole();
        (0..4).for_each(|n| drop(series.write(&path(n), noise(300 + n as u64, LEN))));
        settle();
        // Two runs that did not end. The second one goes on from the first one's partial state.
        cancel_at(&series, 12);
        let older = the_partial(&series);
        cancel_at(&series, 30);
        let newer = partials(&series).pop().unwrap();
        assert_ne!(older, newer);
        // A left-over of a killed run.
        let left = format!("{}.00099", first_archive(&series, &newer));
        series.replace(&left, Some(b"x"));
        let dry = Options { dry_run: true, ..last(1) };
        let before = series.stored();
        let forecast: BTreeSet<_> =
            series.prune(&dry).whole().files.into_iter().map(|file| file.name).collect();
        assert_eq!(series.stored(), before);
        let report = series.prune(&last(1)).whole();
        let removed: Vec<_> = report.files.iter().map(|file| file.name.clone()).collect();
        // A store of functions cannot say whether a backup runs, so a dry run there removes less.
        assert!(memory || removed.iter().cloned().collect::<BTreeSet<_>>() == forecast, "{forecast:?}");
        assert_eq!((&removed[0], report.files[0].kind), (&older, "partial"));
        assert_eq!(partials(&series), [newer.as_str()]);
        assert_all_named(&series);
        series.list().whole();
        let fork = twin(&series);
        assert!(go_on(&fork, TOTAL) <= 14 * LEN as u64 + CHECKPOINT);
        fork.prune(&last(1)).whole();
        assert_all_named(&fork);
        fork.assert_newest_is_the_source();
        // A newer snapshot of another kind.
        series.incremental().whole();
        let report = series.prune(&last(9)).whole();
        assert!(report.files[0].kind == "partial" && partials(&series).is_empty(), "{:?}", report.files);
        assert_all_named(&series);
        series.assert_newest_is_the_source();
    }
}

/// A caller that needs the space has every partial state removed, also if the key has no snapshot yet.
#[test]
fn a_prune_removes_all_partial_states_if_it_is_told_to() {
    for series in [in_directory(), in_memory()] {
        fill(&series);
        cancel_at(&series, 30);
        let empty = Options { allow_empty: true, ..series.keeping(Keep { last: 1, ..Keep::default() }) };
        let fork = twin(&series);
        fork.prune(&empty).whole();
        assert_eq!(fork.stored(), BTreeMap::new());
        go_on(&series, TOTAL);
        series.write(&path(0), noise(500, LEN));
        cancel_at(&series, 30);
        let off = Options { checkpoint: 0, ..series.keeping(Keep { last: 1, ..Keep::default() }) };
        series.prune(&off).whole();
        assert_eq!(partials(&series), [""; 0]);
        assert_all_named(&series);
        series.list().whole();
    }
}

/// Where nothing is locked, a prune deletes no partial state that a running backup may need.
#[test]
fn a_prune_without_a_lock_keeps_every_partial_state_that_can_be_used() {
    let mut series = checked(Series::over(Memory::without(&["lock"])));
    series.options.allow_unlocked = true;
    fill(&series);
    let keep = series.keeping(Keep { last: 1, ..Keep::default() });
    series.full().whole();
    series.write(&path(0), noise(400, LEN));
    cancel_at(&series, 12);
    cancel_at(&series, 30);
    let both = partials(&series);
    assert_eq!(both.len(), 2);
    series.prune(&keep).ok();
    assert_eq!(partials(&series), both);
    // Another process may be about to store an archive that is not listed yet.
    let memory = series.memory.clone().unwrap();
    let archive = archives_of(&series, &both[1]).pop_last().unwrap();
    let bytes = memory.objects()[&archive].clone();
    memory.remove(&archive);
    series.prune(&keep).ok();
    assert_eq!(partials(&series), both);
    memory.put(&archive, &bytes);
    go_on(&series, TOTAL);
    series.prune(&keep).ok();
    series.assert_newest_is_the_source();
}

/// A partial state that cannot be read now stays, and with it every archive that it may name.
#[test]
fn a_prune_that_cannot_read_a_partial_state_removes_no_archive() {
    let series = in_memory();
    fill(&series);
    series.full().whole();
    series.write(&path(0), noise(401, LEN));
    settle();
    cancel_at(&series, 30);
    let partial = the_partial(&series);
    let before = archives(&series);
    let options = series.keeping(Keep { last: 1, ..Keep::default() });
    let error = Error::new(Kind::Io, "read", "the test lets this read fail");
    let run = series.silently(&options, |store, job| {
        ibt::retain::prune(&mut Failing::new(store, ".partial.", error), KEY, job)
    });
    let report = run.whole();
    assert_eq!(archives(&series), before);
    assert_eq!(partials(&series), [partial]);
    assert!(!leftover_files(&report).is_empty());
    assert!(go_on(&series, TOTAL) < TOTAL / 2);
}

/// A partial state, or an archive that it names, that cannot be read now may be readable later: the full does not give
/// up what they have.
#[test]
fn a_partial_state_that_cannot_be_read_now_ends_the_full() {
    let series = in_directory();
    fill(&series);
    cancel_at(&series, 25);
    let before = series.stored();
    let failing = |series: &Series, part: &str, kind: Kind| {
        let error = Error::new(kind, "read", "the test lets this read fail");
        series.silently(&series.options, |store, job| {
            ibt::backup::full(&mut Failing::new(store, part, error), &series.source, job)
        })
    };
    for part in [".partial.", ".full.", ".sigvault."] {
        for kind in [Kind::Io, Kind::Storage, Kind::NotFound] {
            let error = failing(&series, part, kind).refused(kind);
            assert!(error.to_string().contains("set checkpoint 0"), "{error}");
            assert_eq!(series.stored(), before);
        }
    }
    let mut fork = twin(&series);
    fork.options.checkpoint = 0;
    let report = failing(&fork, ".partial.", Kind::Io).whole();
    assert_eq!(counter(&report, Counter::BytesRead), TOTAL);
    assert!(go_on(&series, TOTAL) <= TOTAL / 2);
}

/// The text with another value of this field.
fn with(text: &str, key: &str, value: &str) -> String {
    let (before, rest) = text.split_once(&format!("\"{key}\":\"")).unwrap();
    let (_, after) = rest.split_once('"').unwrap();
    format!("{before}\"{key}\":\"{value}\"{after}")
}

/// A change of the line of an entry.
type Change = fn(&str) -> String;

/// A full takes over an entry only if all facts agree, and the times are old enough. Each is forged alone here: a
/// change of the source would change the ctime too.
#[test]
fn an_entry_that_differs_in_one_fact_is_read_again() {
    let source = in_directory();
    fill(&source);
    let base = source.fork().twin;
    cancel_at(&base, 25);
    let partial = the_partial(&base);
    let rest = go_on(&twin(&base), TOTAL);
    assert!(rest <= TOTAL / 2, "{rest}");
    let facts: [(&str, Change); 4] = [
        ("mtime", |line| with(line, "mtime", "1.000000000")),
        ("ctime", |line| with(line, "ctime", "1.000000000")),
        ("ino", |line| with(line, "ino", "1")),
        ("dirty", |line| format!("{},\"dirty\":true}}}}", line.strip_suffix("}}").unwrap())),
    ];
    for (what, change) in facts {
        let series = twin(&base);
        forge_entry(&series.store.join(&partial), &path(5), change);
        assert_eq!(go_on(&series, TOTAL), rest + LEN as u64, "{what}");
    }
    // The files changed after this scan began, or the clock has been set back since then.
    for (key, time) in [("scanned_at", "1.000000000"), ("finished_at", "9000000000.000000000")] {
        let series = twin(&base);
        let now = format!("\"{key}\":\"{}\"", document(&series, &partial)[key].as_str().unwrap());
        forge(&series.store.join(&partial), &now, &format!("\"{key}\":\"{time}\""));
        assert_eq!(go_on(&series, TOTAL), TOTAL, "{key}");
    }
    // A program can set an mtime back.
    let changed = base.source.join(path(5));
    let mtime = fs::metadata(&changed).unwrap().modified().unwrap();
    fs::write(&changed, noise(805, LEN)).unwrap();
    fs::File::options().write(true).open(&changed).unwrap().set_modified(mtime).unwrap();
    assert_eq!(go_on(&base, TOTAL), rest + LEN as u64);
}

/// A process that sees no lock of the full may remove the partial state that the full goes on from, and then the
/// archives that only the partial state names. Nothing of the snapshots before is lost.
#[test]
fn a_full_gives_up_if_its_partial_state_is_removed_meanwhile() {
    let source = in_memory();
    fill(&source);
    let begun = || {
        let mut series = checked(Series::over(Memory::without(&["lock"])));
        series.options.allow_unlocked = true;
        series.source = source.source.clone();
        series.full().whole();
        cancel_at(&series, 25);
        series
    };
    // Makes a full during which `act` is called at each listing, with its number. Returns the number of listings.
    let full = |series: &Series, act: Box<dyn Fn(usize) + Send>| {
        let lists = Arc::new(AtomicUsize::new(0));
        let count = lists.clone();
        let memory = series.memory.as_ref().unwrap();
        memory.disturb(move |function, _| {
            if function == "list" {
                act(count.fetch_add(1, Ordering::Relaxed) + 1);
            }
            Trouble::None
        });
        let outcome = series.full();
        memory.mend();
        (outcome, lists.load(Ordering::Relaxed))
    };
    let (outcome, lists) = full(&begun(), Box::new(|_| {}));
    outcome.whole();
    // The last listing: after the state got its name, or before, if the first listing takes so long that there are two.
    for late in [true, false] {
        let series = begun();
        let (partial, memory) = (the_partial(&series), series.memory.clone().unwrap());
        let remove = move |number| {
            if number == lists {
                memory.remove(&partial)
            } else if number == 1 && late {
                std::thread::sleep(Duration::from_millis(5100));
            }
        };
        let error = full(&series, Box::new(remove)).0.refused(Kind::Busy);
        assert!(error.to_string().contains("removed meanwhile"), "{error}");
        assert_eq!(series.list().whole().snapshots.len(), 1);
        assert!(!series.verify(&series.options).whole().is_partial());
        series.assert_newest_is_the_source();
        series.full().whole();
        series.prune(&series.keeping(Keep { last: 1, ..Keep::default() })).ok();
        series.assert_newest_is_the_source();
    }
}

/// Whether the report has a problem of the kind for files of a later version, with this file.
fn is_of_later_version(report: &Report, file: &str) -> bool {
    let is_it = |problem: &ibt::job::Problem| {
        (problem.kind, problem.file.as_deref()) == (ProblemKind::Unsupported, Some(file))
    };
    report.problems.iter().any(is_it)
}

/// A later version has stored the partial state in another form, for example encrypted. It may name any archive.
#[test]
fn a_partial_state_with_a_suffix_keeps_all_archives() {
    let series = in_directory();
    fill(&series);
    series.full().whole();
    series.write(&path(0), noise(402, LEN));
    settle();
    cancel_at(&series, 30);
    let partial = the_partial(&series);
    let wrapped = format!("{partial}.age");
    fs::rename(series.store.join(&partial), series.store.join(&wrapped)).unwrap();
    let last = series.keeping(Keep { last: 1, ..Keep::default() });
    let before = series.stored();
    assert!(series.list().whole().problems.is_empty());
    assert!(series.verify(&series.options).whole().problems.is_empty());
    assert!(is_of_later_version(&series.prune(&last).partial(), &wrapped));
    assert_eq!(series.stored(), before);
    let report = series.full().whole();
    assert_eq!(leftover_files(&report), [Some(wrapped.clone())]);
    assert_eq!(counter(&report, Counter::BytesRead), TOTAL);
    assert!(is_of_later_version(&series.prune(&last).partial(), &wrapped));
    assert!(
        archives(&series).is_superset(&before.into_keys().filter(|name| name.contains(".tar")).collect())
    );
    series.incremental().whole();
    fs::remove_file(series.store.join(&wrapped)).unwrap();
    series.prune(&last).whole();
    assert_all_named(&series);
    series.assert_newest_is_the_source();
}

/// The caller did not allow that nothing remains.
#[test]
fn a_partial_state_stays_if_only_a_later_version_can_read_the_snapshots() {
    let series = in_directory();
    fill(&series);
    cancel_at(&series, 25);
    let state = series.store.join(format!("{KEY}.state.20260102T000000.000000Z.json.zst.age"));
    fs::write(&state, "sealed").unwrap();
    let before = series.stored();
    let last = series.keeping(Keep { last: 1, ..Keep::default() });
    for options in [last.clone(), Options { allow_empty: true, ..last.clone() }] {
        series.prune(&options).partial();
        assert_eq!(series.stored(), before);
    }
    fs::remove_file(&state).unwrap();
    series.prune(&last).refused(Kind::NotFound);
    series.prune(&Options { allow_empty: true, ..last }).whole();
    assert_eq!(series.stored(), BTreeMap::new());
}

/// The user may have moved a partial state to another disk and left a symbolic link.
#[test]
fn a_link_with_the_name_of_a_partial_state_keeps_all_archives() {
    let series = in_directory();
    fill(&series);
    series.full().whole();
    series.write(&path(0), noise(403, LEN));
    cancel_at(&series, 30);
    let partial = the_partial(&series);
    let link = series.store.join(&partial);
    fs::rename(&link, series.beside("moved")).unwrap();
    std::os::unix::fs::symlink(series.beside("moved"), &link).unwrap();
    let before = series.stored();
    let last = series.keeping(Keep { last: 1, ..Keep::default() });
    let report = series.prune(&last).whole();
    assert!(leftover_files(&report).contains(&Some(partial)), "{:?}", report.problems);
    assert_eq!(series.stored(), before);
    assert!(series.list().whole().problems.is_empty());
    assert!(series.verify(&series.options).whole().problems.is_empty());
    fs::remove_file(&link).unwrap();
    series.prune(&last).whole();
    assert_all_named(&series);
}

/// A later version has left a partial state with entries that this version cannot make: one of an unknown type, and a
/// file with a hash of another algorithm. A full takes over neither.
#[test]
fn entries_of_a_later_version_are_not_taken_over() {
    let source = in_directory();
    fill(&source);
    for what in ["nothing", "a file", "a socket"] {
        let series = source.fork().twin;
        cancel_at(&series, 25);
        let name = the_partial(&series);
        let (partial, document) = (series.store.join(&name), document(&series, &name));
        let entries = document["totals"]["entries"].as_u64().unwrap();
        let hash = stored::entry(&document, "dir/08")["hash"].as_str().unwrap().to_string();
        let door = "{\"path\":\"dir/07 door\",\"type\":\"door\",\"mode\":\"0755\",\"uid\":0,\"gid\":0,\
                    \"mtime\":\"1.000000000\",\"at\":{\"ino\":\"5\",\"ctime\":\"1.000000000\"}},\n";
        let next = "{\"path\":\"dir/08\",";
        forge(&partial, next, &format!("{door}{next}"));
        forge(&partial, &format!("{{\"entries\":{entries},"), &format!("{{\"entries\":{},", entries + 1));
        forge(&partial, &hash, "later:0123");
        let door = series.source.join("dir/07 door");
        match what {
            "a file" => fs::write(&door, "a file").unwrap(),
            "a socket" => drop(UnixListener::bind(&door).unwrap()),
            _ => {}
        }
        let report = series.full().ok();
        assert!(leftover_files(&report).is_empty(), "{what}: {:?}", report.problems);
        let read = counter(&report, Counter::BytesRead);
        assert!(read > LEN as u64 && read < TOTAL / 2 + 3 * LEN as u64, "{what}: {read}");
        let state = stored::parse(&series.newest("state"));
        assert_eq!(stored::entry(&state, "dir/08")["hash"], *hash);
        let made = state["entries"].as_array().unwrap().iter().find(|entry| entry["path"] == "dir/07 door");
        assert_eq!(made.map(|entry| entry["type"].clone()), (what == "a file").then(|| "file".into()));
        if what != "a socket" {
            series.assert_newest_is_the_source();
        }
        let _ = fs::remove_file(&door);
    }
}
