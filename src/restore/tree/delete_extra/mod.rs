//! Removes entries from an existing tree that the snapshot does not have. Names that the backup did not see stay.

mod stays;

use std::collections::{BTreeMap, VecDeque};
use std::io;

use crate::entry::{Entry, FileType, Path, is_restore_temp};
use crate::error::{Error, Kind, Result};
use crate::filter::Filter;
use crate::format::{OmissionCause, StateReader};
use crate::job::ProblemKind;
use crate::platform::{self, Stat};
use crate::restore::selection::{ExcludedPaths, Selection};

use super::metadata::protected;
use super::{Tree, is_obstacle};
use stays::{KeptPath, LOST, MOUNTED, PROTECTED, PROTECTED_DIR, STORE, UNTOLD};

/// A directory that both the snapshot and the destination have.
struct OpenDir {
    path: Path,
    /// Names in the destination in ascending order that have not been compared with an entry yet.
    names: VecDeque<Box<[u8]>>,
    device: u64,
    /// The reason why extra names in this directory stay, if they do.
    spared: Option<&'static str>,
    /// Causes of omission that were already reported for this directory.
    reported: Vec<OmissionCause>,
    /// A name too long for a path was reported.
    is_unfit_told: bool,
}

const UNLISTED: &str = "the backup could not read all of this directory: what else is in it stays";
const UNREAD: &str = "the backup saw some of it and could not read it: that stays";
const LEFT_OUT: &str = "the backup left some of it out, as it was told: that stays";
const UNREAD_BELOW: &str = "the backup could not read all that was below it";
const UNFIT: &str = "a name in it, or the path of one, is longer than a snapshot can have: that stays";
const FOLDED: &str = "the file system does not tell names apart by case: what else is in it stays";

impl Tree<'_, '_> {
    /// Removes everything that the filter selects and the snapshot does not have. Removes nothing if a content was
    /// lost: the destination may still have this content under the name that the file had before it was moved.
    pub fn remove_extra(&mut self, state: &mut StateReader, selection: &mut Selection) -> Result<()> {
        if self.content_lost {
            let base = self.target.base.clone();
            return self.obstructed(&base, stays(&base, LOST));
        }
        // `current` may have kept the directory's names from before the restore.
        self.target.forget_current();
        self.omissions = state.trailer().omissions.clone();
        self.lost_dir = None;
        let mut open: Vec<OpenDir> = Vec::new();
        let mut excluded = ExcludedPaths::default();
        for entry in state.entries()? {
            let entry = entry?;
            if !selection.is_in_root(&entry) || self.is_below_lost(&entry) {
                continue;
            }
            let is_dir = entry.node == crate::entry::Node::Dir;
            let is_excluded = selection.excludes(&mut excluded, entry.path.as_bytes(), is_dir);
            let filter = &mut selection.filter;
            self.job.pulse()?;
            while let Some(done) = open.pop_if(|level| !entry.path.is_within(level.path.as_bytes())) {
                self.remove_before(done, None, filter)?;
            }
            let above = open.pop_if(|level| entry.path.parent() == Some(level.path.as_bytes()));
            if let Some(mut level) = above {
                // The snapshot has an entry below the directory, so the backup did see the mounted file system.
                level.spared = level.spared.filter(|&why| why != MOUNTED && why != UNTOLD);
                open.push(self.remove_before(level, Some(entry.path.name()), filter)?);
            }
            // Nothing below an excluded directory is extra.
            if !is_excluded {
                open.extend(self.level(&entry)?);
            }
        }
        while let Some(done) = open.pop() {
            self.remove_before(done, None, &mut selection.filter)?;
        }
        Ok(())
    }

    /// Opens a directory of the snapshot as a level, if it is a directory in the destination too.
    fn level(&mut self, entry: &Entry) -> Result<Option<OpenDir>> {
        if entry.node != crate::entry::Node::Dir {
            return Ok(None);
        }
        let standing = match self.stat_existing(entry) {
            Err(error) if is_obstacle(&error) => {
                // Another file has this name, or the directory must not be touched. The same is true of everything
                // below it.
                self.lost_dir = Some(entry.path.clone());
                None
            }
            standing => standing?,
        };
        let Some(now) = standing.filter(|now| now.kind == FileType::Dir) else { return Ok(None) };
        self.target.known.enter(&entry.path, now.id());
        let names = match self.target.list(&entry.path) {
            // Temporary names of restores are removed by those restores, or by the next restore of the same
            // destination.
            Ok(names) => names.into_iter().filter(|name| !is_restore_temp(name)).collect(),
            Err(error) => return self.obstructed(&entry.path, error).map(|()| None),
        };
        let folds = match self.target.ignores_case(&entry.path, &names) {
            Ok(folds) => folds,
            Err(error) => return self.obstructed(&entry.path, error).map(|()| None),
        };
        let spared = if entry.place.dirty {
            Some(UNLISTED)
        } else if folds {
            Some(FOLDED)
        } else if self.holds_backup_files(&entry.path, &names) {
            Some(STORE)
        } else if self.target.open_dir(entry.path.as_bytes()).is_ok_and(platform::is_protected) {
            Some(PROTECTED_DIR)
        } else {
            // An entry below this directory may show that this reason does not hold.
            self.why_mounted_on(entry, &now)
        };
        Ok(Some(OpenDir {
            path: entry.path.clone(),
            names,
            device: now.dev,
            spared,
            reported: Vec::new(),
            is_unfit_told: false,
        }))
    }

    /// The reason why an existing directory of the snapshot counts as a mount point, if it does.
    fn why_mounted_on(&mut self, entry: &Entry, now: &Stat) -> Option<&'static str> {
        if entry.path == self.target.base {
            return None;
        }
        match self.target.dir_of(&entry.path).and_then(|dir| dir.stat_self()) {
            Ok(above) => self.why_mounted(&entry.path, now, above.dev),
            Err(_) => Some(UNTOLD),
        }
    }

    /// Removes the names up to `until` from the level, or all names if `until` is `None`. The name `until` itself is
    /// an entry and stays. Returns the remaining level.
    fn remove_before(
        &mut self,
        mut level: OpenDir,
        until: Option<&[u8]>,
        filter: &mut Filter,
    ) -> Result<OpenDir> {
        while level.names.front().is_some_and(|name| until.is_none_or(|until| **name <= *until)) {
            let name = level.names.pop_front().unwrap_or_default();
            if until == Some(&*name) {
                continue;
            }
            let Ok(path) = level.path.join(&name) else {
                // One report for the whole directory.
                if !std::mem::replace(&mut level.is_unfit_told, true) {
                    self.obstructed(&level.path, stays(&level.path, UNFIT))?;
                }
                continue;
            };
            match (level.spared, self.omissions.cause(&level.path, &name)) {
                (None, None) => self.remove_matching(path, level.device, filter)?,
                (None, Some(cause)) if !level.reported.contains(&cause) && filter.matches(&path) => {
                    level.reported.push(cause);
                    self.report_omitted(&level.path, cause)?;
                }
                (Some(why), _) if filter.matches(&path) => {
                    // One report for the whole directory.
                    level.names.clear();
                    self.obstructed(&level.path, stays(&level.path, why))?;
                }
                _ => {}
            }
        }
        Ok(level)
    }

    /// Reports that the names that the backup omitted here stay. Called once for each directory and cause.
    fn report_omitted(&mut self, dir: &Path, cause: OmissionCause) -> Result<()> {
        match cause {
            OmissionCause::Unread => self.obstructed(dir, stays(dir, UNREAD)),
            OmissionCause::LeftOut => {
                self.job.trouble(ProblemKind::Skipped, dir.as_bytes(), stays(dir, LEFT_OUT))
            }
        }
    }

    /// Removes `path` with everything below it if the filter selects `path`, else only the selected paths below it.
    /// Nothing on another `device` is removed.
    fn remove_matching(&mut self, path: Path, device: u64, filter: &mut Filter) -> Result<()> {
        let mut waiting = vec![path];
        while let Some(path) = waiting.pop() {
            self.job.pulse()?;
            let Some(now) = self.stat_extra(&path)? else { continue };
            if self.is_excluded(&path, &now) {
                continue;
            }
            if self.omissions.are_within(&path) {
                self.obstructed(&path, Error::new(Kind::Unsupported, "remove", UNREAD_BELOW).at(&path))?;
            } else if filter.matches(&path) {
                self.remove(&path, &now, device)?;
            } else if now.kind == FileType::Dir {
                if let Some(why) = self.why_stays(&path, &now, device) {
                    self.obstructed(&path, stays(&path, why))?;
                    continue;
                }
                let names = match self.target.list(&path) {
                    Ok(names) => names,
                    Err(error) => {
                        self.obstructed(&path, error)?;
                        continue;
                    }
                };
                if self.holds_backup_files(&path, &names) {
                    self.obstructed(&path, stays(&path, STORE))?;
                    continue;
                }
                let (below, unfit): (Vec<_>, Vec<_>) =
                    names.iter().rev().map(|name| path.join(name)).partition(|path| path.is_ok());
                if !unfit.is_empty() {
                    self.obstructed(&path, stays(&path, UNFIT))?;
                }
                waiting.extend(below.into_iter().flatten());
            }
        }
        Ok(())
    }

    /// The stat of an extra path. `None` if the path is gone, or if it cannot be looked at, which is reported.
    fn stat_extra(&mut self, path: &Path) -> Result<Option<Stat>> {
        match self.target.dir_of(path).and_then(|dir| dir.stat(path.name())) {
            Ok(now) => Ok(Some(now)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => self.obstructed(path, Error::io("look at", path, &error)).map(|()| None),
        }
    }

    /// Removes an extra file or directory. Paths that must stay remain, together with the directories that lead to
    /// them. If the flags of something in a directory forbid its removal, the whole directory remains.
    fn remove(&mut self, path: &Path, now: &Stat, device: u64) -> Result<()> {
        if self.target.target_dir_of(path).is_ok_and(|dir| dir.is_protected()) {
            return self.obstructed(path, protected("remove an entry from the directory of", path));
        }
        let staying = self.find_staying(path, now, device)?;
        if staying.is_empty() {
            return self.remove_whole(path, now);
        }
        if let Some(one) = staying.iter().find(|one| one.why == PROTECTED) {
            return self.obstructed(path, stays_whole(path, one));
        }
        for one in staying.iter().filter(|one| one.is_told) {
            self.obstructed(&one.path, Error::new(Kind::Unsupported, "remove", &*one.why).at(&one.path))?;
        }
        let staying: BTreeMap<_, _> = staying.into_iter().map(|one| (one.path, one.is_entered)).collect();
        let mut widened = Vec::new();
        let removed = self.remove_around(path, &staying, &mut widened);
        self.restore_modes(widened)?;
        removed
    }

    /// Removes everything around the paths that stay. The value in `staying` says whether extra entries in that path
    /// may go. Adds directories whose rights were widened to `widened`.
    fn remove_around(
        &mut self,
        path: &Path,
        staying: &BTreeMap<Path, bool>,
        widened: &mut Vec<(Path, Stat)>,
    ) -> Result<()> {
        let mut waiting = vec![path.clone()];
        while let Some(path) = waiting.pop() {
            let next =
                staying.range(path.clone()..).next().filter(|(next, _)| next.is_within(path.as_bytes()));
            if next == Some((&path, &false)) {
                continue;
            }
            let Some(now) = self.stat_extra(&path)? else { continue };
            if next.is_none() {
                self.remove_whole(&path, &now)?;
                continue;
            }
            match self.list_with_rights(&path, &now, 0o700, widened) {
                Ok(names) => waiting.extend(names.iter().rev().filter_map(|name| path.join(name).ok())),
                Err(error) => self.obstructed(&path, error)?,
            }
        }
        Ok(())
    }

    /// Reports the removed paths before the removal: afterwards they cannot be listed any more.
    fn remove_whole(&mut self, path: &Path, now: &Stat) -> Result<()> {
        let trouble = |e: &io::Error| Error::io("remove", path, e);
        let held = self.target.target_dir_of(path).cloned().and_then(|target_dir| {
            let held = target_dir.hold(path.name(), now)?;
            Ok((target_dir, held))
        });
        let (target_dir, held) = match held {
            Ok(held) => held,
            Err(error) => return self.obstructed(path, trouble(&error)),
        };
        self.report_removed(path, now)?;
        if now.kind == FileType::Dir {
            self.each_below(path, &mut |tree, path, now| tree.report_removed(path, now))?;
        }
        if self.job.options.dry_run {
            return Ok(());
        }
        let is_held = target_dir.check_held(path.name(), now, held.as_ref());
        let removed = is_held.and_then(|()| target_dir.dir.remove_tree(path.name()));
        self.target.forget_current();
        match removed {
            Ok(()) => Ok(()),
            Err(error) => self.obstructed(path, trouble(&error)),
        }
    }

    /// Calls `each` for everything below a directory of the destination, in path order. Leaves out directories that
    /// cannot be listed and other file systems.
    pub fn each_below(
        &mut self,
        path: &Path,
        each: &mut dyn FnMut(&mut Self, &Path, &Stat) -> Result<()>,
    ) -> Result<()> {
        let below = |dir: &Path, names: VecDeque<Box<[u8]>>| {
            names.into_iter().rev().filter_map(|name| dir.join(&name).ok()).collect::<Vec<_>>()
        };
        let stats = self.target.dir_of(path).and_then(|dir| Ok((dir.stat_self()?, dir.stat(path.name())?)));
        let Ok((above, top)) = stats else { return Ok(()) };
        if top.dev != above.dev {
            return Ok(());
        }
        let mut waiting = below(path, self.target.list(path).unwrap_or_default());
        while let Some(path) = waiting.pop() {
            self.job.pulse()?;
            let Ok(now) = self.target.dir_of(&path).and_then(|dir| dir.stat(path.name())) else { continue };
            let is_dir = now.kind == FileType::Dir;
            if is_dir && now.dev != top.dev {
                continue;
            }
            each(self, &path, &now)?;
            if is_dir {
                waiting.extend(below(&path, self.target.list(&path).unwrap_or_default()));
            }
        }
        Ok(())
    }
}

/// The problem that an extra file or directory stays because of the flags of `one`, which is in it or is it.
fn stays_whole(path: &Path, one: &KeptPath) -> Error {
    if one.path == *path {
        return protected("remove", path);
    }
    let detail = format!("all of it stays because of {:?}: {}", one.path, one.why);
    Error { os_code: libc::EPERM, ..Error::new(Kind::Exists, "remove", detail) }.at(path)
}

/// The problem that extra names in a directory stay.
fn stays(dir: &Path, why: &str) -> Error {
    let op = "remove what is not in the snapshot";
    match dir.is_root() {
        true => Error::new(Kind::Unsupported, op, why),
        false => Error::new(Kind::Unsupported, format!("{op} from"), why).at(dir),
    }
}
