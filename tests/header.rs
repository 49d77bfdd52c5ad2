//! `include/ibt.h` must equal the output of cbindgen for `src/ffi`. Only this test uses cbindgen: libibt and
//! its other tests build without it.
//!
//! ```sh
//! IBT_WRITE_HEADER=1 cargo test --locked --test header    # replaces the header
//! ```

use std::fs;
use std::path::Path;

const COMMAND: &str = "IBT_WRITE_HEADER=1 cargo test --locked --test header";

/// The header that cbindgen makes of the current sources.
fn generated(root: &Path) -> String {
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let builder = cbindgen::Builder::new().with_config(config).with_src(root.join("src/ffi/mod.rs"));
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    String::from_utf8(header).unwrap()
}

#[test]
fn the_header_is_that_of_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("include/ibt.h");
    let generated = generated(root);
    // If cbindgen found nothing, the test would write an empty header, or accept an empty file.
    assert!(generated.contains("ibt_full_backup("), "cbindgen found no functions in src/ffi");
    if std::env::var_os("IBT_WRITE_HEADER").is_some_and(|value| !value.is_empty() && value != "0") {
        fs::write(&path, &generated).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap();
    let mut lines = committed.lines().zip(generated.lines()).enumerate();
    let (number, (old, new)) = match lines.find(|(_, (old, new))| old != new) {
        Some((index, lines)) => (index + 1, lines),
        None if committed == generated => return,
        None => (committed.lines().count().min(generated.lines().count()) + 1, ("", "")),
    };
    panic!("include/ibt.h is not that of src/ffi, from line {number} on:\n-{old}\n+{new}\nrun {COMMAND}");
}
