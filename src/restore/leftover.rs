//! Temporary names of restores, and the removal of left-overs: files and directories of restores that were killed.
//!
//! A temporary name contains a tag of its destination, which has 16 hexadecimal digits, and then 16 random digits. A
//! running restore holds a lock on the directory that it fills, and the system releases the lock when the process
//! ends. The next restore of the same destination removes a temporary directory that has the destination's tag and no
//! lock. A temporary file has no lock of its own: it is removed if no other restore works in the destination and the
//! file is older than this restore. Every name that the restore cannot judge stays, because locks are believed only
//! on file systems that no other machine serves.

use std::borrow::Cow;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::entry::RESTORE_TEMP_PREFIX;
use crate::error::{describe, Error, Kind, Result};
use crate::job::{Job, Level, ProblemKind};
use crate::platform::{self, Dir, FileKind};
use crate::stamp::Time;
use crate::text::encode_name;

/// The change time of a file may lag behind the clock by less than this, because the kernel uses a coarse clock for
/// it.
const STAMP_LAG: Duration = Duration::from_millis(20);

/// The name of a partial tree that the caller wants to keep and that could not get the destination's name. Random
/// digits follow.
const PARTIAL_PREFIX: &str = "ibt-partial-";

/// The mode of a kept partial tree that could not be renamed. The temporary directory of a running restore has mode
/// 0700.
const LEFT_MODE: u32 = 0o1700;

/// Reasons why a temporary name stays.
const IN_USE: &str = "a restore may work in it: remove it if none does";
const ELSEWHERE: &str =
    "it is on another file system than the destination, and restores of others may work in it: \
                         remove it if none does";
pub(super) const LEFT: &str = "a restore that failed was told to leave it";

/// The tag of a destination that does not exist yet. `name` is its name in its directory.
pub(super) fn tag_of_name(name: &[u8]) -> u64 {
    let hash = blake3::hash(name);
    hash.as_bytes()[..8].iter().fold(0, |tag, &byte| tag << 8 | u64::from(byte))
}

/// A new temporary name. Nothing has this name yet, because half of it is random.
pub(super) fn temp_name(tag: u64) -> io::Result<Vec<u8>> {
    Ok(format!("{RESTORE_TEMP_PREFIX}{tag:016x}-{}", random_digits()?).into_bytes())
}

fn random_digits() -> io::Result<String> {
    let random = platform::random_bytes16()?;
    Ok(random[..8].iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Renames a partial tree from its temporary name to a name that no later restore takes for a left-over. If the
/// rename fails, the tree gets the mode [`LEFT_MODE`] instead. Returns the tree's name, and whether the tree is safe
/// from later restores.
pub(super) fn set_aside(holder: &Dir, temp: &[u8], root: &Dir) -> (Vec<u8>, bool) {
    let name = random_digits().map(|digits| format!("{PARTIAL_PREFIX}{digits}").into_bytes());
    match name.and_then(|name| holder.rename_noreplace(temp, holder, &name).map(|()| name)) {
        Ok(name) => (name, true),
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
pub(super) struct Sweep {
    tag: u64,
    /// The device of the destination. On another device, the same tag may belong to another destination, because the
    /// roots of file systems share their inode number. The device is not part of the tag, because a device number may
    /// change with the next mount.
    device: Option<u64>,
    /// Files with an older change time belong to no running restore. `None` if another restore may work in the
    /// destination.
    files_before: Option<Time>,
}

/// The result of a sweep of one directory.
#[derive(Default)]
pub(super) struct Swept {
    pub removed: Vec<Box<[u8]>>,
    /// Left-overs of this destination that may be in use, each with the reason why it stays.
    pub kept: Vec<(Box<[u8]>, Cow<'static, str>)>,
}

impl Swept {
    /// Logs the removed left-overs, and lists the ones that stay as problems. `path_of` returns the path of a name.
    pub fn tell(&self, path_of: impl Fn(&[u8]) -> Vec<u8>, job: &mut Job) -> Result<()> {
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

impl Sweep {
    /// For a destination that does not exist or is empty.
    pub fn of_dirs(tag: u64) -> Sweep {
        Sweep { tag, device: None, files_before: None }
    }

    /// For an existing tree. Locks `root` until `root` is closed, so that other restores remove nothing in it.
    pub fn of_tree((device, tag): (u64, u64), root: &Dir) -> Sweep {
        let alone = platform::hold_dir(root).is_ok() && platform::is_dir_held(root) == Some(false);
        let now = Time::now();
        Sweep {
            tag,
            device: Some(device),
            files_before: alone.then(|| Time::from_nanos(now.to_nanos() - STAMP_LAG.as_nanos() as i128)),
        }
    }

    fn is_mine(&self, name: &[u8]) -> bool {
        let tag = format!("{RESTORE_TEMP_PREFIX}{:016x}-", self.tag);
        crate::entry::is_restore_temp(name) && name.starts_with(tag.as_bytes())
    }

    /// Removes the left-overs of earlier restores of the same destination from `dir`.
    pub fn run<'n>(&self, dir: &Dir, names: impl Iterator<Item = &'n [u8]>) -> Swept {
        let mut swept = Swept::default();
        for name in names.filter(|name| self.is_mine(name)) {
            match self.remove(dir, name) {
                Ok(None) => swept.removed.push(name.into()),
                Ok(Some(why)) => swept.kept.push((name.into(), why.into())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => swept.kept.push((name.into(), describe(&error).into())),
            }
        }
        swept
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
        if now.kind != FileKind::Dir {
            let dead = self.files_before.is_some_and(|before| now.ctime < before);
            return if dead { dir.unlink(name).map(|()| None) } else { Ok(Some(IN_USE)) };
        }
        if now.mode == LEFT_MODE {
            return Ok(Some(LEFT));
        }
        let left = dir.open_dir(name)?;
        if platform::is_dir_held(&left) != Some(false) {
            return Ok(Some(IN_USE));
        }
        // A new restore makes its directory, takes the lock and then checks the name. So there are two cases: that
        // restore finds the name gone and tries another name, or the second look here finds the lock.
        let other = temp_name(self.tag)?;
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
}

/// Makes and locks a temporary directory in `holder`. Removes the ACLs that the directory inherited from a default
/// ACL of `holder`, because they would get into the restored tree.
pub(super) fn make_temp(holder: &Dir, tag: u64) -> io::Result<(Vec<u8>, Dir)> {
    for _ in 0..16 {
        let name = temp_name(tag)?;
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
