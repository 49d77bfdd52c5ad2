//! The setters that limit an operation: filters, policies of a restore, retention rules.

use std::ffi::c_char;

use crate::filter::Filter;
use crate::job::{Options, Overwrite};

use super::super::args::{Handle, relative};
use super::super::constants::*;
use super::setters::{bytes, unknown};
use super::*;

/// Limits an operation to the entries of the snapshot that match a glob. `*`
/// and `?` do not match '/', a component `**` does; `[a-z]` and `{a,b}` work as
/// in a shell. The glob begins at the snapshot's root, so "*.txt" matches only
/// there. A directory that matches includes everything below it. Each call adds
/// a glob: an entry is included if it matches any glob, or any path of
/// ibt_options_add_path().
///
/// Restore and compare use globs; other operations fail with
/// IBT_ERR_INVALID_ARG if one is set. If a glob matches nothing, the operation
/// returns IBT_ERR_NOT_FOUND and does nothing. A comparison looks for a match
/// in the tree as well.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or glob is NULL, the glob is
/// malformed, longer than 4096 bytes or nested deeper than 16, or there are
/// 10,000 globs and paths already.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_add_include(
    options: *mut ibt_options,
    glob: *const c_char,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_add_include", |settings| {
            // SAFETY: NULL or a string.
            let glob = unsafe { bytes(glob, "glob") }?;
            Filter::check_glob(glob)?;
            room_for_one(&settings.engine)?;
            settings.engine.includes.push(glob.to_vec());
            Ok(())
        })
    })
}

/// Limits the number of rules, because the filter tests every entry of a snapshot against every glob.
fn room_for_one(options: &Options) -> Result<(), SetterRefusal> {
    const RULES_MAX: usize = 10_000;
    match options.includes.len() + options.paths.len() < RULES_MAX {
        true => Ok(()),
        false => Err(format!("more than {RULES_MAX} globs and paths")),
    }
}

/// Limits an operation like ibt_options_add_include(), but takes the path
/// literally: raw bytes, relative to the snapshot's root, without "." and "..".
/// Slashes at either end are ignored.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or path is NULL, the path is
/// empty or malformed, or there are 10,000 globs and paths already.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_add_path(options: *mut ibt_options, path: *const c_char) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_add_path", |settings| {
            // SAFETY: NULL or a string.
            let path = relative(unsafe { bytes(path, "path") }?)?;
            if path.is_root() {
                return Err("path is empty".into());
            }
            room_for_one(&settings.engine)?;
            settings.engine.paths.push(path);
            Ok(())
        })
    })
}

/// Restores this directory of the snapshot as the destination itself, instead
/// of the snapshot's root. For example with the root "etc", "etc/hosts" becomes
/// "hosts" in the destination. Globs and paths still begin at the snapshot's
/// root.
///
/// Restore uses it; other operations fail with IBT_ERR_INVALID_ARG if it is
/// set. The restore returns IBT_ERR_NOT_FOUND if the snapshot has no such
/// directory.
///
/// Default: "", the snapshot's root.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or path is NULL or path is
/// malformed.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_root(options: *mut ibt_options, path: *const c_char) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_root", |settings| {
            // SAFETY: NULL or a string.
            settings.engine.root = relative(unsafe { bytes(path, "path") }?)?;
            Ok(())
        })
    })
}

/// Sets the policy for entries that the destination of a restore has already:
/// one of IBT_OVERWRITE_*. A file that is right already is not written, and at
/// any moment each file has its old or its new content.
///
/// A file in the destination may have hard links that are not in the snapshot,
/// in the destination or elsewhere. As in ibt_compare(), they do not count as a
/// difference: a file that is right stays linked with them. If only its
/// metadata is wrong, the restore replaces the file by a separate one, so that
/// the other links keep their metadata.
///
/// Default: IBT_OVERWRITE_NEVER. Restore only; ignored elsewhere.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or policy is unknown.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_overwrite(options: *mut ibt_options, policy: i32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_overwrite", |settings| {
            settings.engine.overwrite = match policy {
                IBT_OVERWRITE_NEVER => Overwrite::Never,
                IBT_OVERWRITE_ALWAYS => Overwrite::Always,
                IBT_OVERWRITE_IF_DIFFERENT => Overwrite::IfDifferent,
                IBT_OVERWRITE_IF_OLDER => Overwrite::IfOlder,
                IBT_OVERWRITE_KEEP => Overwrite::Keep,
                _ => return Err(unknown("policy", policy)),
            };
            Ok(())
        })
    })
}

/// With 1 a restore over an existing tree (ibt_options_set_overwrite()) removes
/// the entries of the tree that the snapshot does not have, as far as globs,
/// paths and root reach. Only with 1 may a directory that is not empty be
/// removed to make way for an entry of another type.
///
/// Entries that the backup saw and did not store stay, with everything below
/// them. The report has a note for each directory that holds entries left out
/// on request or by design (excluded names, sockets, other file systems, marked
/// caches, the backup's own store and cache): IBT_PROBLEM_SKIPPED. It has an
/// IBT_PROBLEM_OBSTRUCTED for each directory that holds entries that the backup
/// could not read. If the backup left out very many names in a directory,
/// everything extra in that directory stays.
///
/// The following entries stay as well, and are listed as
/// IBT_PROBLEM_OBSTRUCTED:
///
/// - everything in a directory that the backup could not list, and in a
///   directory on a file system that does not distinguish upper and lower case;
/// - everything in a directory that holds a backup file, or a temporary file of
///   a backup: it is the store of another backup;
/// - the storage's own directory, the cache, the paths of
///   ibt_options_add_protected_path(), and the links and directories that lead
///   to them;
/// - a directory on which something is mounted, also from the same file system,
///   unless the snapshot has entries in it; a file on which something is
///   mounted. If the system does not show mounts (before Linux 5.8 and without
///   /proc): every directory of which the snapshot has no entry;
/// - entries that cannot be listed or examined. A restore makes the caller's
///   own directories accessible for this, and restores their mode afterwards. A
///   dry run does not, and counts such a directory as extra with everything in
///   it.
///
/// An extra directory with one of these inside stays and loses everything else
/// in it; it does not make way for another entry. But if something in it is
/// immutable or append-only, the directory stays whole: nothing of it is removed
/// before everything can be. In a directory of the snapshot that is immutable or
/// append-only, everything extra stays. Both are listed as
/// IBT_PROBLEM_OBSTRUCTED.
///
/// Once the content of a file turns out to be lost, nothing extra is removed
/// any more, and a directory that is not empty is not removed to make way for
/// another entry: dest may still have that content under another name. This is
/// listed as IBT_PROBLEM_OBSTRUCTED. A dry run reads no contents, so it cannot
/// foresee this.
///
/// Restore uses it; other operations fail with IBT_ERR_INVALID_ARG if it is
/// set.
///
/// Default: 0. Every other number counts as 1.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_delete_extra(options: *mut ibt_options, on: i32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_delete_extra", |settings| {
            settings.engine.delete_extra = on != 0;
            Ok(())
        })
    })
}

/// With 1 a restore that ends with an error, or is cancelled, leaves the
/// entries restored so far as dest. With 0 it leaves nothing where dest was
/// absent or empty. Each file of a partial tree is whole; directories may still
/// have the mode 0700 and other metadata than the snapshot's. A restore over
/// the partial tree (ibt_options_set_overwrite()) completes it. If somebody
/// else takes dest, or a name in it, meanwhile, the restored entries stay
/// beside or in dest, under a name that begins with "ibt-partial-"; the error
/// names it, and no restore removes it. Over an existing tree the entries
/// restored so far always stay. Restore only; ignored elsewhere.
///
/// Default: 0. Every other number counts as 1.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_leave_partial(options: *mut ibt_options, on: i32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_leave_partial", |settings| {
            settings.engine.leave_partial = on != 0;
            Ok(())
        })
    })
}

/// A prune keeps the n snapshots with the newest stamps. Rules add up: a
/// snapshot stays if any rule keeps it. If any rule is set, the snapshot with
/// the newest stamp stays as well.
///
/// Default: 0, no such rule. Prune only; ignored elsewhere.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_keep_last(options: *mut ibt_options, n: u32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_keep_last", |settings| {
            settings.engine.keep.last = n;
            Ok(())
        })
    })
}

/// A prune keeps every snapshot that was made at most `seconds` before the
/// snapshot with the newest stamp. The current time does not matter: even if
/// the newest snapshot is a month old, a span of one week keeps the snapshots
/// of the week before it. Rules add up: a snapshot stays if any rule keeps it.
///
/// Default: 0, no such rule. Prune only; ignored elsewhere.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_keep_within(options: *mut ibt_options, seconds: u64) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_keep_within", |settings| {
            settings.engine.keep.within = seconds;
            Ok(())
        })
    })
}

/// A prune keeps the newest snapshot of each of the last n hours that have a
/// snapshot, in UTC (see ibt_options_set_local_time()). Rules add up: a
/// snapshot stays if any rule keeps it.
///
/// Default: 0, no such rule. Prune only; ignored elsewhere.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_keep_hourly(options: *mut ibt_options, n: u32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_keep_hourly", |settings| {
            settings.engine.keep.hourly = n;
            Ok(())
        })
    })
}

/// A prune keeps the newest snapshot of each of the last n days, in UTC (see
/// ibt_options_set_local_time()), that have a snapshot. Rules add up: a
/// snapshot stays if any rule keeps it.
///
/// Default: 0, no such rule. Prune only; ignored elsewhere.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_keep_daily(options: *mut ibt_options, n: u32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_keep_daily", |settings| {
            settings.engine.keep.daily = n;
            Ok(())
        })
    })
}

/// A prune keeps the newest snapshot of each of the last n weeks, in UTC (see
/// ibt_options_set_local_time()), that have a snapshot. A week begins on Monday.
/// Rules add up: a snapshot stays if any rule keeps it.
///
/// Default: 0, no such rule. Prune only; ignored elsewhere.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_keep_weekly(options: *mut ibt_options, n: u32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_keep_weekly", |settings| {
            settings.engine.keep.weekly = n;
            Ok(())
        })
    })
}

/// A prune keeps the newest snapshot of each of the last n months, in UTC (see
/// ibt_options_set_local_time()), that have a snapshot. Rules add up: a
/// snapshot stays if any rule keeps it.
///
/// Default: 0, no such rule. Prune only; ignored elsewhere.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_keep_monthly(options: *mut ibt_options, n: u32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_keep_monthly", |settings| {
            settings.engine.keep.monthly = n;
            Ok(())
        })
    })
}

/// A prune keeps the newest snapshot of each of the last n years, in UTC (see
/// ibt_options_set_local_time()), that have a snapshot. Rules add up: a
/// snapshot stays if any rule keeps it.
///
/// Default: 0, no such rule. Prune only; ignored elsewhere.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_keep_yearly(options: *mut ibt_options, n: u32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_keep_yearly", |settings| {
            settings.engine.keep.yearly = n;
            Ok(())
        })
    })
}

/// With 1 the hours, days, weeks, months and years of the rules of a prune are
/// those of the time zone of this machine (TZ, else the system's), including
/// its summer time: a day may have 23 or 25 hours. The zone of the machine that
/// runs the prune counts, not the zones in which the snapshots were made. Where
/// the clocks are set back, the hour that occurs twice counts as two. Prune
/// with the same zone each time: other days may keep other snapshots.
///
/// Default: 0, UTC. Every other number counts as 1. Prune only; ignored
/// elsewhere.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_local_time(options: *mut ibt_options, on: i32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_local_time", |settings| {
            settings.engine.local_time = on != 0;
            Ok(())
        })
    })
}

/// With 1 a backup, a restore or a prune changes nothing. It only reports the
/// changes that it would make, through callbacks and the report.
///
/// A backup then reads the source, compares and compresses as usual, but stores
/// nothing: no backup file, no copy in the cache, no lock file. Its changes are
/// passed to the function of ibt_options_set_change(). The report has its
/// counters, and the kind and size of each backup file that it would make;
/// their paths, the snapshot and the digest are NULL. IBT_COUNT_BYTES_WRITTEN
/// counts the bytes that it would store. It does not wait for another backup,
/// and the storage need not be able to write.
///
/// Other operations fail with IBT_ERR_INVALID_ARG if it is set.
///
/// Default: 0. Every other number counts as 1.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_dry_run(options: *mut ibt_options, on: i32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_dry_run", |settings| {
            settings.engine.dry_run = on != 0;
            Ok(())
        })
    })
}

/// With 1 an increment first reads everything that its parent needs, as
/// ibt_verify() does. It stores lost contents and signatures again, as far as
/// the source still has the files. Increments only; ignored elsewhere.
///
/// - A file whose content is lost, or depends on lost bytes, is stored whole from
///   the source, in its present version. A lost signature is made again if the
///   file still has the recorded content.
/// - The report has a problem for each archive with losses, a note
///   (IBT_PROBLEM_HEALED) for each file that was stored again, and a problem
///   (IBT_PROBLEM_LOST) for each lost file that the source no longer has or
///   cannot give now. So the increment that finds damage returns IBT_PARTIAL. The
///   next one does not, unless the source still cannot give a lost file.
/// - An entry that the source cannot give now, because it is unreadable, is never
///   dropped: the new snapshot has it as the parent has it, also if its content is
///   damaged. Later increments, with or without this option, do not take over that
///   content, but store the file again as soon as they can read it.
/// - Only the new snapshot and later ones are whole. Older snapshots that need
///   the lost bytes have lost them for good, unless another copy of the store
///   has them.
/// - Each byte of the archives that the parent needs is read about once. Without
///   damage the increment stores the same bytes as without this option.
/// - An archive that cannot be read now ends the increment with the error of the
///   storage. The exception is a read error of the disk in a directory (EIO): the
///   archive is a problem (IBT_PROBLEM_UNREADABLE), and its files are stored again
///   as if it was damaged, because a bad sector stays bad.
/// - A dry run reports the same, and stores nothing.
///
/// Without this option an increment notices archives that are gone or have
/// another size, and stores again the contents that they held. It notices
/// damage inside an archive only in the bytes that it reads: see
/// IBT_DELTA_CONTENTS.
///
/// Default: 0. Every other number counts as 1.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_heal(options: *mut ibt_options, on: i32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_heal", |settings| {
            settings.engine.heal = on != 0;
            Ok(())
        })
    })
}
