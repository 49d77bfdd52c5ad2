//! Every snapshot of any tree restores exactly, after any changes of the tree.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ibt::job::{Codec, Detect};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use support::tools::{as_ordinary_user, run};
use support::tree::{Content, set_mtime};
use support::*;

/// Options that do not change the restored tree.
#[derive(Clone, Debug)]
struct Setup {
    codec: Codec,
    threads: u32,
    detect: Detect,
}

fn setups() -> impl Strategy<Value = Setup> {
    let codecs = select(vec![Codec::Zstd(1), Codec::Zstd(3), Codec::None]);
    let detects = prop_oneof![3 => Just(Detect::Metadata), 1 => Just(Detect::Content)];
    (codecs, select(vec![1u32, 4]), detects).prop_map(|(codec, threads, detect)| Setup {
        codec,
        threads,
        detect,
    })
}

fn series(setup: &Setup) -> Series {
    let mut series = Series::new();
    series.options.codec = setup.codec;
    series.options.threads = setup.threads;
    series.options.detect = setup.detect;
    series
}

proptest! {
    #![proptest_config(cases(28))]

    #[test]
    fn every_snapshot_of_an_edited_tree_restores(
        setup in setups(), tree in trees(24), rounds in vec(edits(8), 0..5),
    ) {
        let mut series = series(&setup);
        tree.make(&series.source);
        series.snapshot();
        for round in &rounds {
            round.iter().for_each(|edit| edit.apply(&series.source));
            // The tree may be empty now. This test does not test that refusal.
            series.options.allow_empty = true;
            series.snapshot();
        }
        series.assert_every_point_restores();
    }

    /// Tests the oracle itself: a copy by cp equals the tree, for the tests' own comparison, for rsync and for
    /// getfattr. Holes are left out, because cp guesses from a file's blocks whether to look for them. The oracle
    /// compares holes with the source.
    #[test]
    fn a_kept_copy_is_the_tree(tree in trees(24), round in edits(8)) {
        let series = Series::new();
        tree.make(&series.source);
        round.iter().for_each(|edit| edit.apply(&series.source));
        let mut kept = Kept::new(&series.source, &series.beside("kept"));
        let mut copied = facts(&kept.copy);
        for one in kept.facts.values_mut().chain(copied.values_mut()) {
            one.holes.clear();
            one.blocks.0 = 0;
        }
        assert_same_facts(&kept.facts, &copied);
        assert_same_attributes(&series.source, &kept.copy);
    }

    /// The oracle notices every change that an edit makes.
    #[test]
    fn a_kept_copy_differs_once_the_tree_is_edited(tree in trees(12), round in edits(4)) {
        if !is_root() {
            println!("skipped: the rsync of an ordinary user cannot see every edit");
            return Ok(());
        }
        let series = Series::new();
        tree.make(&series.source);
        let kept = Kept::new(&series.source, &series.beside("kept"));
        round.iter().for_each(|edit| edit.apply(&series.source));
        let same = facts(&series.source) == kept.facts;
        let seen = std::panic::catch_unwind(|| support::kept::assert_rsync_sees_no_difference(&kept.copy, &series.source));
        prop_assert_eq!(same, seen.is_ok());
    }
}

/// Like the first test, with entries that are old enough to count as unchanged without being read. Many trees share
/// the waiting time.
#[test]
fn entries_old_enough_to_be_trusted_restore_as_well() {
    const OLD: Duration = Duration::from_millis(2100);
    let mut runner = proptest::test_runner::TestRunner::new(cases(6));
    let strategy = (trees(16), edits(6), edits(6));
    let mut all = Vec::new();
    for _ in 0..runner.config().cases {
        let (tree, first, second) = strategy.new_tree(&mut runner).unwrap().current();
        let mut series = Series::new();
        series.options.allow_empty = true;
        tree.make(&series.source);
        all.push((series, first, second));
    }
    std::thread::sleep(OLD);
    for (series, first, _) in &mut all {
        series.write("the newest of all", "now");
        std::thread::sleep(Duration::from_millis(20));
        first.iter().for_each(|edit| edit.apply(&series.source));
    }
    std::thread::sleep(OLD);
    for (series, _, second) in &mut all {
        series.snapshot();
        second.iter().for_each(|edit| edit.apply(&series.source));
        series.snapshot();
        series.snapshot();
        series.assert_every_point_restores();
    }
}

#[test]
fn an_empty_directory_is_a_snapshot() {
    let mut series = Series::new();
    series.snapshot();
    series.snapshot();
    series.assert_every_point_restores();
}

#[test]
fn a_file_larger_than_a_frame_restores_before_and_after_edits() {
    let mut series = Series::new();
    let mut bytes = noise(1, 9_000_000);
    series.write("big", &bytes);
    series.write("after", "small");
    series.snapshot();
    bytes.splice(4_200_000..4_200_000, noise(2, 777));
    bytes.truncate(8_900_000);
    series.write("big", &bytes);
    series.snapshot();
    series.assert_every_point_restores();
}

#[test]
fn sparse_files_restore_with_their_holes() {
    let mut series = Series::new();
    for (index, pattern) in
        [&[false][..], &[true, false], &[false, true], &[true, false, true, false]].iter().enumerate()
    {
        let content = Content::Sparse { segments: pattern.to_vec(), more: 100, seed: index as u64 };
        content.write(&series.source.join(format!("holes-{index}"))).unwrap();
    }
    let huge = fs::File::create(series.source.join("a terabyte of nothing")).unwrap();
    huge.set_len(1 << 40).unwrap();
    drop(huge);
    // The library must not read a terabyte of zeros. The test does not hash them either: it removes the file before
    // it compares the trees.
    let report = series.full().whole();
    let dest = series.beside("restored");
    series.restore(ibt::job::Select::Newest, &dest).whole();
    let restored = fs::metadata(dest.join("a terabyte of nothing")).unwrap();
    assert_eq!(restored.len(), 1 << 40);
    for tree in [&series.source, &dest] {
        fs::remove_file(tree.join("a terabyte of nothing")).unwrap();
        set_mtime(tree, (0, 0));
    }
    assert_same_tree(&series.source, &dest);
    assert!(report.total_size() < 4 << 20, "{}", report.total_size());
    series.snapshot();
}

#[test]
fn a_file_that_becomes_sparse_and_back_restores() {
    let mut series = Series::new();
    let path = series.write("f", noise(1, 400_000));
    series.snapshot();
    Content::Sparse { segments: vec![true, false, true], more: 10, seed: 9 }.write(&path).unwrap();
    series.snapshot();
    fs::write(&path, noise(1, 300_000)).unwrap();
    series.snapshot();
    series.assert_every_point_restores();
}

#[test]
fn a_file_with_many_names_restores_as_one() {
    let mut series = Series::new();
    let first = series.write("f", noise(1, 20_000));
    fs::create_dir(series.source.join("d")).unwrap();
    for index in 0..300 {
        fs::hard_link(&first, series.source.join(format!("d/link-{index}"))).unwrap();
    }
    series.snapshot();
    series.assert_every_point_restores();
}

#[test]
fn a_deep_and_a_wide_directory_restore() {
    let mut series = Series::new();
    let deep = vec!["deep"; 200].join("/");
    series.write(&format!("{deep}/bottom"), "here");
    for index in 0..3000 {
        series.write(&format!("wide/{index}"), index.to_string());
    }
    series.snapshot();
    series.write("wide/1500", "changed");
    series.snapshot();
    series.assert_every_point_restores();
}

/// A tree with paths longer than a system call accepts. Such a tree can be made with relative paths.
#[test]
fn a_path_beyond_path_max_restores() {
    let series = Series::new();
    let script = "for i in $(seq 40); do mkdir -p \"$1\" && cd \"$1\" || exit 1; done; echo bottom >file";
    let name = "n".repeat(200);
    run(tools::command("bash", ["-c", script, "bash", &name]).current_dir(&series.source));
    series.write("beside", "a file");
    series.full().whole();
    let dest = series.beside("restored");
    series.restore(ibt::job::Select::Newest, &dest).whole();
    let differ = tools::output(tools::command("diff", ["-r"]).arg(&series.source).arg(&dest));
    let find = |at: &Path| run(tools::command("find", [".", "-printf", "%d %y %m %T@\n"]).current_dir(at));
    assert_eq!(find(&series.source), find(&dest));
    let read = "for i in $(seq 40); do cd \"$1\" || exit 1; done; cat file";
    let bottom = run(tools::command("bash", ["-c", read, "bash", &name]).current_dir(&dest));
    assert_eq!(bottom, b"bottom\n");
    // diff(1) opens full paths and may refuse paths that are too long. The files that it compares must be equal.
    assert!(!String::from_utf8_lossy(&differ.stdout).contains("differ"), "{differ:?}");
    for tree in [&series.source, &dest] {
        run(tools::command("rm", ["-rf"]).arg(tree));
    }
}

#[test]
fn a_restore_does_not_hand_a_directory_s_default_acl_to_what_had_none() {
    let mut series = Series::new();
    series.write("d/before", "made before the directory had a default ACL");
    let set =
        tools::output(tools::command("setfacl", ["-d", "-m", "u:1234:rwx"]).arg(series.source.join("d")));
    if !set.status.success() {
        return skip("no ACLs here");
    }
    series.write("d/after", "inherits it");
    series.snapshot();
    series.assert_every_point_restores();
}

/// Setting an ACL changes the mode. Without the right to write, the owner cannot set `user.*` attributes.
#[test]
fn attributes_of_a_file_that_its_owner_may_not_write() {
    if !as_ordinary_user("attributes_of_a_file_that_its_owner_may_not_write") {
        return;
    }
    let mut series = Series::new();
    let file = series.write("read only", "content");
    let set = run(Command::new("setfattr").args(["-n", "user.z", "-v", "kept"]).arg(&file));
    assert!(set.is_empty());
    run(Command::new("setfacl").args(["-m", "u::r,u:1234:r,g::-,o::-"]).arg(&file));
    series.snapshot();
    series.assert_every_point_restores();
}
