use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use proptest::prelude::*;

use super::*;

const FILE: &[u8] = b".gitignore";

/// The files that a walk with `excludes` keeps.
fn kept(root: &Path, excludes: &mut Excludes) -> BTreeSet<Vec<u8>> {
    fn visit(root: &Path, dir: &[u8], excludes: &mut Excludes, out: &mut BTreeSet<Vec<u8>>) {
        let here = root.join(OsStr::from_bytes(dir));
        let contents = fs::read(here.join(OsStr::from_bytes(FILE))).ok();
        excludes.enter_dir(dir, contents.as_deref());
        for entry in fs::read_dir(here).unwrap() {
            let entry = entry.unwrap();
            let is_dir = entry.file_type().unwrap().is_dir();
            let mut path = dir.to_vec();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(entry.file_name().as_bytes());
            if excludes.is_excluded(&path, is_dir) {
                continue;
            }
            if is_dir {
                visit(root, &path, excludes, out);
            } else {
                out.insert(path);
            }
        }
        excludes.leave_dir();
    }
    let mut out = BTreeSet::new();
    visit(root, b"", excludes, &mut out);
    out
}

/// An empty bare repository; `GIT_WORK_TREE` sets its work tree.
fn repository() -> &'static Path {
    static REPOSITORY: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    let made = REPOSITORY.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            Command::new("git").args(["init", "-q", "--bare"]).arg(dir.path()).status().unwrap().success()
        );
        dir
    });
    made.path()
}

/// The files that git does not ignore.
fn kept_by_git(root: &Path, options: &[Vec<u8>]) -> BTreeSet<Vec<u8>> {
    let mut git = Command::new("git");
    git.current_dir(root).env("GIT_DIR", repository()).env("GIT_WORK_TREE", root).args([
        "ls-files",
        "--others",
        "-z",
        "--exclude-per-directory=.gitignore",
    ]);
    for option in options {
        git.arg("-x").arg(OsStr::from_bytes(option));
    }
    let output = git.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout.split(|&b| b == 0).filter(|p| !p.is_empty()).map(<[u8]>::to_vec).collect()
}

/// True for a pattern that has another meaning here than in git: `**` directly after literal text and before a
/// slash or the end, or a character beyond ASCII next to a class.
fn is_odd_in_git(pattern: &[u8]) -> bool {
    if pattern.contains(&b'[') && !pattern.is_ascii() {
        // In a class, git matches the single bytes of such a character; libibt reports an error.
        return true;
    }
    let text = pattern.strip_prefix(b"!").unwrap_or(pattern);
    let text = text.strip_suffix(b"/").unwrap_or(text);
    if !text.contains(&b'/') {
        return false;
    }
    let Some(at) = text.iter().position(|b| b"*?[\\".contains(b)) else { return false };
    let stars = text[at..].iter().take_while(|&&b| b == b'*').count();
    let rest = &text[at + stars..];
    let whole = rest.is_empty() || rest.starts_with(b"/") || rest.starts_with(b"\\/");
    stars > 1 && at > 0 && text[at - 1] != b'/' && whole
}

fn pattern() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => Just("a"), 6 => Just("b"), 4 => Just("*"), 2 => Just("?"), 5 => Just("/"), 2 => Just("**"),
        2 => Just("**/"), 1 => Just("/**"), 1 => Just("!"), 1 => Just("#"), 1 => Just("\\"), 1 => Just(" "),
        1 => Just("[ab]"), 1 => Just("[!a]"), 1 => Just("[^/b]"), 1 => Just("[a-b]"), 1 => Just("[]a]"),
        1 => Just("[[:alpha:]]"), 1 => Just("[\\]-]"), 1 => Just("["), 1 => Just("]"), 1 => Just("{"),
        1 => Just("}"), 1 => Just(","), 1 => Just("-"), 1 => Just("[^!]"), 1 => Just("[b-a]"), 1 => Just("\\ "),
        1 => Just("***"), 1 => Just("\\/"), 1 => Just("\t"), 1 => Just("é"), 1 => Just("[a{-}]"),
        1 => Just("[[:a]"), 1 => Just("[^]]"), 1 => Just("[!-a]"), 1 => Just("\\\\"), 1 => Just("[+--]"),
    ];
    proptest::collection::vec(piece, 1..6)
        .prop_map(|pieces| pieces.concat().into_bytes())
        .prop_filter("known to differ", |pattern| !is_odd_in_git(pattern))
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let fixed: &[&[u8]] = &[
        b"a",
        b"b",
        b"ab",
        b"ba",
        b"aa",
        b"a b",
        b"a ",
        b"!a",
        b"#a",
        b"{a}",
        b"a,b",
        b"[a]",
        b"a]",
        b"-",
        b"a.b",
        b"\\",
        b"a\\",
        b"\xff",
        b"a\xff",
        b"\xc3\xa9",
        b"a\n",
        b"*",
        b"?",
        b"a\t",
        b"{",
        b"a-",
        b"^",
        b"!",
    ];
    prop_oneof![3 => proptest::sample::select(&fixed[..5]), 2 => proptest::sample::select(fixed)]
        .prop_map(<[u8]>::to_vec)
}

/// Makes a file and the directories above it. An existing entry stays, even if it has the path of the file.
fn plant(root: &Path, path: &[Vec<u8>]) {
    let dirs: Vec<_> = path[..path.len() - 1].iter().map(|n| OsStr::from_bytes(n)).collect();
    let dir = root.join(dirs.iter().collect::<std::path::PathBuf>());
    if fs::create_dir_all(&dir).is_ok() {
        let file = dir.join(OsStr::from_bytes(&path[path.len() - 1]));
        if fs::symlink_metadata(&file).is_err() {
            fs::write(file, "").unwrap();
        }
    }
}

/// The components of a directory's path, and the lines of its exclude file.
type Planted = (Vec<Vec<u8>>, Vec<Vec<u8>>);

fn exclude_files() -> impl Strategy<Value = Vec<Planted>> {
    let dir = proptest::collection::vec(name(), 0..3);
    let lines = proptest::collection::vec(pattern(), 1..6);
    proptest::collection::vec((dir, lines), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, max_shrink_iters: 500, ..ProptestConfig::default() })]

    /// With the same options and nested exclude files, the walk keeps the same files of a tree as git.
    #[test]
    fn trees_are_pruned_as_git_prunes_them(
        options in proptest::collection::vec(pattern(), 0..3),
        paths in proptest::collection::vec(proptest::collection::vec(name(), 1..5), 1..40),
        files in exclude_files(),
    ) {
        let root = tempfile::tempdir().unwrap();
        paths.iter().for_each(|path| plant(root.path(), path));
        for (dir, lines) in &files {
            let dir = root.path().join(dir.iter().map(|n| OsStr::from_bytes(n)).collect::<std::path::PathBuf>());
            if fs::create_dir_all(&dir).is_ok() {
                fs::write(dir.join(".gitignore"), lines.join(&b"\n"[..])).unwrap();
            }
        }
        // git uses the pattern of `-x` unchanged: a comment or a trailing space is part of the pattern, and no
        // pattern is an error.
        let usable = |p: &&Vec<u8>| p[0] != b'#' && trim_spaces(p) == &p[..] && Excludes::new(&[p.to_vec()], FILE).is_ok();
        let options: Vec<_> = options.iter().filter(usable).cloned().collect();
        let mut excludes = Excludes::new(&options, FILE).unwrap();
        prop_assert_eq!(kept(root.path(), &mut excludes), kept_by_git(root.path(), &options));
    }

    /// No pattern causes a panic, neither when it is read nor when it is matched.
    #[test]
    fn any_bytes_are_a_pattern_or_an_error(
        pattern in proptest::collection::vec(any::<u8>(), 0..40),
        path in proptest::collection::vec(1..=255u8, 1..20),
    ) {
        if let Ok(excludes) = Excludes::new(&[pattern], FILE) {
            excludes.is_excluded(&path, false);
        }
    }
}

fn excludes(patterns: &[&str]) -> Result<Excludes> {
    Excludes::new(&patterns.iter().map(|p| p.as_bytes().to_vec()).collect::<Vec<_>>(), b".exclude")
}

#[test]
fn malformed_and_oversized_patterns_are_named() {
    for bad in ["a\\", "[a", "[[:what:]]", "[é]", &"a".repeat(PATTERN_LEN_MAX + 1)] {
        let error = excludes(&["good", bad]).unwrap_err();
        assert_eq!(error.kind, Kind::InvalidArg);
        assert!(error.to_string().contains(bad), "{error}");
    }
    assert!(Excludes::new(&[b"\xff*".to_vec()], b"").is_err());
    let many: Vec<_> = (0..=PATTERNS_MAX).map(|i| format!("{i}*x?{i}").into_bytes()).collect();
    assert!(Excludes::new(&many[1..], b"").unwrap().is_excluded(b"a/10000yx.10000", false));
    assert!(Excludes::new(&many, b"").is_err());
}

#[test]
fn exclude_file_names_are_single_components() {
    for bad in [&b"a/b"[..], b"..", b".", b"a\0"] {
        assert_eq!(Excludes::new(&[], bad).unwrap_err().kind, Kind::InvalidArg);
    }
    assert_eq!(Excludes::new(&[], b"").unwrap().file_name(), None);
}

#[test]
fn nested_braces_are_only_characters() {
    let deep = "{".repeat(4000);
    assert!(excludes(&[&deep]).unwrap().is_excluded(deep.as_bytes(), false));
    assert!(!excludes(&["{a,b}"]).unwrap().is_excluded(b"a", false));
}

#[test]
fn options_decide_before_exclude_files_and_deep_files_before_shallow_ones() {
    let mut excludes = excludes(&["!kept.o"]).unwrap();
    assert!(excludes.enter_dir(b"", Some(b"*.o\n*.tmp")).is_empty());
    excludes.enter_dir(b"d", None);
    excludes.enter_dir(b"d/e", Some(b"!*.tmp\n/f"));
    assert!(!excludes.is_excluded(b"d/e/kept.o", false));
    assert!(excludes.is_excluded(b"d/e/x.o", false));
    assert!(!excludes.is_excluded(b"d/e/x.tmp", false));
    assert!(excludes.is_excluded(b"d/e/f", false));
    excludes.leave_dir();
    assert!(excludes.is_excluded(b"d/x.tmp", false) && !excludes.is_excluded(b"d/f", false));
    excludes.leave_dir();
    excludes.leave_dir();
    assert!(!excludes.is_excluded(b"x.o", false));
}

#[test]
fn bad_lines_are_skipped_and_reported_by_number() {
    let mut excludes = excludes(&[]).unwrap();
    let bad = excludes.enter_dir(b"", Some(b"\xef\xbb\xbf*.o\r\n# x\n\n[a\n\xff\n*.p"));
    assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [4, 5]);
    assert!(excludes.is_excluded(b"x.o", false) && excludes.is_excluded(b"x.p", false));
}

#[test]
fn an_exclude_file_beyond_the_limits_keeps_everything_it_cannot_say() {
    let mut excludes = excludes(&[]).unwrap();
    let huge = b"a\n".repeat(EXCLUDE_FILE_MAX / 2 + 1);
    assert_eq!(excludes.enter_dir(b"", Some(&huge))[0].line, 0);
    assert!(!excludes.is_excluded(b"a", false));
    let many = b"a\n".repeat(PATTERNS_MAX + 5);
    assert_eq!(excludes.enter_dir(b"d", Some(&many)).len(), 1);
    assert!(excludes.is_excluded(b"d/a", false));
}

/// Every level has a large exclude file. All levels together hold no more patterns than one file may have.
#[test]
fn exclude_files_of_all_levels_share_one_limit() {
    let lines = |line: &dyn Fn(usize) -> String, count: usize| (0..count).map(line).collect::<String>();
    let large = lines(&|n| format!("{}{n:03}\n", "x".repeat(4000)), 140);
    let many = lines(&|n| format!("a{n}\n"), 6000);
    for (contents, word) in [(&large, "larger"), (&many, "patterns")] {
        let mut excludes = Excludes::new(&[], b".exclude").unwrap();
        assert_eq!(excludes.enter_dir(b"", Some(contents.as_bytes())), []);
        for path in ["d", "d/d", "d/d/d"] {
            let bad = excludes.enter_dir(path.as_bytes(), Some(contents.as_bytes()));
            assert!(matches!(&bad[..], [bad] if bad.line == 0 && bad.message.contains(word)), "{bad:?}");
            assert_eq!(excludes.files.len(), 1);
            assert!(!excludes.is_excluded(b"unheard", false));
        }
        // A small exclude file still fits. After the walk has left the large file's directory, a large one fits
        // again.
        assert_eq!(excludes.enter_dir(b"d/d/d/d", Some(b"small")), []);
        assert!(excludes.is_excluded(b"d/d/d/d/small", false));
        (0..5).for_each(|_| excludes.leave_dir());
        assert_eq!(excludes.enter_dir(b"", Some(contents.as_bytes())), []);
    }
}

#[test]
fn of_many_bad_lines_the_first_are_told_and_the_others_counted() {
    let mut excludes = Excludes::new(&[], b".exclude").unwrap();
    let bad = excludes.enter_dir(b"", Some("[\n".repeat(5000).as_bytes()));
    assert_eq!((bad.len(), bad[99].line, bad[100].line), (101, 100, 0));
    assert!(bad[100].message.starts_with("4900 more"), "{:?}", bad[100]);
}
