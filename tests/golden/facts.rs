//! The facts of a tree as text: one line for each entry, whose fields are separated by tabs.

use std::fmt::Write as _;
use std::path::Path;

use crate::support::facts::{TreeFacts, facts, join};
use crate::support::tools::{Mount, command};
use crate::support::{is_root, skip};

/// A file system on which all metadata can be restored; `None` if this process cannot mount it.
pub fn mount(image: &Path, at: &Path) -> Option<Mount> {
    let options = ["-t", "ext4", "-I", "256", "-b", "4096"];
    let mounted = if is_root() { Mount::ext(image, at, &options) } else { None };
    if mounted.is_none() {
        skip("an ext4 cannot be mounted: owners, flags and attributes are not compared");
    }
    mounted
}

const MODE: usize = 2;
/// The numbers of the fields that not every process can restore: the owner, the group, attributes and flags. And of the
/// holes, which depend on the file system.
const PRIVILEGED: [usize; 5] = [3, 4, 10, 11, 12];

/// The facts of all entries of `tree`.
pub fn of(tree: &Path) -> String {
    let facts: TreeFacts = facts(tree);
    let mut text = String::new();
    for (path, of) in &facts {
        let escaped = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let target = of.target.as_ref().map(|target| escaped(target.as_os_str().as_encoded_bytes()));
        let hash = of.hash.map(|hash| hash.to_string());
        let linked = of.linked_with.as_ref().map(|first| escaped(first));
        let holes: Vec<_> = of.holes.iter().map(|(offset, len)| format!("{offset}+{len}")).collect();
        let xattrs: Vec<_> =
            of.xattrs.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        let fields = [
            format!("./{}", escaped(path)),
            of.kind.into(),
            format!("{:04o}", of.mode),
            of.uid.to_string(),
            of.gid.to_string(),
            format!("{}+{:09}", of.mtime.0, of.mtime.1),
            of.size.to_string(),
            hash.unwrap_or_default(),
            target.unwrap_or_default(),
            linked.unwrap_or_default(),
            holes.join(","),
            xattrs.join(","),
            flags(&join(tree, path), of.kind),
            of.rdev.to_string(),
        ];
        writeln!(text, "{}", fields.join("\t")).unwrap();
    }
    text
}

/// Flags of a file or directory, by lsattr(1), without the flags that ext4 sets itself.
fn flags(path: &Path, kind: &str) -> String {
    if kind != "file" && kind != "dir" {
        return String::new();
    }
    let output = command("lsattr", ["-d"]).arg(path).output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else { return String::new() };
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace().next().unwrap_or_default().replace(['e', 'I', '-'], "")
}

/// The lines without the fields that only a privileged process can restore, and without devices.
pub fn without_privileges(text: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        let mut fields: Vec<_> = line.split('\t').collect();
        if ["char", "block"].contains(&fields[1]) {
            continue;
        }
        PRIVILEGED.iter().for_each(|field| fields[*field] = "");
        // Without the bits that only the owner may set: setuid, setgid and sticky.
        fields[MODE] = &fields[MODE][1..];
        lines.push_str(&fields.join("\t"));
        lines.push('\n');
    }
    lines
}

/// Removes a tree that may have immutable entries.
pub fn remove(tree: &Path) {
    // chattr fails for links and FIFOs, which have no flags.
    let _ = command("chattr", ["-R", "-f", "-i"]).arg(tree).output();
    crate::support::series::remove(tree);
}
