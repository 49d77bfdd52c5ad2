//! Removing from an existing tree what the snapshot has not.

use std::collections::VecDeque;
use std::io;

use crate::entry::{Entry, Path};
use crate::error::{Error, Kind, Result};
use crate::filter::Filter;
use crate::format::StateReader;
use crate::job::{change, Counter, ProblemKind};
use crate::platform::{FileKind, Stat};
use crate::restore::selection::Selection;

use super::standing::seen;
use super::Tree;

/// An existing directory of the snapshot.
struct Level {
    path: Path,
    /// Names in the destination, ascending, that no entry has been compared with.
    names: VecDeque<Box<[u8]>>,
}

impl Tree<'_, '_> {
    /// Removes what the destination has and the snapshot has not, as far as the filter reaches.
    pub fn remove_extra(&mut self, state: &mut StateReader, selection: &mut Selection) -> Result<()> {
        let mut open: Vec<Level> = Vec::new();
        for entry in state.entries()? {
            let entry = entry?;
            if !selection.is_in_root(&entry) {
                continue;
            }
            let filter = &mut selection.filter;
            self.job.pulse()?;
            while let Some(done) = open.pop_if(|level| !entry.path.is_within(level.path.as_bytes())) {
                self.remove_rest(done, None, filter)?;
            }
            if let Some(level) =
                open.last_mut().filter(|level| entry.path.parent() == Some(level.path.as_bytes()))
            {
                let level = Level { path: level.path.clone(), names: std::mem::take(&mut level.names) };
                let rest = self.remove_rest(level, Some(entry.path.name()), filter)?;
                if let Some(level) = open.last_mut() {
                    level.names = rest;
                }
            }
            if let Some(names) = self.names_in(&entry)? {
                open.push(Level { path: entry.path.clone(), names });
            }
        }
        while let Some(done) = open.pop() {
            self.remove_rest(done, None, &mut selection.filter)?;
        }
        Ok(())
    }

    /// The sorted names in a directory of the snapshot, if it is one in the destination too.
    fn names_in(&mut self, entry: &Entry) -> Result<Option<VecDeque<Box<[u8]>>>> {
        if entry.node != crate::entry::Node::Dir {
            return Ok(None);
        }
        match self.standing(entry)? {
            Some(now) if now.kind == FileKind::Dir => match self.list(&entry.path) {
                Ok(names) => Ok(Some(names)),
                Err(error) => self.obstructed(&entry.path, error).map(|()| None),
            },
            _ => Ok(None),
        }
    }

    fn list(&mut self, path: &Path) -> Result<VecDeque<Box<[u8]>>> {
        let dir = self.open_dir(path.as_bytes()).map_err(|e| Error::io("open the directory", path, &e))?;
        let listing = dir.list();
        if let Some(error) = listing.error {
            return Err(Error::io("list the directory", path, &error));
        }
        let mut names: Vec<_> = listing.names.into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        Ok(names.into())
    }

    /// Removes the names below `until`, all without it, and returns those above.
    fn remove_rest(
        &mut self,
        mut level: Level,
        until: Option<&[u8]>,
        filter: &mut Filter,
    ) -> Result<VecDeque<Box<[u8]>>> {
        while level.names.front().is_some_and(|name| until.is_none_or(|until| **name <= *until)) {
            let name = level.names.pop_front().unwrap_or_default();
            if until != Some(&*name) {
                let path = level.path.join(&name);
                let path = path.map_err(|what| Error::new(Kind::Limit, "remove", what).at(&level.path))?;
                self.remove_matching(path, filter)?;
            }
        }
        Ok(level.names)
    }

    /// Removes one name and all below it if the filter means it, else what the filter means below it.
    fn remove_matching(&mut self, path: Path, filter: &mut Filter) -> Result<()> {
        let mut waiting = vec![path];
        while let Some(path) = waiting.pop() {
            self.job.pulse()?;
            let now = match self.dir_of(&path).and_then(|dir| dir.stat(path.name())) {
                Ok(now) => now,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("look at", &path, &error)),
            };
            if filter.matches(&path) {
                self.remove(&path, &now)?;
            } else if now.kind == FileKind::Dir {
                let names = match self.list(&path) {
                    Ok(names) => names,
                    Err(error) => {
                        self.obstructed(&path, error)?;
                        continue;
                    }
                };
                waiting.extend(names.iter().rev().filter_map(|name| path.join(name).ok()));
            }
        }
        Ok(())
    }

    /// Told before it is done: afterwards nobody knows what was there.
    fn remove(&mut self, path: &Path, now: &Stat) -> Result<()> {
        self.tell_removed(path, now)?;
        if now.kind == FileKind::Dir {
            self.each_below(path, &mut |tree, path, now| tree.tell_removed(path, now))?;
        }
        if self.job.options.dry_run {
            return Ok(());
        }
        let removed = self.dir_of(path).and_then(|dir| dir.remove_tree(path.name()));
        self.current = None;
        match removed {
            Ok(()) => Ok(()),
            Err(error) => self.obstructed(path, Error::io("remove", path, &error)),
        }
    }

    pub(super) fn tell_removed(&mut self, path: &Path, now: &Stat) -> Result<()> {
        self.job.report.count(Counter::Deleted, 1);
        self.job.change(change::DELETED, Some(&seen(path, now)), None)
    }

    fn obstructed(&mut self, path: &Path, error: Error) -> Result<()> {
        self.job.trouble(ProblemKind::Obstructed, path.as_bytes(), error)
    }

    /// Calls `each` for everything below a directory of the destination, in path order.
    pub(super) fn each_below(
        &mut self,
        path: &Path,
        each: &mut dyn FnMut(&mut Self, &Path, &Stat) -> Result<()>,
    ) -> Result<()> {
        let below = |dir: &Path, names: VecDeque<Box<[u8]>>| {
            names.into_iter().rev().filter_map(|name| dir.join(&name).ok()).collect::<Vec<_>>()
        };
        let mut waiting = below(path, self.list(path)?);
        while let Some(path) = waiting.pop() {
            self.job.pulse()?;
            let Ok(now) = self.dir_of(&path).and_then(|dir| dir.stat(path.name())) else { continue };
            each(self, &path, &now)?;
            if now.kind == FileKind::Dir {
                waiting.extend(below(&path, self.list(&path)?));
            }
        }
        Ok(())
    }
}
