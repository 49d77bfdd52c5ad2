//! The setters of what is restored, compared and kept: filters, policies, retention.

use std::ffi::c_char;

use crate::filter::Filter;
use crate::job::{Options, Overwrite};

use super::super::args::{relative, Handle};
use super::super::constants::*;
use super::setters::{bytes, unknown};
use super::*;

/// Limits an operation to what a glob matches in the snapshot: `*` and `?` stop
/// at '/', a component `**` does not, `[a-z]` and `{a,b}` are as in a shell.
/// It begins at the snapshot's root. A directory that matches includes all
/// below it. Any number; with ibt_options_add_path(), what any of them matches.
///
/// Restore and compare; the others refuse such options (IBT_ERR_INVALID_ARG).
/// One that matches nothing: IBT_ERR_NOT_FOUND, and nothing is done. Compare
/// looks for a match in the tree as well.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or glob is NULL or glob is
/// malformed, longer than 4096 bytes, or nested deeper than 16, or after 10,000
/// globs and paths.
///
/// Since: 0.1
#[no_mangle]
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

/// Every entry of a snapshot is held against every glob.
fn room_for_one(options: &Options) -> Result<(), Refusal> {
    const RULES_MAX: usize = 10_000;
    match options.includes.len() + options.paths.len() < RULES_MAX {
        true => Ok(()),
        false => Err(format!("more than {RULES_MAX} globs and paths")),
    }
}

/// The same, but the path is taken literally: raw bytes, relative to the
/// snapshot's root, without "." and "..". Slashes around it are ignored.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or path is NULL or path is
/// empty or malformed, or after 10,000 globs and paths.
///
/// Since: 0.1
#[no_mangle]
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
/// of the snapshot's root. Globs and paths still begin at the snapshot's root.
///
/// Restore only; the others refuse such options (IBT_ERR_INVALID_ARG). If the
/// snapshot has no such directory: IBT_ERR_NOT_FOUND.
///
/// Default: "", the snapshot's root.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or path is NULL or path is
/// malformed.
///
/// Since: 0.1
#[no_mangle]
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

/// What a restore does with what its destination holds already: one of
/// IBT_OVERWRITE_*. A file that is already right is never written, and each file
/// is the old or the new one at any moment.
///
/// Names of a file that the snapshot has not, in the destination or elsewhere, do
/// not matter, as in ibt_compare(): a right file stays linked with them. One that
/// lacks only metadata is replaced by a file of its own where there are such
/// names, so that they keep theirs.
///
/// Default: IBT_OVERWRITE_NEVER.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or policy is unknown.
///
/// Since: 0.1
#[no_mangle]
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
/// from it what the snapshot has not, as far as globs, paths and root reach. Only
/// with 1 does a directory that is not empty make way for an entry of another
/// type.
///
/// What the backup saw and did not store stays, with all that lies below it. Of
/// what it was told to leave out, or leaves out by design (excluded names,
/// sockets, other file systems, marked caches, its own store and cache), the
/// report has a note for each directory, IBT_PROBLEM_SKIPPED; of what it could
/// not read, IBT_PROBLEM_OBSTRUCTED. Where the backup saw very many such names,
/// everything extra in that directory stays.
///
/// Nothing is removed in a directory that the backup could not list, in one
/// whose file system does not tell names apart by case, or in one that holds a
/// snapshot's state: the store of another backup. Never removed are the
/// storage's own directory, the cache, what ibt_options_add_protected_path()
/// names, and the links and directories that lead to them. A directory on which
/// anything is mounted, of the same file system too, is not entered, unless the
/// snapshot has entries in it; a mounted file stays. Where the system does not
/// tell mounts apart (before Linux 5.8, and no /proc), every directory of which
/// the snapshot has nothing stays. What cannot be listed or looked at stays: the
/// caller's own directories are opened up for that and closed again, in a dry run
/// they are not, and count as extra with all that is in them. An extra directory
/// with one of these inside stays, and loses what else is in it; it does not make
/// way for an entry. What stays for one of these reasons is listed as
/// IBT_PROBLEM_OBSTRUCTED.
///
/// Nothing that is extra is removed once the content of a file turned out to be
/// lost, and no directory that is not empty makes way: dest may still have the
/// content under another name. That is listed as IBT_PROBLEM_OBSTRUCTED. A dry run
/// reads no contents and cannot foretell it.
///
/// Restore only; the others refuse such options (IBT_ERR_INVALID_ARG).
///
/// Default: 0. Every other number counts as 1.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[no_mangle]
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

/// With 1 a restore that ends with an error, also because it was cancelled,
/// leaves what it has restored as dest, where with 0 it leaves nothing in a
/// place that was absent or empty. Each file in it is whole; directories may
/// still have mode 0700 and other metadata than the snapshot's. A restore over it
/// (ibt_options_set_overwrite()) completes it. If dest, or a name in it, is taken
/// meanwhile, what was restored stays beside or in dest, under a name that begins
/// with "ibt-partial-" and that the error tells; no restore removes that. Over an
/// existing tree what was done always stays. Restore only; ignored elsewhere.
///
/// Default: 0. Every other number counts as 1.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[no_mangle]
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

/// A prune keeps the newest n snapshots.
/// Several rules add up.
///
/// Default: 0, no such rule.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[no_mangle]
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

/// A prune keeps the newest snapshot of each of the last n days, in UTC, that
/// have one.
/// Several rules add up.
///
/// Default: 0, no such rule.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[no_mangle]
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

/// A prune keeps the newest snapshot of each of the last n weeks, in UTC, that
/// have one. A week begins on Monday.
/// Several rules add up.
///
/// Default: 0, no such rule.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[no_mangle]
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

/// A prune keeps the newest snapshot of each of the last n months, in UTC, that
/// have one.
/// Several rules add up.
///
/// Default: 0, no such rule.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[no_mangle]
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

/// A prune keeps the newest snapshot of each of the last n years, in UTC, that
/// have one.
/// Several rules add up.
///
/// Default: 0, no such rule.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[no_mangle]
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

/// With 1 a restore or a prune does nothing but tell, through callbacks and
/// report, what it would do.
///
/// The other operations refuse such options (IBT_ERR_INVALID_ARG).
///
/// Default: 0. Every other number counts as 1.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[no_mangle]
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
