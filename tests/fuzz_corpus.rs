//! Runs each target of the fuzzer with every input in `tests/fuzzed/corpus`: inputs that reach all of a reader, and
//! every input that was found to break a rule. `sh tests/long.sh` searches for new ones.

mod fuzzed;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use support::allocated::{self, CountingAllocator};
use support::sealed;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let dir = root().join("tests/fuzzed/corpus").join(target);
    let mut found: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[test]
fn each_input_of_the_corpus_keeps_the_rules() {
    for (name, target) in fuzzed::TARGETS {
        let inputs = inputs(name);
        assert!(inputs.len() > 2, "{name} has no corpus");
        for path in inputs {
            println!("{}", path.display());
            target(&fs::read(path).unwrap());
        }
    }
}

#[test]
fn each_target_is_a_program_of_the_fuzzer() {
    let names: BTreeSet<_> = fuzzed::TARGETS.iter().map(|(name, _)| name.to_string()).collect();
    let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    let programs = manifest.split("[[bin]]\nname = \"").skip(1).map(|rest| rest.split('"').next().unwrap());
    assert_eq!(programs.map(str::to_string).collect::<BTreeSet<_>>(), names);
    let corpora = fs::read_dir(root().join("tests/fuzzed/corpus")).unwrap();
    let corpora = corpora.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(corpora.collect::<BTreeSet<_>>(), names);
}
