//! The library's dependencies: librsync is under the LGPL, and is used only with the feature `librsync`. The
//! licences of all others are in `LICENSE-THIRD-PARTY`, because a copy of libibt contains copies of them. Those of the
//! crates that only the feature `object-store` brings are in `LICENSE-OBJECT-STORE`.
//!
//! ```sh
//! IBT_WRITE_LICENCES=1 cargo test --locked --test dependencies                            # replaces the first file
//! IBT_WRITE_LICENCES=1 cargo test --locked --test dependencies --features object-store    # replaces both
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The packages that `cargo tree` lists, without versions, with their licences.
fn packages(args: &[&str]) -> BTreeSet<(String, String)> {
    let text = cargo(&[&["tree", "--frozen", "--prefix", "none", "--format", "{p} {l}"], args].concat());
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

/// The arguments of cargo for a library with object stores.
#[cfg(feature = "object-store")]
const OBJECT_STORE: &[&str] = &["--features", "object-store"];

/// Its crates are downloaded only where the feature is built.
#[cfg(feature = "object-store")]
#[test]
fn object_stores_need_no_other_licences_and_little_c() {
    let edges = [&["--edges", "normal,build"], OBJECT_STORE].concat();
    let mut packages = packages(&edges);
    packages.retain(|(_, licence)| !is_mild(licence));
    assert!(packages.is_empty(), "{packages:?}");
    let mut users = names(&[&["--invert", "cc", "--depth", "1"], &edges[..]].concat());
    users.remove("cc");
    assert_eq!(users, BTreeSet::from(["blake3", "ring", "zstd-sys"].map(String::from)));
}

/// The names and versions of the packages that are linked into libibt with more `features`.
fn linked(target: &str, features: &[&str]) -> BTreeSet<(String, String)> {
    let edges = [&["--edges", "normal,no-proc-macro", "--target", target], features].concat();
    let text = cargo(&[&["tree", "--frozen", "--prefix", "none", "--format", "{p}"], &edges[..]].concat());
    let mut words = text.lines().map(str::split_whitespace);
    let package = |words: &mut std::str::SplitWhitespace| {
        Some((words.next()?.to_string(), words.next()?.trim_start_matches('v').to_string()))
    };
    let mut packages: BTreeSet<_> = words.by_ref().filter_map(|mut line| package(&mut line)).collect();
    packages.retain(|(name, _)| name != env!("CARGO_PKG_NAME"));
    packages
}

/// The directory and the licence of each package, by its name and version.
fn sources(target: &str, features: &[&str]) -> BTreeMap<(String, String), (PathBuf, String)> {
    let args = ["metadata", "--frozen", "--format-version", "1", "--filter-platform", target];
    let text = cargo(&[&args, features].concat());
    let metadata: serde_json::Value = serde_json::from_str(&text).unwrap();
    let packages = metadata["packages"].as_array().expect("a list of packages").iter();
    let text = |package: &serde_json::Value, key: &str| package[key].as_str().unwrap_or_default().to_string();
    packages
        .map(|package| {
            let manifest = PathBuf::from(text(package, "manifest_path"));
            let place = manifest.parent().expect("a directory").to_path_buf();
            ((text(package, "name"), text(package, "version")), (place, text(package, "license")))
        })
        .collect()
}

/// The texts of a package's licence. Of several licences to choose from, the one that asks least is chosen, if the
/// package has its text in a file of its own.
fn licence_texts(name: &str, place: &Path, licence: &str) -> Vec<String> {
    let chosen = [
        ("MIT", "LICENSE-MIT"),
        ("MIT", "LICENSES/MIT.txt"),
        ("MIT-0", "LICENSE-MIT0"),
        ("CC0-1.0", "LICENSE_CC0"),
    ];
    let offers = |choice: &str| licence.split(" OR ").flat_map(|l| l.split('/')).any(|l| l == choice);
    let mut files: Vec<PathBuf> = chosen
        .iter()
        .filter(|(choice, _)| offers(choice))
        .map(|(_, file)| place.join(file))
        .filter(|file| file.exists())
        .take(1)
        .collect();
    if files.is_empty() {
        let all = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
        files =
            all.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("LICENSE")).collect();
        files.sort();
    }
    if files.is_empty() {
        files.push(format!("{}/tests/support/licences/{name}.txt", env!("CARGO_MANIFEST_DIR")).into());
    }
    if name == "zstd-sys" {
        files.push(place.join("zstd/LICENSE"));
    }
    let read = |file: &PathBuf| match fs::read_to_string(file) {
        Ok(text) => {
            text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_matches('\n').to_string()
        }
        Err(error) => panic!("{name} has no text of its licence, {licence}: {}: {error}", file.display()),
    };
    files.iter().map(read).collect()
}

const LINUX: &str = "x86_64-unknown-linux-gnu";

/// Each licence of the packages, with the names of those that have it word for word. `sources` has all of them.
fn licences(
    linked: BTreeSet<(String, String)>,
    sources: &BTreeMap<(String, String), (PathBuf, String)>,
) -> String {
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, version) in linked {
        let (place, licence) = &sources[&(name.clone(), version.clone())];
        for text in licence_texts(&name, place, licence) {
            packages.entry(text).or_default().insert(format!("{name} {version}"));
        }
    }
    let mut sections: Vec<_> = packages.into_iter().map(|(text, names)| (names, text)).collect();
    sections.sort();
    let section = |(names, text): (BTreeSet<String>, String)| {
        let names: Vec<_> = names.into_iter().collect();
        format!("{}\n{}\n\n{text}\n\n", "=".repeat(80), names.join("\n"))
    };
    sections.into_iter().map(section).collect()
}

/// The text of `LICENSE-THIRD-PARTY`.
fn third_party() -> String {
    let mut whole =
        "libibt.so and libibt.a contain the crates named here, zstd (in zstd-sys) and the Rust standard\n\
                     library. These are their licences. libibt itself is under the licence in LICENSE.\n\n"
            .to_string();
    whole += &licences(linked(LINUX, &[]), &sources(LINUX, &[]));
    let std = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/licences/rust_std.txt");
    whole + &fs::read_to_string(std).unwrap()
}

/// Compares the file with `expected`, or writes it if the environment says so.
fn assert_is_the_file(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("IBT_WRITE_LICENCES").is_some_and(|value| !value.is_empty() && value != "0") {
        fs::write(&path, expected).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == expected,
        "{name} is not that of Cargo.lock: run cargo test with IBT_WRITE_LICENCES=1, as in tests/dependencies.rs"
    );
}

const OTHER_SYSTEMS: [&str; 3] =
    ["aarch64-unknown-linux-gnu", "x86_64-unknown-linux-musl", "armv7-unknown-linux-gnueabihf"];

#[test]
fn every_licence_is_in_the_file_of_licences() {
    assert_is_the_file("LICENSE-THIRD-PARTY", &third_party());
    let all = linked(LINUX, &[]);
    for system in OTHER_SYSTEMS {
        assert!(linked(system, &[]).is_subset(&all), "{system} has more crates");
    }
}

#[cfg(feature = "object-store")]
#[test]
fn every_licence_of_object_stores_is_in_their_file() {
    let more = |system| -> BTreeSet<_> {
        linked(system, OBJECT_STORE).difference(&linked(system, &[])).cloned().collect()
    };
    let whole = "With object stores (IBT_OBJECT_STORE), libibt.so and libibt.a also contain the crates named here. These\n\
                 are their licences.\n\n"
        .to_string();
    let all = more(LINUX);
    assert_is_the_file(
        "LICENSE-OBJECT-STORE",
        &(whole + &licences(all.clone(), &sources(LINUX, OBJECT_STORE))),
    );
    for system in OTHER_SYSTEMS {
        let others: Vec<_> = more(system).difference(&all).cloned().collect();
        assert!(others.is_empty(), "{system} has more crates: {others:?}");
    }
}
