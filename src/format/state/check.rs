//! The rules for entries beyond their syntax. The writer and the reader share them, so the writer never
//! writes an entry that the reader refuses.

use std::cmp::Ordering;

use super::{ARCHIVES_MAX, ArchiveRef, RANGES_MAX, XATTR_COUNT_MAX, XATTRS_MAX};
use crate::entry::{Entry, HardLink, Node, PATH_LEN_MAX, Place, Range, compare_paths, data_len};

pub(super) const FLAGS_OF_OTHERS: &str = "flags or a project of neither a file nor a directory";

/// Checks one entry by itself: the rules that concern neither other entries nor the archives.
pub(super) fn entry(entry: &Entry) -> Result<(), &'static str> {
    if entry.meta.mode.is_some_and(|mode| mode > 0o7777) {
        return Err("mode above 07777");
    }
    xattrs(&entry.meta.xattrs)?;
    let Place { ctime, btime, .. } = &entry.place;
    if [Some(entry.meta.mtime), Some(*ctime), *btime].iter().flatten().any(|time| time.nanos > 999_999_999) {
        return Err("a second has 1,000,000,000 nanoseconds");
    }
    let has_flags = !entry.meta.flags.is_empty() || entry.meta.project != 0;
    if has_flags && !matches!(entry.node, Node::File(_) | Node::Dir | Node::Unknown(_)) {
        return Err(FLAGS_OF_OTHERS);
    }
    if entry.node == Node::Dir && entry.link != HardLink::Single {
        return Err("a hard link of a directory");
    }
    let sig = entry.place.sig.as_ref().map(|sig| &sig.content[..]);
    match &entry.node {
        Node::File(file) => content(file.size, &file.holes, &entry.place.content, sig),
        Node::Unknown(_) => stored(&entry.place.content, sig),
        _ if !entry.place.content.is_empty() || entry.place.sig.is_some() => {
            Err("content of what is not a file")
        }
        Node::Symlink(target) => self::target(target),
        _ => Ok(()),
    }
}

/// Checks the path that a symbolic link contains.
pub(super) fn target(target: &[u8]) -> Result<(), &'static str> {
    match target {
        _ if target.contains(&0) => Err("NUL in a link's target"),
        _ if target.len() > PATH_LEN_MAX => Err("link target too long"),
        _ => Ok(()),
    }
}

pub(super) fn xattrs(xattrs: &[(Vec<u8>, Vec<u8>)]) -> Result<(), &'static str> {
    if xattrs.iter().any(|(name, _)| name.is_empty() || name.contains(&0)) {
        return Err("xattr name empty or with NUL");
    }
    if xattrs.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
        return Err("xattrs repeated or out of order");
    }
    if xattrs.len() > XATTR_COUNT_MAX {
        return Err("more than 65,536 xattrs");
    }
    match xattrs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > XATTRS_MAX {
        true => Err("xattrs longer than 8 MiB"),
        false => Ok(()),
    }
}

/// Checks the holes of a file of `size` logical bytes, and the ranges of its content and of its signature.
pub(super) fn content(
    size: u64,
    holes: &[(u64, u64)],
    content: &[Range],
    sig: Option<&[Range]>,
) -> Result<(), &'static str> {
    apart(size, holes)?;
    stored(content, sig)?;
    match (data_len(size, holes), content) {
        (0, []) if sig.is_none() => Ok(()),
        (0, _) => Err("content of a file without data"),
        (_, []) => Err("a file without its content"),
        (data, [whole]) if whole.len != data => Err("content is not as long as the file's data"),
        _ => Ok(()),
    }
}

/// Checks the ranges of a content and of a signature by themselves.
pub(super) fn stored(content: &[Range], sig: Option<&[Range]>) -> Result<(), &'static str> {
    ranges(content)?;
    match sig {
        Some([]) => Err("a signature without content"),
        Some(sig) => ranges(sig),
        None => Ok(()),
    }
}

fn apart(size: u64, holes: &[(u64, u64)]) -> Result<(), &'static str> {
    let mut free = Some(0);
    for &(offset, len) in holes {
        let end = offset.checked_add(len).filter(|&end| end <= size && len > 0);
        match (free, end) {
            (Some(free), Some(_)) if offset >= free => {}
            _ => return Err("holes empty, touching, out of order or past the end"),
        }
        free = end.and_then(|end| end.checked_add(1));
    }
    Ok(())
}

fn ranges(ranges: &[Range]) -> Result<(), &'static str> {
    if ranges.len() > RANGES_MAX {
        return Err("more than 65 ranges");
    }
    if !ranges.iter().all(|range| range.len > 0 && range.offset.checked_add(range.len).is_some()) {
        return Err("an empty range, or one past 2^64");
    }
    match ranges.iter().try_fold(0, |sum: u64, range| sum.checked_add(range.len)) {
        Some(_) => Ok(()),
        None => Err("ranges of more than 2^64 bytes in all"),
    }
}

/// For each archive, by its number, the greatest end of all ranges in its stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Reach(Vec<u64>);

impl Reach {
    /// Adds `ranges`. False if an archive's number is too high: a state has at most [`ARCHIVES_MAX`]
    /// archives.
    pub fn note(&mut self, ranges: &[Range]) -> bool {
        for range in ranges {
            let index = range.archive as usize;
            if index >= ARCHIVES_MAX {
                return false;
            }
            if self.0.len() <= index {
                self.0.resize(index + 1, 0);
            }
            self.0[index] = self.0[index].max(range.offset.saturating_add(range.len));
        }
        true
    }

    /// True if all ranges lie inside the streams of `archives`.
    pub fn is_within(&self, archives: &[ArchiveRef]) -> bool {
        let inside = |(&reach, archive): (&u64, &ArchiveRef)| reach <= archive.stream;
        self.0.len() <= archives.len() && self.0.iter().zip(archives).all(inside)
    }
}

/// Checks that a range of an entry lies inside the stream of its archive.
pub(super) fn place(range: &Range, archives: &[ArchiveRef]) -> Result<(), &'static str> {
    let Some(archive) = archives.get(range.archive as usize) else {
        return Err("a range of an archive that the state does not name");
    };
    match range.offset.checked_add(range.len).is_none_or(|end| end > archive.stream) {
        true => Err("a range past its archive's end"),
        false => Ok(()),
    }
}

/// Checks that the root comes first, that the entries are in order, and that each comes after its parent.
///
/// In depth-first order the parent of an entry is either the previous entry or one of the previous entry's
/// ancestors. The ancestors were checked when the previous entry was, so one path is enough to remember.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The path of the previous entry, and whether that entry is a directory.
    last: Option<(Vec<u8>, bool)>,
}

impl Order {
    /// Checks the next entry.
    pub fn next(&mut self, path: &[u8], is_dir: bool) -> Result<(), &'static str> {
        match &self.last {
            None if path.is_empty() && is_dir => {}
            None => return Err("the first entry is not the root directory"),
            Some((last, last_is_dir)) => {
                if compare_paths(last, path) != Ordering::Less {
                    return Err("entries out of order or repeated");
                }
                let parent = path.iter().rposition(|&b| b == b'/').map_or(&[][..], |slash| &path[..slash]);
                let above =
                    last.starts_with(parent) && (parent.is_empty() || last.get(parent.len()) == Some(&b'/'));
                let is_last = last == parent;
                if (is_last && !*last_is_dir) || !(is_last || above) {
                    return Err("the parent is missing or not a directory");
                }
            }
        }
        let (last, last_is_dir) = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(path);
        *last_is_dir = is_dir;
        Ok(())
    }
}
