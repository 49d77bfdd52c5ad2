//! Objects that no snapshot has, and that could not be removed from the store.

use std::sync::{Arc, Mutex, PoisonError};

use super::Store;
use crate::error::{Error, Result};
use crate::job::{Job, Problem, ProblemKind};

/// The objects that could not be removed, by name. A store shares the list with its drafts, which are dropped somewhere
/// in a failed run. The run reports the list at its end.
#[derive(Clone, Debug, Default)]
pub struct LeftBehind(Arc<Mutex<Vec<(String, Error)>>>);

impl LeftBehind {
    pub(super) fn add(&self, name: &str, error: Error) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((name.to_string(), error));
    }

    pub(super) fn take(&self) -> Vec<(String, Error)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Lists each object that the store could not remove since the last call, as a note.
pub fn report_left_behind(store: &mut dyn Store, job: &mut Job) -> Result<()> {
    let left = store.take_left_behind();
    left.into_iter().try_for_each(|(name, error)| report_left(&name, error, job))
}

/// Notes that the object `name`, which no snapshot has, could not be removed.
pub fn report_left(name: &str, error: Error, job: &mut Job) -> Result<()> {
    let detail = format!("{}; no snapshot needs it, and a later prune tries again", error.detail);
    let error = Error { op: "remove".into(), detail, ..error };
    job.problem(Problem::of_whole(ProblemKind::Leftover, &error).in_file(name), error)
}
