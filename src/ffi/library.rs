//! The library itself: its version, and names for its numbers.

use std::ffi::{CString, c_char};
use std::ptr;
use std::sync::OnceLock;

use crate::job::{Counter, ProblemKind};

use super::args::{c_string, ptr_or_null};
use super::constants::*;

/// How a call ended: IBT_OK, IBT_PARTIAL or, negative, one of IBT_ERR_*.
///
/// Since: 0.1
pub type ibt_status = i32;

/// ==== Library ====
///
/// The version of the running library, such as "0.1.0".
///
/// Never NULL. Valid until the process ends. Any thread.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_version() -> *const c_char {
    guard!(c"".as_ptr(), { concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast() })
}

/// The version of the running library as a number: major * 65536 + minor * 256
/// + patch. Compare it with the header's IBT_VERSION_NUMBER. Any thread.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_version_number() -> u32 {
    guard!(0, { VERSION_NUMBER })
}

/// The name of a status in this header, such as "IBT_ERR_IO".
///
/// Never NULL: "IBT_ERR_UNKNOWN" for a number that this version does not know.
/// Valid until the process ends. Any thread.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_status_name(status: ibt_status) -> *const c_char {
    guard!(c"IBT_ERR_UNKNOWN".as_ptr(), {
        let name = match status {
            IBT_OK => c"IBT_OK",
            IBT_PARTIAL => c"IBT_PARTIAL",
            IBT_ERR_INVALID_ARG => c"IBT_ERR_INVALID_ARG",
            IBT_ERR_IO => c"IBT_ERR_IO",
            IBT_ERR_NOT_FOUND => c"IBT_ERR_NOT_FOUND",
            IBT_ERR_EXISTS => c"IBT_ERR_EXISTS",
            IBT_ERR_CORRUPT => c"IBT_ERR_CORRUPT",
            IBT_ERR_FORMAT => c"IBT_ERR_FORMAT",
            IBT_ERR_MISSING => c"IBT_ERR_MISSING",
            IBT_ERR_STORAGE => c"IBT_ERR_STORAGE",
            IBT_ERR_CANCELLED => c"IBT_ERR_CANCELLED",
            IBT_ERR_BUSY => c"IBT_ERR_BUSY",
            IBT_ERR_UNSUPPORTED => c"IBT_ERR_UNSUPPORTED",
            IBT_ERR_LIMIT => c"IBT_ERR_LIMIT",
            IBT_ERR_MISMATCH => c"IBT_ERR_MISMATCH",
            IBT_ERR_PANIC => c"IBT_ERR_PANIC",
            _ => c"IBT_ERR_UNKNOWN",
        };
        name.as_ptr()
    })
}

/// The name of a counter (IBT_COUNT_*) in JSON, such as "bytes_read".
///
/// NULL for an unknown number: a loop that counts up from 1 until NULL visits
/// every counter. Valid until the process ends. Any thread.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_counter_name(which: i32) -> *const c_char {
    static NAMES: OnceLock<Vec<CString>> = OnceLock::new();
    guard!(ptr::null(), { name(&NAMES, which, |number| Counter::from_number(number).map(Counter::name)) })
}

/// The name of a kind of problem (IBT_PROBLEM_*), such as "unreadable".
///
/// NULL for an unknown number. Valid until the process ends. Any thread.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn ibt_problem_name(kind: i32) -> *const c_char {
    static NAMES: OnceLock<Vec<CString>> = OnceLock::new();
    guard!(ptr::null(), { name(&NAMES, kind, |n| ProblemKind::from_number(n).map(ProblemKind::name)) })
}

/// The name for `number`. `name_of` gives the names for 1, 2, ... and `None` after the last one.
fn name(
    names: &'static OnceLock<Vec<CString>>,
    number: i32,
    name_of: fn(i32) -> Option<&'static str>,
) -> *const c_char {
    let names = names.get_or_init(|| (1..).map_while(name_of).map(c_string).collect());
    let index = usize::try_from(i64::from(number) - 1).ok();
    ptr_or_null(index.and_then(|index| names.get(index)))
}

const VERSION_NUMBER: u32 = decimal(env!("CARGO_PKG_VERSION_MAJOR")) << 16
    | decimal(env!("CARGO_PKG_VERSION_MINOR")) << 8
    | decimal(env!("CARGO_PKG_VERSION_PATCH"));

const fn decimal(text: &str) -> u32 {
    match u32::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => panic!("a version is made of numbers"),
    }
}
