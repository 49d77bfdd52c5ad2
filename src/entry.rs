//! The types that every module shares: a validated relative [`Path`], [`Metadata`], [`Entry`] and the [`Place`] of
//! its content.

mod inode_flags;

use std::cmp::Ordering;
use std::fmt;

use crate::stamp::Time;
use crate::text::encode_name;
pub use inode_flags::InodeFlags;

/// Longest path of an entry, in bytes; [`NAME_MAX`] limits each component.
pub const PATH_LEN_MAX: usize = 1 << 20;
/// Longest component of a path, in bytes.
pub const NAME_MAX: usize = 255;
/// Deepest place of an entry below its root, in components.
pub const DEPTH_MAX: usize = 100_000;

/// Start of the name of every temporary file and directory of a restore. Three numbers follow, each as 16 hexadecimal
/// digits, with dashes between them: the tag of the destination, the mark of the machine, and a random number.
pub const RESTORE_TEMP_PREFIX: &str = ".ibt-tmp-restore-";

/// True for the name of a temporary file or directory of a restore. libibt gives such names to nothing else.
pub fn is_restore_temp(name: &[u8]) -> bool {
    let is_number = |part: &[u8]| part.len() == 16 && part.iter().all(|byte| byte.is_ascii_hexdigit());
    let rest = name.strip_prefix(RESTORE_TEMP_PREFIX.as_bytes());
    rest.is_some_and(|rest| {
        let parts = rest.split(|&byte| byte == b'-');
        parts.clone().count() == 3 && parts.into_iter().all(is_number)
    })
}

/// A path relative to the source: raw bytes, components joined by single slashes, no `.`, no `..`, no
/// NUL. The root itself is the empty path.
///
/// Paths sort component by component, in byte order, as [`compare_paths`] says: for example `a/b` sorts before `a-b`.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Path(Box<[u8]>);

impl Path {
    pub fn root() -> Self {
        Path::default()
    }

    /// Checks `bytes`; `Err` names the fault in a few words.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, &'static str> {
        let bytes = bytes.into();
        check_path(&bytes)?;
        Ok(Path(bytes.into()))
    }

    /// The path of these bytes, which [`check_path`] has accepted.
    pub fn of_checked(bytes: &[u8]) -> Self {
        debug_assert!(check_path(bytes).is_ok());
        Path(bytes.into())
    }

    /// The path of the entry `name` in this directory.
    pub fn join(&self, name: &[u8]) -> Result<Self, &'static str> {
        check_name(name)?;
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        if bytes.len() > PATH_LEN_MAX {
            return Err("path too long");
        }
        Ok(Path(bytes.into()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The directory that holds this entry; `None` for the root.
    pub fn parent(&self) -> Option<&[u8]> {
        if self.is_root() {
            return None;
        }
        Some(self.0.iter().rposition(|&b| b == b'/').map_or(&[][..], |slash| &self.0[..slash]))
    }

    /// The last component; empty for the root.
    pub fn name(&self) -> &[u8] {
        self.0.iter().rposition(|&b| b == b'/').map_or(&self.0[..], |slash| &self.0[slash + 1..])
    }

    /// True if this path is `dir` or lies below `dir`.
    pub fn is_within(&self, dir: &[u8]) -> bool {
        is_within(&self.0, dir)
    }
}

/// [`Path::is_within`] for a path's raw bytes.
pub fn is_within(path: &[u8], dir: &[u8]) -> bool {
    dir.is_empty() || (path.starts_with(dir) && matches!(path.get(dir.len()), None | Some(b'/')))
}

/// Checks the bytes of a [`Path`]; `Err` names the fault in a few words.
pub fn check_path(bytes: &[u8]) -> Result<(), &'static str> {
    if bytes.len() > PATH_LEN_MAX {
        return Err("path too long");
    }
    if bytes.is_empty() {
        return Ok(());
    }
    let mut depth = 0;
    for name in bytes.split(|&b| b == b'/') {
        check_name(name)?;
        depth += 1;
    }
    match depth > DEPTH_MAX {
        true => Err("path too deep"),
        false => Ok(()),
    }
}

/// Checks one component; `Err` says why no path may contain it.
fn check_name(name: &[u8]) -> Result<(), &'static str> {
    match name {
        b"" => Err("empty path component"),
        b"." => Err("path component '.'"),
        b".." => Err("path component '..'"),
        _ if name.len() > NAME_MAX => Err("path component longer than 255 bytes"),
        _ if name.contains(&0) => Err("NUL in a path"),
        _ if name.contains(&b'/') => Err("slash in a path component"),
        _ => Ok(()),
    }
}

/// The order of entries, depth first. The writer, the walk and the merge all use this function. `/` sorts before every
/// other byte, as if it were 0; no path contains a real 0.
pub fn compare_paths(a: &[u8], b: &[u8]) -> Ordering {
    let rank = |byte: u8| if byte == b'/' { 0 } else { byte };
    let at = common_len(a, b);
    match (a.get(at), b.get(at)) {
        (Some(&x), Some(&y)) => rank(x).cmp(&rank(y)),
        _ => a.len().cmp(&b.len()),
    }
}

/// Length of the common prefix of `a` and `b`. Eight bytes are compared at a time, because neighbouring entries share
/// most of their paths.
fn common_len(a: &[u8], b: &[u8]) -> usize {
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0).take_while(|(x, y)| x == y).count();
    let rest = a[8 * words..].iter().zip(&b[8 * words..]).take_while(|(x, y)| x == y).count();
    8 * words + rest
}

impl Ord for Path {
    fn cmp(&self, other: &Self) -> Ordering {
        compare_paths(&self.0, &other.0)
    }
}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl AsRef<[u8]> for Path {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", encode_name(&self.0))
    }
}

/// A BLAKE3 hash of 32 bytes, written `blake3:` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The hash of a content that was not read. No stored entry has this hash.
    pub const UNKNOWN: Hash = Hash([0; 32]);

    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("blake3:")?;
        let upper = hex.bytes().any(|b| b.is_ascii_uppercase());
        (!upper).then(|| blake3::Hash::from_hex(hex).ok()).flatten().map(Hash::from)
    }
}

impl From<blake3::Hash> for Hash {
    fn from(hash: blake3::Hash) -> Self {
        Hash(*hash.as_bytes())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blake3:{}", blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The type of an entry, with the fields that only this type has. A socket never becomes an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    File(File),
    Dir,
    /// The target of the link: raw bytes, in any encoding.
    Symlink(Vec<u8>),
    Fifo,
    /// A character device with its device number (`st_rdev`). Numbers of this system have 64 bits.
    Char(u128),
    /// A block device with its device number, like `Char`.
    Block(u128),
    /// An entry that only a newer version of libibt can restore.
    Unknown(Box<UnknownNode>),
}

/// The type of an entry that a newer version of libibt recorded and that this version cannot restore. Such an entry is
/// kept as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownNode {
    /// The word of the type. "file" if the algorithm of the file's hash is unknown.
    pub word: String,
    /// The text of all logical fields that belong to the type. In a line they follow the fields of all types.
    pub fields: String,
}

impl UnknownNode {
    /// Why this version cannot restore the entry, for messages.
    pub fn why(&self) -> String {
        match &*self.word {
            "file" => "the hash of its content has an algorithm that only a newer libibt knows".into(),
            word => format!("only a newer libibt knows entries of type '{word}'"),
        }
    }
}

/// True for the word of a type, of a flag or of an algorithm: 1 to 32 lower-case letters, digits and dashes.
pub fn is_word(text: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    (1..=32).contains(&text.len()) && text.iter().all(is_letter)
}

impl Node {
    pub fn file_type(&self) -> FileType {
        match self {
            Node::File(_) => FileType::File,
            Node::Dir => FileType::Dir,
            Node::Symlink(_) => FileType::Symlink,
            Node::Fifo => FileType::Fifo,
            Node::Char(_) => FileType::Char,
            Node::Block(_) => FileType::Block,
            Node::Unknown(_) => FileType::Unknown,
        }
    }

    /// The word of the type in states.
    pub fn word(&self) -> &str {
        match self {
            Node::Unknown(node) => &node.word,
            known => known.file_type().word(),
        }
    }

    /// The node of anything but a regular file. A socket, which never becomes an entry, is reported as a FIFO.
    pub fn without_content(file_type: FileType, target: Vec<u8>, rdev: u64) -> Option<Node> {
        Some(match file_type {
            FileType::File | FileType::Unknown => return None,
            FileType::Dir => Node::Dir,
            FileType::Symlink => Node::Symlink(target),
            FileType::Fifo | FileType::Socket => Node::Fifo,
            FileType::Char => Node::Char(rdev.into()),
            FileType::Block => Node::Block(rdev.into()),
        })
    }
}

/// The types of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FileType {
    File,
    #[default]
    Dir,
    Symlink,
    Fifo,
    Char,
    Block,
    Socket,
    /// The type of an entry that only a newer version of libibt can restore. No file on a disk has this type.
    Unknown,
}

impl FileType {
    /// The word for this type in states and reports.
    pub fn word(self) -> &'static str {
        match self {
            FileType::File => "file",
            FileType::Dir => "dir",
            FileType::Symlink => "symlink",
            FileType::Fifo => "fifo",
            FileType::Char => "char",
            FileType::Block => "block",
            FileType::Socket => "socket",
            FileType::Unknown => "unknown",
        }
    }

    /// The name of this type for messages such as "it is a socket".
    pub fn name(self) -> &'static str {
        match self {
            FileType::File => "regular file",
            FileType::Dir => "directory",
            FileType::Symlink => "symbolic link",
            FileType::Fifo => "FIFO",
            FileType::Char => "character device",
            FileType::Block => "block device",
            FileType::Socket => "socket",
            FileType::Unknown => "entry of an unknown type",
        }
    }
}

/// The content of a regular file as programs see it; [`Place`] says where the content is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Logical size in bytes, holes included.
    pub size: u64,
    /// BLAKE3 of the data extents, concatenated.
    pub hash: Hash,
    /// Holes as (offset, length), ascending. No hole is empty, touches the next hole or ends beyond `size`.
    pub holes: Vec<(u64, u64)>,
}

impl File {
    /// Number of bytes outside of holes. The stored content, hash, signature and deltas cover these bytes only.
    pub fn data_len(&self) -> u64 {
        data_len(self.size, &self.holes)
    }

    /// True if both files have the same bytes and the same holes.
    pub fn same_bytes(&self, other: &File) -> bool {
        self.hash == other.hash && self.size == other.size && self.holes == other.holes
    }
}

/// Whether an entry shares its inode with other entries of the snapshot. A directory never does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HardLink {
    /// The inode has no other name in the snapshot.
    #[default]
    Single,
    /// The first name, in path order, of an inode that has several names.
    First,
    /// A further name of the inode whose first name is this path.
    Further(Path),
}

/// Identifies the names of one inode in a snapshot: a digest of the path of the first name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkSet([u8; 16]);

impl LinkSet {
    /// The set whose first name is `path`.
    pub fn of_first(path: &[u8]) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&blake3::hash(path).as_bytes()[..16]);
        LinkSet(id)
    }
}

/// Number of bytes of a file of `size` bytes that lie outside of `holes`.
pub fn data_len(size: u64, holes: &[(u64, u64)]) -> u64 {
    size.saturating_sub(holes.iter().fold(0, |sum: u64, &(_, len)| sum.saturating_add(len)))
}

/// The ranges of a file of `size` bytes that lie outside of `holes`, as (offset, length), ascending.
pub fn extents(size: u64, holes: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut out = Vec::with_capacity(holes.len() + 1);
    let mut at = 0;
    for &(offset, len) in holes {
        if offset > at {
            out.push((at, offset - at));
        }
        at = offset + len;
    }
    if at < size {
        out.push((at, size - at));
    }
    out
}

/// The ranges that lie in a range of `a` and in a range of `b`, as (offset, length), ascending. The ranges of each list
/// are ascending and do not overlap. Each list is read once, from start to end.
pub fn overlaps(
    a: impl IntoIterator<Item = (u64, u64)>,
    b: impl IntoIterator<Item = (u64, u64)>,
) -> impl Iterator<Item = (u64, u64)> {
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    std::iter::from_fn(move || {
        loop {
            let (&(a_from, a_len), &(b_from, b_len)) = (a.peek()?, b.peek()?);
            let (a_end, b_end) = (a_from.saturating_add(a_len), b_from.saturating_add(b_len));
            // The range that ends first overlaps no later range of the other list.
            if a_end <= b_end {
                a.next();
            } else {
                b.next();
            }
            let (from, to) = (a_from.max(b_from), a_end.min(b_end));
            if from < to {
                return Some((from, to - from));
            }
        }
    })
}

/// Permissions, owner, modification time, extended attributes, flags and project of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Permission bits including setuid, setgid and sticky: at most 0o7777. `None` if the system of the backup has
    /// none.
    pub mode: Option<u32>,
    /// The numbers of owner and group; `None` if the system of the backup has none.
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// Names of owner and group at the time of the backup, for people; `None` if the system had no name.
    pub user: Option<String>,
    pub group: Option<String>,
    pub mtime: Time,
    /// Extended attributes as (name, value), ascending by name. ACLs and capabilities are among them.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The flags that `chattr` sets. Only files and directories have flags.
    pub flags: InodeFlags,
    /// The project that the quota of a file or directory counts for; 0 means no project.
    pub project: u32,
}

/// A byte range of an archive's uncompressed stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Index into the archives of the state that holds the entry.
    pub archive: u32,
    pub offset: u64,
    pub len: u64,
}

/// The place of the signature of a content. A signature is stored like a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigRef {
    /// A whole signature, then deltas of signatures, oldest first. Never empty.
    pub content: Vec<Range>,
    pub hash: SigHash,
}

/// The hash of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SigHash {
    /// The first 16 bytes of the BLAKE3.
    Blake3([u8; 16]),
    /// A hash that a newer version of libibt wrote, as the state has it: the name of an algorithm that this version
    /// does not know, a colon, and hex digits. Such a signature cannot be checked, so it is kept and not used.
    Unknown(Box<str>),
}

impl SigHash {
    /// The hash, if this version knows its algorithm.
    pub fn known(&self) -> Option<&[u8; 16]> {
        match self {
            SigHash::Blake3(hash) => Some(hash),
            SigHash::Unknown(_) => None,
        }
    }
}

/// True for a digest as states write it: the word of an algorithm, a colon, and an even number of lower-case hex
/// digits, at least 2 and at most 256.
pub fn is_digest(text: &[u8]) -> bool {
    let is_hex = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
    let Some(colon) = text.iter().position(|&byte| byte == b':') else { return false };
    let (algorithm, digits) = (&text[..colon], &text[colon + 1..]);
    is_word(algorithm)
        && (2..=256).contains(&digits.len())
        && digits.len() % 2 == 0
        && digits.iter().all(is_hex)
}

/// Where the bytes of an entry are stored, and the fields that detect a change of the entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// `None` if the inode numbers of the source change between backups. Numbers of this system have 64 bits.
    pub ino: Option<u128>,
    pub ctime: Time,
    /// When the inode was made; `None` if the file system does not report it. A restore cannot set this time.
    pub btime: Option<Time>,
    /// The whole copy, then the deltas, oldest first. Empty for an entry without data.
    pub content: Vec<Range>,
    pub sig: Option<SigRef>,
    /// The entry changed while it was read, or could not be read whole, or is the previous version of an entry that
    /// could not be read. The next backup reads a dirty entry again.
    pub dirty: bool,
}

impl Place {
    /// The ranges of the content and then of the signature: everything that the store must have for the entry.
    pub fn ranges(&self) -> impl Iterator<Item = &Range> {
        self.content.iter().chain(self.sig.iter().flat_map(|sig| &sig.content))
    }
}

/// Fields that a newer version of libibt wrote, as (name, JSON text). They are written again unchanged.
pub type Unknown = Vec<(String, String)>;

/// One file, directory, link or device at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub path: Path,
    pub node: Node,
    pub meta: Metadata,
    pub link: HardLink,
    pub place: Place,
    pub unknown: Unknown,
    /// Unknown fields of `place`.
    pub unknown_place: Unknown,
}

impl Entry {
    /// An entry with a single name and without unknown fields.
    pub fn new(path: Path, node: Node, meta: Metadata, place: Place) -> Self {
        let (link, unknown, unknown_place) = (HardLink::Single, Vec::new(), Vec::new());
        Entry { path, node, meta, link, place, unknown, unknown_place }
    }

    /// The path of the inode's first name; `None` if the inode has no other name in the snapshot.
    pub fn first_name(&self) -> Option<&Path> {
        match &self.link {
            HardLink::Single => None,
            HardLink::First => Some(&self.path),
            HardLink::Further(first) => Some(first),
        }
    }

    /// The set of names that this entry belongs to; `None` if the inode has no other name in the snapshot.
    pub fn link_set(&self) -> Option<LinkSet> {
        self.first_name().map(|first| LinkSet::of_first(first.as_bytes()))
    }

    pub fn file(&self) -> Option<&File> {
        match &self.node {
            Node::File(file) => Some(file),
            _ => None,
        }
    }

    /// Approximate size in bytes of the heap memory that the entry owns. Readers count it against their memory limits,
    /// because an entry of a forged state can own many MiB.
    pub fn heap_len(&self) -> usize {
        let unknown = |fields: &Unknown| fields.iter().map(|(key, value)| 48 + key.len() + value.len()).sum();
        let xattrs = self.meta.xattrs.iter().map(|(name, value)| 48 + name.len() + value.len());
        let node = match &self.node {
            Node::File(file) => 16 * file.holes.len(),
            Node::Symlink(target) => target.len(),
            Node::Dir | Node::Fifo | Node::Char(_) | Node::Block(_) => 0,
            Node::Unknown(node) => size_of::<UnknownNode>() + node.word.len() + node.fields.len(),
        };
        let names = [&self.meta.user, &self.meta.group].map(|name| name.as_ref().map_or(0, String::len));
        let fields: usize = [&self.unknown, &self.unknown_place].map(unknown).iter().sum();
        let ranges = self.place.ranges().count() * size_of::<Range>();
        let link = if let HardLink::Further(first) = &self.link { first.as_bytes().len() } else { 0 };
        self.path.as_bytes().len()
            + link
            + node
            + names[0]
            + names[1]
            + fields
            + ranges
            + self.meta.flags.heap_len()
            + xattrs.sum::<usize>()
    }

    /// Logical size of a file, 0 for everything else.
    pub fn size(&self) -> u64 {
        self.file().map_or(0, |file| file.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Ascending ranges made of gaps and lengths.
    fn ranges(parts: &[(u8, u8)]) -> Vec<(u64, u64)> {
        let mut at = 0;
        let range = |&(gap, len): &(u8, u8)| {
            let from = at + u64::from(gap);
            at = from + u64::from(len);
            (from, u64::from(len))
        };
        parts.iter().map(range).collect()
    }

    proptest! {
        #[test]
        fn overlaps_are_the_offsets_in_both_lists_and_read_each_list_once(
            a in prop::collection::vec((0..6u8, 1..6u8), 0..40), b in prop::collection::vec((0..6u8, 1..6u8), 0..40),
        ) {
            let (a, b) = (ranges(&a), ranges(&b));
            let offsets = |ranges: &[(u64, u64)]| -> Vec<u64> {
                ranges.iter().flat_map(|&(from, len)| from..from + len).collect()
            };
            let taken = std::cell::Cell::new(0);
            let counted = |range: &(u64, u64)| {
                taken.set(taken.get() + 1);
                *range
            };
            let found: Vec<_> = overlaps(a.iter().map(counted), b.iter().map(counted)).collect();
            prop_assert!(taken.get() <= a.len() + b.len());
            let (in_a, mut in_both) = (offsets(&a), offsets(&b));
            in_both.retain(|offset| in_a.contains(offset));
            prop_assert_eq!(offsets(&found), in_both);
        }
    }

    #[test]
    fn paths_that_could_escape_are_refused() {
        for bad in [&b"/"[..], b"/a", b"a/", b"a//b", b".", b"..", b"a/../b", b"a/./b", b"a\0b"] {
            assert!(Path::new(bad).is_err(), "{bad:?}");
        }
        assert!(Path::new(vec![b'a'; 256]).is_err());
        assert!(Path::new(&b"a/...".to_vec()[..]).is_ok());
    }

    #[test]
    fn a_directory_comes_right_before_its_children() {
        let mut paths: Vec<_> = ["a.b", "a/b", "a", "a-b", "", "a/b/c", "a/b c", "b"]
            .iter()
            .map(|p| Path::new(*p).unwrap())
            .collect();
        paths.sort();
        let sorted: Vec<_> = paths.iter().map(|p| std::str::from_utf8(p.as_bytes()).unwrap()).collect();
        assert_eq!(sorted, ["", "a", "a/b", "a/b/c", "a/b c", "a-b", "a.b", "b"]);
    }

    #[test]
    fn within_means_below_not_beside() {
        let path = Path::new("a/b").unwrap();
        assert!(path.is_within(b"") && path.is_within(b"a") && path.is_within(b"a/b"));
        assert!(!path.is_within(b"a/bc") && !Path::new("ab").unwrap().is_within(b"a"));
    }

    proptest! {
        /// Model: the order of the lists of components. The root sorts first.
        #[test]
        fn order_is_component_by_component(same in "[ab/]{0,20}", a in "[ab/.-]{0,8}", b in "[ab/.-]{0,8}") {
            let (a, b) = (format!("{same}{a}"), format!("{same}{b}"));
            let components = |p: &str| p.split('/').map(|c| c.as_bytes().to_vec()).collect::<Vec<_>>();
            if let (Ok(x), Ok(y)) = (Path::new(a.as_bytes()), Path::new(b.as_bytes())) {
                let model = if a.is_empty() || b.is_empty() { a.len().cmp(&b.len()) } else { components(&a).cmp(&components(&b)) };
                prop_assert_eq!(x.cmp(&y), model);
            }
        }

        #[test]
        fn holes_and_extents_make_the_whole(cuts in proptest::collection::btree_set(1u64..1000, 0..10), size in 1000u64..1100) {
            let cuts: Vec<u64> = cuts.into_iter().collect();
            let holes: Vec<_> = cuts.chunks_exact(2).map(|c| (c[0], c[1] - c[0])).collect();
            let data = extents(size, &holes);
            prop_assert_eq!(data.iter().map(|e| e.1).sum::<u64>(), data_len(size, &holes));
            let mut all: Vec<_> = data.iter().chain(&holes).copied().collect();
            all.sort();
            let mut at = 0;
            for (offset, len) in all {
                prop_assert_eq!(offset, at);
                at += len;
            }
            prop_assert_eq!(at, size);
        }
    }
}
