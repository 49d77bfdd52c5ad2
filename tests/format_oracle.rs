//! Stored files, read by other tools: GNU tar, bsdtar, Python, zstd, b3sum, jq and rdiff. The recipes of
//! `docs/format.md` run exactly as printed there.

mod support;

use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path as FsPath, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use ibt::entry::{Entry, File, HardLink, Hash, Metadata, Node, Path, Place, Range, data_len, extents};
use ibt::format::{
    ArchiveRef, ArchiveWriter, BackupFileKind, FrameWriter, Header, Made, Name, SnapshotKind, Special,
    StateSummary, StateWriter, Totals, Written,
};
use ibt::job::Codec;
use ibt::pool::Pool;
use ibt::stamp::{Stamp, Time};
use support::skip;

type Archive = ArchiveWriter<Vec<u8>>;

fn frames(codec: Codec) -> FrameWriter<Vec<u8>> {
    FrameWriter::new(Vec::new(), codec, Arc::new(Pool::new(2).unwrap()))
}

fn path(bytes: &[u8]) -> Path {
    Path::new(bytes).unwrap()
}

/// The metadata of a file that belongs to the user who runs the test.
fn meta(mode: u32) -> Metadata {
    let (uid, gid) = ids();
    let mtime = Time { secs: 1_234_567_890, nanos: 123_456_789 };
    Metadata { mode: Some(mode), uid: Some(uid), gid: Some(gid), mtime, ..Metadata::default() }
}

fn ids() -> (u32, u32) {
    let own = fs::metadata("/proc/self").unwrap();
    (own.uid(), own.gid())
}

fn add_file(archive: &mut Archive, name: &[u8], meta: &Metadata, data: &[u8]) -> u64 {
    let at = archive.begin_file(&path(name), meta, data.len() as u64, &[]).unwrap();
    archive.write(data).unwrap();
    archive.end().unwrap();
    at
}

fn run(command: &mut Command) -> Output {
    let output = command.env("LC_ALL", "C.UTF-8").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    output
}

fn text(output: Output) -> String {
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that extract an archive, with the options to restore everything.
fn extractors(archive: &FsPath, dest: &FsPath) -> [Command; 2] {
    let mut tar = Command::new("tar");
    tar.args(["--zstd", "--xattrs", "--xattrs-include=*", "--acls", "-xpf"]).arg(archive);
    let mut bsdtar = Command::new("bsdtar");
    bsdtar.args(["-x", "-p", "--xattrs", "--acls", "-f"]).arg(archive);
    [tar, bsdtar].map(|mut command| {
        command.arg("-C").arg(dest);
        command
    })
}

/// Writes an archive with `fill`, extracts it with each tool, and checks each tree with `look`.
fn extracted(fill: impl Fn(&mut Archive), look: impl Fn(&str, &FsPath)) {
    let dir = tempfile::tempdir().unwrap();
    let mut archive = ArchiveWriter::new(frames(Codec::Zstd(3)));
    fill(&mut archive);
    let file = dir.path().join("a.tar.zst");
    fs::write(&file, archive.finish().unwrap().out).unwrap();
    for (tool, n) in [("tar", 0), ("bsdtar", 1)] {
        let dest = dir.path().join(tool);
        fs::create_dir(&dest).unwrap();
        run(&mut extractors(&file, &dest)[n]);
        look(tool, &dest);
    }
}

fn at(dest: &FsPath, name: &[u8]) -> PathBuf {
    dest.join(std::ffi::OsStr::from_bytes(name))
}

#[test]
fn names_of_every_kind_are_restored() {
    let component = |byte: u8, len: usize| vec![byte; len];
    let deep = vec![component(b'd', 60); 9].join(&b'/');
    let names: Vec<Vec<u8>> = vec![
        b"-dash".to_vec(),
        b"new\nline".to_vec(),
        b"tail ".to_vec(),
        b"quote\"\\%25".to_vec(),
        b"latin-\xe9".to_vec(),
        "\u{e9}\u{4e2d}".into(),
        component(b'h', 100),
        component(b'i', 101),
        component(b'n', 255),
        "\u{4e2d}".repeat(70).into(),
        [&deep[..182], b"/", &component(b'f', 100)].concat(),
        [&deep[..], b"/", &component(b'f', 200)].concat(),
        [&component(b'p', 155)[..], b"/", &component(b'q', 100)].concat(),
        [&component(b'r', 156)[..], b"/", &component(b's', 100)].concat(),
    ];
    extracted(
        |archive| {
            archive.add_node(&path(b""), &meta(0o755), Special::Dir).unwrap();
            for name in &names {
                add_file(archive, name, &meta(0o644), name);
            }
        },
        |tool, dest| {
            for name in &names {
                let data = fs::read(at(dest, name)).unwrap_or_default();
                assert!(data == *name, "{tool}: {:?}", String::from_utf8_lossy(name));
            }
        },
    );
}

/// The names of an archive's members, as CPython's module `tarfile` reads them.
fn names_for_python(archive: &FsPath) -> Vec<Vec<u8>> {
    const LIST: &str = "import os, sys, tarfile\n\
        for member in tarfile.open(sys.argv[1]): print(os.fsencode(member.name).hex())";
    let listed = text(run(Command::new("python3").args(["-c", LIST]).arg(archive)));
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    listed.lines().map(|hex| hex.as_bytes().chunks(2).map(byte).collect()).collect()
}

/// The real name of a sparse member is in one record only, because some tools would take a second name
/// instead.
#[test]
fn files_with_holes_have_one_name_in_every_tool() {
    let deep = vec![vec![b'd'; 60]; 5].join(&b'/');
    let names: Vec<Vec<u8>> = vec![
        b"short".to_vec(),
        b"new\nline".to_vec(),
        b"latin-\xe9".to_vec(),
        "\u{e9}\u{4e2d}".into(),
        vec![b'h'; 100],
        vec![b'n'; 255],
        "\u{4e2d}".repeat(70).into(),
        vec![b'\xff'; 200],
        [&deep[..], b"/", &b"f".repeat(200)].concat(),
        [&deep[..], b"/\xc3", &b"g".repeat(200)].concat(),
    ];
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.tar");
    let mut archive = ArchiveWriter::new(frames(Codec::None));
    for name in &names {
        archive.begin_file(&path(name), &meta(0o644), 1 << 20, &[(4096, (1 << 20) - 4096)]).unwrap();
        archive.write(&vec![1; 4096]).unwrap();
        archive.end().unwrap();
    }
    fs::write(&file, archive.finish().unwrap().out).unwrap();
    assert_eq!(names_for_python(&file), names);
    for tool in ["tar", "bsdtar"] {
        let dest = dir.path().join(tool);
        fs::create_dir(&dest).unwrap();
        let mut extract = Command::new(tool);
        let output =
            extract.arg("-xf").arg(&file).arg("-C").arg(&dest).env("LC_ALL", "C.UTF-8").output().unwrap();
        // bsdtar expects names in UTF-8. It warns about other names, but restores them right.
        assert!(output.status.success() || tool == "bsdtar", "{tool}: {output:?}");
        for name in &names {
            let size = fs::metadata(at(&dest, name)).map(|stat| stat.len()).ok();
            assert_eq!(size, Some(1 << 20), "{tool}: {}", String::from_utf8_lossy(name));
        }
    }
}

/// Only GNU tar is tested here: bsdtar expects pax names in UTF-8, and warns about this name.
#[test]
fn gnu_tar_restores_long_names_that_are_not_utf_8() {
    let name = [&b"\xff".repeat(200)[..], b"/\xc3"].concat();
    let mut archive = ArchiveWriter::new(frames(Codec::Zstd(3)));
    add_file(&mut archive, &name, &meta(0o644), b"x");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.tar.zst");
    fs::write(&file, archive.finish().unwrap().out).unwrap();
    run(&mut extractors(&file, dir.path())[0]);
    assert_eq!(fs::read(at(dir.path(), &name)).unwrap(), b"x");
}

#[test]
fn times_modes_and_owners_are_restored() {
    let times =
        [(0, 0), (0, 1), (1_234_567_890, 999_999_999), (-1, 0), (-2, 250_000_000), (8_589_934_592, 5)];
    let modes = [0o400, 0o755, 0o777, 0o644];
    extracted(
        |archive| {
            for (n, (secs, nanos)) in times.into_iter().enumerate() {
                let meta = Metadata { mtime: Time { secs, nanos }, ..meta(0o644) };
                add_file(archive, format!("t{n}").as_bytes(), &meta, b"");
            }
            for mode in modes {
                add_file(archive, format!("m{mode:o}").as_bytes(), &meta(mode), b"");
            }
            archive.add_node(&path(b"sticky"), &meta(0o1777), Special::Dir).unwrap();
            if ids().0 == 0 {
                let user = Some("no-such-user-of-a-name-that-is-too-long-for-ustar".into());
                let meta = Metadata { uid: Some(3_000_000), gid: Some(4_000_000_000), user, ..meta(0o6755) };
                add_file(archive, b"owned", &meta, b"");
            }
        },
        |tool, dest| {
            for (n, (secs, nanos)) in times.into_iter().enumerate() {
                if tool == "bsdtar" && secs < 0 && nanos > 0 {
                    continue; // libarchive reads -1.75 as -1 s and +0.75 s
                }
                let found = fs::metadata(dest.join(format!("t{n}"))).unwrap();
                assert_eq!((found.mtime(), found.mtime_nsec()), (secs, i64::from(nanos)), "{tool}");
            }
            let mode = |name: &str| fs::metadata(dest.join(name)).unwrap().permissions().mode() & 0o7777;
            for want in modes {
                assert_eq!(mode(&format!("m{want:o}")), want, "{tool}");
            }
            assert_eq!(mode("sticky"), 0o1777);
            if ids().0 == 0 {
                let found = fs::metadata(dest.join("owned")).unwrap();
                assert_eq!((found.uid(), found.gid()), (3_000_000, 4_000_000_000), "{tool}");
                assert_eq!(mode("owned"), 0o6755, "{tool}");
            } else {
                skip("owners need root");
            }
        },
    );
}

#[test]
fn links_fifos_and_devices_are_restored() {
    let long = b"../".repeat(50);
    let root = ids().0 == 0;
    extracted(
        |archive| {
            let first = [&b"f".repeat(120)[..], b"/file"].concat();
            add_file(archive, &first, &meta(0o644), b"linked");
            archive.add_node(&path(b"g"), &meta(0o644), Special::HardLink(&path(&first))).unwrap();
            for (name, target) in [(&b"l1"[..], &b"a\nb"[..]), (b"l2", &long), (b"l3", "\u{e9}".as_bytes())] {
                archive.add_node(&path(name), &meta(0o777), Special::Symlink(target)).unwrap();
            }
            archive.add_node(&path(b"pipe"), &meta(0o600), Special::Fifo).unwrap();
            if root {
                let device = 0x0010_3407; // major 0x34, minor 0x107
                archive.add_node(&path(b"char"), &meta(0o600), Special::Char(device)).unwrap();
                archive.add_node(&path(b"block"), &meta(0o600), Special::Block(device)).unwrap();
            }
        },
        |tool, dest| {
            assert_eq!(fs::read(dest.join("g")).unwrap(), b"linked", "{tool}");
            assert_eq!(fs::metadata(dest.join("g")).unwrap().nlink(), 2);
            for (name, target) in [("l1", &b"a\nb"[..]), ("l2", &long), ("l3", "\u{e9}".as_bytes())] {
                let found = fs::read_link(dest.join(name)).unwrap().into_os_string().into_vec();
                assert!(found == target, "{tool}: {found:?}");
            }
            assert!(fs::metadata(dest.join("pipe")).unwrap().file_type().is_fifo());
            if root {
                for name in ["char", "block"] {
                    assert_eq!(fs::metadata(dest.join(name)).unwrap().rdev(), 0x0010_3407, "{tool}");
                }
            } else {
                skip("devices need root");
            }
        },
    );
}

/// Sizes of files, each with its holes as (offset, length): at the start, in the middle, at the end, or the whole file.
fn sparse_cases() -> Vec<(u64, Vec<(u64, u64)>)> {
    const K: u64 = 1 << 16;
    vec![
        (4 * K, vec![(K, K)]),
        (4 * K, vec![(0, K), (2 * K, K)]),
        (4 * K + 1, vec![(K, 3 * K + 1)]),
        (16 * K, vec![(0, 16 * K)]),
        (10 << 30, vec![(K, (10 << 30) - 2 * K)]),
    ]
}

fn sparse_data(size: u64, holes: &[(u64, u64)]) -> Vec<u8> {
    (0..data_len(size, holes)).map(|n| (n % 251) as u8 + 1).collect()
}

#[test]
fn holes_are_restored_as_holes() {
    extracted(
        |archive| {
            for (n, (size, holes)) in sparse_cases().into_iter().enumerate() {
                let name = format!("dir/{}{n}", "long".repeat(n * 10));
                archive.begin_file(&path(name.as_bytes()), &meta(0o644), size, &holes).unwrap();
                archive.write(&sparse_data(size, &holes)).unwrap();
                archive.end().unwrap();
            }
            add_file(archive, b"last", &meta(0o644), b"in step");
        },
        |tool, dest| {
            for (n, (size, holes)) in sparse_cases().into_iter().enumerate() {
                let file = dest.join(format!("dir/{}{n}", "long".repeat(n * 10)));
                check_sparse(tool, &file, size, &holes);
            }
            assert_eq!(fs::read(dest.join("last")).unwrap(), b"in step", "{tool}");
        },
    );
}

fn check_sparse(tool: &str, file: &FsPath, size: u64, holes: &[(u64, u64)]) {
    use std::os::unix::fs::FileExt;
    let found = fs::metadata(file).unwrap();
    assert_eq!(found.len(), size, "{tool}");
    let data = sparse_data(size, holes);
    assert!(found.blocks() * 512 <= data.len() as u64 + (1 << 16), "{tool}: {} blocks", found.blocks());
    let (open, mut from) = (fs::File::open(file).unwrap(), 0);
    for (offset, len) in extents(size, holes) {
        let mut buf = vec![0; len as usize];
        open.read_exact_at(&mut buf, offset).unwrap();
        assert!(buf == data[from..from + buf.len()], "{tool}: {offset}");
        from += buf.len();
    }
}

/// Whether `program` can set an extended attribute or an ACL in the temporary directory.
fn can(program: &str, args: &[&str]) -> bool {
    let file = tempfile::NamedTempFile::new().unwrap();
    let works = Command::new(program).args(args).arg(file.path()).output().unwrap().status.success();
    if !works {
        skip(&format!("{program} does not work in the temporary directory"));
    }
    works
}

fn xattr(file: &FsPath, name: &str) -> String {
    let output =
        run(Command::new("getfattr").args(["--absolute-names", "--only-values", "-h", "-n", name]).arg(file));
    text(output)
}

#[test]
fn xattrs_are_restored() {
    if !can("setfattr", &["-n", "user.x", "-v", "y"]) {
        return;
    }
    let plain = [("user.a", "line\nline=\n"), ("user.b", "value")];
    let escaped = [("user.c%=d", "x=y%"), ("user.%25", "z")];
    let all: Vec<_> = plain.iter().chain(&escaped).collect();
    extracted(
        |archive| {
            let mut xattrs: Vec<_> =
                all.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.as_bytes().to_vec())).collect();
            xattrs.sort();
            add_file(archive, b"f", &Metadata { xattrs, ..meta(0o644) }, b"");
        },
        |tool, dest| {
            for (name, value) in plain {
                assert_eq!(xattr(&dest.join("f"), name), value, "{tool}");
            }
            // libarchive does not decode the escaped names.
            for (name, value) in escaped.iter().filter(|_| tool == "tar") {
                assert_eq!(xattr(&dest.join("f"), name), *value);
            }
        },
    );
}

#[test]
fn capabilities_are_restored_by_gnu_tar() {
    if ids().0 != 0 {
        return skip("capabilities need root");
    }
    let capability = [0x0200_0001u32, 0x2000, 0, 0, 0].map(u32::to_le_bytes).concat();
    let mut archive = ArchiveWriter::new(frames(Codec::Zstd(3)));
    let xattrs = vec![(b"security.capability".to_vec(), capability.clone())];
    add_file(&mut archive, b"f", &Metadata { xattrs, ..meta(0o755) }, b"");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.tar.zst");
    fs::write(&file, archive.finish().unwrap().out).unwrap();
    run(&mut extractors(&file, dir.path())[0]);
    let found = run(Command::new("getfattr")
        .args(["--absolute-names", "--only-values", "-n", "security.capability"])
        .arg(dir.path().join("f")));
    assert_eq!(found.stdout, capability);
}

#[test]
fn acls_are_restored() {
    if !can("setfacl", &["-m", "u:12345:rw"]) {
        return;
    }
    let acl = |entries: &[(u16, u16, u32)]| {
        let entry = |&(tag, may, id): &(u16, u16, u32)| {
            [&tag.to_le_bytes()[..], &may.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        [2u32.to_le_bytes().to_vec()]
            .into_iter()
            .chain(entries.iter().map(entry))
            .collect::<Vec<_>>()
            .concat()
    };
    let none = u32::MAX;
    let access =
        acl(&[(1, 7, none), (2, 6, 12345), (4, 5, none), (8, 4, 54321), (0x10, 7, none), (0x20, 0, none)]);
    let default = acl(&[(1, 7, none), (2, 5, 12345), (4, 0, none), (0x10, 5, none), (0x20, 0, none)]);
    extracted(
        |archive| {
            let xattrs = vec![
                (b"system.posix_acl_access".to_vec(), access.clone()),
                (b"system.posix_acl_default".to_vec(), default.clone()),
            ];
            archive.add_node(&path(b"d"), &Metadata { xattrs, ..meta(0o770) }, Special::Dir).unwrap();
        },
        |tool, dest| {
            let found =
                text(run(Command::new("getfacl").args(["-cnp", "--omit-header"]).arg(dest.join("d"))));
            let found: Vec<_> = found.lines().map(|l| l.split('\t').next().unwrap()).collect();
            for line in [
                "user::rwx",
                "user:12345:rw-",
                "group::r-x",
                "group:54321:r--",
                "mask::rwx",
                "other::---",
                "default:user:12345:r-x",
                "default:group::---",
                "default:mask::r-x",
            ] {
                assert!(found.contains(&line), "{tool}: {line} is not in {found:?}");
            }
        },
    );
}

#[test]
fn zstd_reads_the_frames() {
    let dir = tempfile::tempdir().unwrap();
    let data: Vec<u8> = (0..9_000_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    let mut writer = frames(Codec::Zstd(3));
    writer.write(&data).unwrap();
    let Written { out, size, stream, digest, .. } = writer.finish().unwrap();
    let file = dir.path().join("f.zst");
    fs::write(&file, &out).unwrap();
    run(Command::new("zstd").args(["-tq"]).arg(&file));
    assert!(run(Command::new("zstd").args(["-dcq"]).arg(&file)).stdout == data);
    let list = text(run(Command::new("zstd").args(["-lv"]).arg(&file)));
    assert!(list.contains("# Zstandard Frames: 3") && list.contains("# Skippable Frames: 1"), "{list}");
    assert!(list.contains(&format!("({stream} B)")) && list.contains("Check: XXH64"), "{list}");
    assert!(list.contains(&format!("({size} B)")), "{list}");
    let sum = text(run(Command::new("b3sum").arg("--no-names").arg(&file)));
    assert_eq!(format!("blake3:{}", sum.trim()), digest.to_string());
}

/// A store with one snapshot that uses everything: a full archive, an archive of deltas, holes, links.
struct Backup {
    dir: tempfile::TempDir,
    codec: Codec,
    archives: Vec<ArchiveRef>,
    entries: Vec<Entry>,
}

impl Backup {
    fn stamp() -> Stamp {
        Stamp::parse("20261122T220530.123456Z").unwrap()
    }

    fn name(&self, kind: BackupFileKind) -> String {
        Name::new("docs", kind, Backup::stamp(), self.codec != Codec::None).to_string()
    }

    fn put(&mut self, kind: BackupFileKind, written: Written<Vec<u8>>) {
        let Written { size, stream, digest, out, .. } = written;
        fs::write(self.dir.path().join(self.name(kind)), out).unwrap();
        self.archives.push(ArchiveRef {
            name: self.name(kind),
            kind,
            size,
            stream,
            digest,
            parts: Vec::new(),
        });
    }

    fn entry(&mut self, name: &[u8], node: Node, content: Vec<Range>) -> &mut Entry {
        let place = Place { ino: Some(7), content, ..Place::default() };
        let mode = if node == Node::Dir { 0o755 } else { 0o640 };
        self.entries.push(Entry::new(path(name), node, meta(mode), place));
        self.entries.last_mut().unwrap()
    }

    fn file(
        &mut self,
        name: &[u8],
        size: u64,
        holes: &[(u64, u64)],
        data: &[u8],
        ranges: &[(u32, u64, u64)],
    ) -> &mut Entry {
        let file = File { size, hash: blake3::hash(data).into(), holes: holes.to_vec() };
        let content = ranges.iter().map(|&(archive, offset, len)| Range { archive, offset, len }).collect();
        self.entry(name, Node::File(file), content)
    }

    fn write_state(&mut self) -> Hash {
        let header = Header {
            key: "docs".into(),
            series: "0123456789abcdef0123456789abcdef".into(),
            host: "h\"ost".into(),
            snapshot: Backup::stamp(),
            kind: SnapshotKind::Full,
            seq: 1,
            source: b"/docs".to_vec(),
            library: "ibt test".into(),
            scanned_at: Time::default(),
            made_at: Time::default(),
            parent: None,
            inodes_unstable: false,
            labels: Default::default(),
            layers: Vec::new(),
            needs: Vec::new(),
            unknown: Vec::new(),
        };
        let mut state = StateWriter::new(frames(self.codec), &header).unwrap();
        self.entries.sort_by(|a, b| a.path.cmp(&b.path));
        self.entries.iter().for_each(|entry| state.entry(entry).unwrap());
        let made = Made { totals: &Totals::default(), problems: &[], finished_at: Time::default() };
        let written = state.finish(&self.archives, &made).unwrap();
        fs::write(self.dir.path().join(self.name(BackupFileKind::State)), written.file.out).unwrap();
        written.tree
    }

    /// Runs the recipes and then `script`, in the store's directory.
    fn recipe(&self, script: &str) -> Output {
        let recipes = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/format.md");
        let recipes = fs::read_to_string(recipes).unwrap();
        let blocks = recipes.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let program = format!("set -e\n{}\n{script}\n", blocks.collect::<String>());
        let work = self.dir.path().join("work");
        fs::create_dir_all(&work).unwrap();
        Command::new("bash")
            .args(["-c", &program])
            .current_dir(self.dir.path())
            .env("LC_ALL", "C.UTF-8")
            .env("STATE", self.name(BackupFileKind::State))
            .env("work", work)
            .output()
            .unwrap()
    }
}

/// rdiff's delta from `old` to `new`.
fn rdiff_delta(old: &[u8], new: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("old"), old).unwrap();
    fs::write(at("new"), new).unwrap();
    run(Command::new("rdiff").args(["-b", "512", "signature"]).args([at("old"), at("sig")]));
    run(Command::new("rdiff").arg("delta").args([at("sig"), at("new"), at("delta")]));
    fs::read(at("delta")).unwrap()
}

const HOLES: [(u64, u64); 2] = [(0, 65536), (131_072, 65536)];

/// Three versions of a file. It is stored as a whole copy and two deltas.
fn versions() -> [Vec<u8>; 3] {
    let old: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(n) >> 5) as u8).collect();
    let middle = [&old[..50_000], b"inserted", &old[50_000..]].concat();
    let new = [&middle[2000..], b"appended"].concat();
    [old, middle, new]
}

fn backup(codec: Codec) -> Backup {
    let dir = tempfile::tempdir().unwrap();
    let mut backup = Backup { dir, codec, archives: Vec::new(), entries: Vec::new() };
    let [old, middle, new] = versions();
    let deltas = [rdiff_delta(&old, &middle), rdiff_delta(&middle, &new)];
    let (odd, sparse_size) = (&b"d/o dd\n%\\\xff"[..], 200_000);
    let sparse = sparse_data(sparse_size, &HOLES);
    let mut full = ArchiveWriter::new(frames(codec));
    let db = add_file(&mut full, b"d/db", &meta(0o640), &old);
    let odd_at = add_file(&mut full, odd, &meta(0o640), b"odd");
    let sparse_at = full.begin_file(&path(b"sparse"), &meta(0o640), sparse_size, &HOLES).unwrap();
    full.write(&sparse).unwrap();
    full.end().unwrap();
    backup.put(BackupFileKind::Full, full.finish().unwrap());
    let mut updated = ArchiveWriter::new(frames(codec));
    let mut ranges = vec![(0, db, old.len() as u64)];
    for delta in &deltas {
        let at = updated.begin_raw(&path(b"d/db"), &meta(0o640), delta.len() as u64).unwrap();
        updated.write(delta).unwrap();
        updated.end().unwrap();
        ranges.push((1, at, delta.len() as u64));
    }
    backup.put(BackupFileKind::Updated, updated.finish().unwrap());
    backup.entry(b"", Node::Dir, Vec::new());
    backup.entry(b"d", Node::Dir, Vec::new());
    backup.file(b"d/db", new.len() as u64, &[], &new, &ranges);
    for (name, link) in [(&b"again"[..], HardLink::First), (odd, HardLink::Further(path(b"again")))] {
        backup.file(name, 3, &[], b"odd", &[(0, odd_at, 3)]).link = link;
    }
    backup.file(b"empty", 0, &[], b"", &[]);
    backup.file(b"sparse", sparse_size, &HOLES, &sparse, &[(0, sparse_at, sparse.len() as u64)]);
    for (name, link) in [(&b"link"[..], HardLink::First), (b"link2", HardLink::Further(path(b"link")))] {
        backup.entry(name, Node::Symlink(b"d/o dd\n".to_vec()), Vec::new()).link = link;
    }
    for (name, link) in [(&b"pipe"[..], HardLink::First), (b"pipe2", HardLink::Further(path(b"pipe")))] {
        backup.entry(name, Node::Fifo, Vec::new()).link = link;
    }
    backup
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_recipes_restore_everything() {
    for codec in [Codec::Zstd(3), Codec::None] {
        let mut backup = backup(codec);
        let can_xattr = can("setfattr", &["-n", "user.x", "-v", "y"]);
        if can_xattr {
            let db = backup.entries.iter_mut().find(|e| e.path.as_bytes() == b"d/db").unwrap();
            db.meta.xattrs = vec![(b"user.a%b".to_vec(), b"1\n2".to_vec())];
        }
        backup.write_state();
        let output = backup.recipe("check; tree out; data d/db; cp \"$work/data\" one");
        assert!(output.status.success() && output.stderr.is_empty(), "{}", told(&output));
        let out = backup.dir.path().join("out");
        let new = &versions()[2];
        assert!(fs::read(out.join("d/db")).unwrap() == *new);
        assert!(fs::read(backup.dir.path().join("one")).unwrap() == *new);
        let odd = fs::metadata(at(&out, b"d/o dd\n%\\\xff")).unwrap();
        let again = fs::metadata(out.join("again")).unwrap();
        assert_eq!((odd.ino(), odd.len()), (again.ino(), 3));
        assert_eq!(fs::read(out.join("empty")).unwrap(), b"");
        check_sparse("recipe", &out.join("sparse"), 200_000, &HOLES);
        assert_eq!(fs::read_link(out.join("link")).unwrap().as_os_str().as_bytes(), b"d/o dd\n");
        assert!(fs::metadata(out.join("pipe")).unwrap().file_type().is_fifo());
        for (first, further) in [("link", "link2"), ("pipe", "pipe2")] {
            let inode = |name| fs::symlink_metadata(out.join(name)).unwrap().ino();
            assert_eq!(inode(first), inode(further), "{first}");
        }
        for name in ["", "d", "d/db", "sparse", "pipe"] {
            let found = fs::metadata(out.join(name)).unwrap();
            assert_eq!((found.mtime(), found.mtime_nsec()), (1_234_567_890, 123_456_789), "{name}");
            assert_eq!(found.mode() & 0o7777, if found.is_dir() { 0o755 } else { 0o640 });
        }
        if can_xattr {
            assert_eq!(xattr(&out.join("d/db"), "user.a%b"), "1\n2");
        }
    }
}

#[test]
fn the_recipe_notices_what_is_damaged() {
    let mut backup = backup(Codec::Zstd(3));
    backup.write_state();
    let full = backup.dir.path().join(backup.name(BackupFileKind::Full));
    let good = fs::read(&full).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    fs::write(&full, &bad).unwrap();
    assert!(!backup.recipe("check").status.success());
    fs::write(&full, &good).unwrap();
    assert!(backup.recipe("check").status.success());
    // Succeeds, too, if `sed` changes nothing.
    let respelled =
        "sed -i 's/\"uid\":/\"uid\": /' \"$work/state.0\"; ! grep -q '\"uid\": ' \"$work/state.0\" || check";
    assert!(!backup.recipe(respelled).status.success());
}

#[test]
fn the_state_agrees_with_the_tools_about_its_digests() {
    let mut backup = backup(Codec::Zstd(3));
    let tree = backup.write_state();
    let file = fs::read(backup.dir.path().join(backup.name(BackupFileKind::State))).unwrap();
    let state = StateSummary::read(&mut &file[..], "docs", file.len() as u64, true).unwrap();
    let output = backup.recipe("jq -r .tree,.digest \"$work/state.0\"; check");
    assert!(output.status.success(), "{}", told(&output));
    let expected = format!("{tree}\n{}\n", state.trailer.digest);
    assert_eq!(text(output), expected);
    assert_eq!(state.trailer.tree, tree);
}
