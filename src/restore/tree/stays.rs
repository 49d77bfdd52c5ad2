//! What stays in an existing destination although it is extra or in the way: own and protected places, the
//! directories and links on the way to them, the stores of other backups, and what is mounted.

use std::collections::{BTreeSet, VecDeque};
use std::io;

use crate::entry::{Entry, Path};
use crate::error::{Error, Kind, Result};
use crate::format::names::Kind as FileKindInStore;
use crate::format::Name;
use crate::platform::{FileKind, Stat};
use crate::text::encode_name;

use super::Tree;

pub(super) const MOUNTED: &str =
    "another file system is mounted here, of which the snapshot has nothing: it is left alone";
pub(super) const STORE: &str = "backup files are in it: it is left alone";
const LEADS: &str = "what is protected is reached through it";
const UNREAD: &str = "the backup could not read what was there";

/// Something in the destination that stays.
pub(super) struct Staying {
    pub path: Path,
    pub why: &'static str,
    /// It is a directory that stays itself, while what lies in it may go.
    pub is_entered: bool,
    /// False if something is told that stays in it.
    pub is_told: bool,
}

impl Tree<'_, '_> {
    /// `Exists` if `now` is a place that an entry must not take.
    pub(super) fn refuse_own(&self, path: &Path, now: &Stat) -> Result<()> {
        match self.own.what(now.id()) {
            Some(why) => Err(refused("restore", path, why.into())),
            None => Ok(()),
        }
    }

    /// `Exists` if what is in the place of `entry` must not make way for it, for itself or for what lies below.
    pub(super) fn check_way(&mut self, entry: &Entry, now: &Stat) -> Result<()> {
        let refused = |why: String| Err(refused("make way for", &entry.path, why));
        if self.own.is_way(now.id()) {
            return refused(LEADS.into());
        }
        if now.kind != FileKind::Dir || !self.job.options.delete_extra {
            return Ok(());
        }
        if entry.place.dirty {
            return refused(UNREAD.into());
        }
        let device = self.dir_of(&entry.path).and_then(|dir| dir.stat_self());
        let device = device.map_err(|e| Error::io("look at the directory of", &entry.path, &e))?.dev;
        match self.find_staying(&entry.path, now, device)?.first() {
            Some(staying) => refused(format!("'{}': {}", encode_name(staying.path.as_bytes()), staying.why)),
            None => Ok(()),
        }
    }

    /// All that must stay of `path` and of what lies below it; `device` is that of its directory. Of what cannot
    /// be looked at nothing is known to stay.
    pub(super) fn find_staying(&mut self, path: &Path, now: &Stat, device: u64) -> Result<Vec<Staying>> {
        let mut found = Vec::new();
        let mut waiting = vec![(path.clone(), *now)];
        while let Some((path, now)) = waiting.pop() {
            self.job.pulse()?;
            let is_dir = now.kind == FileKind::Dir;
            let names = if is_dir && now.dev == device { self.list(&path).ok() } else { None };
            if let Some(why) = self.why_stays(&path, &now, device, names.as_ref()) {
                found.push(Staying { path, why, is_entered: false, is_told: true });
                continue;
            }
            for name in names.unwrap_or_default() {
                let Ok(path) = path.join(&name) else { continue };
                let now = self.dir_of(&path).and_then(|dir| dir.stat(&name));
                waiting.extend(now.ok().map(|now| (path, now)));
            }
            if is_dir && self.own.is_way(now.id()) {
                found.push(Staying { path, why: LEADS, is_entered: true, is_told: true });
            }
        }
        // A directory on the way to something that was found is not worth telling.
        let all: BTreeSet<Path> = found.iter().map(|one| one.path.clone()).collect();
        for one in &mut found {
            let next = all.range(one.path.clone()..).nth(1);
            one.is_told = !next.is_some_and(|path| path.is_within(one.path.as_bytes()));
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Why something extra stays with all that lies below it. `names` are those in it, if they could be listed.
    pub(super) fn why_stays(
        &mut self,
        path: &Path,
        now: &Stat,
        device: u64,
        names: Option<&VecDeque<Box<[u8]>>>,
    ) -> Option<&'static str> {
        if let Some(why) = self.own.what(now.id()) {
            return Some(why);
        }
        if now.kind != FileKind::Dir {
            return self.own.is_way(now.id()).then_some(LEADS);
        }
        let mounted = now.dev != device || self.dir_of(path).is_ok_and(|dir| dir.is_mount_point(path.name()));
        if mounted {
            return Some(MOUNTED);
        }
        names.is_some_and(|names| self.holds_states(path, names)).then_some(STORE)
    }

    /// Whether one of the `names` in a directory is that of a snapshot.
    pub(super) fn holds_states(&self, dir: &Path, names: &VecDeque<Box<[u8]>>) -> bool {
        let is_state = |name: &[u8]| {
            let parsed = std::str::from_utf8(name).ok().and_then(Name::parse);
            parsed.is_some_and(|name| name.kind == FileKindInStore::State)
        };
        names.iter().filter(|name| is_state(name)).any(|name| {
            let now = self.open_dir(dir.as_bytes()).and_then(|dir| dir.stat(name));
            // When in doubt it is one.
            now.map_or_else(|e| e.kind() != io::ErrorKind::NotFound, |now| now.kind == FileKind::File)
        })
    }
}

fn refused(op: &str, path: &Path, why: String) -> Error {
    Error { os_code: libc::EEXIST, ..Error::new(Kind::Exists, op, why) }.at(path)
}
