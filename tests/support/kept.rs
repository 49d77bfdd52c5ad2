//! A tree as it was at one moment: a copy made with cp(1), and the facts of the tree.

use std::path::{Path, PathBuf};

use super::facts::{TreeFacts, assert_same_facts, facts};
use super::tools::{command, output, run};

/// The tree that a restored tree must equal.
pub struct Kept {
    pub copy: PathBuf,
    pub facts: TreeFacts,
}

impl Kept {
    /// Copies `tree` to `copy` with cp(1). `copy` must not exist.
    pub fn new(tree: &Path, copy: &Path) -> Kept {
        run(command("cp", ["-a", "--reflink=never", "--sparse=auto"]).arg(tree).arg(copy));
        Kept { copy: copy.to_path_buf(), facts: facts(tree) }
    }

    /// Asserts that `tree` equals the kept tree by its facts, by rsync and by getfattr.
    #[track_caller]
    pub fn assert_is(&self, tree: &Path) {
        assert_same_facts(&self.facts, &facts(tree));
        assert_same_attributes(&self.copy, tree);
    }
}

/// Asserts that `a` and `b` are equal in everything that can be restored.
#[track_caller]
pub fn assert_same_tree(a: &Path, b: &Path) {
    assert_same_facts(&facts(a), &facts(b));
    assert_same_attributes(a, b);
}

/// Asserts that rsync and getfattr see no difference.
#[track_caller]
pub fn assert_same_attributes(a: &Path, b: &Path) {
    assert_rsync_sees_no_difference(a, b);
    assert_eq!(getfattr(a), getfattr(b), "getfattr tells a difference");
}

#[track_caller]
pub fn assert_rsync_sees_no_difference(a: &Path, b: &Path) {
    let mut rsync = command("rsync", ["-aHAXnc", "--delete", "--itemize-changes", "--numeric-ids"]);
    let result = output(rsync.arg(a.join("")).arg(b.join("")));
    let said =
        String::from_utf8_lossy(&result.stdout).into_owned() + &String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success() && said.is_empty(), "rsync sees a difference:\n{said}");
}

/// All extended attributes of a tree as getfattr prints them, one block for each entry, sorted.
fn getfattr(root: &Path) -> Vec<String> {
    let mut tool = command("getfattr", ["-d", "-m", "-", "-h", "-R", "-P", "-e", "hex", "."]);
    let said = run(tool.current_dir(root));
    let mut blocks: Vec<_> = String::from_utf8_lossy(&said).split("\n\n").map(str::to_owned).collect();
    blocks.sort();
    blocks
}
