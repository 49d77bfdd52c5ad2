//! An observer that lets a test act in the middle of an operation: when a given change is reported.

use ibt::entry::Entry;
use ibt::job::{Flow, Observer};

/// Calls a function at the first report of a change of one path. The test fails if there is no such report.
pub struct AtChange<'p, F> {
    path: &'p str,
    /// `None` for a change of any kind.
    kind: Option<u32>,
    act: Option<F>,
}

impl<'p, F: FnOnce()> AtChange<'p, F> {
    pub fn any(path: &'p str, act: F) -> Self {
        AtChange { path, kind: None, act: Some(act) }
    }

    /// `kind` is a bit of [`ibt::job::change`].
    pub fn of(kind: u32, path: &'p str, act: F) -> Self {
        AtChange { path, kind: Some(kind), act: Some(act) }
    }
}

impl<F: FnOnce()> Observer for AtChange<'_, F> {
    fn change(&mut self, kind: u32, before: Option<&Entry>, after: Option<&Entry>) -> Flow {
        let path = after.or(before).map(|entry| entry.path.as_bytes());
        if self.kind.is_none_or(|wanted| wanted == kind)
            && path == Some(self.path.as_bytes())
            && let Some(act) = self.act.take()
        {
            act();
        }
        Flow::Continue
    }
}

impl<F> Drop for AtChange<'_, F> {
    fn drop(&mut self) {
        if self.act.is_some() && !std::thread::panicking() {
            panic!("no change of {} was reported, so the test did not act", self.path);
        }
    }
}
