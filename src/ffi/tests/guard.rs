use std::ffi::{c_void, CStr};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Kind, Result};
use crate::pool::Pool;

use super::super::error::*;
use super::super::*;

/// The text of a panic is kept for the process: panicking tests take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn message(error: *const ibt_error) -> String {
    unsafe { CStr::from_ptr(ibt_error_message(error)) }.to_str().unwrap().to_string()
}

extern "C" fn accessor(panics: bool) -> i32 {
    guard!(-7, {
        assert!(!panics, "deliberate");
        1
    })
}

extern "C" fn signal_safe(panics: bool) -> i32 {
    guard!(signal_safe - 7, {
        if panics {
            std::panic::resume_unwind(Box::new("deliberate"));
        }
        1
    })
}

fn operation(err: *mut *mut ibt_error, body: fn() -> Result<i32>) -> i32 {
    guard!(err, err, { body() })
}

#[test]
fn a_panic_gives_the_neutral_value() {
    let _turn = alone();
    assert_eq!((accessor(false), accessor(true)), (1, -7));
    assert_eq!((signal_safe(false), signal_safe(true)), (1, -7));
}

#[test]
fn a_panic_becomes_an_error_with_its_text_and_place() {
    let _turn = alone();
    let mut err = ptr::null_mut();
    assert_eq!(operation(&mut err, || panic!("deliberate {}", 17)), IBT_ERR_PANIC);
    assert_eq!(unsafe { ibt_error_status(err) }, IBT_ERR_PANIC);
    let text = message(err);
    assert!(text.contains("deliberate 17") && text.contains("guard.rs:"), "{text}");
    unsafe { ibt_error_free(err) };
    assert_eq!(operation(ptr::null_mut(), || panic!("nobody listens")), IBT_ERR_PANIC);
}

#[test]
fn a_panic_of_a_worker_tells_its_own_reason() {
    let _turn = alone();
    let mut err = ptr::null_mut();
    let work = || Ok(Pool::new(1).unwrap().run(|| panic!("deliberate in a worker")).wait());
    assert_eq!(operation(&mut err, work), IBT_ERR_PANIC);
    assert!(message(err).contains("deliberate in a worker"), "{}", message(err));
    unsafe { ibt_error_free(err) };
}

#[test]
fn the_error_is_set_exactly_when_the_status_is_negative() {
    let mut err = ptr::NonNull::<ibt_error>::dangling().as_ptr();
    assert_eq!(operation(&mut err, || Ok(IBT_PARTIAL)), IBT_PARTIAL);
    assert!(err.is_null());
    assert_eq!(operation(&mut err, || Err(Error::new(Kind::Limit, "go\non", "too\r\nmuch").at("a\nb"))), -12);
    assert_eq!(message(err), "cannot go on a%0Ab: too  much");
    assert_eq!(unsafe { CStr::from_ptr(ibt_error_path(err)) }, c"a\nb");
    unsafe { ibt_error_free(err) };
}

unsafe extern "C" fn free_the_storage(ud: *mut c_void, _: *const ibt_progress) -> i32 {
    ibt_storage_free(ud.cast());
    IBT_CALLBACK_OK
}

#[test]
fn a_storage_freed_in_a_callback_lives_until_the_call_ends() {
    let storage = super::views::memory_storage();
    let mut busy = 0;
    let outcome = unsafe {
        storage::with_store(storage, "test", |store| {
            let mut second = ptr::null_mut();
            busy = ibt_list_snapshots(storage, ptr::null(), ptr::null(), ptr::null_mut(), &mut second);
            assert_eq!(message(second), "cannot list snapshots: the storage is in use by another call");
            ibt_error_free(second);
            free_the_storage(storage.cast(), ptr::null());
            store.list("")
        })
    };
    assert_eq!(busy, IBT_ERR_BUSY);
    assert_eq!(outcome.unwrap().len(), 1);
}
