//! Writes an entry line: the logical fields in their fixed order, then the physical fields in the object
//! `at`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{AT, BLAKE3, json};
use crate::entry::{Entry, HardLink, Metadata, Node, Place, SigHash};

/// Appends `entry` as one line, without the comma and the LF between lines. The values of unknown fields are
/// copied unchanged: they are JSON already.
pub fn write_entry_line(entry: &Entry, out: &mut Vec<u8>) {
    write(entry, out);
}

/// Like [`write_entry_line`]; returns the length of the line's logical part in bytes.
pub(super) fn write(entry: &Entry, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    write_logical(entry, out);
    let logical = out.len() - start;
    out.extend_from_slice(AT);
    write_place(&entry.place, out);
    json::unknown(out, &entry.unknown_place);
    out.extend_from_slice(b"}}");
    logical
}

fn write_logical(entry: &Entry, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"path\":");
    json::name(out, entry.path.as_bytes());
    write_type(&entry.node, out);
    write_metadata(&entry.meta, out);
    write_node(&entry.node, out);
    match &entry.link {
        HardLink::Single => {}
        HardLink::First => out.extend_from_slice(b",\"linked\":true"),
        HardLink::Further(first) => {
            out.extend_from_slice(b",\"link\":");
            json::name(out, first.as_bytes());
        }
    }
    json::unknown(out, &entry.unknown);
}

/// Appends all logical fields except the path and the hard link, as they are in the entry's line.
pub(super) fn write_inode_fields(entry: &Entry, out: &mut Vec<u8>) {
    write_type(&entry.node, out);
    write_metadata(&entry.meta, out);
    write_node(&entry.node, out);
    json::unknown(out, &entry.unknown);
}

fn write_type(node: &Node, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"type\":\"");
    out.extend_from_slice(node.word().as_bytes());
    out.push(b'"');
}

fn write_metadata(meta: &Metadata, out: &mut Vec<u8>) {
    if let Some(mode) = meta.mode {
        out.extend_from_slice(b",\"mode\":\"");
        out.extend([9, 6, 3, 0].map(|shift| b'0' + (mode >> shift & 7) as u8));
        out.push(b'"');
    }
    if let Some(uid) = meta.uid {
        out.extend_from_slice(b",\"uid\":");
        json::number(out, u64::from(uid));
    }
    if let Some(gid) = meta.gid {
        out.extend_from_slice(b",\"gid\":");
        json::number(out, u64::from(gid));
    }
    if let Some(user) = &meta.user {
        out.extend_from_slice(b",\"user\":");
        json::string(out, user);
    }
    if let Some(group) = &meta.group {
        out.extend_from_slice(b",\"group\":");
        json::string(out, group);
    }
    out.extend_from_slice(b",\"mtime\":");
    json::time(out, meta.mtime);
    write_xattrs(&meta.xattrs, out);
    for (n, word) in meta.flags.words().into_iter().enumerate() {
        out.extend_from_slice(if n > 0 { b",\"" } else { b",\"flags\":[\"" });
        out.extend_from_slice(word.as_bytes());
        out.push(b'"');
    }
    if !meta.flags.is_empty() {
        out.push(b']');
    }
    if meta.project != 0 {
        out.extend_from_slice(b",\"project\":");
        json::number(out, u64::from(meta.project));
    }
}

fn write_xattrs(xattrs: &[(Vec<u8>, Vec<u8>)], out: &mut Vec<u8>) {
    if xattrs.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"xattrs\":");
    for (n, (name, value)) in xattrs.iter().enumerate() {
        out.push(if n > 0 { b',' } else { b'{' });
        json::name(out, name);
        out.extend_from_slice(b":\"");
        out.extend_from_slice(BASE64.encode(value).as_bytes());
        out.push(b'"');
    }
    out.push(b'}');
}

fn write_node(node: &Node, out: &mut Vec<u8>) {
    match node {
        Node::Dir | Node::Fifo => {}
        Node::Symlink(target) => {
            out.extend_from_slice(b",\"target\":");
            json::name(out, target);
        }
        Node::Char(rdev) | Node::Block(rdev) => {
            out.extend_from_slice(b",\"rdev\":");
            json::big(out, *rdev);
        }
        Node::File(file) => {
            out.extend_from_slice(b",\"size\":");
            json::number(out, file.size);
            out.extend_from_slice(b",\"hash\":");
            json::hash(out, &file.hash);
            for (n, (offset, len)) in file.holes.iter().enumerate() {
                out.extend_from_slice(if n > 0 { b",[" } else { b",\"holes\":[[" });
                json::number(out, *offset);
                out.push(b',');
                json::number(out, *len);
                out.extend_from_slice(if n + 1 < file.holes.len() { b"]" } else { b"]]" });
            }
        }
        Node::Unknown(node) => out.extend_from_slice(node.fields.as_bytes()),
    }
}

fn write_place(place: &Place, out: &mut Vec<u8>) {
    if let Some(ino) = place.ino {
        out.extend_from_slice(b"\"ino\":");
        json::big(out, ino);
        out.push(b',');
    }
    out.extend_from_slice(b"\"ctime\":");
    json::time(out, place.ctime);
    if let Some(btime) = place.btime {
        out.extend_from_slice(b",\"btime\":");
        json::time(out, btime);
    }
    if !place.content.is_empty() {
        out.extend_from_slice(b",\"content\":");
        json::ranges(out, &place.content);
    }
    if let Some(sig) = &place.sig {
        out.extend_from_slice(b",\"sig\":{\"content\":");
        json::ranges(out, &sig.content);
        out.extend_from_slice(b",\"hash\":\"");
        match &sig.hash {
            SigHash::Blake3(hash) => {
                out.extend_from_slice(BLAKE3);
                json::hex(out, hash);
            }
            SigHash::Unknown(hash) => out.extend_from_slice(hash.as_bytes()),
        }
        out.extend_from_slice(b"\"}");
    }
    if place.dirty {
        out.extend_from_slice(b",\"dirty\":true");
    }
}
