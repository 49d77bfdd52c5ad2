//! Reads only the *summary* of a state: its header and the end of its trailer. For a caller that needs no entries, this
//! usually takes one or two reads of the file, even if the file is long. A separate digest covers the summary.
//!
//! ```text
//! header                                   the summary: in a frame of its own
//! entries, problems, omitted
//! "archives":[...  up to "tree"            the summary
//! "summary":"blake3:..."                   BLAKE3 of both parts
//! "digest":"blake3:..."
//! ```

use memchr::memmem;

use super::document::{NEWER, Refused, is_newer, read_end, read_header};
use super::reader::OP;
use super::{DIGEST_LINE_LEN, ENTRIES_BEGIN, Header, LINE_MAX, StateSummary, TRAILER_MAX, json};
use crate::entry::Hash;
use crate::error::{Error, Kind, Result};
use crate::format::frame::StreamEnds;
use crate::format::{BackupFileKind, Name, ReadAt};

/// The first bytes of the trailer's part that belongs to the summary. They begin a line, and no later line begins with
/// them.
pub(super) const ARCHIVES: &[u8] = b"\"archives\":[";
/// Bytes of the line `"summary":"blake3:HEX",` and its LF.
const SUMMARY_LINE_LEN: usize = 11 + 7 + 64 + 2 + 1;

/// Appends the line with the digest of the summary.
pub(super) fn write_line(digest: &Hash, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"summary\":");
    json::hash(out, digest);
    out.extend_from_slice(b",\n");
}

/// Checks the digest of the summary. `header` are the lines before the line `"entries":[`. `trailer` are the lines
/// after the entries and before the digest's line, or only the last of these lines. Removes from `trailer` the line
/// with the summary's digest.
pub(super) fn check(header: &[u8], trailer: &mut Vec<u8>) -> std::result::Result<(), String> {
    let begin = last_line_with(trailer, ARCHIVES).ok_or("it has no archives")?;
    let end = trailer.len().saturating_sub(SUMMARY_LINE_LEN).max(begin);
    let mut hasher = blake3::Hasher::new();
    hasher.update(header).update(ENTRIES_BEGIN).update(&trailer[begin..end]);
    let mut line = Vec::with_capacity(SUMMARY_LINE_LEN);
    write_line(&hasher.finalize().into(), &mut line);
    if trailer[end..] != line {
        return Err("the summary's digest does not agree".into());
    }
    trailer.truncate(end);
    Ok(())
}

/// The offset of the last line that begins with `key`. The first byte of `text` begins a line.
fn last_line_with(text: &[u8], key: &[u8]) -> Option<usize> {
    memmem::rfind_iter(text, key).find(|&at| at == 0 || text[at - 1] == b'\n')
}

impl StateSummary {
    /// Reads the summary of a state of `size` stored bytes. The digest of the summary proves that header and trailer
    /// are undamaged. The entries may be damaged: only [`StateSummary::verify`] reads them. The trailer has no problems
    /// and no omissions.
    ///
    /// Reads all of a file that another tool compressed. Errors as for [`StateSummary::verify`].
    pub fn read(source: &mut dyn ReadAt, name: &str, size: u64, compressed: bool) -> Result<Self> {
        let Some(mut ends) = StreamEnds::open(source, name, size, compressed)? else {
            return StateSummary::verify(source, name, size, compressed);
        };
        let corrupt = |what: &str| Error::corrupt(OP, name, what);
        let header_text = read_beginning(&mut ends, name)?;
        let mut end = read_ending(&mut ends, name)?;
        let digest_line = end.split_off(end.len().saturating_sub(DIGEST_LINE_LEN));
        let digest = digest_of(&digest_line).ok_or_else(|| corrupt("it does not end in its digest"))?;
        check(&header_text, &mut end).map_err(|what| corrupt(&what))?;
        let header = Header::of_text(header_text, name)?;
        let trailer = read_end(end, digest, &header).map_err(|what| corrupt(&format!("trailer: {what}")))?;
        Ok(StateSummary { header: header.into(), trailer: trailer.into() })
    }
}

impl Header {
    /// Reads the header of the state `name` from its lines before the line `"entries":[`.
    pub(super) fn of_text(text: Vec<u8>, name: &str) -> Result<Self> {
        let corrupt = |what: &str| Error::corrupt(OP, name, format!("header: {what}"));
        let header = read_header(text).map_err(|refused| match refused {
            Refused::Foreign(what) => Error::new(Kind::Format, OP, what).at(name),
            Refused::Damaged(what) => corrupt(&what),
        })?;
        let parsed = Name::parse(name);
        if parsed.as_ref().is_some_and(|n| n.key != header.key || n.stamp != header.snapshot) {
            return Err(corrupt("the name is that of another snapshot"));
        }
        // Nothing may take the entries of a partial state for a whole tree.
        match (parsed.is_some_and(|n| n.kind == BackupFileKind::PartialState), header.is_partial()) {
            (true, false) => Err(corrupt("it is not that of a partial state")),
            (false, true) => Err(corrupt("it is that of a partial state, which is no snapshot")),
            _ => Ok(header),
        }
    }
}

/// The lines before the line `"entries":[`.
fn read_beginning(ends: &mut StreamEnds<'_>, name: &str) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    for number in 0.. {
        let Some(piece) = ends.from_start(number, name)? else { break };
        let from = text.len().saturating_sub(ENTRIES_BEGIN.len());
        text.extend_from_slice(&piece[..piece.len().min(LINE_MAX + 1 - text.len())]);
        if let Some(at) = memmem::find(&text[from..], ENTRIES_BEGIN) {
            text.truncate(from + at);
            check_version(&text, name)?;
            return Ok(text);
        }
        check_version(&text, name)?;
        if text.len() > LINE_MAX {
            break;
        }
    }
    Err(Error::corrupt(OP, name, "header: it has no end"))
}

/// A newer version may have another layout, so version and needs are checked before anything else.
fn check_version(header: &[u8], name: &str) -> Result<()> {
    match is_newer(header) {
        true => Err(Error::new(Kind::Format, OP, NEWER).at(name)),
        false => Ok(()),
    }
}

/// The document from the line that begins with [`ARCHIVES`] to its end.
fn read_ending(ends: &mut StreamEnds<'_>, name: &str) -> Result<Vec<u8>> {
    let key: Vec<u8> = ARCHIVES.iter().rev().copied().collect();
    // The bytes in reverse order, so that each piece is appended.
    let mut text: Vec<u8> = Vec::new();
    for number in 0.. {
        let Some(piece) = ends.from_end(number, name)? else { break };
        let from = text.len().saturating_sub(key.len());
        text.extend(piece.iter().rev().take(TRAILER_MAX + 1 - text.len()));
        // The first byte of a frame begins a line: the writer ends frames between lines.
        let begins_line = |at: &usize| text.get(at + key.len()).is_none_or(|&before| before == b'\n');
        if let Some(at) = memmem::find_iter(&text[from..], &key).map(|at| from + at).find(begins_line) {
            text.truncate(at + key.len());
            text.reverse();
            return Ok(text);
        }
        if text.len() > TRAILER_MAX {
            break;
        }
    }
    Err(Error::corrupt(OP, name, "trailer: it has no archives"))
}

/// The digest in the last line of a document.
fn digest_of(line: &[u8]) -> Option<Hash> {
    let text = std::str::from_utf8(line).ok()?;
    Hash::parse(text.strip_prefix("\"digest\":\"")?.strip_suffix("\"}\n")?)
}
