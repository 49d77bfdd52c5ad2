//! Bad input is refused with the right status and an error that names the culprit, and a refusal leaves no
//! trace.

mod support;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use ibt::entry::Hash;
use ibt::error::{Error, Kind};
use ibt::inspect;
use ibt::job::{Cancel, Counter, Job, Keep, OnFileError, ProblemKind, Select, Silent};
use ibt::retain;
use ibt::stamp::Stamp;
use ibt::store::Store;
use support::series::{KEY, counter, one_full, problem_paths, refused};
use support::tools::{as_ordinary_user, set_mode};
use support::*;

type Operation<'a> = (&'static str, &'a dyn Fn(&mut dyn Store, &mut Job) -> Result<(), Error>);

#[track_caller]
fn assert_names(error: &Error, path: &Path) {
    assert_eq!(error.path.as_deref(), Some(path.as_os_str().as_bytes()), "{error}");
}

#[test]
fn a_source_that_does_not_exist() {
    let mut series = Series::new();
    series.source = series.beside("no such place");
    for operation in [Series::full, Series::incremental] {
        let error = refused(&series, Kind::Io, operation);
        assert_eq!(error.os_code, libc::ENOENT);
        assert_names(&error, &series.source);
    }
}

#[test]
fn a_source_that_is_a_file() {
    let mut series = one_full();
    series.source = series.write("b", "a file");
    series.options.key = Some(KEY.into());
    series.options.allow_source_change = true;
    for operation in [Series::full, Series::incremental] {
        let error = refused(&series, Kind::Io, operation);
        assert_eq!(error.os_code, libc::ENOTDIR);
        assert_names(&error, &series.source);
    }
}

#[test]
fn a_source_that_cannot_be_read_is_not_a_backup_of_nothing() {
    if !as_ordinary_user("a_source_that_cannot_be_read_is_not_a_backup_of_nothing") {
        return;
    }
    let series = one_full();
    set_mode(&series.source, 0);
    // `refused` would look at the closed source itself, and fail. So compare the store only.
    let before = series.stored();
    for operation in [Series::full, Series::incremental] {
        let error = operation(&series).refused(Kind::Io);
        assert_eq!(error.os_code, libc::EACCES, "{error}");
        assert_names(&error, &series.source);
        assert_eq!(series.stored(), before);
    }
    set_mode(&series.source, 0o755);
}

#[test]
fn an_empty_source_where_the_parent_was_not() {
    let mut series = one_full();
    series::remove(&series.source);
    fs::create_dir(&series.source).unwrap();
    for operation in [Series::full, Series::incremental] {
        let error = refused(&series, Kind::Mismatch, operation);
        assert_names(&error, &series.source);
    }
    series.options.allow_empty = true;
    series.snapshot();
    series.assert_every_point_restores();
}

#[test]
fn an_increment_without_a_full() {
    let series = Series::new();
    series.write("a", "x");
    let error = refused(&series, Kind::NotFound, Series::incremental);
    assert!(
        error.to_string().contains("no such directory; the first backup of a store is a full"),
        "{error}"
    );
    assert_names(&error, &series.store);
    fs::create_dir(&series.store).unwrap();
    let error = refused(&series, Kind::NotFound, Series::incremental);
    assert!(error.to_string().contains("key 'tree' has no snapshot: make a full backup first"), "{error}");
}

/// For example, the link leads to a disk that is not mounted.
#[test]
fn a_store_behind_a_link_that_leads_nowhere() {
    let mut series = Series::new();
    series.write("a", "x");
    let (link, nowhere) = (series.beside("link"), series.beside("not mounted"));
    std::os::unix::fs::symlink(&nowhere, &link).unwrap();
    let dest = series.beside("restored");
    for store in [link.clone(), link.join("ibt")] {
        series.store = store;
        let outcomes: [&dyn Fn(&Series) -> Outcome; 4] =
            [&Series::full, &Series::incremental, &Series::list, &|series| {
                series.restore(Select::Newest, &dest)
            }];
        for operation in outcomes {
            let error = refused(&series, Kind::NotFound, operation);
            assert_names(&error, &link);
            assert!(
                error.to_string().contains("symbolic link to") && error.to_string().contains("not mounted")
            );
        }
    }
    fs::create_dir(&nowhere).unwrap();
    series.full().whole();
    series.list().whole();
}

/// The error is that of the damage, not that there is no snapshot: a script that makes a full where none is must not
/// hide the damage.
#[test]
fn operations_on_the_newest_snapshot_where_every_state_is_damaged() {
    let mut series = one_full();
    series.write("a", "other");
    series.snapshot();
    for (name, size) in series.stored().into_iter().filter(|(name, _)| name.contains(".state.")) {
        fs::File::options().write(true).open(series.store.join(name)).unwrap().set_len(size / 2).unwrap();
    }
    for operation in [Series::incremental, Series::consolidate, Series::rebuild_cache] {
        let outcome = operation(&series);
        assert_eq!(counter(&outcome.report, Counter::Problems), 2, "{:#?}", outcome.report);
        let error = outcome.refused(Kind::Corrupt);
        assert!(
            error.to_string().contains("no snapshot of key 'tree' is undamaged; the newest, tree.state."),
            "{error}"
        );
    }
    series.full().partial();
}

#[test]
fn an_increment_of_another_source() {
    let mut series = one_full();
    let moved = series.beside("elsewhere");
    fs::rename(&series.source, &moved).unwrap();
    series.source = moved;
    series.options.key = Some(KEY.into());
    let error = refused(&series, Kind::Mismatch, Series::incremental);
    assert!(error.to_string().contains("source"), "{error}");
    series.options.allow_source_change = true;
    series.snapshot();
    series.assert_every_point_restores();
}

#[test]
fn an_increment_on_another_host() {
    let mut series = one_full();
    let host = stored::parse(&series.newest("state"))["host"].as_str().unwrap().to_string();
    let from = format!("\"host\":\"{host}\"");
    stored::forge(&series.newest("state"), &from, r#""host":"elsewhere""#);
    for operation in [Series::full, Series::incremental] {
        let error = refused(&series, Kind::Mismatch, operation);
        assert!(error.to_string().contains("host elsewhere"), "{error}");
    }
    series.options.allow_source_change = true;
    series.snapshot();
    assert_eq!(stored::parse(&series.newest("state"))["host"], *host);
    series.assert_every_point_restores();
}

#[test]
fn a_store_that_is_a_file() {
    let series = one_full();
    let mut other = Series::new();
    other.write("a", "x");
    other.store = series.source.join("b");
    for operation in [Series::full, Series::incremental, Series::list] {
        let error = operation(&other).refused(Kind::Io);
        assert_eq!(error.os_code, libc::ENOTDIR, "{error}");
    }
    assert_eq!(fs::read(&other.store).unwrap(), b"small");
}

#[test]
fn destinations() {
    let series = one_full();
    let full_dir = series.beside("full of things");
    fs::create_dir(&full_dir).unwrap();
    fs::write(full_dir.join("mine"), "precious").unwrap();
    let file = series.beside("a file");
    fs::write(&file, "precious").unwrap();
    let link = series.beside("a dangling link");
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    for dest in [&full_dir, &file, &link] {
        let error = refused(&series, Kind::Exists, |series| series.restore(Select::Newest, dest));
        assert_names(&error, dest);
    }
    let orphan = series.beside("no such parent/dest");
    refused(&series, Kind::Io, |series| series.restore(Select::Newest, &orphan));

    let empty = series.beside("empty");
    fs::create_dir(&empty).unwrap();
    series.restore(Select::Newest, &empty).whole();
    series.points[0].kept.assert_is(&empty);
}

#[test]
fn snapshots_and_keys_that_do_not_exist() {
    let series = one_full();
    let dest = series.beside("restored");
    let never = Select::Exactly(Stamp::parse("20010101T000000.000000Z").unwrap());
    let error = refused(&series, Kind::NotFound, |series| series.restore(never, &dest));
    assert!(error.to_string().contains("20010101T000000.000000Z"), "{error}");
    let error = refused(&series, Kind::NotFound, |series| {
        series.run(&series.options, &Cancel::default(), &mut Silent, |store, job| {
            ibt::restore::restore(store, "no-such-key", &dest, job)
        })
    });
    assert!(error.to_string().contains("no-such-key"), "{error}");
    let nothing = Series::new();
    refused(&nothing, Kind::NotFound, |series| series.restore(Select::Newest, &series.beside("restored")));
}

#[test]
fn keys_that_are_not_valid() {
    let mut series = Series::new();
    series.write("a", "x");
    for key in ["", ".", ".hidden", "-option", "a/b", "a\nb", "a\0b", "\x7f", &"k".repeat(129)] {
        series.options.key = Some(key.into());
        refused(&series, Kind::InvalidArg, Series::full);
        refused(&series, Kind::InvalidArg, Series::incremental);
        refused(&series, Kind::InvalidArg, |series| {
            series.run(&series.options, &Cancel::default(), &mut Silent, |store, job| {
                ibt::restore::restore(store, key, &series.beside("restored"), job)
            })
        });
    }
    series.options.key = Some("é".repeat(64));
    series.full().whole();
}

/// Every operation checks the key before it looks for the store, so the error names the key.
#[test]
fn a_key_that_is_not_valid_is_told_before_a_store_that_is_not_there() {
    let series = Series::new();
    let dest = series.beside("restored");
    let key = "a/b";
    let operations: [Operation; 8] = [
        ("restore", &|store, job| ibt::restore::restore(store, key, &dest, job)),
        ("list", &|store, job| inspect::list(store, Some(key), job)),
        ("verify", &|store, job| inspect::verify(store, Some(key), job)),
        ("browse", &|store, job| inspect::Snapshot::open(store, key, job).map(drop)),
        ("compare", &|store, job| inspect::compare(store, key, &series.source, job)),
        ("prune", &|store, job| retain::prune(store, key, job)),
        ("consolidate", &|store, job| retain::consolidate(store, key, job)),
        ("rebuild", &|store, job| retain::rebuild_cache(store, key, job)),
    ];
    let options = series.keeping(Keep { last: 1, ..Keep::default() });
    for (name, operation) in operations {
        let error = series.silently(&options, |store, job| operation(store, job)).refused(Kind::InvalidArg);
        assert!(error.to_string().contains(key), "{name}: {error}");
    }
}

#[test]
fn sources_whose_name_cannot_be_the_key() {
    for name in [&b".config"[..], b"-dash", b"raw\xff", b"new\nline"] {
        let mut series = Series::new();
        series.source = series.beside("x").with_file_name(std::ffi::OsStr::from_bytes(name));
        fs::create_dir(&series.source).unwrap();
        series.write("a", "x");
        let error = refused(&series, Kind::InvalidArg, Series::full);
        assert!(error.to_string().contains("key"), "{error}");
    }
}

/// A backup cannot use a selector. It refuses a selector and does not ignore it.
#[test]
fn a_backup_given_a_selector() {
    let mut series = one_full();
    series.options.select = Select::Exactly(series.points[0].stamp);
    refused(&series, Kind::InvalidArg, Series::full);
    refused(&series, Kind::InvalidArg, Series::incremental);
}

#[test]
fn a_tree_digest_that_was_not_expected() {
    let mut series = one_full();
    let digest = series.list().whole().snapshots[0].digest.unwrap();
    let dest = series.beside("restored");
    series.options.expected_digest = Some(Hash([7; 32]));
    refused(&series, Kind::Mismatch, |series| series.restore(Select::Newest, &dest));
    series.options.expected_digest = Some(digest);
    series.restore(Select::Newest, &dest).whole();
}

#[test]
fn a_damaged_state() {
    let series = one_full();
    let state = series.newest("state");
    let (good, name) = (fs::read(&state).unwrap(), state.file_name().unwrap().to_str().unwrap());
    for position in [0, good.len() / 2, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[position] ^= 1;
        fs::write(&state, bytes).unwrap();
        let selected = Select::Exactly(series.points[0].stamp);
        let error =
            refused(&series, Kind::Corrupt, |series| series.restore(selected, &series.beside("restored")));
        assert!(error.to_string().contains(name), "{error}");
    }
}

/// The digests of these forged states are right, so only a check of the values can refuse them.
#[test]
fn states_that_lie() {
    let lies = [
        (r#""path":"a""#, r#""path":"../a""#, "expected a relative path"),
        (r#""path":"a""#, r#""path":"/a""#, "expected a relative path"),
        (r#""path":"a""#, r#""path":"a%2Fb""#, "expected a relative path"),
        (r#""path":"a""#, r#""path":"a%00b""#, "expected a relative path"),
        (r#""path":"a""#, r#""path":"%61""#, "expected a relative path"),
        (r#""path":"a""#, r#""path":"z""#, "entries out of order or repeated"),
        (r#""path":"a""#, r#""path":"b""#, "entries out of order or repeated"),
        (r#""path":"a""#, r#""path":"no/parent""#, "the parent is missing"),
        (r#""path":"dir","type":"dir""#, r#""path":"dir","type":"fifo""#, "the parent is missing"),
        (r#""type":"file""#, r#""type":"White""#, "expected the word of a type"),
        (r#""size":40000"#, r#""size":1e400"#, "fields missing, of another type"),
        (r#""size":40000"#, r#""size":99999999999999999999"#, "expected a number"),
        (r#""name":"tree.full"#, r#""name":"../tree.full"#, "name is not valid"),
        (r#""content":[[0,"#, r#""content":[[9,"#, "a range of an archive that the state does not name"),
        (r#",40000]]"#, r#",99999999999]]"#, "content is not as long as the file's data"),
    ];
    for (from, to, reason) in lies {
        let series = one_full();
        stored::forge(&series.newest("state"), from, to);
        let dest = series.beside("restored");
        let selected = Select::Exactly(series.points[0].stamp);
        let error = refused(&series, Kind::Corrupt, |series| series.restore(selected, &dest));
        assert!(error.to_string().contains(reason), "{to}: {error}");
    }
}

/// A repeated field is refused: otherwise two readers could take different values for it.
#[test]
fn a_state_that_says_twice_what_it_is() {
    let series = one_full();
    let format = r#""format":"ibt-state""#;
    stored::forge(&series.newest("state"), format, &format!("{format},{format}"));
    let dest = series.beside("restored");
    let selected = Select::Exactly(series.points[0].stamp);
    let error = refused(&series, Kind::Format, |series| series.restore(selected, &dest));
    assert!(error.to_string().contains("not a state of libibt"), "{error}");
}

#[test]
fn a_state_made_by_a_newer_version() {
    for (from, to) in [(r#""version":1"#, r#""version":2"#), (r#""needs":[]"#, r#""needs":["telepathy"]"#)] {
        let series = one_full();
        stored::forge(&series.newest("state"), from, to);
        let dest = series.beside("restored");
        let selected = Select::Exactly(series.points[0].stamp);
        let error = refused(&series, Kind::Format, |series| series.restore(selected, &dest));
        assert!(error.to_string().contains("made by a newer libibt"), "{error}");
        let error = refused(&series, Kind::Format, Series::incremental);
        assert!(error.to_string().contains("made by a newer libibt"), "{error}");
    }
}

/// A newer version may have added fields without a new entry in `needs`. A state with such fields is read,
/// and entries that are carried forward keep the fields.
#[test]
fn a_state_with_fields_nobody_knows() {
    let mut series = Series::new();
    series.write("dir/c", "old enough to be carried forward");
    std::thread::sleep(Duration::from_millis(2100));
    series.write("a", "new");
    series.snapshot();
    let state = series.newest("state");
    for path in ["a", "dir", "dir/c"] {
        let line = stored::line(&state, path);
        let newer = line.replace(r#","at":{"#, r#","mood":{"of":["the",1]},"at":{"#);
        let newer = format!(r#"{},"tide":17}}}}"#, newer.strip_suffix("}}").unwrap());
        stored::forge(&state, &line, &newer);
    }
    let dest = series.beside("restored");
    series.restore(Select::Newest, &dest).whole();
    series.points[0].kept.assert_is(&dest);
    series::remove(&dest);
    series.snapshot();
    let state = stored::parse(&series.newest("state"));
    for path in ["dir", "dir/c"] {
        let entry = stored::entry(&state, path);
        assert_eq!((&entry["mood"]["of"][1], &entry["at"]["tide"]), (&1.into(), &17.into()), "{path}");
    }
    series.assert_every_point_restores();
}

/// Files of random bytes that fill several frames, so that damage to one frame leaves other files undamaged.
fn several_frames() -> Series {
    let mut series = Series::new();
    for (seed, name) in ["first", "second", "third", "last"].iter().enumerate() {
        series.write(name, noise(seed as u64, 4_300_000));
    }
    series.snapshot();
    series
}

#[test]
fn a_damaged_archive_costs_only_the_files_that_need_it() {
    let mut series = several_frames();
    let archive = series.newest("full");
    let mut bytes = fs::read(&archive).unwrap();
    bytes[2_000_000] ^= 1;
    fs::write(&archive, bytes).unwrap();
    let dest = series.beside("restored");
    let report = series.restore(Select::Newest, &dest).partial();
    assert_eq!(problem_paths(&report, ProblemKind::Damaged), ["first"]);
    let problem = report.problems.iter().find(|problem| problem.kind == ProblemKind::Damaged).unwrap();
    assert_eq!(problem.status, Kind::Corrupt);
    assert_eq!(problem.file.as_deref(), archive.file_name().unwrap().to_str());
    let named = format!("cannot restore first: {}: offset ", archive.file_name().unwrap().to_str().unwrap());
    assert!(problem.message.starts_with(&named), "{}", problem.message);
    for name in ["second", "third", "last"] {
        assert!(fs::read(dest.join(name)).unwrap() == fs::read(series.source.join(name)).unwrap(), "{name}");
    }
    assert!(!dest.join("first").exists(), "what is damaged was left there");

    series.options.on_file_error = OnFileError::Stop;
    refused(&series, Kind::Corrupt, |series| series.restore(Select::Newest, &series.beside("stopped")));
}

#[test]
fn a_missing_archive_costs_only_the_files_that_need_it() {
    let mut series = one_full();
    series.write("new", "in the increment");
    series.snapshot();
    let archive = series.newest("full");
    fs::remove_file(&archive).unwrap();
    let dest = series.beside("restored");
    let report = series.restore(Select::Newest, &dest).partial();
    assert_eq!(problem_paths(&report, ProblemKind::Missing), ["a", "b", "dir/c"]);
    for problem in &report.problems {
        assert_eq!(problem.status, Kind::Missing);
        assert_eq!(problem.file.as_deref(), archive.file_name().unwrap().to_str());
    }
    assert_eq!(fs::read(dest.join("new")).unwrap(), b"in the increment");
    series.options.on_file_error = OnFileError::Stop;
    refused(&series, Kind::Missing, |series| series.restore(Select::Newest, &series.beside("stopped")));
}
