//! The listing in the README compiles, and has the same statements as `examples-c/quickstart.c`.

use std::fs;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn listing() -> String {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, rest) = readme.split_once("```c\n").expect("the README has a listing in C");
    rest.split_once("```").expect("the listing ends").0.to_string()
}

/// The statements from the first operation on, without comments and white space.
fn statements(program: &str) -> String {
    let from = program.find("    if (ibt_full_backup").expect("the program makes a full backup");
    let mut text = program[from..].to_string();
    while let Some((before, rest)) = text.split_once("/*") {
        let after = rest.split_once("*/").expect("comments end").1;
        text = format!("{before}{after}");
    }
    text.split_whitespace().collect()
}

#[test]
fn the_listing_compiles_without_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("listing.c");
    fs::write(&source, listing()).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-fsyntax-only", "-I"]);
    let compiled = cc.arg(root().join("include")).arg(&source).output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
}

#[test]
fn the_listing_is_the_quickstart() {
    let quickstart = fs::read_to_string(root().join("examples-c/quickstart.c")).unwrap();
    let named = listing()
        .replace("\"/path/to/backup_restored\"", "restored")
        .replace("\"/path/to/backup\"", "source")
        .replace("\"backup\"", "key_of(source)");
    assert_eq!(statements(&named), statements(&quickstart));
}
