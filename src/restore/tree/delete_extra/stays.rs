//! Decides what must stay in an existing destination although it is extra or in the way: the library's own and
//! protected places, the directories and links that lead to them, the stores of other backups, and mount points.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::os::fd::AsFd;

use crate::entry::{Entry, FileType, Path};
use crate::error::{Error, Kind, Result, describe, is_shortage};
use crate::format::TEMP_PREFIX;
use crate::format::names::parse_any;
use crate::job::ProblemKind;
use crate::platform::{self, Stat};
use crate::text::encode_name;

use crate::restore::leftover::{LEFT, is_set_aside};
use crate::restore::tree::Tree;
use crate::restore::tree::metadata::set_mode_if;

pub const MOUNTED: &str = "something is mounted here, of which the snapshot has nothing: it is left alone";
pub const UNTOLD: &str = "the system does not tell whether anything is mounted here: it is left alone";
pub const STORE: &str = "backup files are in it: it is left alone";
pub const LOST: &str =
    "a content could not be restored, and what is extra may be the only good copy of it: all stays";
pub const PROTECTED: &str = "it is immutable or append-only; 'chattr -ia' takes this protection away";
pub const PROTECTED_DIR: &str = "it is immutable or append-only: what else is in it stays";
const LEADS: &str = "what is protected is reached through it";
const EXCLUDED: &str = "a pattern excludes it from the restore";
const UNREAD: &str = "the backup could not read what was there";

/// A file or directory in the destination that stays.
pub struct KeptPath {
    pub path: Path,
    pub why: Cow<'static, str>,
    /// The directory itself stays, and extra entries in it may go.
    pub is_entered: bool,
    /// False if something below it stays as well: only the deeper path is then reported.
    pub is_told: bool,
}

/// A search for everything that must stay in a directory that is to be removed: the results, and the directories
/// still to be searched.
#[derive(Default)]
struct KeptSearch {
    found: Vec<KeptPath>,
    waiting: Vec<(Path, Stat)>,
    /// Directories whose owner rights were widened, with their metadata from before.
    widened: Vec<(Path, Stat)>,
}

impl KeptSearch {
    fn stays(&mut self, path: Path, why: impl Into<Cow<'static, str>>) {
        self.found.push(KeptPath { path, why: why.into(), is_entered: false, is_told: true });
    }
}

impl Tree<'_, '_> {
    /// `Exists` if `now` is a place that no entry may replace.
    pub fn check_not_own(&self, path: &Path, now: &Stat) -> Result<()> {
        match self.own.what(now.id()) {
            Some(why) => Err(refused("restore", path, why.into())),
            None => Ok(()),
        }
    }

    /// `Exists` if the file or directory in the place of `entry` must stay, for itself or for something below it.
    pub fn check_removable(&mut self, entry: &Entry, now: &Stat) -> Result<()> {
        let refused = |why: String| Err(refused("make way for", &entry.path, why));
        if self.is_excluded(&entry.path, now) {
            return refused(EXCLUDED.into());
        }
        if self.own.is_way(now.id()) {
            return refused(LEADS.into());
        }
        if now.kind != FileType::Dir || !self.job.options.delete_extra {
            return Ok(());
        }
        if entry.place.dirty {
            return refused(UNREAD.into());
        }
        if self.content_lost && !self.target.list(&entry.path)?.is_empty() {
            return refused(LOST.into());
        }
        let device = self.target.dir_of(&entry.path).and_then(|dir| dir.stat_self());
        let device = device.map_err(|e| Error::io("look at the directory of", &entry.path, &e))?.dev;
        match self.find_staying(&entry.path, now, device)?.first() {
            Some(staying) => refused(format!("'{}': {}", encode_name(staying.path.as_bytes()), staying.why)),
            None => Ok(()),
        }
    }

    /// Finds everything at `path` and below it that must stay. `device` is the device of the directory that holds
    /// `path`. A file that cannot be looked at stays. A dry run changes no modes: if the owner lacks the rights to
    /// list a directory, everything in the directory counts as extra.
    pub fn find_staying(&mut self, path: &Path, now: &Stat, device: u64) -> Result<Vec<KeptPath>> {
        let mut search = KeptSearch::default();
        self.look_at(path.clone(), *now, device, &mut search);
        let done = self.search(device, &mut search);
        self.restore_modes(search.widened)?;
        done?;
        // A directory that leads to another found path is not reported: the deeper path says enough.
        let mut found = search.found;
        let all: BTreeSet<Path> = found.iter().map(|one| one.path.clone()).collect();
        for one in &mut found {
            let next = all.range(one.path.clone()..).nth(1);
            // The caller excluded this path, so the caller knows that it stays.
            let is_told = one.why != EXCLUDED;
            one.is_told = is_told && !next.is_some_and(|path| path.is_within(one.path.as_bytes()));
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Searches the waiting directories and the directories in them.
    fn search(&mut self, device: u64, search: &mut KeptSearch) -> Result<()> {
        while let Some((path, now)) = search.waiting.pop() {
            self.job.pulse()?;
            let is_way = self.own.is_way(now.id());
            if self.job.options.dry_run && self.lacks_rights(&now, 0o500) {
                if is_way {
                    search.stays(path, LEADS);
                }
                continue;
            }
            let names = match self.list_with_rights(&path, &now, 0o500, &mut search.widened) {
                Ok(names) => names,
                Err(error) if error.os_code == libc::ENOENT => continue,
                Err(error) if error.is_own => return Err(error),
                Err(error) => {
                    search.stays(path, format!("nobody knows what is in it: {}", error.detail));
                    continue;
                }
            };
            if self.holds_backup_files(&path, &names) {
                search.stays(path, STORE);
                continue;
            }
            let Ok(paths) = names.iter().map(|name| path.join(name)).collect::<Result<Vec<_>, _>>() else {
                search.stays(path, "the path of something in it is too long");
                continue;
            };
            for below in paths {
                match self.target.dir_of(&below).and_then(|dir| dir.stat(below.name())) {
                    Ok(now) => self.look_at(below, now, device, search),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) if is_shortage(&error) => return Err(Error::io("look at", &below, &error)),
                    Err(error) => {
                        search.stays(below, format!("nobody knows what it is: {}", describe(&error)))
                    }
                }
            }
            if is_way {
                search.found.push(KeptPath { path, why: LEADS.into(), is_entered: true, is_told: true });
            }
        }
        Ok(())
    }

    /// Notes that `path` stays, or that it is a directory to be searched.
    fn look_at(&mut self, path: Path, now: Stat, device: u64, search: &mut KeptSearch) {
        match self.why_stays(&path, &now, device) {
            Some(why) => search.stays(path, why),
            None if self.is_removal_forbidden(&path) => search.stays(path, PROTECTED),
            None if now.kind == FileType::Dir => search.waiting.push((path, now)),
            None => {}
        }
    }

    /// Whether the flags of a file or directory forbid its removal, and that of everything in it. False if that is
    /// unknown.
    fn is_removal_forbidden(&mut self, path: &Path) -> bool {
        self.target.dir_of(path).is_ok_and(|dir| platform::is_protected_in(dir, path.name()))
    }

    /// The names in a directory. If this user owns the directory but lacks `rights`, the mode is widened and noted in
    /// `widened`.
    pub fn list_with_rights(
        &mut self,
        path: &Path,
        now: &Stat,
        rights: u32,
        widened: &mut Vec<(Path, Stat)>,
    ) -> Result<VecDeque<Box<[u8]>>> {
        if self.may_take_rights(now, rights) {
            let named = self.target.dir_of(path).and_then(|dir| dir.open_path(path.name()));
            // If this fails, listing the directory fails too and gives the reason.
            if named.and_then(|fd| set_mode_if(fd.as_fd(), now)).is_ok() {
                widened.push((path.clone(), *now));
            }
        }
        self.target.list(path)
    }

    /// Gives directories their earlier modes back, the deepest directory first.
    pub fn restore_modes(&mut self, widened: Vec<(Path, Stat)>) -> Result<()> {
        let mut done = Ok(());
        for (path, before) in widened.into_iter().rev() {
            let named = self.target.dir_of(&path).and_then(|dir| dir.open_path(path.name()));
            let back = named.and_then(|fd| match platform::stat_fd(fd.as_fd())?.id() == before.id() {
                true => platform::set_mode(fd.as_fd(), before.mode),
                false => Ok(()),
            });
            let answer = match back {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let error = Error::io("set the mode of", &path, &error);
                    self.job.trouble(ProblemKind::Metadata, path.as_bytes(), error)
                }
                _ => Ok(()),
            };
            done = done.and(answer);
        }
        done
    }

    /// Whether a pattern excludes an existing file or directory. No directory above it may be excluded.
    pub fn is_excluded(&self, path: &Path, now: &Stat) -> bool {
        *path != self.target.base && self.excludes.is_excluded(path.as_bytes(), now.kind == FileType::Dir)
    }

    /// The reason why an extra file or directory stays with everything below it, as far as that is visible without
    /// searching it.
    pub fn why_stays(&mut self, path: &Path, now: &Stat, device: u64) -> Option<&'static str> {
        if let Some(why) = self.own.what(now.id()) {
            return Some(why);
        }
        if self.is_excluded(path, now) {
            return Some(EXCLUDED);
        }
        if now.kind != FileType::Dir && self.own.is_way(now.id()) {
            return Some(LEADS);
        }
        if now.kind == FileType::Dir && is_set_aside(path.name()) {
            return Some(LEFT);
        }
        self.why_mounted(path, now, device)
    }

    /// The reason why a mount point at `path` stays, also if the same file system is mounted there. `device` is the
    /// device of the directory that holds `path`. If the system does not say whether `path` is a mount point, a
    /// directory counts as one and stays. A file does not: the system refuses to remove a mounted file. On overlayfs,
    /// the device number of a file may differ from that of its directory, so only a directory's device is compared.
    pub fn why_mounted(&mut self, path: &Path, now: &Stat, device: u64) -> Option<&'static str> {
        let is_dir = now.kind == FileType::Dir;
        if is_dir && now.dev != device {
            return Some(MOUNTED);
        }
        match self.target.dir_of(path).and_then(|dir| dir.is_mount_point(path.name())) {
            Ok(true) => Some(MOUNTED),
            Ok(false) => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(_) => is_dir.then_some(UNTOLD),
        }
    }

    /// Whether the directory is a store: one of `names` is the name of a backup file. Archives count without a state,
    /// because their contents can be unpacked. A draft counts, because a backup may be writing it.
    pub fn holds_backup_files(&self, dir: &Path, names: &VecDeque<Box<[u8]>>) -> bool {
        let is_backup_file = |name: &[u8]| {
            let name = name.strip_prefix(TEMP_PREFIX.as_bytes()).unwrap_or(name);
            std::str::from_utf8(name).ok().and_then(parse_any).is_some()
        };
        names.iter().filter(|name| is_backup_file(name)).any(|name| {
            let now = self.target.open_dir(dir.as_bytes()).and_then(|dir| dir.stat(name));
            // A file that cannot be looked at counts as a backup file.
            now.map_or_else(|e| e.kind() != io::ErrorKind::NotFound, |now| now.kind == FileType::File)
        })
    }
}

fn refused(op: &str, path: &Path, why: String) -> Error {
    Error { os_code: libc::EEXIST, ..Error::new(Kind::Exists, op, why) }.at(path)
}
