//! Foreign files in a store and a cache, with names and contents that resemble backup files. They cost no snapshot
//! and no backup. They stay, unless they can only be left-overs of a backup.

mod support;

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ibt::format::{BackupFileKind, Name, check_key};
use ibt::job::{Codec, Keep, Select};
use ibt::stamp::{Stamp, Time};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use support::changes::{Change, changed, changes};
use support::series::{KEY, remove};
use support::*;

/// A change of a backup file's name.
#[derive(Clone, Debug)]
enum Twist {
    /// Replaces the first text by the second.
    Replaced(&'static str, &'static str),
    Before(&'static str),
    Behind(&'static str),
    Changed(Vec<Change>),
}

fn twists() -> impl Strategy<Value = Twist> {
    let replaced = vec![
        (".zst", ""),
        (".tar.zst", ".tar.zst.00002"),
        (".tar.zst", ".tar.zst.00001"),
        (".tar.zst", ".tar.zst.02"),
        (".tar.zst", ".tar.zst.+0002"),
        (".2026", ".2099"),
        (".2026", ".1999"),
        (".state.", ".full."),
        (".full.", ".state."),
        (".sigvault.", ".updated."),
        (".tar", ".json"),
        (".json", ".tar"),
        ("Z.", "z."),
        ("tree.", "tree.tree."),
        ("tree.", "Tree."),
        ("tree.", "tree2."),
    ];
    prop_oneof![
        5 => select(replaced).prop_map(|(from, to)| Twist::Replaced(from, to)),
        1 => select(vec![".ibt-tmp-", ".", "-", "x"]).prop_map(Twist::Before),
        1 => select(vec!["~", ".part", ".lock", ".stream", ".zst"]).prop_map(Twist::Behind),
        3 => changes().prop_map(Twist::Changed),
    ]
}

fn twisted(name: &[u8], twist: &Twist) -> Vec<u8> {
    match twist {
        Twist::Replaced(from, to) => String::from_utf8_lossy(name).replacen(from, to, 1).into_bytes(),
        Twist::Before(text) => [text.as_bytes(), name].concat(),
        Twist::Behind(text) => [name, text.as_bytes()].concat(),
        Twist::Changed(changes) => changed(name.to_vec(), changes),
    }
}

#[derive(Clone, Debug)]
enum Content {
    /// The content of the file whose name was changed, with these changes, perhaps none.
    Like(Vec<Change>),
    Bytes(Vec<u8>),
    /// Larger than any disk.
    Vast,
    Directory,
    Link,
}

#[derive(Clone, Debug)]
struct Planted {
    /// The backup file that this file resembles.
    like: Index,
    twists: Vec<Twist>,
    content: Content,
    in_cache: bool,
}

fn planted() -> impl Strategy<Value = Planted> {
    let content = prop_oneof![
        4 => changes().prop_map(Content::Like),
        2 => vec(any::<u8>(), 0..100).prop_map(Content::Bytes),
        1 => Just(Content::Vast),
        1 => Just(Content::Directory),
        1 => Just(Content::Link),
    ];
    (any::<Index>(), vec(twists(), 1..3), content, prop::bool::weighted(0.3))
        .prop_map(|(like, twists, content, in_cache)| Planted { like, twists, content, in_cache })
}

/// Makes the file in `dir` and returns its path. `None` if the name is in use or cannot be a file name.
fn plant(dir: &Path, planted: &Planted) -> Option<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let like = planted.like.get(&names);
    let name = planted.twists.iter().fold(like.as_bytes().to_vec(), |name, twist| twisted(&name, twist));
    let odd = name.iter().any(|byte| matches!(byte, 0 | b'/')) || matches!(&name[..], b"" | b"." | b"..");
    let path = dir.join(OsStr::from_bytes(&name));
    if odd || name.len() > 255 || path.symlink_metadata().is_ok() {
        return None;
    }
    match &planted.content {
        Content::Like(changes) => {
            let bytes = fs::read(dir.join(like)).unwrap_or_default();
            fs::write(&path, changed(bytes, changes)).unwrap();
        }
        Content::Bytes(bytes) => fs::write(&path, bytes).unwrap(),
        Content::Vast => fs::File::create(&path).and_then(|file| file.set_len(1 << 42)).unwrap(),
        Content::Directory => fs::create_dir(&path).unwrap(),
        Content::Link => std::os::unix::fs::symlink(like, &path).unwrap(),
    }
    Some(path)
}

/// Whether a file can only be a left-over of a backup of the key. In the cache of the series, every backup file is
/// one.
fn is_left_over(path: &Path, in_cache: bool) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    let name = name.strip_suffix(".stream").filter(|_| in_cache).unwrap_or(&name);
    name.starts_with(".ibt-tmp-") || key_of(name).is_some_and(|key| in_cache || key == KEY)
}

/// Whether the name is that of a state in a form that only a newer version can read: the name of a state and a word.
/// Such a file is not foreign: see `newer_files.rs`.
fn is_newer_state(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    let Some((inner, word)) = name.rsplit_once('.') else { return false };
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_word = (1..=32).contains(&word.len()) && word.bytes().all(is_letter) && word != "zst";
    is_word && inner.contains(".state.") && key_of(inner) == Some(KEY)
}

/// The key of a backup file's name; `None` for another name. Follows `docs/format.md`, without the library.
fn key_of(name: &str) -> Option<&str> {
    let (name, part) = match name.rsplit_once('.') {
        Some((rest, end)) if !["tar", "json", "zst"].contains(&end) => (rest, Some(end)),
        _ => (name, None),
    };
    let (rest, end) = name.strip_suffix(".zst").unwrap_or(name).rsplit_once('.')?;
    let (rest, last) = rest.rsplit_once('.')?;
    let (rest, seconds) = rest.rsplit_once('.')?;
    let (key, kind) = rest.rsplit_once('.')?;
    let is_kind = match end {
        "tar" => ["full", "created", "updated", "sigvault"].contains(&kind) && part.is_none_or(is_part),
        "json" if kind == "partial" => part.is_none_or(is_part),
        "json" => ["state", "retired"].contains(&kind) && part.is_none(),
        _ => false,
    };
    let is_key = (1..=128).contains(&key.len())
        && !key.starts_with(['.', '-'])
        && !key.chars().any(|c| c == '/' || c.is_control());
    (is_kind && is_key && is_moment(seconds, last)).then_some(key)
}

fn has_digits(text: &str, count: usize) -> bool {
    text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The number of a further part, 2 to 65,536, has five digits.
fn is_part(part: &str) -> bool {
    has_digits(part, 5) && part.parse().is_ok_and(|number: u32| (2..=65_536).contains(&number))
}

/// Whether texts like `20261122T220530` and `123456Z` are a moment since 1970.
fn is_moment(seconds: &str, fraction: &str) -> bool {
    let Some((date, time)) = seconds.split_once('T') else { return false };
    let has_micros = fraction.strip_suffix('Z').is_some_and(|text| has_digits(text, 6));
    if !has_digits(date, 8) || !has_digits(time, 6) || !has_micros {
        return false;
    }
    let number = |text: &str| text.parse::<u32>().unwrap();
    let (year, month, day) = (number(&date[..4]), number(&date[4..6]), number(&date[6..]));
    let is_leap_year = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(is_leap_year),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    year >= 1970
        && (1..=days).contains(&day)
        && number(&time[..2]) < 24
        && number(&time[2..4]) < 60
        && number(&time[4..]) < 60
}

/// The cache directory of the only series.
fn cache_of(series: &Series) -> PathBuf {
    fs::read_dir(series.cache()).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn what_others_put_beside_backup_files_costs_nothing_and_stays() {
    let series = Series::with_two_snapshots();
    proptest!(cases(24), |(planted in vec(planted(), 1..6))| {
        let fork = series.fork();
        let (twin, cache) = (&fork.twin, cache_of(&fork.twin));
        let place = |planted: &Planted| if planted.in_cache { cache.clone() } else { twin.store.clone() };
        let mut paths: Vec<_> = planted.iter().filter_map(|planted| plant(&place(planted), planted)).collect();
        paths.retain(|path| {
            let is_newer = path.starts_with(&twin.store) && is_newer_state(path);
            if is_newer && path.symlink_metadata().unwrap().is_dir() {
                fs::remove_dir(path).unwrap();
            } else if is_newer {
                fs::remove_file(path).unwrap();
            }
            !is_newer
        });
        let foreign: Vec<_> =
            paths.iter().filter(|path| !is_left_over(path, path.starts_with(&cache))).collect();
        let look = || -> Vec<_> {
            let facts = |path: &&PathBuf| path.symlink_metadata().map(|meta| (meta.file_type(), meta.len())).ok();
            foreign.iter().map(facts).collect()
        };
        let before = look();
        prop_assert!(before.iter().all(Option::is_some));
        twin.list().ok();
        (0..2).for_each(|index| fork.assert_point_restores(index));
        for round in 0..2 {
            twin.incremental().ok();
            let dest = twin.beside("restored");
            twin.restore(Select::Newest, &dest).whole();
            assert_same_facts(&facts(&twin.source), &facts(&dest));
            remove(&dest);
            if round == 0 {
                twin.prune(&twin.keeping(Keep { last: 2, ..Keep::default() })).ok();
                fork.assert_point_restores(1);
            }
        }
        prop_assert_eq!(look(), before);
    });
}

/// Two state files have the same stamp, one of them compressed. The file that verifies is the snapshot, in any order of
/// the listing. If neither verifies, but one is of a newer format version, the key is refused as newer, not as damaged.
#[test]
fn of_two_state_files_with_one_stamp_the_one_that_verifies_is_the_snapshot() {
    for codec in [Codec::None, Codec::Zstd(1)] {
        let mut series = Series::new();
        series.options.codec = codec;
        for round in 0..4 {
            series.write("a", noise(round, 5000));
            series.snapshot();
        }
        let states = series.stored().into_keys().filter(|name| name.contains(".state."));
        for state in states.collect::<Vec<_>>() {
            let other = match state.strip_suffix(".zst") {
                Some(plain) => plain.to_string(),
                None => format!("{state}.zst"),
            };
            fs::copy(series.store.join(state), series.store.join(other)).unwrap();
        }
        assert_eq!(series.list().whole().snapshots.len(), 4);
        let all = series.silently(&series.options, |store, job| ibt::inspect::list(store, None, job)).whole();
        assert_eq!(all.snapshots.len(), 4);
        series.assert_every_point_restores();
        series.write("a", "changed");
        series.incremental().whole();
        series.assert_newest_is_the_source();
        let newest = series.newest("state");
        let twin = match codec {
            Codec::None => {
                let text = String::from_utf8(fs::read(&newest).unwrap()).unwrap();
                let newer = text.replacen(VERSION, NEWER, 1);
                fs::write(&newest, stored::reseal(newer.as_bytes())).unwrap();
                newest.with_extension("json.zst")
            }
            Codec::Zstd(_) => {
                stored::forge(&newest, VERSION, NEWER);
                newest.with_extension("")
            }
        };
        fs::write(twin, "garbage").unwrap();
        series.incremental().refused(ibt::error::Kind::Format);
    }
}

const VERSION: &str = "\"version\":1,";
const NEWER: &str = "\"version\":2,";

/// Names of all kinds, and the name of a further part of an archive.
fn names() -> Vec<String> {
    let stamp = Stamp::parse("20261122T220530.123456Z").unwrap();
    let name = |kind, compressed| Name::new("my.docs", kind, stamp, compressed);
    let further = Name { part: 65_536, ..name(BackupFileKind::Full, true) };
    let all = BackupFileKind::ALL.into_iter().flat_map(|kind| [name(kind, true), name(kind, false)]);
    all.chain([further]).map(|name| name.to_string()).collect()
}

#[test]
fn a_name_is_read_as_it_is_written_or_foreign() {
    let (backup_files, foreign) = (Cell::new(0), Cell::new(0));
    proptest!(cases(3000), |(like in any::<Index>(), twists in vec(twists(), 0..4), any in "\\PC{0,60}")| {
        let like = like.get(&names()).clone();
        let name = twists.iter().fold(like.clone().into_bytes(), |name, twist| twisted(&name, twist));
        for text in [String::from_utf8_lossy(&name).into_owned(), any] {
            let parsed = Name::parse(&text);
            prop_assert!(parsed.is_some() || text != like);
            prop_assert_eq!(parsed.as_ref().map(|name| &*name.key), key_of(&text), "{}", text);
            let count = if parsed.is_some() && text != like { &backup_files } else { &foreign };
            count.set(count.get() + 1);
            if let Some(name) = parsed {
                prop_assert_eq!(&name.to_string(), &text);
                prop_assert_eq!(check_key(name.key.as_bytes()).unwrap(), name.key.clone());
                prop_assert_eq!(Stamp::parse(&name.stamp.to_string()), Some(name.stamp));
                prop_assert_eq!(Stamp::from_time(name.stamp.to_time()), name.stamp);
                prop_assert!(name.part >= 1 && (name.part == 1 || name.kind != BackupFileKind::State));
            }
        }
    });
    // Some changes make another backup file's name, for example one with another key.
    let (backup_files, foreign) = (backup_files.get(), foreign.get());
    assert!(
        backup_files > 100 && foreign > 100,
        "{backup_files} other names of backup files, {foreign} foreign ones"
    );
}

#[test]
fn a_time_is_read_as_it_is_written_or_not_at_all() {
    let (times, others) = (Cell::new(0), Cell::new(0));
    let secs = prop_oneof![-3..3i64, any::<i64>(), 1_700_000_000..1_800_000_000i64];
    proptest!(cases(3000), |(secs in secs, nanos in 0..1_000_000_000u32, changes in changes())| {
        let written = Time { secs, nanos }.to_string();
        prop_assert_eq!(Time::parse(&written), Some(Time { secs, nanos }));
        let text = String::from_utf8_lossy(&changed(written.into_bytes(), &changes)).into_owned();
        // Seconds without needless zeros or signs, and nine digits.
        let is_time = text.split_once('.').is_some_and(|(secs, nanos)| {
            secs.parse::<i64>().is_ok_and(|number| number.to_string() == secs)
                && nanos.len() == 9
                && nanos.bytes().all(|byte| byte.is_ascii_digit())
        });
        prop_assert_eq!(Time::parse(&text).is_some(), is_time, "{}", text);
        let count = if is_time { &times } else { &others };
        count.set(count.get() + 1);
    });
    let (times, others) = (times.get(), others.get());
    assert!(times > 300 && others > 300, "{times} times, {others} other texts");
}
