//! Reads of ranges: one request fetches more than the caller asks for, and later reads find it in memory.
//!
//! The engine reads forward in pieces of some kilobytes to a megabyte. A request costs tens of milliseconds, and money.

use std::sync::Mutex;

use object_store::path::Path;
use object_store::{GetOptions, GetRange};

use super::network::{Network, Request, lock, repeat};
use super::refusals::{is_past_end, of_object};
use super::services::BucketClient;
use crate::store::callbacks::Answer;

/// The least that a request fetches. A read that goes on at the end of the last one fetches twice as much as that one,
/// up to [`WINDOW_MAX`].
const WINDOW_MIN: u64 = 128 << 10;
const WINDOW_MAX: u64 = 4 << 20;

/// Windows in memory: those of the states and archives that are read in turns.
const WINDOWS: usize = 8;
/// A range of at most this length that is read ahead becomes a window: it may be a whole state or a short archive,
/// which is read again soon.
const KEPT_MAX: u64 = 1 << 20;

/// Bytes that were fetched. Objects never change, but they may be removed: the windows are forgotten when a call of the
/// library begins, and when this storage writes or deletes.
#[derive(Default)]
pub struct ReadWindows(Mutex<Vec<ReadWindow>>);

struct ReadWindow {
    path: Path,
    start: u64,
    bytes: Vec<u8>,
    /// The object has no bytes after this window.
    is_last: bool,
    /// The request for the window after this one, if the object is read in large pieces.
    next: Option<Request<Vec<u8>>>,
}

impl ReadWindow {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// True if the window answers a read at `offset`: it has the byte, or knows that there is none.
    fn answers(&self, path: &Path, offset: u64) -> bool {
        self.path == *path
            && offset >= self.start
            && (offset < self.end() || offset == self.end() && self.is_last)
    }
}

impl ReadWindows {
    pub fn clear(&self) {
        lock(&self.0).clear();
    }

    /// Reads at least one byte into `buf`, which is not empty; 0 bytes only at or past the end of the object.
    pub fn read(
        &self,
        path: &Path,
        offset: u64,
        buf: &mut [u8],
        bucket: &BucketClient,
        network: &Network,
    ) -> Answer<usize> {
        let mut windows = lock(&self.0);
        let window = match windows.iter().position(|window| window.answers(path, offset)) {
            Some(index) => windows.remove(index),
            None => {
                let before = windows.iter().position(|window| window.path == *path && window.end() == offset);
                let before = before.map(|index| windows.remove(index));
                // A short object, such as most states, is fetched whole, whichever of its parts is read first.
                let start = if before.is_none() && offset < WINDOW_MIN { 0 } else { offset };
                let wanted = offset - start + buf.len() as u64;
                fetch(path, start, wanted, before, bucket, network)?
            }
        };
        // A window that ends before the read begins is the last one of the object.
        let from = window.bytes.get((offset - window.start) as usize..).unwrap_or_default();
        let len = from.len().min(buf.len());
        buf[..len].copy_from_slice(&from[..len]);
        keep(&mut windows, window);
        Ok(len)
    }

    /// Reads a range with a request of its own, while other threads read too. Fewer bytes mean the end of the object.
    /// Keeps a range of at most [`KEPT_MAX`] bytes.
    pub fn read_range(
        &self,
        path: &Path,
        offset: u64,
        buf: &mut [u8],
        bucket: &BucketClient,
        network: &Network,
    ) -> Answer<usize> {
        let is_kept = (buf.len() as u64) <= KEPT_MAX;
        // One more byte tells whether the object ends here.
        let wanted = buf.len() as u64 + u64::from(is_kept);
        let bytes = network.run(get(bucket, path, offset, wanted))?;
        let len = bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&bytes[..len]);
        if is_kept {
            let is_last = (bytes.len() as u64) < wanted;
            let window = ReadWindow { path: path.clone(), start: offset, bytes, is_last, next: None };
            keep(&mut lock(&self.0), window);
        }
        Ok(len)
    }
}

/// Adds a window. The window that was used last is the last one.
fn keep(windows: &mut Vec<ReadWindow>, window: ReadWindow) {
    if windows.len() == WINDOWS {
        windows.remove(0);
    }
    windows.push(window);
}

/// Fetches the window at `offset`, for a read of `wanted` bytes. `before` is the window that ends there.
fn fetch(
    path: &Path,
    offset: u64,
    wanted: u64,
    before: Option<ReadWindow>,
    bucket: &BucketClient,
    network: &Network,
) -> Answer<ReadWindow> {
    let grown = before
        .as_ref()
        .map_or(WINDOW_MIN, |window| (2 * window.bytes.len() as u64).clamp(WINDOW_MIN, WINDOW_MAX));
    let (len, bytes) = match before.and_then(|window| window.next) {
        Some(request) => (WINDOW_MAX, network.wait(request)?),
        None => {
            let len = grown.max(wanted);
            (len, network.run(get(bucket, path, offset, len))?)
        }
    };
    let is_last = (bytes.len() as u64) < len;
    let mut window = ReadWindow { path: path.clone(), start: offset, bytes, is_last, next: None };
    if len == WINDOW_MAX && !is_last {
        window.next = Some(network.start_request(get(bucket, path, window.end(), WINDOW_MAX))?);
    }
    Ok(window)
}

/// The request for a range. Fewer bytes mean the end of the object.
fn get(
    bucket: &BucketClient,
    path: &Path,
    offset: u64,
    len: u64,
) -> impl Future<Output = Answer<Vec<u8>>> + Send + use<> {
    let (client, path) = (bucket.objects.clone(), path.clone());
    let range = offset..offset.saturating_add(len);
    async move {
        let read = repeat(async || {
            let options =
                GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
            match client.get_opts(&path, options).await {
                Ok(answer) => Ok(Vec::from(answer.bytes().await?)),
                Err(error) if is_past_end(&error) => Ok(Vec::new()),
                Err(error) => Err(error),
            }
        });
        read.await.map_err(|error| of_object(&error))
    }
}
