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
        let licence = rest.split_once(' ')?.1.trim_end_matches(" (*)");
        Some((name.to_string(), licence.to_string()))
    };
    text.lines().filter_map(package).collect()
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

#[test]
fn no_licence_asks_more_than_a_notice() {
    let strict = |(_, licence): &(String, String)| {
        // If a package offers several licences, the mildest one counts.
        licence.split(" OR ").flat_map(|l| l.split('/')).all(|choice| choice.contains("GPL"))
    };
    let found: Vec<_> = packages(&["--edges", "normal,build"]).into_iter().filter(strict).collect();
    assert!(found.is_empty(), "{found:?}");
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
