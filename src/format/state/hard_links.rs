//! The rule for hard links: a further name comes after the first name of its inode and has the same fields.

use std::collections::HashSet;

use super::line;
use crate::entry::{Entry, HardLink};

/// The first names in a stream of entries so far. An entry may be long, so only a digest of 16 bytes is kept for each.
#[derive(Debug, Default)]
pub(super) struct FirstNames(HashSet<[u8; 16]>);

impl FirstNames {
    /// Checks the next entry of the stream. `inode_fields` is the text of all its logical fields except the path and
    /// the hard link, in two parts.
    pub fn next(
        &mut self,
        path: &[u8],
        link: &HardLink,
        inode_fields: [&[u8]; 2],
    ) -> Result<(), &'static str> {
        match link {
            HardLink::Single => Ok(()),
            HardLink::First => {
                self.0.insert(digest(path, inode_fields));
                Ok(())
            }
            HardLink::Further(first) if self.0.contains(&digest(first.as_bytes(), inode_fields)) => Ok(()),
            HardLink::Further(_) => Err("a hard link to no earlier entry with the same fields"),
        }
    }

    /// Like [`FirstNames::next`], for an entry whose line is not written yet.
    pub fn next_entry(&mut self, entry: &Entry) -> Result<(), &'static str> {
        if entry.link == HardLink::Single {
            return Ok(());
        }
        let mut fields = Vec::new();
        line::write_inode_fields(entry, &mut fields);
        self.next(entry.path.as_bytes(), &entry.link, [&fields, &[]])
    }
}

/// One digest of a path and its fields. No path holds NUL, so the two parts cannot be confused.
fn digest(path: &[u8], inode_fields: [&[u8]; 2]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(path).update(&[0]).update(inode_fields[0]).update(inode_fields[1]);
    let mut digest = [0; 16];
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    digest
}
