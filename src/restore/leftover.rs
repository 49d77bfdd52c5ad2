//! Temporary names of restores, and the removal of left-overs: files and directories of restores that were killed.
//!
//! A temporary name contains a tag of its destination, the mark of the machine that gave the name
//! ([`MachineMark`]), and a random number, each as 16 hexadecimal digits. A running restore holds a lock on the
//! directory that it fills, and the system releases the lock when the process ends. The next restore of the same
//! destination removes a temporary directory that has the destination's tag and no lock. A temporary file has no lock
//! of its own: it is removed if no other restore works in the destination and the file is older than this restore.
//!
//! The locks of another machine may be invisible here: a network file system keeps locks on directories to itself. So
//! a name with the mark of another machine stays until nothing in it has changed for [`ABANDONED_SECS`]. Names that
//! the restore cannot judge stay.

use std::borrow::Cow;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::entry::{FileType, RESTORE_TEMP_PREFIX};
use crate::error::{Error, Kind, Result, describe};
use crate::job::{Job, Level, ProblemKind};
use crate::platform::{self, CtimeKind, Dir, FileSystem, MachineMark, MarkOrigin, Stat};
use crate::stamp::Time;
use crate::text::encode_name;

/// The change time of a file may lag behind the clock by less than this, because the kernel uses a coarse clock for
/// it.
const STAMP_LAG: Duration = Duration::from_millis(20);

/// Seconds without a change after which the work of a restore on another machine counts as abandoned: a week. A
/// restore writes all the time, and the clocks of two machines may differ.
const ABANDONED_SECS: i64 = 7 * 86_400;

/// The name of a partial tree that the caller wants to keep and that could not get the destination's name. Random
/// digits follow.
const PARTIAL_PREFIX: &str = "ibt-partial-";

/// The mode of a kept partial tree that could not be renamed. The temporary directory of a running restore has mode
/// 0700.
const LEFT_MODE: u32 = 0o1700;

/// Reasons why a temporary name stays.
const IN_USE: &str = "a restore may work in it: remove it if none does";
const ELSEWHERE: &str = "it is on another file system than the destination, and restores of others may work in it: \
                         remove it if none does";
const OTHER_MACHINE: &str = "a restore on another machine may work in it: remove it if none does (after a week \
                             without changes, the next restore removes it)";
pub(super) const LEFT: &str = "a restore that failed was told to leave it";

/// The tag of a destination that does not exist yet. `name` is its name in its directory.
pub(super) fn tag_of_name(name: &[u8]) -> u64 {
    let hash = blake3::hash(name);
    hash.as_bytes()[..8].iter().fold(0, |tag, &byte| tag << 8 | u64::from(byte))
}

/// A new temporary name. No file has this name yet, because the name contains a random number.
pub(super) fn temp_name(tag: u64) -> Vec<u8> {
    let here = MachineMark::here();
    format!("{RESTORE_TEMP_PREFIX}{tag:016x}-{here}-{}", digits16()).into_bytes()
}

fn digits16() -> String {
    let mut digits = platform::unique_digits();
    digits.truncate(16);
    digits
}

/// Renames a partial tree from its temporary name to a name that no later restore takes for a left-over. If the
/// rename fails, the tree gets the mode [`LEFT_MODE`] instead. Returns the tree's name, and whether the tree is safe
/// from later restores.
pub(super) fn set_aside(holder: &Dir, temp: &[u8], root: &Dir) -> (Vec<u8>, bool) {
    let name = format!("{PARTIAL_PREFIX}{}", digits16()).into_bytes();
    match holder.rename_noreplace(temp, holder, &name) {
        Ok(()) => (name, true),
        Err(_) => (temp.to_vec(), platform::set_mode(root.as_fd(), LEFT_MODE).is_ok()),
    }
}

/// Whether a name is one that [`set_aside`] gives.
pub(super) fn is_set_aside(name: &[u8]) -> bool {
    name.strip_prefix(PARTIAL_PREFIX.as_bytes())
        .is_some_and(|digits| digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit))
}

/// Which temporary names count as left-overs of one destination.
#[derive(Clone, Copy)]
pub(super) struct LeftoverRemoval {
    tag: u64,
    /// The device of the destination. On another device, the same tag may belong to another destination, because the
    /// roots of file systems share their inode number. The device is not part of the tag, because a device number may
    /// change with the next mount.
    device: Option<u64>,
    here: MachineMark,
    now: Time,
    /// No other restore of this machine works in the existing tree, so files that are older than this restore belong
    /// to no running restore of this machine.
    is_alone: bool,
}

/// The left-overs of one directory that were removed, and those that stay.
#[derive(Default)]
pub(super) struct LeftoverOutcome {
    pub removed: Vec<Box<[u8]>>,
    /// Left-overs of this destination that may be in use, each with the reason why it stays.
    pub kept: Vec<(Box<[u8]>, Cow<'static, str>)>,
}

impl LeftoverOutcome {
    /// Logs the removed left-overs, and lists the ones that stay as problems. `path_of` returns the path of a name.
    pub fn report(&self, path_of: impl Fn(&[u8]) -> Vec<u8>, job: &mut Job) -> Result<()> {
        for name in &self.removed {
            let name = encode_name(name);
            job.log(Level::Info, &format!("removed {name}, which a restore that was stopped had left"));
        }
        for (name, why) in &self.kept {
            let path = path_of(name);
            let error = Error::new(Kind::Busy, "remove what a restore has left", &**why).at(&path);
            job.trouble(ProblemKind::Leftover, &path, error)?;
        }
        Ok(())
    }
}

impl LeftoverRemoval {
    /// For a destination that does not exist or is empty.
    pub fn of_dirs(tag: u64) -> LeftoverRemoval {
        LeftoverRemoval { tag, device: None, here: MachineMark::here(), now: Time::now(), is_alone: false }
    }

    /// For an existing tree. Locks `root` until `root` is closed, so that other restores remove nothing in it.
    pub fn of_tree((device, tag): (u64, u64), root: &Dir) -> LeftoverRemoval {
        let is_alone = platform::hold_dir(root).is_ok() && platform::is_dir_held(root) == Some(false);
        LeftoverRemoval { device: Some(device), is_alone, ..LeftoverRemoval::of_dirs(tag) }
    }

    fn is_mine(&self, name: &[u8]) -> bool {
        let tag = format!("{RESTORE_TEMP_PREFIX}{:016x}-", self.tag);
        crate::entry::is_restore_temp(name) && name.starts_with(tag.as_bytes())
    }

    /// Removes the left-overs of earlier restores of the same destination from `dir`.
    pub fn remove_from<'n>(&self, dir: &Dir, names: impl Iterator<Item = &'n [u8]>) -> LeftoverOutcome {
        let mut outcome = LeftoverOutcome::default();
        for name in names.filter(|name| self.is_mine(name)) {
            match self.remove(dir, name) {
                Ok(None) => outcome.removed.push(name.into()),
                Ok(Some(why)) => outcome.kept.push((name.into(), why.into())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => outcome.kept.push((name.into(), describe(&error).into())),
            }
        }
        outcome
    }

    /// Removes one left-over, or returns the reason why it stays.
    fn remove(&self, dir: &Dir, name: &[u8]) -> io::Result<Option<&'static str>> {
        let now = dir.stat(name)?;
        // Asks the directory and not the file: on overlayfs, the device number of a file may differ from that of its
        // directory.
        let here = dir.stat_self()?.dev;
        if self.device.is_some_and(|device| device != here) {
            return Ok(Some(ELSEWHERE));
        }
        if now.kind != FileType::Dir {
            let why = self.why_file_stays(name, &now, dir);
            return why.map_or_else(|| dir.unlink(name).map(|()| None), |why| Ok(Some(why)));
        }
        if now.mode == LEFT_MODE {
            return Ok(Some(LEFT));
        }
        let left = dir.open_dir(name)?;
        if let Some(why) = self.why_dir_stays(name, &left, dir) {
            return Ok(Some(why));
        }
        // A new restore makes its directory, takes the lock and then checks the name. So there are two cases: that
        // restore finds the name gone and tries another name, or the second look here finds the lock.
        let other = temp_name(self.tag);
        dir.rename_noreplace(name, dir, &other)?;
        if platform::is_dir_held(&left) != Some(false) {
            return dir.rename_noreplace(&other, dir, name).map(|()| Some(IN_USE));
        }
        let removed = dir.remove_tree(&other);
        if removed.is_err() {
            // The report names the old name, so the rest of the tree must have that name again.
            let _ = dir.rename_noreplace(&other, dir, name);
        }
        removed.map(|()| None)
    }

    /// Where the temporary name was given.
    fn origin(&self, name: &[u8]) -> MarkOrigin {
        let mark = name.split(|&byte| byte == b'-').rev().nth(1).and_then(MachineMark::parse);
        mark.map_or(MarkOrigin::Elsewhere, |mark| mark.origin(self.here))
    }

    fn is_abandoned(&self, changed: Time) -> bool {
        changed <= self.now.plus_secs(-ABANDONED_SECS)
    }

    /// The reason why a temporary file in `dir` stays. `None` if it belongs to no running restore.
    fn why_file_stays(&self, name: &[u8], now: &Stat, dir: &Dir) -> Option<&'static str> {
        let (origin, is_local) = (self.origin(name), dir.syncs_whole());
        let started = Time::from_nanos(self.now.to_nanos() - STAMP_LAG.as_nanos() as i128);
        let is_dead = match origin {
            MarkOrigin::ThisBoot if is_local => now.ctime < started,
            MarkOrigin::EarlierBoot if is_local => true,
            _ => self.is_abandoned(last_change(now, FileSystem::of(dir))),
        };
        match origin {
            _ if is_dead && self.is_alone => None,
            MarkOrigin::ThisBoot => Some(IN_USE),
            _ => Some(OTHER_MACHINE),
        }
    }

    /// The reason why the temporary directory `left`, which has this name in `dir`, stays. `None` if no running
    /// restore uses it.
    fn why_dir_stays(&self, name: &[u8], left: &Dir, dir: &Dir) -> Option<&'static str> {
        let origin = self.origin(name);
        let (is_local, is_held) = (dir.syncs_whole(), platform::is_dir_held(left));
        let is_dead = match origin {
            _ if is_held != Some(false) => false,
            MarkOrigin::ThisBoot if is_local || shows_locks(left, || dir.open_dir(name)) => true,
            MarkOrigin::EarlierBoot if is_local => true,
            _ => self.is_untouched(left),
        };
        match origin {
            _ if is_dead => None,
            MarkOrigin::ThisBoot => Some(IN_USE),
            _ => Some(OTHER_MACHINE),
        }
    }

    /// Whether nothing in a directory has changed for [`ABANDONED_SECS`]. False if that cannot be found out.
    fn is_untouched(&self, top: &Dir) -> bool {
        let system = FileSystem::of(top);
        let is_old = |now: &Stat| self.is_abandoned(last_change(now, system));
        let mut waiting = vec![Vec::new()];
        while let Some(path) = waiting.pop() {
            let Ok(dir) = top.open_dir(&path) else { return false };
            let listing = dir.list();
            if listing.error.is_some() || !dir.stat_self().is_ok_and(|now| is_old(&now)) {
                return false;
            }
            for (name, _) in listing.names {
                match dir.stat(&name) {
                    Ok(now) if !is_old(&now) => return false,
                    Ok(now) if now.kind == FileType::Dir && path.is_empty() => waiting.push(name.into()),
                    Ok(now) if now.kind == FileType::Dir => waiting.push([&path[..], b"/", &name].concat()),
                    Ok(_) => {}
                    Err(_) => return false,
                }
            }
        }
        true
    }
}

/// When a file last changed. A restore sets the mtime of a finished file, so the ctime counts where the file system
/// keeps it.
fn last_change(now: &Stat, system: FileSystem) -> Time {
    match system.ctime {
        CtimeKind::Kept => now.ctime,
        CtimeKind::Copied | CtimeKind::Unknown => now.ctime.max(now.mtime),
    }
}

/// Whether a lock on a directory is seen through another descriptor of the directory. A file system that a program or
/// another machine serves may treat two descriptors of one directory as two directories.
fn shows_locks(dir: &Dir, open_again: impl FnOnce() -> io::Result<Dir>) -> bool {
    let again = platform::hold_dir(dir).and_then(|()| open_again());
    again.is_ok_and(|again| platform::is_dir_held(&again) == Some(true))
}

/// Makes and locks a temporary directory in `holder`. Removes the ACLs that the directory inherited from a default
/// ACL of `holder`, because they would get into the restored tree.
pub(super) fn make_temp(holder: &Dir, tag: u64) -> io::Result<(Vec<u8>, Dir)> {
    for _ in 0..16 {
        let name = temp_name(tag);
        holder.mkdir(&name, 0o700)?;
        let opened = holder.open_dir(&name).and_then(|root| {
            super::target::remove_acls(&root)?;
            // Where the system has no locks, `is_dir_held` returns `None` and no directory counts as a left-over.
            let _ = platform::hold_dir(&root);
            Ok((root.stat_self()?.id(), root))
        });
        match opened {
            Ok((id, root)) if holder.stat(&name).is_ok_and(|now| now.id() == id) => return Ok((name, root)),
            // Another restore took the new directory for a left-over.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let _ = holder.rmdir(&name);
                return Err(error);
            }
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}
