//! The directories above the current entry of the second pass.

use crate::entry::is_within;

/// The directories that contain the entry written last, and that entry if it is a directory. All of them are
/// prefixes of one path, so each directory costs one number.
#[derive(Default)]
pub struct OpenDirs {
    path: Vec<u8>,
    /// Lengths of the prefixes, ascending.
    ends: Vec<usize>,
}

impl OpenDirs {
    pub fn pass(&mut self, path: &[u8], is_dir: bool) {
        while self.ends.last().is_some_and(|&end| !is_within(path, &self.path[..end])) {
            self.ends.pop();
        }
        if is_dir {
            self.path.clear();
            self.path.extend_from_slice(path);
            self.ends.push(self.path.len());
        }
    }

    pub fn has(&self, dir: &[u8]) -> bool {
        let found = self.ends.binary_search(&dir.len()).is_ok();
        found && self.path[..dir.len()] == *dir
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_the_current_path_are_open() {
        let mut open = OpenDirs::default();
        for (path, is_dir) in [("", true), ("a", true), ("a/b", true), ("a/b/f", false)] {
            open.pass(path.as_bytes(), is_dir);
        }
        assert!(open.has(b"") && open.has(b"a") && open.has(b"a/b"));
        assert!(!open.has(b"a/b/f") && !open.has(b"a/c") && !open.has(b"b"));
        open.pass(b"a/c", false);
        assert!(open.has(b"") && open.has(b"a") && !open.has(b"a/b"));
        open.pass(b"ab", true);
        assert!(open.has(b"") && open.has(b"ab") && !open.has(b"a"));
    }
}
