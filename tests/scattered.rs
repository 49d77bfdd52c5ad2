//! Small files whose contents are in the archives in another order than their paths, for example after files moved
//! between directories. Each frame of an archive is decoded about once, and not once for each file.

mod support;

use std::fs;
use std::path::Path;

use ibt::job::{Cancel, Counter, Job, Options, Overwrite, Silent};
use ibt::store::Store;
use support::counting::Counting;
use support::series::KEY;
use support::tools::{Mount, child_role, set_temporary_directory, this_test_again};
use support::*;

/// The number of files, and the number of their groups. The files of one group are side by side in the archive.
const FILES: usize = 1920;
const GROUPS: usize = 16;

/// A full of files that fill more frames than are kept in memory, and an increment after all files were renamed: now
/// files with neighbouring paths are in different frames.
fn scattered() -> Series {
    let mut series = Series::new();
    for file in 0..FILES {
        // 32 KiB that compress to about 1 KiB.
        series.write(&format!("before/{file:04}"), noise(file as u64, 1 << 10).repeat(32));
    }
    series.options.threads = 2;
    series.full().whole();
    let before = series.source.join("before");
    for file in 0..FILES {
        let (group, within) = (file / (FILES / GROUPS), file % (FILES / GROUPS));
        let dir = series.source.join(format!("after/{within:03}"));
        fs::create_dir_all(&dir).unwrap();
        fs::rename(before.join(format!("{file:04}")), dir.join(format!("{group:02}"))).unwrap();
    }
    let report = series.incremental().whole();
    assert_eq!(report.counters.get(Counter::Moved), FILES as u64);
    series
}

/// How often `operation` reads each byte of the archives on average, rounded down.
fn times_read(
    series: &Series,
    options: &Options,
    operation: impl Fn(&mut dyn Store, &mut Job) -> ibt::error::Result<()>,
) -> u64 {
    let archives = series.stored().into_iter().filter(|(name, _)| !name.contains(".state."));
    let size: u64 = archives.map(|(_, size)| size).sum();
    let mut read = 0;
    let done = series.run(options, &Cancel::default(), &mut Silent, |store, job| {
        let mut counting = Counting::new(store);
        let done = operation(&mut counting, job);
        read = counting.read;
        done
    });
    done.whole();
    println!("read {:.2} times", read as f64 / size as f64);
    read / size
}

fn restore(dest: &Path) -> impl Fn(&mut dyn Store, &mut Job) -> ibt::error::Result<()> + '_ {
    move |store, job| ibt::restore::restore(store, KEY, dest, job)
}

#[test]
fn frames_of_scattered_files_are_decoded_about_once() {
    let series = scattered();
    let dest = series.beside("restored");
    assert!(times_read(&series, &series.options, restore(&dest)) <= 2);
    assert_same_tree(&series.source, &dest);
    // Over an existing tree, with all files changed.
    for file in
        walkdir::WalkDir::new(&dest).into_iter().map(Result::unwrap).filter(|e| e.file_type().is_file())
    {
        fs::write(file.path(), "changed").unwrap();
    }
    let over = Options { overwrite: Overwrite::Always, ..series.options.clone() };
    assert!(times_read(&series, &over, restore(&dest)) <= 2);
    assert_same_tree(&series.source, &dest);
    let verify = |store: &mut dyn Store, job: &mut Job| ibt::inspect::verify(store, Some(KEY), job);
    // A verify reads the archives for each of the two snapshots, and for their digests.
    assert!(times_read(&series, &series.options, verify) <= 5);
    let consolidate = |store: &mut dyn Store, job: &mut Job| ibt::retain::consolidate(store, KEY, job);
    assert!(times_read(&series, &series.options, consolidate) <= 3);
}

/// The decoded frames of the tree do not fit into the temporary directory.
#[test]
fn without_room_for_decoded_frames_scattered_files_are_restored_too() {
    const TEST: &str = "without_room_for_decoded_frames_scattered_files_are_restored_too";
    if child_role().is_some() {
        let series = scattered();
        let room = series.beside("room");
        fs::create_dir(&room).unwrap();
        let Some(_mounted) = Mount::tmpfs(&room, "size=9m") else {
            return skip("mounting is not allowed here");
        };
        set_temporary_directory(&room);
        let dest = series.beside("restored");
        assert!(
            times_read(&series, &series.options, restore(&dest)) > 2,
            "the files are not scattered enough"
        );
        assert_same_tree(&series.source, &dest);
        return;
    }
    // The temporary directory belongs to the whole process, so a child process changes it.
    run(&mut this_test_again(&std::env::current_exe().unwrap(), TEST, "small temporary directory"));
}
