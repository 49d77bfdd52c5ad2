//! Storages in a bucket, on a server with the protocol of S3 that the tests start, and `file` URLs.

#[path = "support/bucket.rs"]
mod bucket;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use bucket::BucketServer;
use ibt::error::{Error, Kind};
use ibt::job::{Cancel, Keep, Options, Select, Silent};
use ibt::store::object::open_url;
use ibt::store::{Draft, Store};
use serde_json::json;
use support::series::KEY;
use support::tools::{noise, prose};
use support::*;

const URL: &str = "s3://bucket/some/prefix";

/// A name of a backup file, and another one.
const NAME: &str = "tree.full.20260101T000000.000000Z.tar.zst";
const OTHER: &str = "trees.state.20260101T000000.000000Z.json.zst";

fn open(url: &str) -> Box<dyn Store> {
    open_url(url).unwrap()
}

fn series(url: &'static str) -> Series {
    Series::opening(move || open(url))
}

fn put(store: &mut dyn Store, name: &str, bytes: &[u8]) -> Result<(), Error> {
    written(store, name, bytes)?.publish()
}

fn written(store: &mut dyn Store, name: &str, bytes: &[u8]) -> Result<Box<dyn Draft>, Error> {
    let mut draft = store.create(name)?;
    bytes.chunks(1 << 20).try_for_each(|piece| draft.write(piece))?;
    draft.seal()?;
    Ok(draft)
}

fn read(store: &mut dyn Store, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
    let mut buf = vec![0; len];
    let got = store.read_at(name, offset, &mut buf)?;
    buf.truncate(got);
    Ok(buf)
}

/// Makes a full and two increments, and uses every operation. The source has enough bytes for an upload in parts.
fn use_everything(series: &mut Series) {
    series.write("large", noise(1, 9 << 20));
    (0..40).for_each(|n| drop(series.write(&format!("dir/{n}"), prose(n, 4000))));
    series.snapshot();
    series.write("large", [noise(1, 9 << 20), noise(2, 500)].concat());
    series.write("new", "new");
    series.snapshot();
    fs::remove_file(series.source.join("dir/7")).unwrap();
    series.snapshot();
    assert_eq!(series.list().whole().snapshots.len(), 3);
    series.verify(&series.options).whole();
    series.assert_every_point_restores();
    restore_one_file(series);
    let first = series.points.remove(0);
    series.prune(&series.selecting(Select::Exactly(first.stamp))).whole();
    series.assert_every_point_restores();
    series.consolidate().whole();
    series.prune(&series.keeping(Keep { last: 1, ..Keep::default() })).whole();
    series.verify(&series.options).whole();
    series.rebuild_cache().whole();
    series.assert_newest_is_the_source();
}

fn restore_one_file(series: &Series) {
    let path = ibt::entry::Path::new(b"dir/8").unwrap();
    let options = Options { paths: vec![path], ..series.options.clone() };
    let dest = series.beside("one");
    series.restore_with(&options, &dest, &mut Silent).whole();
    assert_eq!(fs::read(dest.join("dir/8")).unwrap(), fs::read(series.source.join("dir/8")).unwrap());
    support::series::remove(&dest);
}

#[test]
fn every_operation_works_in_a_bucket() {
    BucketServer::with(|server| {
        server.put("some/prefix/", "");
        server.put("some/prefix/notes.txt", "of somebody else");
        server.put("some/prefix/deeper/tree.state.20260101T000000.000000Z.json.zst", "not ours");
        server.put("tree.state.20260101T000000.000000Z.json.zst", "not ours");
        let foreign = server.objects();
        use_everything(&mut series(URL));
        let objects = server.objects();
        assert!(foreign.iter().all(|(key, size)| objects.get(key) == Some(size)), "{objects:?}");
        assert_eq!(server.unfinished(), 0);
    });
}

#[test]
fn a_bucket_without_a_prefix_and_a_file_url_work_too() {
    BucketServer::with(|_| {
        use_everything(&mut series("s3://bucket"));
        let dir = tempfile::tempdir().unwrap();
        let url = format!("file://{}/a%20store", dir.path().display());
        use_everything(&mut Series::opening(move || open(&url)));
        assert!(dir.path().join("a store").join(format!("{KEY}.lock")).exists());
    });
}

#[test]
fn an_object_is_never_replaced_and_a_dropped_one_never_visible() {
    BucketServer::with(|server| {
        let mut store = open(URL);
        for len in [0, 1, (8 << 20) - 1, 8 << 20, (16 << 20) + 3] {
            let bytes = noise(len as u64, len);
            drop(written(&mut *store, NAME, &bytes).unwrap());
            assert_eq!(server.objects().len(), 0, "{len}");
            put(&mut *store, NAME, &bytes).unwrap();
            assert_eq!(read(&mut *store, NAME, 0, len + 1).unwrap(), bytes);
            for other in [1, 9 << 20] {
                let error = put(&mut *store, NAME, &noise(9, other)).unwrap_err();
                assert_eq!(error.kind, Kind::Exists, "{error}");
            }
            assert_eq!(read(&mut *store, NAME, 0, len + 1).unwrap(), bytes);
            assert_eq!(server.unfinished(), 0, "{len}");
            store.delete(NAME).unwrap();
            store.delete(NAME).unwrap();
        }
    });
}

#[test]
fn a_read_ends_where_the_object_ends() {
    BucketServer::with(|_| {
        let mut store = open(URL);
        put(&mut *store, NAME, b"0123456789").unwrap();
        for (offset, len, expected) in
            [(0, 10, "0123456789"), (3, 4, "3456"), (8, 9, "89"), (10, 1, ""), (99, 1, "")]
        {
            assert_eq!(read(&mut *store, NAME, offset, len).unwrap(), expected.as_bytes(), "{offset} {len}");
        }
        assert_eq!(read(&mut *store, NAME, 0, 0).unwrap(), b"");
        assert_eq!(read(&mut *store, NAME, u64::MAX, 10).unwrap(), b"");
        assert_eq!(read(&mut *store, OTHER, 0, 1).unwrap_err().kind, Kind::NotFound);
    });
}

#[test]
fn a_list_has_every_page_and_only_names_with_the_prefix() {
    BucketServer::with(|server| {
        let mut store = open(URL);
        put(&mut *store, OTHER, b"x").unwrap();
        let name = |n: u32| format!("tree.full.20260101T000000.{n:06}Z.tar.zst");
        (0..25).for_each(|n| put(&mut *store, &name(n), b"xy").unwrap());
        server.set(json!({"page": 4}));
        let listed = store.list("tree.").unwrap();
        let names: Vec<_> = listed.iter().map(|object| object.name.clone()).collect();
        assert_eq!(names, (0..25).map(name).collect::<Vec<_>>());
        assert!(listed.iter().all(|object| object.size == 2));
        assert_eq!(server.counts()["list"], 7);
        assert_eq!(store.list("").unwrap().len(), 26);
    });
}

/// Odd names are those of a key with odd characters.
#[test]
fn odd_characters_in_keys_and_prefixes_are_kept() {
    BucketServer::with(|server| {
        let mut store = open("s3://bucket/%C3%A9%20%25%3F%23+~");
        let name = "k~%\u{e9} +&=?#{}[]\"'<>|^`\\*.full.20260101T000000.000000Z.tar.zst";
        put(&mut *store, name, b"odd").unwrap();
        assert_eq!(server.objects().into_keys().next().unwrap(), format!("\u{e9} %?#+~/{name}"));
        assert_eq!(store.list("k~%").unwrap().len(), 1);
        assert_eq!(read(&mut *store, name, 0, 9).unwrap(), b"odd");
        store.delete(name).unwrap();
        assert!(server.objects().is_empty());
    });
}

/// The answer to the request that names the object is lost. The repeated request finds the name taken by this object.
#[test]
fn an_upload_recognizes_its_own_object() {
    BucketServer::with(|server| {
        let mut store = open(URL);
        for (op, len) in [("put", 100), ("complete", 9 << 20)] {
            server.fail(op, "cut_after", 1);
            put(&mut *store, NAME, &noise(1, len)).unwrap();
            assert_eq!(server.counts()[op], 2, "{op}");
            assert_eq!(read(&mut *store, NAME, 0, len + 1).unwrap(), noise(1, len));
            assert_eq!(put(&mut *store, NAME, b"another").unwrap_err().kind, Kind::Exists);
            store.delete(NAME).unwrap();
        }
    });
}

/// Some requests of each kind fail, in all ways that may pass, while every operation is used.
#[test]
fn faults_that_pass_are_survived() {
    BucketServer::with(|server| {
        let ops = ["list", "get", "put", "begin", "part", "complete", "delete"];
        let status =
            |op: &str, status: u32| json!({"op": op, "do": "status", "status": status, "code": "SlowDown"});
        let fault = |op: &str, fault: &str| json!({"op": op, "do": fault});
        let statuses = ops.iter().flat_map(|op| [status(op, 503), status(op, 429), status(op, 500)]);
        let cuts = ops.iter().flat_map(|op| [fault(op, "cut"), fault(op, "cut_after")]);
        let faults: Vec<_> =
            statuses.chain(cuts).chain([fault("get", "short"), fault("list", "short")]).collect();
        server.set(json!({ "faults": faults }));
        use_everything(&mut series(URL));
        assert_eq!(server.faults_left(), json!([]));
        // The answer with the name of one upload was lost, so nobody can complete or abort it.
        assert_eq!(server.unfinished(), 1);
    });
}

/// A length that lies: the read returns fewer bytes or fails, and never wrong ones.
#[test]
fn an_answer_with_a_wrong_length_gives_no_wrong_bytes() {
    BucketServer::with(|server| {
        let mut series = series(URL);
        series.write("a", noise(1, 300_000));
        series.snapshot();
        server.fail("get", "long", 1000);
        let dest = series.beside("restored");
        match series.restore(Select::Newest, &dest).result {
            Ok(()) => assert_same_tree(&series.source, &dest),
            Err(error) => assert!(!dest.exists(), "{error}"),
        }
    });
}

/// Waits at most a second for `work` after the cancel, which comes 0.3 seconds after the start.
fn cancelled_soon(
    series: &Series,
    work: impl FnOnce(&mut dyn Store, &mut ibt::job::Job) -> Result<(), Error>,
) {
    let cancel = Cancel::default();
    let (flag, asked) = (cancel.clone(), Duration::from_millis(300));
    let began = Instant::now();
    let asking = std::thread::spawn(move || {
        std::thread::sleep(asked);
        flag.request();
    });
    let error = series.run(&series.options, &cancel, &mut Silent, work).refused(Kind::Cancelled);
    let waited = began.elapsed() - asked;
    assert!(waited < Duration::from_secs(1), "{error} after {waited:?}");
    asking.join().unwrap();
}

#[test]
fn a_cancel_takes_effect_within_a_second() {
    BucketServer::with(|server| {
        let mut series = series(URL);
        series.write("large", noise(1, 9 << 20));
        series.snapshot();
        let before = server.objects();
        let source = series.source.clone();
        for (op, fault) in
            [("list", "delay"), ("part", "delay"), ("put", "delay"), ("complete", "delay"), ("part", "503")]
        {
            server.fail(op, fault, 1000);
            cancelled_soon(&series, |store, job| ibt::backup::full(store, &source, job));
            server.set(json!({}));
            assert_eq!(server.unfinished(), 0, "{op}");
        }
        server.fail("get", "delay", 1000);
        let dest = series.beside("restored");
        cancelled_soon(&series, |store, job| ibt::restore::restore(store, KEY, &dest, job));
        assert!(!dest.exists());
        // A late request of a cancelled backup may still have made an object, which no state names.
        server.set(json!({}));
        assert!(before.keys().all(|key| server.objects().contains_key(key)));
        series.assert_every_point_restores();
    });
}

/// Runs a full against a server that denies some requests, and returns the error.
fn denied(server: &BucketServer, deny: &[&str]) -> Error {
    let mut series = series(URL);
    series.write("large", noise(1, 9 << 20));
    series.options.cache_dir = None;
    server.set(json!({ "deny": deny }));
    let error = series.full().result.unwrap_err();
    server.set(json!({}));
    error
}

#[test]
fn what_the_user_may_not_do_is_said_and_nothing_is_written() {
    BucketServer::with(|server| {
        for deny in [&["list"][..], &["put", "begin"], &["part"], &["put", "complete"]] {
            let error = denied(server, deny);
            assert_eq!((error.kind, error.os_code), (Kind::Storage, libc::EACCES), "{error}");
            assert!(error.to_string().contains("403 Forbidden, AccessDenied, The user may not"), "{error}");
            assert_eq!((server.objects().len(), server.unfinished()), (0, 0), "{deny:?}");
        }
    });
}

#[test]
fn a_bucket_that_refuses_deletes_loses_nothing() {
    BucketServer::with(|server| {
        let mut series = series(URL);
        series.write("a", noise(1, 60_000));
        series.snapshot();
        series.write("a", noise(2, 60_000));
        let full = series.full().whole();
        series.keep(&full);
        server.set(json!({"deny": ["delete"]}));
        let before = server.objects();
        let first = series.points.remove(0);
        let outcome = series.prune(&series.keeping(Keep { last: 1, ..Keep::default() }));
        let words = match &outcome.result {
            Err(error) => error.to_string(),
            Ok(()) => format!("{:?}", outcome.report.problems),
        };
        assert!(words.contains("AccessDenied, The user may not delete"), "{words}");
        let after = server.objects();
        assert!(before.iter().all(|(key, size)| after.get(key) == Some(size)), "{after:?}");
        assert!(after.len() <= before.len() + 1, "at most a mark that {} is removed: {after:?}", first.stamp);
        series.write("b", "b");
        series.snapshot();
        series.consolidate().whole();
        series.list().whole();
        series.verify(&series.options).whole();
        series.assert_every_point_restores();
    });
}

#[test]
fn a_user_who_may_only_read_can_restore() {
    BucketServer::with(|server| {
        let mut series = series(URL);
        series.write("a", noise(1, 60_000));
        series.snapshot();
        server.set(json!({"deny": ["put", "delete", "begin", "part", "complete", "abort"]}));
        series.list().whole();
        series.verify(&series.options).whole();
        series.assert_every_point_restores();
        series.rebuild_cache().whole();
    });
}

/// The error of a first full with other settings of the environment.
fn error_with(settings: &[(&str, Option<&str>)], url: &str) -> Error {
    let old: Vec<_> = settings.iter().map(|(name, _)| (*name, std::env::var_os(name))).collect();
    let set = |name: &str, value: Option<&std::ffi::OsStr>| {
        // SAFETY: this process runs one test, and none of its other threads reads the environment now.
        unsafe {
            match value {
                Some(value) => std::env::set_var(name, value),
                None => std::env::remove_var(name),
            }
        }
    };
    settings.iter().for_each(|(name, value)| set(name, value.map(|value| value.as_ref())));
    let opened = open_url(url);
    old.iter().for_each(|(name, value)| set(name, value.as_deref()));
    match opened {
        Err(error) => error,
        Ok(store) => {
            let store = std::sync::Mutex::new(Some(store));
            let series = Series::opening(move || store.lock().unwrap().take().unwrap());
            series.write("a", "a");
            series.full().result.unwrap_err()
        }
    }
}

#[test]
fn wrong_settings_are_one_clear_error() {
    BucketServer::with(|server| {
        let nobody = [("AWS_ACCESS_KEY_ID", None), ("AWS_SECRET_ACCESS_KEY", None)];
        for (settings, url, kind, words) in [
            (&nobody[..], URL, Kind::InvalidArg, "there are no credentials: set AWS_ACCESS_KEY_ID"),
            (&[("AWS_SECRET_ACCESS_KEY", None)], URL, Kind::InvalidArg, "SecretAccessKey"),
            (&[("AWS_ACCESS_KEY_ID", Some("other"))], URL, Kind::Storage, "InvalidAccessKeyId"),
            (&[("AWS_REGION", Some("there"))], URL, Kind::Storage, "expecting 'here'"),
            (&[("AWS_ALLOW_HTTP", None)], URL, Kind::InvalidArg, "AWS_ALLOW_HTTP=true permits"),
            (&[("AWS_PROFILE", Some("none"))], URL, Kind::NotFound, "profile none"),
            (&[("AWS_ENDPOINT_URL", Some("http://\u{7f}"))], URL, Kind::Storage, "some/prefix"),
            (
                &[],
                "s3://absent/p",
                Kind::NotFound,
                "s3://absent/p: the service answers 404 Not Found, NoSuchBucket",
            ),
        ] {
            let error = error_with(settings, url);
            assert_eq!(error.kind, kind, "{settings:?}: {error}");
            assert!(error.to_string().contains(words), "{settings:?}: {error}");
            assert!(!error.to_string().contains("secret\""), "{error}");
        }
        assert!(server.objects().is_empty());
    });
}

/// A bucket that is gone must not look like lost archives.
#[test]
fn a_bucket_that_is_gone_is_no_loss() {
    BucketServer::with(|_| {
        let mut store = open("s3://absent/p");
        let error = read(&mut *store, NAME, 0, 1).unwrap_err();
        assert_eq!(error.kind, Kind::Storage, "{error}");
        assert_eq!(store.delete(NAME).unwrap_err().kind, Kind::Storage);
    });
}

#[test]
fn credentials_come_from_the_files_of_aws_too() {
    BucketServer::with(|server| {
        let aws = std::path::PathBuf::from(std::env::var_os("HOME").unwrap()).join(".aws");
        fs::create_dir(&aws).unwrap();
        fs::write(aws.join("credentials"), "[default]\naws_access_key_id=key\naws_secret_access_key=s\n")
            .unwrap();
        fs::write(aws.join("config"), "[default]\nregion=here\n").unwrap();
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"] {
            // SAFETY: this process runs one test, and none of its other threads reads the environment now.
            unsafe { std::env::remove_var(name) };
        }
        put(&mut *open(URL), NAME, b"x").unwrap();
        assert_eq!(server.objects().len(), 1);
    });
}

/// A killed upload leaves nothing that a list shows, and the next run goes on as if it had not been.
#[test]
fn a_killed_backup_leaves_nothing_visible() {
    BucketServer::with(|server| {
        if std::env::var_os("IBT_TEST_KILLED").is_some() {
            let series = series(URL);
            series.write("large", noise(1, 40 << 20));
            series.full().whole();
            unreachable!("the server holds back every part");
        }
        server.fail("part", "delay", 1000);
        let test = "a_killed_backup_leaves_nothing_visible";
        let room = tempfile::tempdir().unwrap();
        let mut killed = server
            .this_test_again(test)
            .env("IBT_TEST_KILLED", "1")
            .env("TMPDIR", room.path())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while server.unfinished() == 0 {
            assert!(began.elapsed() < Duration::from_secs(20), "no upload began");
            std::thread::sleep(Duration::from_millis(20));
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
        server.set(json!({}));
        assert!(server.objects().is_empty());
        let mut series = series(URL);
        series.write("large", noise(1, 40 << 20));
        series.snapshot();
        series.assert_every_point_restores();
        assert_eq!(series.stored().len(), 3);
    });
}

/// The thread of a storage ends with it.
#[test]
fn no_thread_outlives_its_storage() {
    BucketServer::with(|_| {
        let threads = || fs::read_dir("/proc/self/task").unwrap().count();
        let before = threads();
        let mut store = open(URL);
        put(&mut *store, NAME, b"x").unwrap();
        assert!(threads() > before);
        drop(store);
        let began = Instant::now();
        while threads() > before {
            assert!(began.elapsed() < Duration::from_secs(5), "{} threads of {before}", threads());
            std::thread::sleep(Duration::from_millis(10));
        }
    });
}

#[test]
fn an_upload_holds_only_a_few_parts_in_memory() {
    BucketServer::with(|_| {
        let mut store = open(URL);
        let piece = noise(1, 1 << 20);
        let mut draft = store.create(NAME).unwrap();
        (0..200).for_each(|_| draft.write(&piece).unwrap());
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak < 100 << 10, "{peak} KiB");
        draft.publish().unwrap();
    });
}

/// The requests of each operation, as docs/object-stores.md has them.
#[test]
fn the_requests_of_each_operation_are_those_in_the_manual() {
    BucketServer::with(|server| {
        let mut series = series(URL);
        (0..200).for_each(|n| drop(series.write(&format!("dir/{n}"), noise(n, 4000))));
        let mut rows: Vec<(&str, BTreeMap<String, u64>)> = Vec::new();
        let mut note = |what, series: &mut Series, work: &mut dyn FnMut(&mut Series)| {
            server.set(json!({}));
            work(series);
            rows.push((what, server.counts()));
        };
        note("full backup", &mut series, &mut |series| drop(series.full().whole()));
        note("increment, nothing changed", &mut series, &mut |series| drop(series.incremental().whole()));
        series.write("dir/3", noise(300, 4000));
        note("increment, one file changed", &mut series, &mut |series| drop(series.incremental().whole()));
        note("list of 3 snapshots", &mut series, &mut |series| drop(series.list().whole()));
        note("restore of one file", &mut series, &mut |series| restore_one_file(series));
        note("restore", &mut series, &mut |series| series.assert_newest_is_the_source());
        note("verify of 3 snapshots", &mut series, &mut |series| {
            drop(series.verify(&series.options).whole())
        });
        note("consolidate", &mut series, &mut |series| drop(series.consolidate().whole()));
        let keep = series.keeping(Keep { last: 1, ..Keep::default() });
        note("prune of 3 of 4 snapshots", &mut series, &mut |series| drop(series.prune(&keep).whole()));
        let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/object-stores.md");
        let manual = fs::read_to_string(manual).unwrap();
        for (what, counts) in rows {
            let row = manual.lines().find_map(|line| line.strip_prefix(&format!("| {what} | ")));
            let most = row.unwrap_or_else(|| panic!("the manual has no row {what}: {counts:?}"));
            let most: Vec<u64> = most.split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
            let count = |kind: &str| counts.get(kind).copied().unwrap_or(0);
            let kinds = ["list", "get", "put", "delete"];
            assert_eq!(
                counts.values().sum::<u64>(),
                kinds.map(count).iter().sum::<u64>(),
                "{what}: {counts:?}"
            );
            let allowed = kinds.iter().zip(&most).all(|(kind, most)| count(kind) <= *most);
            assert!(allowed && most.len() == 4, "{what}: {counts:?}, the manual says {most:?}");
        }
    });
}
