//! Sets metadata, and finds out whether an existing file has it already.

mod rights;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::entry::{Entry, FileType, InodeFlags, Metadata, Path};
use crate::error::{Error, Kind, Result, is_shortage};
use crate::job::{Job, ProblemKind, meta};
use crate::platform::{self, Dir, FlagsAndProject, Named, Stat};
use crate::restore::target::Target;

use super::Tree;
pub(super) use rights::{WidenedDir, protected, set_mode_if};

/// Prefix of the attributes that hold access and default ACLs in the kernel's form.
const ACL: &[u8] = b"system.posix_acl_";

/// The flags that an entry of a new tree loses if the snapshot does not have them. The restore never takes the
/// protection from a file.
const CLEARED: u32 = !InodeFlags::PROTECTIVE;
/// The flags that an entry of an existing destination loses. The others belong to the destination's place.
const CLEARED_IN_PLACE: u32 = CLEARED & !(InodeFlags::PROJINHERIT | InodeFlags::CASEFOLD);

/// The metadata that the restore sets.
#[derive(Clone, Copy)]
pub struct MetadataPolicy {
    pub mask: u32,
    pub privileged: bool,
    /// This process may set protective flags.
    pub protects: bool,
    /// Removes extended attributes that the snapshot does not have: old ones of an existing file, or an ACL that a new
    /// file inherited from its directory.
    pub strips: bool,
    /// The flags that an entry loses if the snapshot does not have them.
    cleared: u32,
    /// An entry without a project in the snapshot loses the one that it inherited.
    pub clears_project: bool,
}

impl MetadataPolicy {
    /// The policy for entries of `target`, as the options say. A flag or a project that the tree inherits, and that
    /// cannot be read or cleared, is listed as a problem, once for the whole tree.
    pub fn find(target: &Target, job: &mut Job) -> Result<Self> {
        let privileged = platform::is_privileged();
        let default = if privileged { meta::ALL } else { meta::ALL & !meta::OWNER };
        let mask = job.options.restore_metadata.unwrap_or(default);
        let base = job.options.root.clone();
        let inherited = match mask & (meta::FLAGS | meta::PROJECT) {
            0 => FlagsAndProject::default(),
            _ => target.inherited_flags().or_else(|error| {
                job.trouble(ProblemKind::Metadata, base.as_bytes(), error)
                    .map(|()| FlagsAndProject::default())
            })?,
        };
        let mut policy = MetadataPolicy::new(target, mask, privileged, inherited);
        for error in policy.keep_what_stays(target, &base)? {
            job.problem_at_end(ProblemKind::Metadata, base.as_bytes(), &error);
        }
        Ok(policy)
    }

    /// The policy with the bits `mask` of [`meta`]. The directory in which a new tree is made hands the flags and the
    /// project `inherited` down to the tree.
    fn new(target: &Target, mask: u32, privileged: bool, inherited: FlagsAndProject) -> Self {
        let inherits = inherited.flags & CLEARED != 0;
        let cleared = match target.is_new() {
            true if inherits => CLEARED,
            false if inherits || target.is_existing() => CLEARED_IN_PLACE,
            _ => 0,
        };
        MetadataPolicy {
            mask,
            privileged,
            protects: platform::may_protect(),
            strips: target.is_existing(),
            cleared,
            clears_project: target.is_new() && inherited.project != 0 && mask & meta::PROJECT != 0,
        }
    }

    /// Finds out what of the flags and the project that a new tree inherits this process may not clear: in a user
    /// namespace, for example, no project. No entry is to lose these. Returns the reasons.
    fn keep_what_stays(&mut self, target: &Target, base: &Path) -> Result<Vec<Error>> {
        let flags = if self.has(meta::FLAGS) && !target.is_existing() { self.cleared } else { 0 };
        if flags == 0 && !self.clears_project {
            return Ok(Vec::new());
        }
        let error = |what: &str, why: &io::Error| {
            not_done(&format!("clear {what} that the entries inherit in"), base, why)
        };
        let (cleared, projected) = target.try_to_clear(flags, self.clears_project)?;
        let mut failed = Vec::new();
        match cleared {
            Err(why) => {
                self.cleared = 0;
                failed.push(error("the flags", &why));
            }
            Ok(refused) => {
                for (flag, why) in refused {
                    self.cleared &= !flag;
                    let word = InodeFlags::words_of(flag).next().unwrap_or_default();
                    failed.push(error(&format!("the flag '{word}'"), &why));
                }
            }
        }
        if let Err(why) = projected {
            self.clears_project = false;
            failed.push(error("the project", &why));
        }
        Ok(failed)
    }

    pub fn has(self, bit: u32) -> bool {
        self.mask & bit != 0
    }

    /// Whether the restore sets this extended attribute. Without privilege, nobody can set `security.*` and
    /// `trusted.*`.
    fn sets(self, name: &[u8]) -> bool {
        let reserved = name.starts_with(b"security.") || name.starts_with(b"trusted.");
        !reserved || self.privileged
    }

    /// Whether the restore removes this attribute where the snapshot does not have it. Labels of security modules
    /// belong to the system and stay.
    fn removes(self, name: &[u8]) -> bool {
        self.sets(name) && (!name.starts_with(b"security.") || name == b"security.capability")
    }

    /// The flags that a file or directory loses.
    fn cleared(self, data: &Metadata) -> u32 {
        self.cleared & !data.flags.known()
    }

    /// Sets the flags that only an empty file can get. [`MetadataPolicy::set`] reports flags that are missing.
    pub fn prepare(self, data: &Metadata, fd: BorrowedFd<'_>) {
        if self.has(meta::FLAGS) && (self.cleared != 0 || data.flags.known() != 0) {
            platform::prepare_flags(fd, data.flags.known(), self.cleared(data));
        }
    }

    /// Sets or clears the flag `casefold` of a new, empty directory, which only an empty directory takes.
    /// [`MetadataPolicy::set`] reports it if it is wrong at the end.
    pub fn fold_case(self, data: &Metadata, open: impl FnOnce() -> io::Result<Dir>) {
        let wanted = data.flags.known() & InodeFlags::CASEFOLD;
        let cleared = self.cleared(data) & InodeFlags::CASEFOLD;
        if self.has(meta::FLAGS) && (wanted | cleared) != 0 {
            let _ = open().and_then(|dir| platform::set_flags(dir.as_fd().into(), wanted, cleared));
        }
    }

    /// Whether an entry with this metadata may get a project or a protective flag at the end, or lose a project.
    pub fn may_be_late(self, data: &Metadata) -> bool {
        !data.flags.is_empty() || data.project != 0 || self.clears_project
    }

    /// Whether a file or directory has the flags and the project that the restore sets.
    fn has_flags(self, data: &Metadata, now: FlagsAndProject) -> bool {
        let settable = if self.protects { !0 } else { !InodeFlags::PROTECTIVE };
        let missing = data.flags.known() & !now.flags & settable;
        let more = now.flags & self.cleared(data) & !InodeFlags::OF_SYSTEM;
        let same_flags = missing == 0 && more == 0 && data.flags.unknown().is_empty();
        let same_project = data.project == 0 || data.project == now.project;
        (same_flags || !self.has(meta::FLAGS)) && (same_project || !self.has(meta::PROJECT))
    }

    /// Sets the metadata of an open file or directory: owner, flags, extended attributes, mode, times. The order
    /// matters, because each step can change metadata that a later step sets: for example, a new owner clears setuid,
    /// and on Btrfs the flag `compress` changes an attribute. `owned`: the current uid and gid, if known. Returns the
    /// errors. [`LateFlags`](crate::restore::late_flags::LateFlags) sets the project and the protective flags.
    pub fn set(self, path: &Path, data: &Metadata, of: Named<'_>, owned: Option<(u32, u32)>) -> Vec<Error> {
        let fd = of.fd;
        let mut attempts = Attempts { wanted: self, path, failed: Vec::new() };
        let is_owned = |(uid, gid)| is_or_unknown(data.uid, uid) && is_or_unknown(data.gid, gid);
        if !owned.is_some_and(is_owned) && (data.uid, data.gid) != (None, None) {
            attempts.set(meta::OWNER, "set the owner of", || platform::set_owner(fd, data.uid, data.gid));
        }
        attempts.flags(data, of);
        attempts.xattrs(data, of);
        if let Some(mode) = data.mode {
            let mode = self.mode(mode, data, || platform::stat_fd(fd));
            attempts.set(meta::MODE, "set the mode of", || platform::set_mode(fd, mode?));
        }
        attempts.set(meta::TIMES, "set the times of", || platform::set_times(fd, data.mtime));
        attempts.failed
    }

    /// The mode to set. setuid needs the recorded owner, and setgid needs the recorded group: with another owner or
    /// group the bit would give away other rights. A directory keeps setgid, because the bit gives no rights there.
    fn mode(self, mode: u32, data: &Metadata, now: impl FnOnce() -> io::Result<Stat>) -> io::Result<u32> {
        if mode & 0o6000 == 0 {
            return Ok(mode);
        }
        let now = now()?;
        Ok(self.mode_for(mode, data, now.uid, now.gid, now.kind))
    }

    /// The mode to set on a file of this kind with this owner and group. `mode` is the recorded one.
    fn mode_for(self, mut mode: u32, data: &Metadata, uid: u32, gid: u32, kind: FileType) -> u32 {
        if !self.has(meta::SETID) || Some(uid) != data.uid {
            mode &= !0o4000;
        }
        if !self.has(meta::SETID) || (Some(gid) != data.gid && kind != FileType::Dir) {
            mode &= !0o2000;
        }
        mode
    }
}

/// Whether the recorded number of an owner is `now`, or none is recorded: then any is right.
fn is_or_unknown(recorded: Option<u32>, now: u32) -> bool {
    recorded.is_none_or(|recorded| recorded == now)
}

/// The mode with which an entry is made. It is private until the entry is complete. An entry without a recorded mode
/// keeps the mode that programs usually ask for, without the bits in the umask of the process. But a directory keeps
/// all rights of its owner, because files are made in it.
pub fn first_mode(data: &Metadata, kind: FileType) -> u32 {
    match (data.mode, kind) {
        (Some(_), FileType::Dir) => 0o700,
        (Some(_), _) => 0o600,
        (None, FileType::Dir) => 0o777,
        (None, _) => 0o666,
    }
}

/// Sets one kind of metadata after the other, and goes on after an error.
struct Attempts<'p> {
    wanted: MetadataPolicy,
    path: &'p Path,
    failed: Vec<Error>,
}

impl Attempts<'_> {
    /// Runs `set` if this kind of metadata is wanted.
    fn set(&mut self, bit: u32, op: &str, set: impl FnOnce() -> io::Result<()>) {
        if self.wanted.has(bit) {
            self.failed.extend(set().err().map(|error| not_done(op, self.path, &error)));
        }
    }

    fn flags(&mut self, data: &Metadata, of: Named<'_>) {
        let cleared = self.wanted.cleared(data);
        if !self.wanted.has(meta::FLAGS) || (data.flags.is_empty() && cleared == 0) {
            return;
        }
        for word in data.flags.unknown() {
            let why = "this version of libibt does not know the flag";
            let error = Error::new(Kind::Unsupported, format!("set the flag '{word}' of"), why);
            self.failed.push(error.at(self.path));
        }
        match platform::set_flags(of, data.flags.known(), cleared) {
            Err(error) => self.failed.push(not_done("set the flags of", self.path, &error)),
            Ok(refused) => {
                let refused = refused.into_iter().map(|(flag, error)| {
                    let word = InodeFlags::words_of(flag).next().unwrap_or_default();
                    let op = if data.flags.has(flag) { "set" } else { "clear" };
                    not_done(&format!("{op} the flag '{word}' of"), self.path, &error)
                });
                self.failed.extend(refused);
            }
        }
    }

    /// Sets ACLs after the other attributes: an ACL changes the mode, and `user.*` needs the owner's right to write.
    fn xattrs(&mut self, data: &Metadata, of: Named<'_>) {
        self.remove_xattrs(data, of);
        let wanted = self.wanted;
        let settable = data.xattrs.iter().filter(|(name, _)| wanted.sets(name));
        let (acls, others): (Vec<_>, Vec<_>) = settable.partition(|(name, _)| name.starts_with(ACL));
        for (name, value) in others.into_iter().chain(acls) {
            self.set(meta::XATTRS, "set an extended attribute of", || platform::set_xattr(of, name, value));
        }
    }

    fn remove_xattrs(&mut self, data: &Metadata, of: Named<'_>) {
        if !self.wanted.strips || !self.wanted.has(meta::XATTRS) {
            return;
        }
        let now = match platform::read_xattrs(of) {
            Ok(now) => now,
            Err(error) => {
                return self.failed.push(not_done("read the extended attributes of", self.path, &error));
            }
        };
        for (name, _) in now {
            if self.wanted.removes(&name) && !data.xattrs.iter().any(|(kept, _)| *kept == name) {
                let remove = || platform::remove_xattr(of, &name);
                self.set(meta::XATTRS, "remove an extended attribute of", remove);
            }
        }
    }
}

/// Whether an operation failed because `/proc` is not mounted.
fn needs_proc(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOSYS) && platform::lacks_proc()
}

fn not_done(op: &str, path: &Path, error: &io::Error) -> Error {
    let described = Error::io(op, path, error);
    match needs_proc(error) {
        true => Error {
            detail: "this system does it only through /proc, which is not mounted".into(),
            ..described
        },
        false => described,
    }
}

/// Extended attributes and flags of an existing file.
type FoundAttributes = (Vec<(Vec<u8>, Vec<u8>)>, Option<FlagsAndProject>);

impl Tree<'_, '_> {
    /// Sets the metadata of an open file or directory. Lists metadata that cannot be set as problems.
    pub fn metadata(&mut self, path: &Path, data: &Metadata, fd: BorrowedFd<'_>) -> Result<()> {
        let failed = self.wanted.set(path, data, fd.into(), None);
        self.not_set(path, failed)
    }

    /// Notes the project and the protective flags of a new file: they are set at the end of the restore.
    pub fn set_late(&mut self, entry: &Entry, now: io::Result<Stat>) -> Result<()> {
        if !self.late.wants(&entry.meta) {
            return Ok(());
        }
        let now = now.map_err(|e| Error::io("look at", &entry.path, &e))?;
        self.late.add(&entry.path, &entry.meta, now.id())
    }

    /// Lists metadata that could not be set as problems.
    pub fn not_set(&mut self, path: &Path, failed: Vec<Error>) -> Result<()> {
        let mut failed = failed.into_iter();
        failed.try_for_each(|error| self.job.trouble(ProblemKind::Metadata, path.as_bytes(), error))
    }

    /// Whether only a new file takes the flags of the entry, and not the existing one with the same content.
    pub fn needs_new_file(&mut self, entry: &Entry, now: &Stat) -> Result<bool> {
        if now.kind != FileType::File || now.size == 0 || !self.wanted.has(meta::FLAGS) {
            return Ok(false);
        }
        let target_dir = self.target.target_dir(entry)?;
        let place = Some((&target_dir.dir, entry.path.name()));
        let named = target_dir.dir.open_path(entry.path.name());
        let named = named.map_err(|e| Error::io("open", &entry.path, &e))?;
        let of = Named { fd: named.as_fd(), place };
        let opened = self.with_read_right(of.fd, now, || of.open_for_reading());
        let needs = |opened: OwnedFd| {
            let now = platform::read_flags(&opened)?.flags;
            Ok(platform::needs_empty_file(&opened, entry.meta.flags.known(), now))
        };
        match opened.and_then(needs) {
            Err(error) if is_shortage(&error) => Err(Error::io("read the flags of", &entry.path, &error)),
            // Setting the flags of the file fails too, and that error gives the reason.
            Err(_) => Ok(false),
            Ok(needs) => Ok(needs),
        }
    }

    /// Whether an existing file already has all the metadata that the restore would set.
    pub fn has_attributes(&mut self, entry: &Entry, now: &Stat) -> Result<bool> {
        let (data, wanted) = (&entry.meta, self.wanted);
        let owned = is_or_unknown(data.uid, now.uid) && is_or_unknown(data.gid, now.gid);
        let owner = if wanted.has(meta::OWNER) { (data.uid, data.gid) } else { (None, None) };
        let (uid, gid) = (owner.0.unwrap_or(now.uid), owner.1.unwrap_or(now.gid));
        let is_mode = |mode| wanted.mode_for(mode, data, uid, gid, now.kind) == now.mode;
        let same_mode = now.kind == FileType::Symlink || data.mode.is_none_or(is_mode);
        let same = (!wanted.has(meta::OWNER) || owned)
            && (!wanted.has(meta::MODE) || same_mode)
            && (!wanted.has(meta::TIMES) || now.mtime == data.mtime);
        let may_have_flags = matches!(now.kind, FileType::File | FileType::Dir);
        let of_flags = may_have_flags && wanted.has(meta::FLAGS | meta::PROJECT);
        if !same || !wanted.has(meta::XATTRS) && !of_flags {
            return Ok(same);
        }
        let place = if entry.path == self.target.base { None } else { Some(self.target.target_dir(entry)?) };
        let place = place.as_ref().map(|place| (&place.dir, entry.path.name()));
        let named = match place {
            None => self.target.open_dir(entry.path.as_bytes()).map(OwnedFd::from),
            Some((dir, name)) => dir.open_path(name),
        };
        let read = |fd: OwnedFd| self.read_attributes(Named { fd: fd.as_fd(), place }, now, of_flags);
        let (now, flags) = match named.and_then(read) {
            // The restore sets the attributes then, and that error gives the reason.
            Err(error) if needs_proc(&error) => return Ok(false),
            now => now.map_err(|e| Error::io("read the attributes of", &entry.path, &e))?,
        };
        let has_flags = match flags {
            Some(flags) => wanted.has_flags(data, flags),
            None => !of_flags || wanted.has_flags(data, FlagsAndProject::default()),
        };
        if !has_flags || !wanted.has(meta::XATTRS) {
            return Ok(has_flags);
        }
        let kept = |name: &[u8]| data.xattrs.iter().any(|(kept, _)| kept == name);
        let now = now.iter().filter(|(name, _)| wanted.removes(name) || kept(name));
        Ok(now.eq(data.xattrs.iter().filter(|(name, _)| wanted.sets(name))))
    }

    /// The extended attributes of an existing file, and its flags if `of_flags`. No flags if the file cannot be opened.
    fn read_attributes(&self, of: Named<'_>, now: &Stat, of_flags: bool) -> io::Result<FoundAttributes> {
        let opened = match of_flags.then(|| self.with_read_right(of.fd, now, || of.open_for_reading())) {
            Some(Err(error)) if is_shortage(&error) => return Err(error),
            opened => opened.and_then(io::Result::ok),
        };
        let flags = opened.as_ref().map(platform::read_flags).transpose()?;
        let of = opened.as_ref().map_or(of, |opened| opened.as_fd().into());
        let xattrs = match self.wanted.has(meta::XATTRS) {
            true => self.with_read_right(of.fd, now, || platform::read_xattrs(of))?,
            false => Vec::new(),
        };
        Ok((xattrs, flags))
    }
}
