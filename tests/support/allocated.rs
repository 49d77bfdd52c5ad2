//! Measures the memory that a call takes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts the bytes that each thread holds, and the most that it has held. The memory of zstd is not counted, because
/// zstd does not allocate through Rust; `WINDOW_LOG_MAX` bounds that memory.
pub struct CountingAllocator;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: each call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller meets the contract of this function.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller meets the contract of this function.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller meets the contract, and the memory comes from the system's allocator.
        unsafe { System.dealloc(memory, layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both blocks may exist while the bytes move.
        count(size as isize);
        // SAFETY: the caller meets the contract, and the memory comes from the system's allocator.
        let moved = unsafe { System.realloc(memory, layout, size) };
        count(-(layout.size() as isize));
        moved
    }
}

/// Asserts that this thread, while it runs `act`, never holds more than `most` bytes beyond the bytes that it
/// held before. The program's allocator must be a [`CountingAllocator`].
#[track_caller]
pub fn within<T>(most: usize, act: impl FnOnce() -> T) -> T {
    let before = HELD.get();
    PEAK.set(before);
    let result = act();
    let peak = (PEAK.get() - before) as usize;
    assert!(peak <= most, "{peak} bytes were held, {most} are allowed");
    result
}
