//! A real tree in three published versions, which was not made for tests.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ibt::job::{Codec, Counter, Select};
use support::tools::{command, output};
use support::*;

/// The directories of the versions, oldest first. Empty, with a `skipped` line, if no registry can be reached.
fn versions() -> Vec<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _held = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/versions.sh");
    let room = Path::new(env!("CARGO_TARGET_TMPDIR")).join("versions");
    let said = output(command("sh", [&script, &room]).env("CARGO", env!("CARGO")));
    if !said.status.success() {
        skip(&format!("no versions: {}", String::from_utf8_lossy(&said.stderr)));
        return Vec::new();
    }
    String::from_utf8(said.stdout).unwrap().lines().map(PathBuf::from).collect()
}

/// Makes the source equal to `version`, and touches only files that differ.
fn bring_over(version: &Path, source: &Path) {
    run(command("rsync", ["-rc", "--delete"]).arg(version.join("")).arg(source));
}

#[test]
fn three_versions_of_a_real_tree_restore_and_cost_their_differences() {
    let versions = versions();
    if versions.is_empty() {
        return;
    }
    let mut series = Series::new();
    series.options.codec = Codec::Zstd(3);
    let mut costs = Vec::new();
    for version in &versions {
        bring_over(version, &series.source);
        let before = series.stored();
        series.snapshot();
        costs.push(series.added(&before));
    }
    println!("{costs:#?}");
    series.assert_every_point_restores();
    let without_state = |index: usize| {
        costs[index].iter().filter(|(kind, _)| *kind != "state").map(|(_, size)| size).sum::<u64>()
    };
    for increment in 1..costs.len() {
        assert!(without_state(increment) * 2 < without_state(0), "{costs:?}");
        assert!(costs[increment].contains_key("updated"), "no file was stored as a delta: {costs:?}");
    }
}

#[test]
fn going_back_to_an_older_version_restores_as_well() {
    let versions = versions();
    if versions.is_empty() {
        return;
    }
    let mut series = Series::new();
    for version in [&versions[2], &versions[0], &versions[2], &versions[1]] {
        bring_over(version, &series.source);
        series.snapshot();
    }
    series.assert_every_point_restores();
}

/// A user moves a whole directory. Its files take no space in the store.
#[test]
fn a_real_tree_moved_costs_nothing() {
    let versions = versions();
    if versions.is_empty() {
        return;
    }
    let mut series = Series::new();
    run(command("cp", ["-a"]).arg(versions[0].join("src")).arg(series.source.join("src")));
    series.snapshot();
    fs::rename(series.source.join("src"), series.source.join("sources")).unwrap();
    let (report, added) = series.increment();
    assert_eq!(added.keys().collect::<Vec<_>>(), ["state"]);
    assert!(report.counters.get(Counter::Moved) > 100);
    let dest = series.beside("restored");
    series.restore(Select::Newest, &dest).whole();
    assert_same_tree(&series.source, &dest);
}
