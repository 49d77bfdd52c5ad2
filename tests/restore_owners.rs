//! Restores that give files to the owners with the recorded names.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

use ibt::job::{Options, ProblemKind, Silent, meta};
use support::series::Series;
use support::tools::command;
use support::{is_root, skip};

/// Names of this machine with another number than the recorded one, as on the machine of another system.
fn number(database: &str, name: &str) -> Option<u32> {
    let output =
        command("getent", [database, name]).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()?.split(':').nth(2)?.parse().ok()
}

/// Changes the owner's numbers in all lines of the newest state, as if the snapshot came from another machine.
fn forge_numbers(series: &Series, from: &str, to: &str) {
    for entry in fs::read_dir(&series.store).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains(".state.") {
            support::stored::forge(&path, from, to);
        }
    }
    fs::remove_dir_all(series.cache()).unwrap();
}

#[test]
fn files_go_to_the_names_or_else_to_the_numbers() {
    if !is_root() {
        return skip("only root gives files away");
    }
    let (Some(daemon), Some(group)) = (number("passwd", "daemon"), number("group", "daemon")) else {
        return skip("no user 'daemon' on this machine");
    };
    let series = Series::new();
    for (path, uid, gid) in [("known", daemon, group), ("unknown", daemon, group), ("numbers", 54321, 54322)]
    {
        chown(series.write(path, "content"), Some(uid), Some(gid)).unwrap();
    }
    fs::write(series.source.join("unknown too"), "content").unwrap();
    chown(series.source.join("unknown too"), Some(daemon), Some(group)).unwrap();
    series.full().whole();
    let owner = format!("\"uid\":{daemon},\"gid\":{group},\"user\":\"daemon\",\"group\":\"daemon\"");
    let path = |path: &str| format!("{{\"path\":\"{path}\",\"type\":\"file\",\"mode\":\"0644\",");
    let elsewhere =
        |name: &str| format!("\"uid\":7001,\"gid\":7002,\"user\":\"{name}\",\"group\":\"{name}\"");
    for (name, other) in [("known", "daemon"), ("unknown", "no-such-name"), ("unknown too", "no-such-name")] {
        let (from, to) = (format!("{}{owner}", path(name)), format!("{}{}", path(name), elsewhere(other)));
        let _ = fs::create_dir(series.cache());
        forge_numbers(&series, &from, &to);
    }
    let restored = |options: &Options, dest: &str| {
        let dest = series.beside(dest);
        let report = series.restore_with(options, &dest, &mut Silent).whole();
        let owner = |path: &str| {
            let found = fs::metadata(dest.join(path)).unwrap();
            (found.uid(), found.gid())
        };
        (["known", "unknown", "unknown too", "numbers"].map(owner), report)
    };
    let (plain, report) = restored(&series.options, "by number");
    assert_eq!(plain, [(7001, 7002), (7001, 7002), (7001, 7002), (54321, 54322)]);
    assert!(report.problems.is_empty());
    let mapping = Options { map_owners: true, ..series.options.clone() };
    let (mapped, report) = restored(&mapping, "by name");
    assert_eq!(mapped, [(daemon, group), (7001, 7002), (7001, 7002), (54321, 54322)]);
    let notes: Vec<_> = report.problems.iter().map(|note| (note.kind, note.path.clone().unwrap())).collect();
    let note = (ProblemKind::Skipped, b"unknown".to_vec());
    assert_eq!(notes, [note.clone(), note], "one for the user, one for the group");
    assert!(report.problems.iter().all(|note| note.message.contains("no-such-name")));
    // Where no owner is set, no name is looked up.
    let silent = Options { restore_metadata: Some(meta::ALL & !meta::OWNER), ..mapping };
    let (_, report) = restored(&silent, "own");
    assert!(report.problems.is_empty());
}
