//! Selecting files of a source for a backup: exclude files and patterns, cache directories, file systems, sockets.

mod support;

use std::collections::BTreeSet;
use std::fs;

use ibt::job::{ProblemKind, Select};
use support::series::problem_paths;
use support::*;

/// The paths that a full backup of the source restores, without directories.
fn files_backed_up(series: &Series) -> BTreeSet<String> {
    series.full().whole();
    let dest = series.beside("restored");
    series.restore(Select::Newest, &dest).whole();
    let found = facts(&dest);
    series::remove(&dest);
    found
        .into_iter()
        .filter(|(_, facts)| facts.kind != "dir")
        .map(|(path, _)| String::from_utf8(path).unwrap())
        .collect()
}

/// The files that git would not ignore if the exclude files were its own.
fn files_git_would_take(series: &Series, patterns: &[&str]) -> BTreeSet<String> {
    let twin = series.beside("git");
    run(tools::command("cp", ["-a"]).arg(&series.source).arg(&twin));
    let git = |args: &[&str]| {
        let mut git = tools::command("git", args);
        run(git.current_dir(&twin).env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", series.dir.path()))
    };
    git(&["init", "-q"]);
    let mut list = vec!["ls-files", "-o", "-z", "--exclude-per-directory=.exclude"];
    for pattern in patterns {
        list.extend(["-x", pattern]);
    }
    let said = String::from_utf8(git(&list)).unwrap();
    said.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

#[test]
fn exclude_files_mean_what_git_takes_them_for() {
    let mut series = Series::new();
    series.write(
        ".exclude",
        "# comment\n*.log\n!keep.log\n/build/\ntmp\ndocs/*.pdf\n**/deep/er\n\\#odd\n[ab]?.c\n",
    );
    series.write("sub/.exclude", "!*.log\n*.tmp\n!important.tmp\n/only-here\n");
    for path in [
        "a.log",
        "keep.log",
        "build/out",
        "src/build/out",
        "tmp",
        "x/tmp/inside",
        "docs/a.pdf",
        "docs/old/a.pdf",
        "docs/deep/er/f",
        "deep/er",
        "#odd",
        "ax.c",
        "abc.c",
        "cx.c",
        "sub/a.log",
        "sub/x.tmp",
        "sub/important.tmp",
        "sub/only-here",
        "sub/more/only-here",
        "sub/more/b.log",
        "kept.bak",
        "sub/lost.bak",
        "normal",
        "é.log",
        "sp ace/.exclude",
        "sp ace/f",
    ] {
        series.write(path, path);
    }
    series.options.excludes = vec![b"*.bak".to_vec(), b"!kept.bak".to_vec()];
    let ours = files_backed_up(&series);
    assert_eq!(ours, files_git_would_take(&series, &["*.bak", "!kept.bak"]));
    assert!(ours.contains("normal") && !ours.contains("build/out"));
}

#[test]
fn another_name_or_none_for_exclude_files() {
    let mut series = Series::new();
    series.write(".exclude", "a\n");
    series.write(".skip", "b\n");
    series.write("a", "1");
    series.write("b", "2");
    let set = |paths: &[&str]| paths.iter().map(|path| path.to_string()).collect::<BTreeSet<_>>();
    assert_eq!(files_backed_up(&series), set(&[".exclude", ".skip", "b"]));
    series.options.exclude_file = b".skip".to_vec();
    assert_eq!(files_backed_up(&series), set(&[".exclude", ".skip", "a"]));
    series.options.exclude_file = Vec::new();
    assert_eq!(files_backed_up(&series), set(&[".exclude", ".skip", "a", "b"]));
}

#[test]
fn what_becomes_excluded_leaves_later_snapshots_only() {
    let mut series = Series::new();
    series.write("a.log", "1");
    series.write("b", "2");
    series.snapshot();
    series.options.excludes = vec![b"*.log".to_vec()];
    series.incremental().whole();
    let dest = series.beside("later");
    series.restore(Select::Newest, &dest).whole();
    assert!(!dest.join("a.log").exists() && dest.join("b").exists());
    // A restore with the pattern would leave the file out of the first snapshot too.
    series.options.excludes.clear();
    series.assert_point_restores(0);
}

/// As an option, each pattern is refused. In an exclude file of the source, it is a problem, and the other lines
/// still count.
#[test]
fn hostile_patterns_are_refused_and_harmless_in_the_source() {
    let mut series = Series::new();
    series.write("f", "x");
    series.write("left out", "x");
    for pattern in ["{".repeat(200_000), "a".repeat(1_000_000), "[".into(), "**/".repeat(50_000), "\\".into()]
    {
        series.options.excludes = vec![pattern.clone().into_bytes()];
        series.full().refused(ibt::error::Kind::InvalidArg);
        series.options.excludes.clear();
        series.write(".exclude", format!("left out\n{pattern}"));
        let report = series.full().partial();
        assert_eq!(problem_paths(&report, ProblemKind::Unreadable), [""], "{:?}", report.problems);
        let dest = series.beside("restored");
        series.restore(Select::Newest, &dest).whole();
        assert_eq!(facts(&dest).keys().collect::<Vec<_>>(), [&b""[..], b".exclude", b"f"]);
        series::remove(&dest);
        fs::remove_file(series.source.join(".exclude")).unwrap();
    }
}

#[test]
fn a_tagged_cache_directory_is_left_out_only_when_asked() {
    const SIGNATURE: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# made by a test\n";
    let mut series = Series::new();
    series.write("cache/CACHEDIR.TAG", SIGNATURE);
    series.write("cache/junk/deep", "junk");
    series.write("false/CACHEDIR.TAG", "no signature\n");
    series.write("false/data", "data");
    assert!(files_backed_up(&series).contains("cache/junk/deep"));
    series.options.skip_cache_dirs = true;
    let files = files_backed_up(&series);
    assert!(!files.contains("cache/junk/deep"), "{files:?}");
    assert!(files.contains("false/data"), "{files:?}");
}

#[test]
fn another_file_system_is_left_out_only_when_asked() {
    let mut series = Series::new();
    let place = series.source.join("mounted");
    fs::create_dir(&place).unwrap();
    let Some(mount) = tools::Mount::tmpfs(&place, "size=1m") else {
        return skip("mounting is not allowed here");
    };
    series.write("mounted/inside", "on the other file system");
    series.write("here", "on this one");
    assert!(files_backed_up(&series).contains("mounted/inside"));
    series.options.one_file_system = true;
    let files = files_backed_up(&series);
    assert!(!files.contains("mounted/inside") && files.contains("here"), "{files:?}");
    drop(mount);
}

#[test]
fn a_socket_is_a_note_and_no_loss() {
    let mut series = Series::new();
    series.write("f", "x");
    let _socket = std::os::unix::net::UnixListener::bind(series.source.join("socket")).unwrap();
    for _ in 0..2 {
        let report = series.snapshot();
        assert_eq!(problem_paths(&report, ProblemKind::Skipped), ["socket"]);
        assert_eq!(report.status(), 0);
    }
    let dest = series.beside("restored");
    series.restore(Select::Newest, &dest).whole();
    assert_eq!(facts(&dest).keys().collect::<Vec<_>>(), [&b""[..], b"f"]);
}

/// Opening a FIFO would block for ever, and opening a device would read bytes from the device.
#[test]
fn a_fifo_or_a_device_never_blocks_a_backup() {
    let mut series = Series::new();
    run(&mut tools::command("mkfifo", [series.source.join("fifo")]));
    if is_root() {
        run(tools::command("mknod", [series.source.join("zero")]).args(["c", "1", "5"]));
    }
    tools::within_seconds(60, move || {
        series.snapshot();
        series.snapshot();
        series.assert_every_point_restores();
    });
}

/// The store and the cache may lie inside the source. No backup contains them.
#[test]
fn a_store_inside_its_source_is_left_out() {
    let mut series = Series::new();
    series.store = series.source.join("store");
    series.options.cache_dir = Some(series.source.join("d/cache"));
    for (round, backup) in [Series::full, Series::incremental, Series::full].into_iter().enumerate() {
        let file = series.write("d/f", format!("round {round}"));
        let report = backup(&series).whole();
        // The first walk may come before the cache exists. A store in memory is nowhere in the source.
        if series.memory.is_none() {
            assert!(
                problem_paths(&report, ProblemKind::Skipped).contains(&"store".to_string()),
                "{report:?}"
            );
            assert!(series.store.exists());
        }
        assert!(series.cache().exists());
        let dest = series.beside("restored");
        series.restore(Select::Newest, &dest).whole();
        assert_eq!(facts(&dest).keys().collect::<Vec<_>>(), [&b""[..], b"d", b"d/f"]);
        assert_eq!(fs::read(dest.join("d/f")).unwrap(), fs::read(&file).unwrap());
        series::remove(&dest);
    }
}
