//! The setters of labels: those of a new snapshot, and those that select snapshots.

use std::ffi::c_char;

use crate::job::{LABELS_MAX, WantedLabel, check_label, check_label_name, check_labels};

use super::super::args::{self, Handle};
use super::super::constants::*;
use super::*;

/// Gives the new snapshot of a backup a label: a value under a name, such as
/// "reason" and "before the update". An increment does not take over the labels
/// of its parent. ibt_consolidate() takes over those of the snapshot that it
/// copies. Reports list labels, see ibt_report_snapshot_label_name(). Labels are
/// not part of the tree digest.
///
/// A second value of the same name replaces the first one, and NULL as value
/// removes the label. A snapshot has at most 64 labels. A name is UTF-8, not
/// empty, and has neither '=' nor control characters. A value is UTF-8, and may
/// be empty. Name and value together have at most 4096 bytes, and all labels
/// 16384.
///
/// Default: no labels. Backups only; other operations fail with
/// IBT_ERR_INVALID_ARG if a label is set.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or name is NULL, name or value
/// is malformed or too long, or the labels would be too many or too long.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_set_label(
    options: *mut ibt_options,
    name: *const c_char,
    value: *const c_char,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_set_label", |settings| {
            // SAFETY: NULL or strings.
            let WantedLabel { name, value } = unsafe { wanted(name, value) }?;
            let labels = &mut settings.engine.labels;
            let Some(value) = value else {
                labels.remove(&name);
                return Ok(());
            };
            let before = labels.insert(name.clone(), value);
            check_labels(labels).map_err(|reason| {
                match before {
                    Some(value) => labels.insert(name, value),
                    None => labels.remove(&name),
                };
                reason.to_string()
            })
        })
    })
}

/// A prune keeps every snapshot that has the label `name` with exactly `value`,
/// or with any value if value is NULL. Each call adds a rule, up to 64. Rules add
/// up: a snapshot stays if any rule keeps it. If any rule is set, the snapshot
/// with the newest stamp stays as well.
///
/// Default: no such rule. Prune only; ignored elsewhere.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or name is NULL, name or value
/// is not the name or value of a label (see ibt_options_set_label()), or there
/// are 64 such rules already.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_add_keep_label(
    options: *mut ibt_options,
    name: *const c_char,
    value: *const c_char,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_add_keep_label", |settings| {
            // SAFETY: NULL or strings.
            let label = unsafe { wanted(name, value) }?;
            add(&mut settings.engine.keep_labels, label)
        })
    })
}

/// Only snapshots count that have the label `name` with exactly `value`, or with
/// any value if value is NULL. Each call adds a filter, up to 64, and a snapshot
/// must pass all of them.
///
/// A list leaves out all other snapshots. "The newest" and
/// ibt_options_set_as_of() select among the snapshots that pass, and
/// ibt_options_set_snapshot() selects nothing if the snapshot does not pass.
/// The rules of a prune judge only the snapshots that pass; all others are
/// kept. A damaged state passes every filter, because its labels are unknown.
/// To find the labels, the call reads a few KiB of each state.
///
/// Default: none. Lists, restores, comparisons, prunes and ibt_snapshot_open();
/// other operations fail with IBT_ERR_INVALID_ARG if a filter is set.
///
/// Returns IBT_OK; IBT_ERR_INVALID_ARG if options or name is NULL, name or value
/// is not the name or value of a label (see ibt_options_set_label()), or there
/// are 64 filters already.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_options_add_label_filter(
    options: *mut ibt_options,
    name: *const c_char,
    value: *const c_char,
) -> ibt_status {
    guard!(IBT_ERR_PANIC, {
        // SAFETY: NULL, or options of the caller that no other call uses now.
        let options = unsafe { Handle::new(options) };
        set(options, "ibt_options_add_label_filter", |settings| {
            // SAFETY: NULL or strings.
            let label = unsafe { wanted(name, value) }?;
            add(&mut settings.engine.label_filters, label)
        })
    })
}

fn add(labels: &mut Vec<WantedLabel>, label: WantedLabel) -> Result<(), SetterRefusal> {
    if labels.len() >= LABELS_MAX {
        return Err(format!("more than {LABELS_MAX} labels"));
    }
    labels.push(label);
    Ok(())
}

/// A name, and a value that may be NULL.
///
/// # Safety
///
/// Both are NULL or strings.
unsafe fn wanted(name: *const c_char, value: *const c_char) -> Result<WantedLabel, SetterRefusal> {
    let text = |bytes: &[u8], what: &str| match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_string()),
        Err(_) => Err(format!("{what} is not UTF-8")),
    };
    // SAFETY: the caller's promise.
    let name = unsafe { args::bytes(name, "", "name") }.map_err(|error| error.detail)?;
    let name = text(name, "name")?;
    if value.is_null() {
        check_label_name(&name)?;
        return Ok(WantedLabel { name, value: None });
    }
    // SAFETY: the caller's promise.
    let value = unsafe { args::bytes(value, "", "value") }.map_err(|error| error.detail)?;
    let value = text(value, "value")?;
    check_label(&name, &value)?;
    Ok(WantedLabel { name, value: Some(value) })
}
