//! The choice of the caller among the entries that a walk finds: the answers of the filter, and the listed paths.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::entry::{FileType, Path};
use crate::error::{Error, Result};
use crate::job::{FilterAnswer, Job, ProblemKind};
use crate::platform::{Dir, Names};
use crate::walk::{ListedPaths, WalkedEntry};

use super::tasks::Finding;

/// The choice among the entries of one walk, in path order.
#[derive(Default)]
pub struct Choice {
    names: Names,
    /// Directories on the current path, outermost first, that the filter leaves out unless an entry below them is
    /// included.
    withheld: Vec<Finding>,
    /// Findings that are included, in order.
    included: VecDeque<Finding>,
    listed: Option<Arc<ListedPaths>>,
    /// Number of listed paths that the walk has passed.
    passed: usize,
    /// Listed paths that the walk did not find.
    not_found: Vec<Path>,
}

impl Choice {
    pub fn new(listed: Option<Arc<ListedPaths>>) -> Choice {
        Choice { listed, ..Choice::default() }
    }

    /// Asks the filter about an entry. The root is always included.
    pub fn answer(&mut self, walked: &WalkedEntry, job: &mut Job) -> Result<FilterAnswer> {
        if !job.has_filter() || walked.path.is_root() {
            return Ok(FilterAnswer::Include);
        }
        let answer = job.filter(&walked.to_entry(&mut self.names))?;
        // Nothing lies below an entry of another type.
        let is_dir = walked.stat.kind == FileType::Dir;
        Ok(if answer == FilterAnswer::LeaveOut && !is_dir { FilterAnswer::LeaveOutAll } else { answer })
    }

    pub fn withhold(&mut self, dir: Finding) {
        self.withheld.push(dir);
    }

    pub fn is_withholding(&self) -> bool {
        !self.withheld.is_empty()
    }

    /// Includes a finding, after the directories that lead to it.
    pub fn include(&mut self, finding: Finding) {
        self.included.extend(self.withheld.drain(..));
        self.included.push_back(finding);
    }

    pub fn next_included(&mut self) -> Option<Finding> {
        self.included.pop_front()
    }

    /// Returns the innermost withheld directory if the walk has passed it without including an entry below it.
    /// `path`: where the walk is now; `None` at its end.
    pub fn left_out_before(&mut self, path: Option<&Path>) -> Option<Path> {
        let is_past = |dir: &mut Finding| path.is_none_or(|path| !path.is_within(dir.path.as_bytes()));
        self.withheld.pop_if(is_past).map(|dir| dir.path)
    }

    /// Notes that the walk is at `path` now; `None` at its end.
    pub fn pass(&mut self, path: Option<&Path>) {
        let Some(listed) = &self.listed else { return };
        let rest = &listed.in_order()[self.passed..];
        let behind = path.map_or(rest.len(), |path| rest.partition_point(|listed| listed < path));
        self.not_found.extend_from_slice(&rest[..behind]);
        self.passed += behind + usize::from(path.is_some() && rest.get(behind) == path);
    }

    /// Reports the listed paths that do not exist. If a listed path exists but was not found, another option leaves
    /// it out.
    pub fn report_absent(&mut self, root: &Dir, job: &mut Job) -> Result<()> {
        for path in std::mem::take(&mut self.not_found) {
            if let Err(error) = root.open_path(path.as_bytes()) {
                let error = Error::io("back up the listed path", &path, &error);
                if error.is_shortage() {
                    return Err(error);
                }
                job.trouble(ProblemKind::Unreadable, path.as_bytes(), error)?;
            }
        }
        Ok(())
    }
}
