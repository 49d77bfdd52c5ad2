//! Whether the time stamps of the file systems in a source prove anything.

use std::collections::HashMap;

use crate::entry::Path;
use crate::platform::{Dir, FileSystem, Stat};
use crate::stamp::Time;

/// The file systems that a walk came across, by device number.
#[derive(Debug, Default)]
pub struct Devices(HashMap<u64, Device>);

#[derive(Debug)]
struct Device {
    file_system: FileSystem,
    /// The newest ctime seen: the clock that makes the stamps has reached it.
    newest_ctime: Time,
}

impl Devices {
    /// Takes note of an entry that a walk of `root` found at `path`.
    pub fn see(&mut self, root: &Dir, path: &Path, stat: &Stat) {
        let ask = || {
            let fd = root.open_path(path.as_bytes());
            let file_system = fd.map_or(FileSystem { is_local: false }, FileSystem::of);
            Device { file_system, newest_ctime: stat.ctime }
        };
        let device = self.0.entry(stat.dev).or_insert_with(ask);
        device.newest_ctime = device.newest_ctime.max(stat.ctime);
    }

    /// True if a write to the file after the moment `now` would certainly change `stat`. `now` is by the clock of
    /// this machine, and `stat` was taken after it; so stamps that are equal again after a read prove that the file
    /// held still.
    ///
    /// A file system's clock advances in ticks: 4 or 10 ms before Linux 6.13, a second on ext4 with inodes of 128
    /// bytes, two on FAT. Two writes within one tick leave the same stamps. The window is two seconds on every file
    /// system, also where Linux makes finer stamps: the stamp is set when `write(2)` begins, and the bytes arrive
    /// later. Another machine's clock may be behind ours; of that one only the newest ctime is known to have passed.
    /// Stamps in the future prove nothing.
    ///
    /// What this cannot see: stores through a memory map whose page is dirty already, for as long as the system
    /// takes to write it back, and one `write(2)` that takes more than two seconds.
    pub fn prove(&self, stat: &Stat, now: Time) -> bool {
        let Some(device) = self.0.get(&stat.dev) else { return false };
        let reached = if device.file_system.is_local { now } else { now.min(device.newest_ctime) };
        stat.mtime.max(stat.ctime).is_settled_by(reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::FileKind;

    const STAT: Stat = Stat {
        kind: FileKind::File,
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
        let device = Device { file_system: FileSystem { is_local }, newest_ctime: at(newest) };
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
}
