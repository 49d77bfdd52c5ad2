//! Decides whether the time stamps of a source's file systems prove that a file did not change.

use std::collections::HashMap;

use crate::entry::{FileType, Path};
use crate::platform::{CtimeKind, Dir, FileSystem, Stat};
use crate::stamp::Time;

/// The file systems that a walk met, by device number.
#[derive(Debug, Default)]
pub struct Devices(HashMap<u64, Device>);

#[derive(Debug)]
struct Device {
    file_system: FileSystem,
    /// The newest ctime seen. It proves that the clock of the file system has reached this moment.
    newest_ctime: Time,
    /// The walk met a file whose ctime differs from its mtime.
    ctime_differs: bool,
}

impl Devices {
    /// Records the device and the times of an entry that a walk of `root` found at `path`.
    pub fn see(&mut self, root: &Dir, path: &Path, stat: &Stat) {
        let ask = || {
            let fd = root.open_path(path.as_bytes());
            let file_system = fd.map_or(FileSystem::UNKNOWN, FileSystem::of);
            Device { file_system, newest_ctime: stat.ctime, ctime_differs: false }
        };
        let device = self.0.entry(stat.dev).or_insert_with(ask);
        device.newest_ctime = device.newest_ctime.max(stat.ctime);
        device.ctime_differs |= stat.kind == FileType::File && stat.ctime != stat.mtime;
    }

    /// True if every change of a file on this device sets its ctime. If the type of the file system does not say
    /// so, one file whose ctime differs from its mtime must prove it. False for an unknown device.
    pub fn keep_ctime(&self, dev: u64) -> bool {
        self.0.get(&dev).is_some_and(Device::keeps_ctime)
    }

    pub fn all_keep_ctime(&self) -> bool {
        self.0.values().all(Device::keeps_ctime)
    }

    /// True if a write to the file after the moment `now` would certainly change `stat`. `now` is a moment of
    /// this machine's clock, before `stat` was read. If this is true, and a second `stat` after reading the file
    /// is equal, the file did not change while it was read.
    ///
    /// The clock of a file system advances in ticks: 4 or 10 ms before Linux 6.13, one second on ext4 with inodes of
    /// 128 bytes, two seconds on FAT. Two writes within one tick leave the same stamps. The window is two seconds on
    /// every file system, also if Linux makes finer stamps: `write(2)` sets the stamp when it begins, and the bytes
    /// arrive later. The clock of another machine may be behind this machine's clock: it is only certain that it has
    /// reached the newest ctime seen. Stamps in the future prove nothing.
    ///
    /// Two kinds of change stay undetected: a store through a memory map whose page is dirty already, until the
    /// system writes the page back, and a single `write(2)` that takes more than two seconds.
    pub fn prove(&self, stat: &Stat, now: Time) -> bool {
        let Some(device) = self.0.get(&stat.dev) else { return false };
        let reached = if device.file_system.is_local { now } else { now.min(device.newest_ctime) };
        stat.mtime.max(stat.ctime).is_settled_by(reached)
    }
}

impl Device {
    fn keeps_ctime(&self) -> bool {
        match self.file_system.ctime {
            CtimeKind::Kept => true,
            CtimeKind::Copied => false,
            CtimeKind::Unknown => self.ctime_differs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: Stat = Stat {
        kind: FileType::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: 1,
        mtime: at(50),
        ctime: at(100),
        ino: 1,
        dev: 7,
        nlink: 1,
        rdev: 0,
    };

    const fn at(secs: i64) -> Time {
        Time { secs, nanos: 5 }
    }

    fn devices(is_local: bool, newest: i64) -> Devices {
        let file_system = FileSystem { is_local, ..FileSystem::UNKNOWN };
        let device = Device { file_system, newest_ctime: at(newest), ctime_differs: false };
        Devices(HashMap::from([(STAT.dev, device)]))
    }

    #[test]
    fn young_stamps_and_those_of_the_future_prove_nothing() {
        let local = devices(true, 0);
        assert!(local.prove(&STAT, at(103)));
        for now in [102, 101, 100, 99, 0] {
            assert!(!local.prove(&STAT, at(now)), "{now}");
        }
        assert!(!local.prove(&Stat { mtime: at(104), ..STAT }, at(105)));
        assert!(!local.prove(&Stat { dev: 8, ..STAT }, at(1000)), "an unknown device");
    }

    #[test]
    fn the_clock_of_another_machine_is_where_its_newest_stamp_is() {
        assert!(devices(false, 103).prove(&STAT, at(103)));
        assert!(!devices(false, 102).prove(&STAT, at(1000)));
        assert!(!devices(false, 1000).prove(&STAT, at(102)));
    }

    #[test]
    fn a_ctime_is_believed_where_the_type_or_a_file_shows_that_it_is_kept() {
        let keeps = |ctime, ctime_differs| {
            let file_system = FileSystem { ctime, ..FileSystem::UNKNOWN };
            Device { file_system, newest_ctime: at(0), ctime_differs }.keeps_ctime()
        };
        assert!(keeps(CtimeKind::Kept, false) && keeps(CtimeKind::Unknown, true));
        assert!(!keeps(CtimeKind::Copied, true) && !keeps(CtimeKind::Unknown, false));
    }

    #[test]
    fn only_a_file_shows_that_ctimes_are_kept() {
        let temp = tempfile::tempdir().unwrap();
        let root = Dir::open(temp.path()).unwrap();
        let mut devices = devices(false, 0);
        let mut see = |kind, ctime| {
            devices.see(&root, &Path::root(), &Stat { kind, ctime, ..STAT });
            devices.keep_ctime(STAT.dev)
        };
        assert!(!see(FileType::File, STAT.mtime));
        assert!(!see(FileType::Dir, at(60)), "the root of a mount is often made up");
        assert!(see(FileType::File, at(60)));
        assert!(devices.all_keep_ctime());
        assert!(!devices.keep_ctime(STAT.dev + 1), "an unknown device");
    }
}
