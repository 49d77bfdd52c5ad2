//! An observer that remembers the reported changes.

use ibt::entry::Entry;
use ibt::job::{Flow, Observer, change};

/// The reported changes with their paths, in the order of the reports. Checks that a report has no old entry if and
/// only if the entry is new, and no new entry if and only if the entry was deleted.
#[derive(Default)]
pub struct ReportedChanges(pub Vec<(u32, Vec<u8>)>);

impl Observer for ReportedChanges {
    fn change(&mut self, what: u32, before: Option<&Entry>, after: Option<&Entry>) -> Flow {
        let entry = after.or(before).unwrap();
        assert_eq!(before.is_none(), what == change::CREATED);
        assert_eq!(after.is_none(), what == change::DELETED);
        self.0.push((what, entry.path.as_bytes().to_vec()));
        Flow::Continue
    }
}

impl ReportedChanges {
    pub fn sorted(mut self) -> Vec<(u32, Vec<u8>)> {
        self.0.sort();
        self.0
    }
}
