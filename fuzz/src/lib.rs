//! Runs the targets of `tests/fuzzed`.

#[path = "../../tests/support/allocated.rs"]
mod allocated;
#[path = "../../tests/fuzzed/mod.rs"]
mod fuzzed;
#[path = "../../tests/support/sealed.rs"]
mod sealed;

#[global_allocator]
static ALLOCATOR: allocated::CountingAllocator = allocated::CountingAllocator;

/// Runs the target of this name.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = fuzzed::TARGETS.iter().find(|(known, _)| *known == name).expect("a known target");
    target(data);
}
