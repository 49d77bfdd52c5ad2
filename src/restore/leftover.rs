//! What restores work in, told from what killed ones left.
//!
//! A temporary name says which destination it was made for: a tag of 16 hexadecimal digits, then 16 random ones. A
//! restore that runs holds a lock on the directory that it fills; the lock goes however the process ends. So the next
//! restore of the same destination removes what is its own and held by nobody. What it cannot judge it leaves alone:
//! locks are believed only on file systems that no other machine serves.

use std::io;
use std::time::Duration;

use crate::entry::RESTORE_TEMP_PREFIX;
use crate::platform::{self, Dir, FileKind};
use crate::stamp::Time;

/// Stamps of files lag behind the clock by less than this.
const STAMP_LAG: Duration = Duration::from_millis(20);

/// The tag of a destination that is not there yet, by its name in its directory.
pub(super) fn tag_of_name(name: &[u8]) -> u64 {
    let hash = blake3::hash(name);
    hash.as_bytes()[..8].iter().fold(0, |tag, &byte| tag << 8 | u64::from(byte))
}

/// A name that nothing has yet.
pub(super) fn temp_name(tag: u64) -> io::Result<Vec<u8>> {
    let random = platform::random_bytes16()?;
    let digits: String = random[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{RESTORE_TEMP_PREFIX}{tag:016x}-{digits}").into_bytes())
}

/// What is looked for when left-overs of earlier restores are removed.
#[derive(Clone, Copy)]
pub(super) struct Sweep {
    tag: u64,
    /// No other restore works in the destination, so that files older than this are nobody's.
    files_before: Option<Time>,
}

/// What became of the left-overs in one directory.
#[derive(Default)]
pub(super) struct Swept {
    pub removed: Vec<Box<[u8]>>,
    /// Of this destination, but held by a restore that runs, or not known not to be.
    pub kept: Vec<Box<[u8]>>,
}

impl Sweep {
    /// Of a destination that is not there, or is empty.
    pub fn of_dirs(tag: u64) -> Sweep {
        Sweep { tag, files_before: None }
    }

    /// Of an existing tree. Holds `root`, as long as that is open, against the sweeps of others.
    pub fn of_tree(tag: u64, root: &Dir) -> Sweep {
        let alone = platform::hold_dir(root).is_ok() && platform::is_dir_held(root) == Some(false);
        let now = Time::now();
        Sweep {
            tag,
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
                Ok(true) => swept.removed.push(name.into()),
                Ok(false) => swept.kept.push(name.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => swept.kept.push(name.into()),
            }
        }
        swept
    }

    /// Removes one left-over. False if it may belong to a restore that runs.
    fn remove(&self, dir: &Dir, name: &[u8]) -> io::Result<bool> {
        let now = dir.stat(name)?;
        if now.kind != FileKind::Dir {
            let dead = self.files_before.is_some_and(|before| now.ctime < before);
            return if dead { dir.unlink(name).map(|()| true) } else { Ok(false) };
        }
        let left = dir.open_dir(name)?;
        if platform::is_dir_held(&left) != Some(false) {
            return Ok(false);
        }
        // A restore that has made it just now takes its lock and then looks whether it still has its name: either
        // that restore finds the name gone, or its lock is seen here.
        let other = temp_name(self.tag)?;
        dir.rename_noreplace(name, dir, &other)?;
        if platform::is_dir_held(&left) != Some(false) {
            return dir.rename_noreplace(&other, dir, name).map(|()| false);
        }
        dir.remove_tree(&other).map(|()| true)
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
