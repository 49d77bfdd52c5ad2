//! The storage of a URL.

use std::ffi::c_char;
use std::ptr;

use crate::error::Result;
#[cfg(not(feature = "object-store"))]
use crate::error::{Error, Kind};
use crate::store::Store;

use super::super::args::{bytes, invalid, write_out};
use super::super::constants::IBT_OK;
use super::super::error::ibt_error;
use super::super::library::ibt_status;
use super::ibt_storage;

/// The end of "cannot ..." in the errors of [`ibt_storage_open_url`].
const DOING: &str = "open the storage";

/// Opens the storage of a URL:
///
///   s3://BUCKET/PREFIX       Amazon S3, and every service with its protocol
///   gs://BUCKET/PREFIX       Google Cloud Storage
///   az://CONTAINER/PREFIX    Azure Blob Storage
///   file:///PATH             the same as ibt_storage_open_dir() with PATH
///
/// PREFIX may be empty; the key of each object is PREFIX/NAME. Characters in
/// PREFIX and PATH may be written as %XX. Credentials, the region and the
/// address of the service come from the environment (AWS_*, GOOGLE_*, AZURE_*)
/// and from the standard files, never from the URL. docs/object-stores.md has
/// the settings, the permissions that each operation needs, and the number of
/// its requests.
///
/// This call sends no request to the bucket: a wrong name or a missing
/// permission is an error of the first operation. An object is never replaced.
/// A request that fails for a reason that may pass is repeated for about a
/// minute. A cancelled operation returns within a second. A failure is
/// IBT_ERR_STORAGE, and its message has the words of the service;
/// ibt_error_os_code() is EACCES if the service permits too little. A bucket has
/// no locks: see ibt_storage_set_lock() for the rules without them. A bucket that
/// permits only reads can be restored, listed and verified.
///
/// The storage of a bucket has a thread for the network. It ends in
/// ibt_storage_free(); its signals are blocked. A child process after fork()
/// must open a storage of its own.
///
/// `*out` is set to NULL first. After IBT_OK it holds the storage, which the
/// caller owns.
///
/// Returns IBT_OK; IBT_ERR_UNSUPPORTED if libibt was built without object
/// stores (IBT_OBJECT_STORE in CMake); IBT_ERR_INVALID_ARG if url or out is
/// NULL, the URL is malformed or has a user, a query or a fragment, there are no
/// credentials, or a setting of the environment is wrong; IBT_ERR_NOT_FOUND if
/// the profile that AWS_PROFILE names does not exist; IBT_ERR_IO if a file of
/// credentials cannot be read or no thread can be started.
///
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ibt_storage_open_url(
    url: *const c_char,
    out: *mut *mut ibt_storage,
    err: *mut *mut ibt_error,
) -> ibt_status {
    guard!(err, err, {
        // SAFETY: NULL or may be written.
        unsafe { write_out(out, ptr::null_mut()) };
        // SAFETY: NULL or a string.
        let url = unsafe { bytes(url, DOING, "url") }?;
        let url = std::str::from_utf8(url).map_err(|_| invalid(DOING, "url is not UTF-8"))?;
        if out.is_null() {
            return Err(invalid(DOING, "out is NULL"));
        }
        let store = open_url(url)?;
        // SAFETY: not NULL, so it may be written.
        unsafe { write_out(out, ibt_storage::of_boxed(store).into_raw()) };
        Ok(IBT_OK)
    })
}

#[cfg(feature = "object-store")]
fn open_url(url: &str) -> Result<Box<dyn Store + Send>> {
    crate::store::object::open_url(url)
}

#[cfg(not(feature = "object-store"))]
fn open_url(_url: &str) -> Result<Box<dyn Store + Send>> {
    let detail = "this libibt was built without object stores; a directory is opened by its path";
    Err(Error::new(Kind::Unsupported, DOING, detail))
}
