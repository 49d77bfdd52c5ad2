//! What stays in an existing destination although it is extra or in the way: own and protected places, the
//! directories and links on the way to them, the stores of other backups, and what is mounted.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::os::fd::AsFd;

use crate::entry::{Entry, Path};
use crate::error::{describe, is_shortage, Error, Kind, Result};
use crate::format::names::Kind as FileKindInStore;
use crate::format::Name;
use crate::job::ProblemKind;
use crate::platform::{self, FileKind, Stat};
use crate::text::encode_name;

use super::known::set_mode_if;
use super::Tree;

pub(super) const MOUNTED: &str =
    "something is mounted here, of which the snapshot has nothing: it is left alone";
pub(super) const UNTOLD: &str = "the system does not tell whether anything is mounted here: it is left alone";
pub(super) const STORE: &str = "backup files are in it: it is left alone";
pub(super) const LOST: &str =
    "a content could not be restored, and what is extra may be the only good copy of it: all stays";
const LEADS: &str = "what is protected is reached through it";
const UNREAD: &str = "the backup could not read what was there";

/// Something in the destination that stays.
pub(super) struct Staying {
    pub path: Path,
    pub why: Cow<'static, str>,
    /// It is a directory that stays itself, while what lies in it may go.
    pub is_entered: bool,
    /// False if something is told that stays in it.
    pub is_told: bool,
}

/// What was found in a directory that may go: what stays there, and the directories that are to be looked into.
#[derive(Default)]
struct Search {
    found: Vec<Staying>,
    waiting: Vec<(Path, Stat)>,
    /// Directories that were opened up, as they were before.
    lent: Vec<(Path, Stat)>,
}

impl Search {
    fn stays(&mut self, path: Path, why: impl Into<Cow<'static, str>>) {
        self.found.push(Staying { path, why: why.into(), is_entered: false, is_told: true });
    }
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
        if self.content_lost && !self.list(&entry.path)?.is_empty() {
            return refused(LOST.into());
        }
        let device = self.dir_of(&entry.path).and_then(|dir| dir.stat_self());
        let device = device.map_err(|e| Error::io("look at the directory of", &entry.path, &e))?.dev;
        match self.find_staying(&entry.path, now, device)?.first() {
            Some(staying) => refused(format!("'{}': {}", encode_name(staying.path.as_bytes()), staying.why)),
            None => Ok(()),
        }
    }

    /// All that must stay of `path` and of what lies below it; `device` is that of its directory. What cannot be looked
    /// at stays. A dry run opens no directory up that its owner has closed: of such a one it takes all for extra.
    pub(super) fn find_staying(&mut self, path: &Path, now: &Stat, device: u64) -> Result<Vec<Staying>> {
        let mut search = Search::default();
        self.look_at(path.clone(), *now, device, &mut search);
        let done = self.search(device, &mut search);
        self.give_rights_back(search.lent)?;
        done?;
        // A directory on the way to something that was found is not worth telling.
        let mut found = search.found;
        let all: BTreeSet<Path> = found.iter().map(|one| one.path.clone()).collect();
        for one in &mut found {
            let next = all.range(one.path.clone()..).nth(1);
            one.is_told = !next.is_some_and(|path| path.is_within(one.path.as_bytes()));
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Looks into the directories that wait, and into those in them.
    fn search(&mut self, device: u64, search: &mut Search) -> Result<()> {
        while let Some((path, now)) = search.waiting.pop() {
            self.job.pulse()?;
            let is_way = self.own.is_way(now.id());
            if self.job.options.dry_run && self.lacks_rights(&now, 0o500) {
                if is_way {
                    search.stays(path, LEADS);
                }
                continue;
            }
            let names = match self.list_closed(&path, &now, 0o500, &mut search.lent) {
                Ok(names) => names,
                Err(error) if error.os_code == libc::ENOENT => continue,
                Err(error) if error.is_own => return Err(error),
                Err(error) => {
                    search.stays(path, format!("nobody knows what is in it: {}", error.detail));
                    continue;
                }
            };
            if self.holds_states(&path, &names) {
                search.stays(path, STORE);
                continue;
            }
            for name in names {
                let Ok(below) = path.join(&name) else {
                    search.stays(path.clone(), "the path of something in it is too long");
                    continue;
                };
                match self.dir_of(&below).and_then(|dir| dir.stat(&name)) {
                    Ok(now) => self.look_at(below, now, device, search),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) if is_shortage(&error) => return Err(Error::io("look at", &below, &error)),
                    Err(error) => {
                        search.stays(below, format!("nobody knows what it is: {}", describe(&error)))
                    }
                }
            }
            if is_way {
                search.found.push(Staying { path, why: LEADS.into(), is_entered: true, is_told: true });
            }
        }
        Ok(())
    }

    /// Notes that something stays, or is a directory to be looked into.
    fn look_at(&mut self, path: Path, now: Stat, device: u64, search: &mut Search) {
        match self.why_stays(&path, &now, device) {
            Some(why) => search.stays(path, why),
            None if now.kind == FileKind::Dir => search.waiting.push((path, now)),
            None => {}
        }
    }

    /// The names in a directory. If its owner has closed it to himself, and that is us, it is opened up for these rights
    /// and noted.
    pub(super) fn list_closed(
        &mut self,
        path: &Path,
        now: &Stat,
        rights: u32,
        lent: &mut Vec<(Path, Stat)>,
    ) -> Result<VecDeque<Box<[u8]>>> {
        if self.may_lend(now, rights) {
            let named = self.dir_of(path).and_then(|dir| dir.open_path(path.name()));
            // If this fails, what needs the rights fails too and says why.
            if named.and_then(|fd| set_mode_if(fd.as_fd(), now)).is_ok() {
                lent.push((path.clone(), *now));
            }
        }
        self.list(path)
    }

    /// Gives directories that were opened up the modes that they had, the deepest first.
    pub(super) fn give_rights_back(&mut self, lent: Vec<(Path, Stat)>) -> Result<()> {
        let mut done = Ok(());
        for (path, before) in lent.into_iter().rev() {
            let named = self.dir_of(&path).and_then(|dir| dir.open_path(path.name()));
            let back = named.and_then(|fd| match platform::stat_fd(fd.as_fd())?.id() == before.id() {
                true => platform::set_mode(fd.as_fd(), before.mode),
                false => Ok(()),
            });
            let told = match back {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let error = Error::io("set the mode of", &path, &error);
                    self.job.trouble(ProblemKind::Metadata, path.as_bytes(), error)
                }
                _ => Ok(()),
            };
            done = done.and(told);
        }
        done
    }

    /// Why something extra stays with all that lies below it, as far as that is seen without looking into it.
    pub(super) fn why_stays(&mut self, path: &Path, now: &Stat, device: u64) -> Option<&'static str> {
        if let Some(why) = self.own.what(now.id()) {
            return Some(why);
        }
        if now.kind != FileKind::Dir && self.own.is_way(now.id()) {
            return Some(LEADS);
        }
        self.why_mounted(path, now, device)
    }

    /// Why what is mounted at `path`, of the same file system too, is left alone; `device` is that of its directory. Where
    /// the system does not tell, a directory counts as mounted, and a file does not: the system refuses to remove a
    /// mounted file. The device number of a file need not be that of its directory (overlayfs).
    pub(super) fn why_mounted(&mut self, path: &Path, now: &Stat, device: u64) -> Option<&'static str> {
        let is_dir = now.kind == FileKind::Dir;
        if is_dir && now.dev != device {
            return Some(MOUNTED);
        }
        match self.dir_of(path).and_then(|dir| dir.is_mount_point(path.name())) {
            Ok(true) => Some(MOUNTED),
            Ok(false) => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(_) => is_dir.then_some(UNTOLD),
        }
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
