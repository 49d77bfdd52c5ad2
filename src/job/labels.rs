//! Labels: names with values that a caller gives to a snapshot, for example `reason` with the value `before the
//! update`.

use std::collections::BTreeMap;

/// The labels of a snapshot, by name.
pub type Labels = BTreeMap<String, String>;

/// The most labels of a snapshot.
pub const LABELS_MAX: usize = 64;
/// The most bytes of a label's name and value together.
pub const LABEL_BYTES_MAX: usize = 4 << 10;
/// The most bytes of all names and values of a snapshot together, because a list holds the labels of all snapshots in
/// memory.
const LABELS_BYTES_MAX: usize = 16 << 10;

/// Checks the form of a label's name. Without `=`, a command line can write a label as `NAME=VALUE`.
pub fn check_label_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("a label with an empty name");
    }
    if name.contains('=') || name.chars().any(char::is_control) {
        return Err("a label's name with '=' or a control character");
    }
    match name.len() > LABEL_BYTES_MAX {
        true => Err("a label of more than 4 KiB"),
        false => Ok(()),
    }
}

/// Checks one label. The C ABI ends strings with NUL, so a value has none.
pub fn check_label(name: &str, value: &str) -> Result<(), &'static str> {
    check_label_name(name)?;
    if value.contains('\0') {
        return Err("a label's value with NUL");
    }
    match name.len() + value.len() > LABEL_BYTES_MAX {
        true => Err("a label of more than 4 KiB"),
        false => Ok(()),
    }
}

/// Checks all labels of a snapshot.
pub fn check_labels(labels: &Labels) -> Result<(), &'static str> {
    if labels.len() > LABELS_MAX {
        return Err("more than 64 labels");
    }
    if labels.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > LABELS_BYTES_MAX {
        return Err("labels of more than 16 KiB together");
    }
    labels.iter().try_for_each(|(name, value)| check_label(name, value))
}

/// A label that a snapshot must have to be selected, or to be kept by a prune.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedLabel {
    pub name: String,
    /// `None` accepts any value.
    pub value: Option<String>,
}

impl WantedLabel {
    pub fn is_in(&self, labels: &Labels) -> bool {
        let found = labels.get(&self.name);
        found.is_some_and(|value| self.value.as_ref().is_none_or(|wanted| wanted == value))
    }
}
