//! Sockets of the source. This version has no entries for them, but a newer one may have.

use crate::entry::{Entry, FileType, HardLink, Node, Path, UnknownNode};
use crate::error::{Error, Kind, Result};
use crate::format::OmissionCause;
use crate::job::ProblemKind;
use crate::platform::Stat;
use crate::state::{Facts, is_unchanged};

use super::{Run, facts};

impl Run<'_, '_> {
    /// Leaves out a socket. If the parent has an entry here whose type only a newer version knows, that entry is kept:
    /// it may be the entry of the socket.
    pub(super) fn socket(&mut self, path: &Path, stat: &Stat, old: Option<Entry>) -> Result<()> {
        if let Some((old, node)) = old.as_ref().and_then(of_unknown_type) {
            return self.keep_unknown(old, node, stat);
        }
        let error = Error::new(Kind::Unsupported, "back up", "it is a socket").at(path);
        self.job.trouble(ProblemKind::Skipped, path.as_bytes(), error)?;
        self.state.omissions().add(path, OmissionCause::LeftOut);
        old.map_or(Ok(()), |old| self.gone(&old))
    }

    /// Keeps an entry that only a newer version can make again. The entry is dirty if the socket may have changed, so
    /// that the newer version reads it again.
    fn keep_unknown(&mut self, old: &Entry, node: &UnknownNode, stat: &Stat) -> Result<()> {
        let why = format!("{}; the entry of the snapshot before was kept", node.why());
        let error = Error::new(Kind::Unsupported, "back up", why).at(&old.path);
        self.job.trouble(ProblemKind::Unsupported, old.path.as_bytes(), error)?;
        let then = Facts { kind: FileType::Socket, ..Facts::of(old) };
        // The entry is written without its hard link.
        let is_same =
            old.link == HardLink::Single && is_unchanged(&then, &facts(stat, &self.devices), &self.guard);
        self.carry_forward(old.clone(), !is_same)
    }
}

/// The entry and its node, if this version does not know its type. The type of a file is known, also if the algorithm
/// of its hash is not.
fn of_unknown_type(entry: &Entry) -> Option<(&Entry, &UnknownNode)> {
    match &entry.node {
        Node::Unknown(node) if node.word != FileType::File.word() => Some((entry, node)),
        _ => None,
    }
}
