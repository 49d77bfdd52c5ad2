//! How much memory a call takes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what each thread has allocated. What zstd allocates is not counted: `WINDOW_LOG_MAX` bounds that.
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

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as the caller says.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as the caller says; the memory is the system allocator's.
        unsafe { System.dealloc(memory, layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both may be there while the bytes move.
        count(size as isize);
        // SAFETY: as the caller says; the memory is the system allocator's.
        let moved = unsafe { System.realloc(memory, layout, size) };
        count(-(layout.size() as isize));
        moved
    }
}

/// Fails if this thread, running `act`, holds more than `most` bytes at any moment, beyond what it held before. The
/// program's allocator must be a [`CountingAllocator`].
#[track_caller]
pub fn within<T>(most: usize, act: impl FnOnce() -> T) -> T {
    let before = HELD.get();
    PEAK.set(before);
    let result = act();
    let peak = (PEAK.get() - before) as usize;
    assert!(peak <= most, "{peak} bytes were held, {most} are allowed");
    result
}
