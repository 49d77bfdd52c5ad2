//! A restore to an existing tree removes extra entries, and entries in the way of others: while another program changes
//! the tree, and on file systems with special directories.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ibt::job::{Options, Overwrite, ProblemKind, Silent, change};
use support::series::{Outcome, problem_paths};
use support::tools::{Mount, command, set_mode};
use support::*;

fn mirror(series: &Series) -> Options {
    Options { delete_extra: true, overwrite: Overwrite::Always, ..series.options.clone() }
}

fn restore(series: &Series, dest: &Path) -> Outcome {
    series.restore_with(&mirror(series), dest, &mut Silent)
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Another program puts a new entry into the place of an entry that was just reported as removed. The new entry stays.
#[test]
fn what_takes_the_place_of_an_entry_to_remove_stays() {
    let series = Series::new();
    series.write("way", "snapshot");
    series.full().whole();
    for (removed, told) in [("extra", "extra"), ("file", "file"), ("way", "way/inner")] {
        let dest = series.beside("dest");
        for path in ["extra/inner", "file", "way/inner"] {
            write(&dest.join(path), "old");
        }
        let at = dest.join(removed);
        let swap = || {
            fs::rename(&at, series.beside("elsewhere")).unwrap();
            write(&at.join("theirs"), "precious");
        };
        let mut observer = AtChange::of(change::DELETED, told, swap);
        let report = series.restore_with(&mirror(&series), &dest, &mut observer).partial();
        assert_eq!(problem_paths(&report, ProblemKind::Obstructed), [removed]);
        assert_eq!(fs::read(at.join("theirs")).unwrap(), b"precious");
        for other in ["extra", "file"].iter().filter(|other| **other != removed) {
            assert!(!dest.join(other).exists(), "{other}");
        }
        assert_eq!(fs::metadata(dest.join("way")).unwrap().is_file(), removed != "way");
        for dir in ["dest", "elsewhere"] {
            run(command("rm", ["-rf"]).arg(series.beside(dir)));
        }
    }
}

/// Another program replaces a directory, on a file system of FUSE: there a directory may get another inode number at
/// any time.
#[test]
fn what_takes_the_place_of_a_directory_in_the_way_stays_on_fuse() {
    let series = Series::new();
    series.write("way", "snapshot");
    series.full().whole();
    let dest = series.beside("dest");
    fs::create_dir(&dest).unwrap();
    let Some(_mount) = Mount::exfat(&series.beside("image"), &dest) else {
        return skip("there is no exFAT here, or mounting is not allowed");
    };
    let (at, theirs) = (dest.join("way"), dest.join("way/theirs"));
    for is_swapped in [true, false] {
        write(&at.join("inner"), "old");
        let swap = || {
            if is_swapped {
                fs::rename(&at, dest.join("elsewhere")).unwrap();
                write(&theirs, "precious");
            }
        };
        let mut observer = AtChange::of(change::DELETED, "way/inner", swap);
        let options = Options { restore_metadata: Some(0), ..mirror(&series) };
        let report = series.restore_with(&options, &dest, &mut observer).ok();
        let obstructed = problem_paths(&report, ProblemKind::Obstructed);
        assert_eq!(obstructed.contains(&"way".to_string()), is_swapped, "{:?}", report.problems);
        let (stands, content) = if is_swapped { (&theirs, "precious") } else { (&at, "snapshot") };
        assert_eq!(fs::read_to_string(stands).unwrap(), content);
    }
}

/// Another program replaces a directory. Only the entries of this directory are not restored, even if the destination
/// has no inode left for a new file.
#[test]
fn a_swapped_directory_costs_its_entries_only() {
    let series = Series::new();
    for file in ["d/f", "z"] {
        set_mode(&series.write(file, "snapshot"), 0o640);
    }
    set_mode(&series.source.join("d"), 0o750);
    series.full().whole();
    let dest = series.beside("dest");
    fs::create_dir(&dest).unwrap();
    let Some(_mount) = Mount::tmpfs(&dest, "size=1m,nr_inodes=20") else {
        return skip("mounting is not allowed here");
    };
    run(command("cp", ["-a"]).arg(series.source.join(".")).arg(&dest));
    write(&dest.join("e/f"), "theirs");
    for path in ["d", "d/f", "z"] {
        set_mode(&dest.join(path), 0o700);
    }
    while fs::File::create(dest.join(format!("fill{}", fs::read_dir(&dest).unwrap().count()))).is_ok() {}
    let swap = || {
        fs::rename(dest.join("d"), dest.join("elsewhere")).unwrap();
        fs::rename(dest.join("e"), dest.join("d")).unwrap();
    };
    let mut observer = AtChange::of(change::METADATA, "d", swap);
    let options = Options { delete_extra: false, ..mirror(&series) };
    let report = series.restore_with(&options, &dest, &mut observer).partial();
    let mut costs = problem_paths(&report, ProblemKind::Obstructed);
    costs.dedup();
    assert_eq!(costs, ["d", "d/f"]);
    let mode = |path: &str| fs::metadata(dest.join(path)).unwrap().mode() & 0o777;
    assert_eq!((mode("z"), mode("elsewhere/f")), (0o640, 0o700));
    assert_eq!(fs::read(dest.join("d/f")).unwrap(), b"theirs");
}

/// The state lists an omission in `gone/below`, but it has neither an entry for `gone` nor for anything in it. So the
/// restore must not remove `gone` as extra.
#[test]
fn a_directory_in_which_the_backup_left_something_out_stays() {
    let mut series = Series::new();
    series.options.excludes = vec![b"*.o".to_vec()];
    series.write("d/a.o", "precious");
    series.full().whole();
    stored::forge(&series.newest("state"), r#""omitted":[{"path":"d""#, r#""omitted":[{"path":"gone/below""#);
    let dest = series.beside("dest");
    for path in ["gone/below/a.o", "gone/plain", "d/extra", "gone2/plain"] {
        write(&dest.join(path), "precious");
    }
    for dry_run in [true, false] {
        let options = Options { dry_run, excludes: Vec::new(), ..mirror(&series) };
        let report = series.restore_with(&options, &dest, &mut Silent).partial();
        assert_eq!(problem_paths(&report, ProblemKind::Obstructed), ["gone"]);
    }
    assert!(dest.join("gone/below/a.o").exists() && dest.join("gone/plain").exists());
    assert!(!dest.join("d/extra").exists() && !dest.join("gone2").exists());
}

/// A subvolume of Btrfs has its own device number, like a mount point, but nothing is mounted there.
#[test]
fn a_subvolume_is_not_extra() {
    let series = Series::new();
    for path in ["f", "way"] {
        series.write(path, "snapshot");
    }
    fs::create_dir(series.source.join("seen")).unwrap();
    series.full().whole();
    let dest = series.beside("dest");
    fs::create_dir(&dest).unwrap();
    let Some(_mount) = Mount::btrfs(&series.beside("image"), &dest) else {
        return skip("there is no Btrfs here, or mounting is not allowed");
    };
    fs::create_dir_all(dest.join("extra/below")).unwrap();
    fs::create_dir(dest.join("way")).unwrap();
    for subvolume in ["seen", "extra/below/sub", "way/sub"] {
        run(command("btrfs", ["-q", "subvolume", "create"]).arg(dest.join(subvolume)));
        write(&dest.join(subvolume).join("f"), "precious");
    }
    write(&dest.join("extra/plain"), "old");
    let foretold =
        series.restore_with(&Options { dry_run: true, ..mirror(&series) }, &dest, &mut Silent).partial();
    let report = restore(&series, &dest).partial();
    for report in [&foretold, &report] {
        assert_eq!(problem_paths(report, ProblemKind::Obstructed), ["extra/below/sub", "seen", "way"]);
    }
    for kept in ["seen/f", "extra/below/sub/f", "way/sub/f"] {
        assert!(dest.join(kept).exists(), "{kept}");
    }
    assert!(!dest.join("extra/plain").exists());
}

/// exFAT allows names that are too long for a snapshot. A directory with several such names is reported once.
#[test]
fn names_that_are_too_long_are_listed_once_for_each_directory() {
    let series = Series::new();
    for path in ["d/f", "way"] {
        series.write(path, "snapshot");
    }
    series.full().whole();
    let dest = series.beside("dest");
    fs::create_dir(&dest).unwrap();
    let Some(_mount) = Mount::exfat(&series.beside("image"), &dest) else {
        return skip("there is no exFAT here, or mounting is not allowed");
    };
    for dir in ["d", "way"] {
        for letter in ["\u{6f22}", "\u{5b57}", "\u{540d}"] {
            write(&dest.join(dir).join(letter.repeat(90)), "x");
        }
    }
    let options = Options { restore_metadata: Some(0), ..mirror(&series) };
    let report = series.restore_with(&options, &dest, &mut Silent).partial();
    let mut told = problem_paths(&report, ProblemKind::Obstructed);
    told.sort();
    assert_eq!(told, ["d", "way"], "{report:#?}");
    assert_eq!(fs::read_dir(dest.join("d")).unwrap().count(), 4);
    assert_eq!(fs::read_dir(dest.join("way")).unwrap().count(), 3);
}

/// In an existing tree, new files wait under temporary names until they are durable. At most `FILES_MAX` files wait,
/// and at most `STEPS_MAX` entries behind them. So a restore reports its first change before it has done the rest.
#[test]
fn only_so_many_files_and_entries_wait() {
    const FILES_MAX: usize = 1024;
    const STEPS_MAX: usize = 4096;
    let series = Series::new();
    for index in 0..FILES_MAX + 50 {
        series.write(&format!("new/{index:04}"), "");
    }
    // `old` comes after `new`, so its files come while the last files of `new` wait.
    for index in 0..STEPS_MAX + 100 {
        set_mode(&series.write(&format!("old/{index:04}"), ""), 0o640);
    }
    series.full().whole();
    let dest = series.beside("dest");
    let prepare = || {
        run(command("cp", ["-a"]).arg(&series.source).arg(&dest));
        fs::remove_dir_all(dest.join("new")).unwrap();
        fs::create_dir(dest.join("new")).unwrap();
        run(command("sh", ["-c", "find \"$0\" -type f -exec chmod 600 {} +"]).arg(dest.join("old")));
    };
    let changed = || {
        let files = fs::read_dir(dest.join("old")).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
        files.filter(|meta| meta.mode() & 0o777 == 0o640).count()
    };
    let waiting = || fs::read_dir(dest.join("new")).unwrap().count();
    for first in ["new/0000", &format!("new/{FILES_MAX:04}")] {
        prepare();
        let mut seen = (0, 0);
        let mut observer = AtChange::of(change::CREATED, first, || seen = (waiting(), changed()));
        series.restore_with(&mirror(&series), &dest, &mut observer).whole();
        drop(observer);
        match first {
            "new/0000" => assert_eq!(seen, (FILES_MAX, 0)),
            _ => assert!((1..=STEPS_MAX).contains(&seen.1), "{seen:?}"),
        }
        assert_eq!((waiting(), changed()), (FILES_MAX + 50, STEPS_MAX + 100));
        fs::remove_dir_all(&dest).unwrap();
    }
}
