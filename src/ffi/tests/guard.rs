use std::ffi::CStr;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Kind, Result};
use crate::job::Cancel;
use crate::pool::Pool;
use crate::store::Store;

use super::super::error::*;
use super::super::*;

/// The text of a panic is stored once for the whole process, so panicking tests
/// take turns.
pub(super) fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An error that an export or [`operation`] handed out.
struct Handed(*mut ibt_error);

impl Handed {
    fn get(&self) -> Option<&ibt_error> {
        // SAFETY: NULL or an error that is freed when this is dropped.
        unsafe { self.0.as_ref() }
    }

    fn message(&self) -> String {
        // SAFETY: a message is a string, also that of no error.
        unsafe { CStr::from_ptr(ibt_error_message(self.get())) }.to_str().unwrap().to_string()
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        // SAFETY: NULL or an error of ours, freed once.
        unsafe { ibt_error_free(self.0) };
    }
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
    let mut err = Handed(ptr::null_mut());
    assert_eq!(operation(&mut err.0, || panic!("deliberate {}", 17)), IBT_ERR_PANIC);
    assert_eq!(ibt_error_status(err.get()), IBT_ERR_PANIC);
    let text = err.message();
    assert!(text.contains("deliberate 17") && text.contains("guard.rs:"), "{text}");
    assert_eq!(operation(ptr::null_mut(), || panic!("nobody listens")), IBT_ERR_PANIC);
}

#[test]
fn a_panic_of_a_worker_tells_its_own_reason() {
    let _turn = alone();
    let mut err = Handed(ptr::null_mut());
    let work = || Ok(Pool::new(1).unwrap().run(|| panic!("deliberate in a worker")).wait());
    assert_eq!(operation(&mut err.0, work), IBT_ERR_PANIC);
    assert!(err.message().contains("deliberate in a worker"), "{}", err.message());
}

#[test]
fn the_error_is_set_exactly_when_the_status_is_negative() {
    let mut err = ptr::NonNull::<ibt_error>::dangling().as_ptr();
    assert_eq!(operation(&mut err, || Ok(IBT_PARTIAL)), IBT_PARTIAL);
    assert!(err.is_null());
    let mut err = Handed(err);
    let failing = || Err(Error::new(Kind::Limit, "go\non", "too\r\nmuch").at("a\nb"));
    assert_eq!(operation(&mut err.0, failing), -12);
    assert_eq!(err.message(), "cannot go on a%0Ab: too  much");
    // SAFETY: the error has a path, which is a string.
    assert_eq!(unsafe { CStr::from_ptr(ibt_error_path(err.get())) }, c"a\nb");
}

#[test]
fn a_storage_freed_in_a_callback_lives_until_the_call_ends() {
    let storage = super::views::memory_storage();
    let mut busy = 0;
    let work = |store: &mut dyn Store| {
        let mut second = Handed(ptr::null_mut());
        // SAFETY: the storage is not freed yet, and the error may be written.
        busy =
            unsafe { ibt_list_snapshots(storage, ptr::null(), ptr::null(), ptr::null_mut(), &mut second.0) };
        let told = second.message();
        assert!(
            told.starts_with("cannot list snapshots: the storage handle is in use by another call"),
            "{told}"
        );
        // SAFETY: freed once. The call that runs this has a share of its own.
        unsafe { ibt_storage_free(storage) };
        store.list("")
    };
    // SAFETY: the storage comes from `into_raw`.
    let outcome = unsafe { storage::with_store(storage, "test", &Cancel::default(), work) };
    assert_eq!(busy, IBT_ERR_BUSY);
    assert_eq!(outcome.unwrap().len(), 1);
}
