//! What restores work in, told from what killed ones left.
//!
//! A temporary name says which destination it was made for: a tag of 16 hexadecimal digits, then 16 random ones. A
//! restore that runs holds a lock on the directory that it fills; the lock goes however the process ends. So the next
//! restore of the same destination removes what is its own and held by nobody. What it cannot judge it leaves alone:
//! locks are believed only on file systems that no other machine serves.

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

/// Stamps of files lag behind the clock by less than this.
const STAMP_LAG: Duration = Duration::from_millis(20);

/// How a tree is called that a restore was told to leave and that could not have its name. Random digits follow.
const PARTIAL_PREFIX: &str = "ibt-partial-";

/// The mode of such a tree where it could not even be renamed. A restore that works has 0700 there.
const LEFT_MODE: u32 = 0o1700;

/// Why something under a temporary name stays.
const IN_USE: &str = "a restore may work in it: remove it if none does";
const ELSEWHERE: &str =
    "it is on another file system than the destination, and restores of others may work in it: \
                         remove it if none does";
const LEFT: &str = "a restore that failed was told to leave it";

/// The tag of a destination that is not there yet, by its name in its directory.
pub(super) fn tag_of_name(name: &[u8]) -> u64 {
    let hash = blake3::hash(name);
    hash.as_bytes()[..8].iter().fold(0, |tag, &byte| tag << 8 | u64::from(byte))
}

/// A name that nothing has yet.
pub(super) fn temp_name(tag: u64) -> io::Result<Vec<u8>> {
    Ok(format!("{RESTORE_TEMP_PREFIX}{tag:016x}-{}", random_digits()?).into_bytes())
}

fn random_digits() -> io::Result<String> {
    let random = platform::random_bytes16()?;
    Ok(random[..8].iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Gives a tree that stays another name than a temporary one, which no restore takes for a left-over. Where nothing
/// can be renamed it gets a mode that tells. Returns its name, and whether it is safe from later restores.
pub(super) fn set_aside(holder: &Dir, temp: &[u8], root: &Dir) -> (Vec<u8>, bool) {
    let name = random_digits().map(|digits| format!("{PARTIAL_PREFIX}{digits}").into_bytes());
    match name.and_then(|name| holder.rename_noreplace(temp, holder, &name).map(|()| name)) {
        Ok(name) => (name, true),
        Err(_) => (temp.to_vec(), platform::set_mode(root.as_fd(), LEFT_MODE).is_ok()),
    }
}

/// What is looked for when left-overs of earlier restores are removed.
#[derive(Clone, Copy)]
pub(super) struct Sweep {
    tag: u64,
    /// That of the destination. On others the same tag may be another destination's: the roots of file systems share
    /// their inode number. A device number may change with the next mount, so that it is no part of the tag.
    device: Option<u64>,
    /// No other restore works in the destination, so that files older than this are nobody's.
    files_before: Option<Time>,
}

/// What became of the left-overs in one directory.
#[derive(Default)]
pub(super) struct Swept {
    pub removed: Vec<Box<[u8]>>,
    /// Of this destination, but perhaps in use, and why they stay.
    pub kept: Vec<(Box<[u8]>, Cow<'static, str>)>,
}

impl Swept {
    /// Logs what was removed, and lists what stays. `path_of` is the path of a name.
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
    /// Of a destination that is not there, or is empty.
    pub fn of_dirs(tag: u64) -> Sweep {
        Sweep { tag, device: None, files_before: None }
    }

    /// Of an existing tree. Holds `root`, as long as that is open, against the sweeps of others.
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

    /// Removes from `dir` what earlier restores of the same destination left in it.
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

    /// Removes one left-over, or tells why it stays.
    fn remove(&self, dir: &Dir, name: &[u8]) -> io::Result<Option<&'static str>> {
        let now = dir.stat(name)?;
        // That of a file need not be that of its directory (overlayfs).
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
        // A restore that has made it just now takes its lock and then looks whether it still has its name: either
        // that restore finds the name gone, or its lock is seen here.
        let other = temp_name(self.tag)?;
        dir.rename_noreplace(name, dir, &other)?;
        if platform::is_dir_held(&left) != Some(false) {
            return dir.rename_noreplace(&other, dir, name).map(|()| Some(IN_USE));
        }
        dir.remove_tree(&other).map(|()| None)
    }
}

/// Makes a temporary directory in `holder` and holds it. A default ACL of the directory around must not find its way
/// into the tree.
pub(super) fn make_temp(holder: &Dir, tag: u64) -> io::Result<(Vec<u8>, Dir)> {
    for _ in 0..16 {
        let name = temp_name(tag)?;
        holder.mkdir(&name, 0o700)?;
        let opened = holder.open_dir(&name).and_then(|root| {
            super::target::remove_acls(&root)?;
            // Where there are no locks nothing is ever taken for a left-over.
            let _ = platform::hold_dir(&root);
            Ok((root.stat_self()?.id(), root))
        });
        match opened {
            Ok((id, root)) if holder.stat(&name).is_ok_and(|now| now.id() == id) => return Ok((name, root)),
            // Another restore took it for a left-over.
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
