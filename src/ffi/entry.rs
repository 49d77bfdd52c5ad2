//! `ibt_entry`: one file, directory, link or device, lent to a callback.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ffi::{CString, c_char};
use std::ptr;

use crate::entry::{Entry, Hash, Node};

use super::args::{c_string, ptr_or_null, write_out};
use super::constants::*;

/// One file, directory, link or device at one moment. The entry, and every
/// string borrowed from it, is valid only during the callback that received it.
/// An entry of ibt_snapshot_next() is valid until the next call of that
/// function or of ibt_snapshot_rewind() with the same snapshot, or until the
/// snapshot is freed.
///
/// Since: 0.1
pub struct ibt_entry<'a> {
    entry: Cow<'a, Entry>,
    // Copies that end in NUL, made on the first request.
    path: OnceCell<CString>,
    target: OnceCell<CString>,
    link: OnceCell<CString>,
    hash: OnceCell<CString>,
    user: OnceCell<CString>,
    group: OnceCell<CString>,
    flags: OnceCell<CString>,
    xattr_names: OnceCell<Vec<CString>>,
}

impl<'a> ibt_entry<'a> {
    pub(super) fn new(entry: &'a Entry) -> Self {
        Self::of(Cow::Borrowed(entry))
    }

    fn of(entry: Cow<'a, Entry>) -> Self {
        ibt_entry {
            entry,
            path: OnceCell::new(),
            target: OnceCell::new(),
            link: OnceCell::new(),
            hash: OnceCell::new(),
            user: OnceCell::new(),
            group: OnceCell::new(),
            flags: OnceCell::new(),
            xattr_names: OnceCell::new(),
        }
    }
}

impl ibt_entry<'static> {
    pub(super) fn owned(entry: Entry) -> Self {
        Self::of(Cow::Owned(entry))
    }
}

/// A borrowed copy of `text`, made in `cell` on the first request; NULL for `None`.
fn cached(cell: &OnceCell<CString>, text: Option<impl AsRef<[u8]>>) -> *const c_char {
    text.map_or(ptr::null(), |text| cell.get_or_init(|| c_string(text)).as_ptr())
}

/// ==== Entries ====
///
/// The path relative to the source, as raw bytes: components joined by '/'. The
/// source itself has the path "". NULL for NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_path(entry: Option<&ibt_entry>) -> *const c_char {
    guard!(ptr::null(), {
        entry.map_or(ptr::null(), |view| cached(&view.path, Some(view.entry.path.as_bytes())))
    })
}

/// One of IBT_TYPE_*; 0 for NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_type(entry: Option<&ibt_entry>) -> i32 {
    guard!(0, {
        entry.map_or(0, |view| match view.entry.node {
            Node::File(_) => IBT_TYPE_FILE,
            Node::Dir => IBT_TYPE_DIR,
            Node::Symlink(_) => IBT_TYPE_SYMLINK,
            Node::Fifo => IBT_TYPE_FIFO,
            Node::Char(_) => IBT_TYPE_CHAR,
            Node::Block(_) => IBT_TYPE_BLOCK,
            Node::Unknown(_) => IBT_TYPE_UNKNOWN,
        })
    })
}

/// The target of a symbolic link, as raw bytes; NULL for every other type.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_target(entry: Option<&ibt_entry>) -> *const c_char {
    guard!(ptr::null(), {
        entry.map_or(ptr::null(), |view| match &view.entry.node {
            Node::Symlink(target) => cached(&view.target, Some(target)),
            _ => ptr::null(),
        })
    })
}

/// The hash of a file's content without its holes: "blake3:" and 64 hex digits.
/// NULL for every other type, and for a file of a tree that was not read.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_hash(entry: Option<&ibt_entry>) -> *const c_char {
    guard!(ptr::null(), {
        entry.map_or(ptr::null(), |view| {
            let known = view.entry.file().filter(|file| file.hash != Hash::UNKNOWN);
            cached(&view.hash, known.map(|file| file.hash.to_string()))
        })
    })
}

/// The logical size of a file in bytes, holes included; 0 for every other type.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_size(entry: Option<&ibt_entry>) -> u64 {
    guard!(0, { entry.map_or(0, |view| view.entry.size()) })
}

/// The number of bytes of a file that lie outside of holes; 0 for every other
/// type. It equals ibt_entry_size() if the file has no holes.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_data_size(entry: Option<&ibt_entry>) -> u64 {
    guard!(0, { entry.and_then(|view| view.entry.file()).map_or(0, |file| file.data_len()) })
}

/// Permission bits with setuid, setgid and sticky, at most octal 7777, or
/// UINT32_MAX if the entry was recorded on a system without permission bits.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_mode(entry: Option<&ibt_entry>) -> u32 {
    guard!(0, { entry.map_or(0, |view| view.entry.meta.mode.unwrap_or(u32::MAX)) })
}

/// The owner's number, or UINT32_MAX if the entry was recorded on a system
/// without such numbers.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_uid(entry: Option<&ibt_entry>) -> u32 {
    guard!(0, { entry.map_or(0, |view| view.entry.meta.uid.unwrap_or(u32::MAX)) })
}

/// The group's number, or UINT32_MAX like ibt_entry_uid().
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_gid(entry: Option<&ibt_entry>) -> u32 {
    guard!(0, { entry.map_or(0, |view| view.entry.meta.gid.unwrap_or(u32::MAX)) })
}

/// The owner's name at the time of the backup; NULL if the system had no name
/// for the number.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_user(entry: Option<&ibt_entry>) -> *const c_char {
    guard!(ptr::null(), {
        entry.map_or(ptr::null(), |view| cached(&view.user, view.entry.meta.user.as_ref()))
    })
}

/// The group's name at the time of the backup; NULL if the system had no name
/// for the number.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_group(entry: Option<&ibt_entry>) -> *const c_char {
    guard!(ptr::null(), {
        entry.map_or(ptr::null(), |view| cached(&view.group, view.entry.meta.group.as_ref()))
    })
}

/// The modification time in nanoseconds since 1970, UTC. Times outside the
/// years 1677 to 2262 do not fit and give the nearest number that does.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_mtime(entry: Option<&ibt_entry>) -> i64 {
    guard!(0, { entry.map_or(0, |view| view.entry.meta.mtime.to_nanos_i64()) })
}

/// The time of the last change of metadata, in nanoseconds since 1970, clamped
/// like the modification time. A restore cannot set it.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_ctime(entry: Option<&ibt_entry>) -> i64 {
    guard!(0, { entry.map_or(0, |view| view.entry.place.ctime.to_nanos_i64()) })
}

/// The time when the file was made on its file system, in nanoseconds since
/// 1970, clamped like the modification time; INT64_MIN if it is unknown, as for
/// an entry of a tree that is restored or compared, and for NULL. A restore
/// cannot set it, and nothing compares it.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_btime(entry: Option<&ibt_entry>) -> i64 {
    guard!(i64::MIN, {
        let btime = entry.and_then(|view| view.entry.place.btime);
        btime.map_or(i64::MIN, |time| time.to_nanos_i64())
    })
}

/// The inode flags of a file or directory as words, in ascending order and
/// separated by commas, such as "immutable,nodump". The words are append,
/// casefold, compress, dax, dirsync, immutable, journal, noatime, nocompress,
/// nocow, nodump, projinherit, sync and topdir, and those that a newer version
/// of libibt recorded. NULL without flags.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_flags(entry: Option<&ibt_entry>) -> *const c_char {
    guard!(ptr::null(), {
        entry.map_or(ptr::null(), |view| {
            let flags = &view.entry.meta.flags;
            cached(&view.flags, (!flags.is_empty()).then(|| flags.words().join(",")))
        })
    })
}

/// The project id of a file or directory, by which the file system counts
/// quotas; 0 without a project.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_project(entry: Option<&ibt_entry>) -> u32 {
    guard!(0, { entry.map_or(0, |view| view.entry.meta.project) })
}

/// The number of a device (st_rdev), or UINT64_MAX if the number of another
/// system does not fit 64 bits; 0 for every other type.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_rdev(entry: Option<&ibt_entry>) -> u64 {
    guard!(0, {
        entry.map_or(0, |view| match view.entry.node {
            Node::Char(device) | Node::Block(device) => device.try_into().unwrap_or(u64::MAX),
            _ => 0,
        })
    })
}

/// The path of the first name of a hard link, as raw bytes like ibt_entry_path:
/// the same path for all names of one file, symbolic link, FIFO or device in one
/// snapshot. For the first name it is the entry's own path. NULL for an entry
/// with one name.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_link(entry: Option<&ibt_entry>) -> *const c_char {
    guard!(ptr::null(), {
        entry.map_or(ptr::null(), |view| {
            cached(&view.link, view.entry.first_name().map(|first| first.as_bytes()))
        })
    })
}

/// How many extended attributes the entry has.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_xattr_count(entry: Option<&ibt_entry>) -> usize {
    guard!(0, { entry.map_or(0, |view| view.entry.meta.xattrs.len()) })
}

/// The name of extended attribute i, such as "user.mime_type"; NULL if i is out
/// of range.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_entry_xattr_name(entry: Option<&ibt_entry>, i: usize) -> *const c_char {
    guard!(ptr::null(), {
        entry.map_or(ptr::null(), |view| {
            let xattrs = &view.entry.meta.xattrs;
            let names =
                view.xattr_names.get_or_init(|| xattrs.iter().map(|(name, _)| c_string(name)).collect());
            ptr_or_null(names.get(i))
        })
    })
}

/// The address returned for an empty value.
static NOTHING: [u8; 1] = [0];

/// The value of extended attribute i: any bytes, not ended by NUL. Stores its
/// length in `*len`; len may be NULL. If i is out of range, returns NULL and
/// stores 0.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_entry_xattr_value(
    entry: Option<&ibt_entry>,
    i: usize,
    len: *mut usize,
) -> *const u8 {
    guard!(ptr::null(), {
        // SAFETY: NULL or may be written.
        unsafe { write_out(len, 0) };
        let xattr = entry.and_then(|view| view.entry.meta.xattrs.get(i));
        xattr.map_or(ptr::null(), |(_, value)| {
            // SAFETY: NULL or may be written.
            unsafe { write_out(len, value.len()) };
            match value.is_empty() {
                // The dangling address of an empty vector is a low number, and some languages refuse such a
                // pointer.
                true => NOTHING.as_ptr(),
                false => value.as_ptr(),
            }
        })
    })
}
