//! Checks entry lines while a document is taken in, so that later passes need not, and learns from them what
//! otherwise would take such a pass.

use super::plain::Plain;
use super::{check, parse, ArchiveRef};
use crate::entry::{Entry, Node, Range};
use crate::stamp::Time;

pub(super) struct Survey {
    plain: Plain,
    order: check::Order,
    reach: check::Reach,
    newest_ctime: Time,
    /// Every line so far is as it should be. What is wrong with one that is not, is told when its entry is
    /// asked for: other things may turn out to be wrong before.
    is_sound: bool,
}

impl Survey {
    pub fn new() -> Self {
        Survey {
            plain: Plain::default(),
            order: check::Order::default(),
            reach: check::Reach::default(),
            newest_ctime: Time { secs: i64::MIN, nanos: 0 },
            is_sound: true,
        }
    }

    /// Looks at a line without its comma and LF. Says how long its logical part is, if that was found out.
    pub fn look(&mut self, line: &[u8]) -> Option<usize> {
        if !self.is_sound {
            return None;
        }
        if self.plain.read(line) {
            self.is_sound = self.order.next(self.plain.path(line), self.plain.is_dir()).is_ok()
                && self.reach.note(self.plain.ranges());
            self.newest_ctime = self.newest_ctime.max(self.plain.ctime);
            return Some(self.plain.logical);
        }
        self.is_sound = parse::parse(line).is_ok_and(|entry| self.note(&entry));
        None
    }

    fn note(&mut self, entry: &Entry) -> bool {
        let sig: &[Range] = entry.place.sig.as_ref().map_or(&[], |sig| &sig.ranges);
        self.newest_ctime = self.newest_ctime.max(entry.place.ctime);
        self.order.next(entry.path.as_bytes(), entry.node == Node::Dir).is_ok()
            && self.reach.note(&entry.place.content)
            && self.reach.note(sig)
    }

    /// The newest ctime of the entries before the first that is wrong.
    pub fn newest_ctime(&self) -> Time {
        self.newest_ctime
    }

    /// Whether all entries of a state that names `archives` are as they should be.
    pub fn is_sound(&self, archives: &[ArchiveRef]) -> bool {
        self.is_sound && self.reach.is_within(archives)
    }
}
