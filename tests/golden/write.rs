//! Writes the golden stores of this version. Stamps, times, names and contents are always the same. Inode numbers,
//! ctimes and the random name of a series are not.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ibt::job::{Cancel, Codec, DeltaMode, Job, Keep, Observer, Options, Report, Select, Silent};
use ibt::stamp::{Stamp, Time};
use ibt::store::Store;

use super::facts;
use crate::support::partials::{EndAt, settle};
use crate::support::series::{Outcome, Series};
use crate::support::tools::{Mount, command, set_mode};
use crate::support::tree::set_mtime;
use crate::support::{as_nobody, noise, prose, run};

/// The end of the names of stored files. They are kept as text, because patches and mails carry no other bytes, and no
/// tool takes them for sources.
const TEXT: &str = ".base64";
/// Characters in a line of such a text.
const LINE: usize = 76;

fn to_text(bytes: &[u8]) -> String {
    let text = BASE64.encode(bytes);
    let lines =
        text.as_bytes().chunks(LINE).map(|line| std::str::from_utf8(line).unwrap().to_string() + "\n");
    lines.collect()
}

/// Writes the files of the golden store in `dir` to the directory `to`, as they were.
pub fn unpack(dir: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(dir.join("store")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().strip_suffix(TEXT).unwrap();
        let text: String = fs::read_to_string(&path).unwrap().lines().collect();
        fs::write(to.join(name), BASE64.decode(text).unwrap()).unwrap();
    }
}

/// The directory of the golden stores of all versions.
pub fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The names of host and source in each store.
pub const HOST: &str = "golden-host";
pub const SOURCE: &[u8] = b"/golden/source\xff";

type Writer = (&'static str, fn(&mut Writing));

pub const STORES: [Writer; 6] = [
    ("layers", layers),
    ("plain", plain),
    ("parts", parts),
    ("partial", partial),
    ("resumed", resumed),
    ("unreadable", unreadable),
];

/// Writes all stores of this version. Stores that are there already are replaced.
pub fn all() {
    let version = home().join(env!("CARGO_PKG_VERSION"));
    if version.exists() {
        fs::remove_dir_all(&version).unwrap();
    }
    for (name, write) in STORES {
        let mut writing = Writing::new(version.join(name));
        write(&mut writing);
        writing.end();
    }
}

/// A store that is being written.
pub struct Writing {
    _mounted: Mount,
    dir: PathBuf,
    series: Series,
    /// Snapshots so far, also those that were tried.
    count: i64,
    /// Backups have the rights of an ordinary user.
    as_nobody: bool,
    facts: Vec<(Stamp, String)>,
}

impl Writing {
    fn new(dir: PathBuf) -> Writing {
        let mut series = Series::new();
        let at = series.beside("mounted");
        fs::create_dir(&at).unwrap();
        let mounted = facts::mount(&series.beside("image"), &at).expect("an ext4 that can be mounted");
        series.source = at.join(crate::support::series::KEY);
        fs::create_dir(&series.source).unwrap();
        series.options = Options {
            host: Some(HOST.into()),
            source_name: Some(SOURCE.into()),
            codec: Codec::Zstd(19),
            delta: DeltaMode::Signatures,
            checkpoint: 0,
            ..series.options
        };
        Writing { _mounted: mounted, dir, series, count: 0, as_nobody: false, facts: Vec::new() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.series.source.join(path)
    }

    /// Makes a full, or an increment, a day after the one before.
    fn snapshot(&mut self, is_full: bool, labels: &[(&str, &str)]) -> Outcome {
        self.backup(is_full, labels, Silent)
    }

    fn backup(
        &mut self,
        is_full: bool,
        labels: &[(&str, &str)],
        mut observer: impl Observer + Send,
    ) -> Outcome {
        settle();
        let time = Time { secs: 1_700_000_000 + 86_400 * self.count, nanos: 0 };
        self.count += 1;
        let options = Options {
            made_at: Some(time),
            labels: labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            ..self.series.options.clone()
        };
        let source = &self.series.source;
        let work = |store: &mut dyn Store, job: &mut Job| match is_full {
            true => ibt::backup::full(store, source, job),
            false => ibt::backup::incremental(store, source, job),
        };
        let mut run = || self.series.run(&options, &Cancel::default(), &mut observer, work);
        let outcome = if self.as_nobody { as_nobody(run) } else { run() };
        if outcome.result.is_ok() {
            let stored = facts::of(source)
                .lines()
                .filter(|line| !line.starts_with("./left.tmp\t"))
                .fold(String::new(), |text, line| text + line + "\n");
            self.facts.push((Stamp::from_time(time), stored));
        }
        outcome
    }

    /// Copies the store, and writes the facts and the list of its snapshots.
    fn end(self) {
        let store = self.dir.join("store");
        fs::create_dir_all(&store).unwrap();
        for name in self.series.stored().into_keys() {
            let bytes = fs::read(self.series.store.join(&name)).unwrap();
            fs::write(store.join(name + TEXT), to_text(&bytes)).unwrap();
        }
        let listed =
            self.series.silently(&self.series.options, |store, job| ibt::inspect::list(store, None, job));
        let listed = listed.ok();
        fs::write(self.dir.join("snapshots"), lines(&listed)).unwrap();
        for (stamp, facts) in &self.facts {
            if listed.snapshots.iter().any(|snapshot| snapshot.stamp == *stamp) {
                fs::write(self.dir.join(format!("{stamp}.facts")), facts).unwrap();
            }
        }
        facts::remove(&self.series.source);
    }
}

/// One line for each listed snapshot: its stamp, then everything else that a list tells and that does not depend on the
/// machine.
pub fn lines(listed: &Report) -> String {
    let mut text = String::new();
    for snapshot in &listed.snapshots {
        let digest = snapshot.digest.map(|digest| digest.to_string()).unwrap_or_default();
        let labels: Vec<_> =
            snapshot.labels.iter().map(|(name, value)| format!("{name:?}={value:?}")).collect();
        let parent = snapshot.parent.map(|parent| parent.to_string()).unwrap_or_default();
        writeln!(
            text,
            "{} {} {digest} host {:?} source \"{}\" parent {parent:?} labels {}",
            snapshot.stamp,
            snapshot.kind,
            snapshot.host,
            snapshot.source.escape_ascii(),
            labels.join(",")
        )
        .unwrap();
    }
    text
}

pub fn digests(report: &Report) -> Vec<(Stamp, Option<ibt::entry::Hash>)> {
    report.snapshots.iter().map(|snapshot| (snapshot.stamp, snapshot.digest)).collect()
}

/// Changes one block in the middle of a file, and adds some bytes at its end. Makes the file if there is none.
pub fn edit(path: &Path, seed: u64) {
    let file = fs::File::options().write(true).create(true).truncate(false).open(path).unwrap();
    let len = file.metadata().unwrap().len();
    file.write_all_at(&noise(seed, 100), len / 2 / 2048 * 2048).unwrap();
    file.write_all_at(&noise(seed + 100, 40), len).unwrap();
}

fn small_files(writing: &Writing, count: usize) {
    for n in 0..count {
        writing.series.write(&format!("many/{}/file {n}", n % 5), format!("the content of file {n}\n"));
    }
}

/// Everything that a source can have.
fn layers(writing: &mut Writing) {
    small_files(writing, 60);
    writing.series.write("blocks", noise(1, 60_000));
    writing.series.write("fine", noise(2, 12_000));
    writing.series.write("prose", prose(3, 30_000));
    writing.series.write("gone dir/file", "gone soon");
    writing.series.write(".exclude", "*.tmp\n");
    writing.series.write("left.tmp", "left out");
    odd_entries(writing);
    writing.snapshot(true, &[("tag", "first"), ("\u{e9}", "a value\n")]).whole();

    // Deltas by contents, and a copy of an old content. Many entries change, so that the layer is long.
    writing.series.options.delta = DeltaMode::Contents;
    let fine = fs::read(writing.at("fine")).unwrap();
    fs::write(writing.at("fine"), [&fine[..5000], b"inserted bytes", &fine[5000..]].concat()).unwrap();
    fs::write(writing.at("copied"), noise(1, 60_000)).unwrap();
    (0..14).for_each(|n| {
        drop(writing.series.write(&format!("many/{}/file {n}", n % 5), format!("changed {n}\n")))
    });
    fs::remove_dir_all(writing.at("gone dir")).unwrap();
    writing.series.write("gone dir", "a file instead");
    writing.snapshot(false, &[("tag", "second")]).whole();

    writing.series.options.delta = DeltaMode::Signatures;
    for round in 0..3 {
        if round < 2 {
            edit(&writing.at("blocks"), round);
        }
        writing.snapshot(false, &[]).whole();
    }
    let keep = Keep { last: 0, ..Keep::default() };
    let select = Select::Exactly(writing.facts[1].0);
    let options = Options { keep, select, ..writing.series.options.clone() };
    writing.series.prune(&options).whole();
}

fn odd_entries(writing: &Writing) {
    let name = |bytes: &'static [u8]| {
        let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(bytes);
        writing.series.source.join(name)
    };
    fs::write(name(b"not UTF-8 \xff\xfe"), "one").unwrap();
    fs::write(name(b"line\nend, 100 % \\ \" \x7f"), "two").unwrap();
    fs::write(name("\u{e9}\u{4e2d}".as_bytes()), "three").unwrap();
    fs::write(name(b"empty"), "").unwrap();
    fs::create_dir(name(b"empty dir")).unwrap();
    fs::write(name(b"linked"), "of three names").unwrap();
    symlink("a target that is not there", name(b"symbolic")).unwrap();
    let target: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"../\xff");
    symlink(target, name(b"symbolic too")).unwrap();
    for (command_name, args) in [
        ("mkfifo", ["fifo"].as_slice()),
        ("mknod", &["char", "c", "1", "3"]),
        ("mknod", &["block", "b", "7", "300"]),
    ] {
        run(command(command_name, args).current_dir(&writing.series.source));
    }
    for (old, new) in [
        ("linked", "linked too"),
        ("linked", "many/linked"),
        ("symbolic", "symbolic link"),
        ("fifo", "fifo too"),
    ] {
        fs::hard_link(writing.at(old), writing.at(new)).unwrap();
    }
    sparse(&writing.at("sparse"));
    fs::write(writing.at("owned"), "setuid").unwrap();
    std::os::unix::fs::chown(writing.at("owned"), Some(1234), Some(5678)).unwrap();
    set_mode(&writing.at("owned"), 0o4751);
    fs::set_permissions(writing.at("empty dir"), fs::Permissions::from_mode(0o1777)).unwrap();
    run(command("setfattr", ["-n", "user.a%=b", "-v", "a value"]).arg(writing.at("empty")));
    run(command("setfacl", ["-m", "u:1234:r"]).arg(writing.at("prose")));
    run(command("setfacl", ["-d", "-m", "u:1234:rx"]).arg(writing.at("empty dir")));
    let capability = "0x0100000200040000000000000000000000000000";
    run(command("setfattr", ["-n", "security.capability", "-v", capability]).arg(writing.at("linked")));
    set_mtime(&writing.at("empty"), (-86_400, 250_000_000));
    fs::write(writing.at("immutable"), "nobody changes this").unwrap();
    run(command("chattr", ["+Ad"]).arg(writing.at("prose")));
    run(command("chattr", ["+i"]).arg(writing.at("immutable")));
}

/// 300 KiB with holes at the start, in the middle and at the end.
fn sparse(path: &Path) {
    let file = fs::File::create(path).unwrap();
    file.set_len(300 << 10).unwrap();
    file.write_all_at(&prose(4, 8192), 64 << 10).unwrap();
    file.write_all_at(&prose(5, 8192), 128 << 10).unwrap();
}

fn plain(writing: &mut Writing) {
    writing.series.options.codec = Codec::None;
    small_files(writing, 20);
    writing.series.write("blocks", noise(6, 20_000));
    sparse(&writing.at("sparse"));
    writing.snapshot(true, &[]).whole();
    for round in 0..2 {
        edit(&writing.at("blocks"), round);
        writing.series.write("new", prose(round, 1000));
        writing.snapshot(false, &[]).whole();
    }
}

fn parts(writing: &mut Writing) {
    writing.series.options.part_size = 6000;
    small_files(writing, 5);
    writing.series.write("blocks", noise(7, 20_000));
    writing.snapshot(true, &[]).whole();
    edit(&writing.at("blocks"), 1);
    writing.series.write("new", noise(8, 15_000));
    writing.snapshot(false, &[]).whole();
}

/// A full that publishes a partial state, and is cancelled.
fn partial(writing: &mut Writing) {
    writing.series.options.checkpoint = 5000;
    for n in 0..8 {
        writing.series.write(&format!("{n}"), noise(20 + n, 3000));
    }
    writing.backup(true, &[], EndAt { left: 7, kills: false }).refused(ibt::error::Kind::Cancelled);
}

/// A full that went on from a partial state.
fn resumed(writing: &mut Writing) {
    partial(writing);
    writing.snapshot(true, &[]).whole();
}

/// The second snapshot has the older version of a file that could not be read.
fn unreadable(writing: &mut Writing) {
    writing.series.write("closed", "as it was");
    writing.series.write("other", "one");
    writing.snapshot(true, &[]).whole();
    let before = writing.facts[0].1.lines().find(|line| line.starts_with("./closed\t")).unwrap().to_string();
    set_mode(&writing.at("closed"), 0o600);
    for dir in [writing.series.dir.path().to_path_buf(), writing.series.store.clone(), writing.series.cache()]
    {
        run(command("chmod", ["-R", "a+rwX"]).arg(dir));
    }
    set_mode(&writing.at("closed"), 0o600);
    writing.series.write("other", "two");
    writing.as_nobody = true;
    writing.snapshot(false, &[]).partial();
    // The snapshot has the entry as it was.
    let facts = &mut writing.facts[1].1;
    let lines = facts.lines().map(|line| if line.starts_with("./closed\t") { &before } else { line });
    *facts = lines.map(|line| format!("{line}\n")).collect();
}
