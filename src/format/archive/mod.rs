//! Writes archives: POSIX pax tar streams, stored in frames.
//!
//! ```text
//! archive = member* 1024 zeros
//! member  = [x header block, records, padding] header block [sparse map] data, padding
//! ```
//!
//! libibt restores by byte ranges and never parses a tar header. The headers are for people and other tools,
//! so a member's name, owner, times, xattrs, ACLs and holes are written the way GNU tar and bsdtar read them:
//! in a ustar field if the value fits, otherwise in a pax record.
//!
//! | value | field or record |
//! |---|---|
//! | name, link target | ustar fields if they fit, else `path`, `linkpath`: raw bytes, no `hdrcharset` |
//! | uid, gid > 2,097,151; size >= 8 GiB | `uid`, `gid`, `size` |
//! | mtime with nanoseconds, before 1970 or after 2242 | `mtime`, decimal |
//! | owner's names, 32 bytes and more or not ASCII | `uname`, `gname` |
//! | POSIX ACLs | `SCHILY.acl.access`, `SCHILY.acl.default`: text with numeric ids |
//! | other xattrs | `SCHILY.xattr.NAME`, `%` and `=` of the name as `%25` and `%3D` |
//! | holes | `GNU.sparse.major=1`, `minor=0`, `name`, `realsize` and never `path`, and a map before the data |

mod acl;
mod header;
mod sparse;
#[cfg(test)]
mod tests;

use crate::entry::{Metadata, Node, Path, data_len};
use crate::error::{Kind, Result};
use crate::format::frame::{FrameWriter, Written};
use crate::format::{Sink, bug};
use header::{Head, PaxRecords};

/// Bytes of a tar block. Headers and data begin at multiples of it.
const BLOCK: u64 = 512;

/// A member without data.
#[derive(Clone, Copy, Debug)]
pub enum Special<'a> {
    Dir,
    /// A symbolic link with this target.
    Symlink(&'a [u8]),
    Fifo,
    /// A character device with this number (`st_rdev`).
    Char(u64),
    /// A block device with this number (`st_rdev`).
    Block(u64),
    /// A further name of the entry that the archive has under this path.
    HardLink(&'a Path),
}

impl<'a> Special<'a> {
    /// The member for `node`. `None` for a file, which has data, for an entry of an unknown type, and for a device
    /// whose number has more than 64 bits.
    pub fn of(node: &'a Node) -> Option<Self> {
        Some(match node {
            Node::File(_) | Node::Unknown(_) => return None,
            Node::Dir => Special::Dir,
            Node::Symlink(target) => Special::Symlink(target),
            Node::Fifo => Special::Fifo,
            Node::Char(rdev) => Special::Char(u64::try_from(*rdev).ok()?),
            Node::Block(rdev) => Special::Block(u64::try_from(*rdev).ok()?),
        })
    }
}

/// Writes an archive. Between `begin_*` and `end` or `abandon` the caller may only call `write`.
pub struct ArchiveWriter<W: Sink> {
    frames: FrameWriter<W>,
    /// Data bytes that the open member still needs; `None` between members.
    open: Option<u64>,
    /// The encoded header of the last member; kept to reuse its memory.
    head: Vec<u8>,
}

impl<W: Sink> ArchiveWriter<W> {
    pub fn new(frames: FrameWriter<W>) -> Self {
        ArchiveWriter { frames, open: None, head: Vec::new() }
    }

    /// Bytes of the stream written so far.
    pub fn position(&self) -> u64 {
        self.frames.position()
    }

    /// Begins a file of `size` logical bytes. The caller then writes the file's data outside `holes`, exactly
    /// [`data_len`] bytes. Returns the offset in the stream at which the data starts.
    pub fn begin_file(
        &mut self,
        path: &Path,
        meta: &Metadata,
        size: u64,
        holes: &[(u64, u64)],
    ) -> Result<u64> {
        let len = data_len(size, holes);
        if holes.is_empty() {
            return self.begin(&Head::file(member_name(path), meta, len), len);
        }
        let map = sparse::map(size, holes);
        let records = sparse::records(&member_name(path), size);
        let head = Head::sparse(sparse::stand_in(path), records, meta, len + map.len() as u64);
        self.begin(&head, len)?;
        self.frames.write(&map)?;
        Ok(self.position())
    }

    /// Begins a delta or a signature of `len` bytes: a regular file with the path, the owner and the mtime of
    /// the entry, with mode 0600 and without xattrs. Returns the offset in the stream at which the data
    /// starts.
    pub fn begin_raw(&mut self, path: &Path, meta: &Metadata, len: u64) -> Result<u64> {
        let meta = Metadata { mode: Some(0o600), xattrs: Vec::new(), ..meta.clone() };
        self.begin(&Head::file(member_name(path), &meta, len), len)
    }

    /// Writes the next data of the open member.
    pub fn write(&mut self, data: &[u8]) -> Result<()> {
        let left = self.open.and_then(|left| left.checked_sub(data.len() as u64));
        let Some(left) = left else {
            return Err(bug("write an archive", "more data than the member was begun with"));
        };
        self.open = Some(left);
        self.frames.write(data)
    }

    /// Ends the open member. All its data must have been written.
    pub fn end(&mut self) -> Result<()> {
        match self.open.take() {
            Some(0) => self.pad(),
            _ => Err(bug("write an archive", "the member's data is not complete")),
        }
    }

    /// Ends the open member early and fills the rest of its data with zeros. No entry may refer to this
    /// member.
    pub fn abandon(&mut self) -> Result<()> {
        match self.open.take() {
            Some(left) => self.frames.write_zeros(left).and_then(|()| self.pad()),
            None => Err(bug("write an archive", "no member to abandon")),
        }
    }

    /// Adds a member without data.
    pub fn add_node(&mut self, path: &Path, meta: &Metadata, what: Special<'_>) -> Result<()> {
        let head = Head::special(member_name(path), meta, what);
        self.begin(&head, 0)?;
        self.end()
    }

    /// Ends the current part between two members ([`FrameWriter::close_part`]).
    pub fn close_part(&mut self) -> Result<Option<Written<()>>> {
        match self.open {
            Some(_) => Err(bug("write an archive", "a member is still open")),
            None => self.frames.close_part(),
        }
    }

    pub fn sink_mut(&mut self) -> &mut W {
        self.frames.sink_mut()
    }

    /// Ends the archive with two zero blocks and writes its last frame.
    pub fn finish(mut self) -> Result<Written<W>> {
        if self.open.is_some() {
            return Err(bug("write an archive", "a member is still open"));
        }
        self.frames.write_zeros(2 * BLOCK)?;
        self.frames.finish()
    }

    fn begin(&mut self, head: &Head<'_>, data_len: u64) -> Result<u64> {
        if self.open.is_some() {
            return Err(bug("write an archive", "a member is still open"));
        }
        self.head.clear();
        head.encode(&mut self.head).map_err(|detail| {
            crate::error::Error::new(Kind::Limit, "write the tar header of", detail).at(&head.name)
        })?;
        self.frames.write(&self.head)?;
        self.open = Some(data_len);
        Ok(self.position())
    }

    fn pad(&mut self) -> Result<()> {
        let over = self.position() % BLOCK;
        self.frames.write_zeros((BLOCK - over) % BLOCK)
    }
}

/// The name of `path` in an archive. The name is relative; the root is `./`.
fn member_name(path: &Path) -> Vec<u8> {
    match path.is_root() {
        true => b"./".to_vec(),
        false => path.as_bytes().to_vec(),
    }
}

/// Appends zeros to `out` up to the next multiple of [`BLOCK`].
fn pad_to_block(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(BLOCK as usize), 0);
}

/// Appends one record `LENGTH KEY=VALUE` of an `x` header. The length counts the whole record, its own digits
/// and the LF included.
fn push_record(records: &mut PaxRecords, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while len != rest + len.ilog10() as usize + 1 {
        len = rest + len.ilog10() as usize + 1;
    }
    records.extend_from_slice(len.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}
