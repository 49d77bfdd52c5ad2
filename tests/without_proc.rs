//! Restores without a mounted `/proc`, as in some containers and rescue systems.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use ibt::job::{Cancel, Options, Overwrite, Silent};
use support::series::KEY;
use support::tools::{child_role, command, output, run, set_mode, this_test_again};
use support::{Series, assert_same_facts, facts, is_root, skip};

/// Makes links and FIFOs with attributes, some of them in a directory, and a copy of the tree with other attributes.
/// False if the attributes cannot be set.
fn odd_attributes(series: &mut Series) -> bool {
    let source = series.source.clone();
    fs::create_dir(source.join("dir")).unwrap();
    series.write("dir/file", "content");
    symlink("file", source.join("dir/link")).unwrap();
    run(&mut command("mkfifo", [source.join("dir/fifo"), source.join("pipe")]));
    set_mode(&source.join("dir/fifo"), 0o644);
    set_mode(&source.join("pipe"), 0o664);
    for name in ["dir/fifo", "dir/link", "pipe", "dir/file"] {
        let mut set = command("setfattr", ["-h", "-n", "trusted.of", "-v", name]);
        if !set.arg(source.join(name)).output().is_ok_and(|output| output.status.success()) {
            return false;
        }
    }
    run(command("touch", ["-h", "-d", "2020-01-02T03:04:05.678Z"]).arg(source.join("dir/link")));
    series.snapshot();
    let over = series.beside("over");
    run(command("cp", ["-a"]).arg(&source).arg(&over));
    for name in ["dir/fifo", "dir/link", "pipe", "dir/file"] {
        run(command("setfattr", ["-h", "-n", "trusted.of", "-v", "another"]).arg(over.join(name)));
        run(command("setfattr", ["-h", "-n", "trusted.more", "-v", "1"]).arg(over.join(name)));
    }
    run(command("touch", ["-h", "-d", "2021-01-01"]).arg(over.join("dir/link")));
    set_mode(&over.join("pipe"), 0o600);
    set_mode(&over.join("dir/file"), 0o600);
    true
}

/// Before Linux 6.13, the system sets some attributes of links and FIFOs through /proc only. Without /proc,
/// everything is restored, or the report lists each attribute that could not be set with the reason.
#[test]
fn attributes_are_restored_without_proc() {
    const TEST: &str = "attributes_are_restored_without_proc";
    if let Some(role) = child_role() {
        return restore_as_told(&role);
    }
    let mut series = Series::new();
    if !is_root() || !odd_attributes(&mut series) {
        return skip("only root may set such attributes and unmount /proc");
    }
    let told = series.beside("told");
    for dest in ["new", "over"] {
        let dest = series.beside(dest);
        let paths =
            [&series.store, &series.cache(), &dest, &told].map(|path| path.to_str().unwrap().to_string());
        let again = this_test_again(&std::env::current_exe().unwrap(), TEST, &paths.join("\n"));
        let mut child = command("unshare", ["-m", "sh", "-c", "umount -l /proc && exec \"$@\"", "sh"]);
        child.arg(again.get_program()).args(again.get_args());
        child.envs(again.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ended = output(&mut child);
        if String::from_utf8_lossy(&ended.stderr).contains("umount") {
            return skip("/proc cannot be unmounted here");
        }
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
        let told = fs::read_to_string(&told).unwrap();
        let (mut expected, mut restored) = (series.points[0].kept.facts.clone(), facts(&dest));
        for line in told.lines() {
            let (path, message) = line.split_once('\t').unwrap();
            assert!(message.ends_with("/proc, which is not mounted"), "{line}");
            // An entry with a problem has its content, and only an attribute may differ.
            for side in [&mut expected, &mut restored] {
                let entry = side.get_mut(path.as_bytes()).unwrap_or_else(|| panic!("no entry: {line}"));
                (entry.mode, entry.mtime) = (0, (0, 0));
                entry.xattrs.clear();
            }
        }
        assert_same_facts(&expected, &restored);
        assert!(told.is_empty() || !is_since_linux(6, 13), "{told}");
    }
}

/// The child's part: restores, and writes the problems to a file.
fn restore_as_told(role: &str) {
    let [store, cache, dest, told] = role.split('\n').collect::<Vec<_>>()[..] else { panic!("{role:?}") };
    assert!(!Path::new("/proc/self").exists());
    let mut series = Series::new();
    series.store = store.into();
    series.options.cache_dir = Some(cache.into());
    let options = Options { overwrite: Overwrite::Always, ..series.options.clone() };
    let done = series.run(&options, &Cancel::default(), &mut Silent, |store, job| {
        ibt::restore::restore(store, KEY, Path::new(dest), job)
    });
    let problems = done.ok().problems;
    let lines = problems.iter().map(|problem| {
        let path = String::from_utf8_lossy(problem.path.as_deref().unwrap_or_default());
        format!("{path}\t{}\n", problem.message)
    });
    fs::write(told, lines.collect::<String>()).unwrap();
}

fn is_since_linux(major: u32, minor: u32) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}
