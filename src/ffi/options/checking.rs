//! The setters that say how much a verify or a comparison reads.

use crate::job::VerifyScope;

use super::super::args::Handle;
use super::super::constants::*;
use super::*;

/// Sets how much a verify checks: IBT_VERIFY_CONTENTS or IBT_VERIFY_PRESENCE.
/// ibt_verify() only; ignored elsewhere. Replaces an earlier call of
/// ibt_options_set_verify_part().
///
/// Default: IBT_VERIFY_CONTENTS.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL or scope is unknown.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_verify(options: *mut ibt_options, scope: i32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_verify", |settings| {
            settings.engine.verify = match scope {
                IBT_VERIFY_CONTENTS => VerifyScope::Contents,
                IBT_VERIFY_PRESENCE => VerifyScope::Presence,
                other => return Err(format!("there is no scope {other}")),
            };
            Ok(())
        })
    })
}

/// Lets a verify read only part number `part`, counted from 1, of `parts` parts
/// of all contents and signatures. All parts cost about the same, and verifies
/// of all parts together read everything. For example, with 7 parts a program
/// can verify one part on each day of a week.
///
/// The part of a content or signature follows from its place in an archive:
/// each 16 MiB of an archive belong to the next part. So a content that several
/// snapshots share belongs to the same part in all of them, also after
/// snapshots were added or removed. A content is read whole, however large.
/// Each run also makes the checks of IBT_VERIFY_PRESENCE, and reads the index
/// of each archive. No part compares the digests of archives: only a verify of
/// everything does.
///
/// ibt_verify() only; ignored elsewhere. Replaces an earlier call of
/// ibt_options_set_verify(). Default: everything, like part 1 of 1 with the
/// digests.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL, or unless
/// 1 <= part <= parts.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_verify_part(
    options: *mut ibt_options,
    part: u32,
    parts: u32,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_verify_part", |settings| {
            if part == 0 || part > parts {
                return Err(format!("there is no part {part} of {parts}"));
            }
            settings.engine.verify = VerifyScope::Part { number: part, parts };
            Ok(())
        })
    })
}

/// With 1 a comparison reads no content. A file counts as unchanged if it has
/// the recorded size and modification time, and as modified if one of them
/// differs. Such a comparison takes little time, but it does not find a content
/// that changed and got its old modification time back. Mode, owner, extended
/// attributes, link targets and hard links are compared as without this option.
/// The files of the tree have no ibt_entry_hash() then.
///
/// Default: 0. Every other number counts as 1. ibt_compare() only; ignored
/// elsewhere.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options is NULL.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_metadata_only(options: *mut ibt_options, on: i32) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_metadata_only", |settings| {
            settings.engine.metadata_only = on != 0;
            Ok(())
        })
    })
}
