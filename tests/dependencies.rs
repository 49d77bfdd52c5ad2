//! The library's dependencies: librsync is under the LGPL, and is used only with the feature `librsync`.

use std::collections::BTreeSet;
use std::process::Command;

/// The packages that `cargo tree` lists, without versions, with their licences.
fn packages(args: &[&str]) -> BTreeSet<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--frozen", "--prefix", "none", "--format", "{p} {l}"])
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let package = |line: &str| {
        // NAME VERSION [(PLACE)] LICENCE
        let (name, rest) = line.split_once(' ')?;
        let mut licence = rest.split_once(' ')?.1.trim_end_matches(" (*)");
        if let Some((place, rest)) = licence.split_once(' ')
            && (place == "(proc-macro)" || place.starts_with("(/"))
        {
            licence = rest;
        }
        Some((name.to_string(), licence.to_string()))
    };
    let packages: BTreeSet<_> = text.lines().filter_map(package).collect();
    assert!(!packages.is_empty(), "{text}");
    packages
}

fn names(args: &[&str]) -> BTreeSet<String> {
    packages(args).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn librsync_is_there_only_with_its_feature() {
    let librsync = |packages: BTreeSet<String>| packages.iter().any(|name| name.contains("librsync"));
    assert!(!librsync(names(&["--edges", "normal,build"])));
    assert!(librsync(names(&["--edges", "normal,build", "--features", "librsync"])));
}

/// Licences that ask for a notice at most.
const MILD: [&str; 10] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
];

/// True if one of the licences that a package offers is mild in all its parts, for example `(MIT OR GPL-2.0) AND ISC`.
fn is_mild(licence: &str) -> bool {
    let offers = |text: &str| {
        text.split(" OR ").flat_map(|l| l.split('/')).any(|choice| MILD.contains(&choice.trim()))
    };
    licence.split(" AND ").all(|part| offers(part.trim_start_matches('(').trim_end_matches(')')))
}

#[test]
fn no_licence_asks_more_than_a_notice() {
    for (licence, mild) in
        [("MIT/GPL-2.0", true), ("(MIT OR GPL-2.0) AND MPL-2.0", false), ("LGPL-2.1", false), ("", false)]
    {
        assert_eq!(is_mild(licence), mild, "{licence}");
    }
    let mut packages = packages(&["--edges", "normal,build"]);
    packages.retain(|(_, licence)| !is_mild(licence));
    assert!(packages.is_empty(), "{packages:?}");
}

/// zstd is C, and BLAKE3 has assembly besides Rust.
#[test]
fn c_is_compiled_for_zstd_and_blake3_alone() {
    let users = |args: &[&str]| {
        let args = [&["--edges", "normal,build", "--invert", "cc", "--depth", "1"], args].concat();
        let mut users = names(&args);
        users.remove("cc");
        users
    };
    assert_eq!(users(&[]), BTreeSet::from(["blake3", "zstd-sys"].map(String::from)));
    assert!(users(&["--features", "librsync"]).contains("librsync-sys"));
}
