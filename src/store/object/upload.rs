//! Uploads: a small object in one request, a large one in parts.
//!
//! An upload never replaces an object. The request that gives the object its name has the condition that the name is
//! free. If the answer to that request is lost, the repeated request finds the name taken, by this very upload: so each
//! object has a random mark, by which an upload recognizes its own object.

use std::collections::VecDeque;
use std::time::Duration;

use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error as ServiceError, GetOptions, MultipartId, PutMode, PutMultipartOptions,
    PutOptions, PutPayload,
};

use super::network::{Network, Request, repeat};
use super::refusals::{of_object, refusal, says_exists};
use super::services::BucketClient;
use crate::error::Kind;
use crate::platform::random_digits;
use crate::store::callbacks::{Answer, Refusal};

/// Length of the first parts. Each service allows parts of 5 MiB and more.
const PART_MIN: usize = 8 << 20;
/// Each service allows 10,000 parts. The length doubles after every 1,000 parts.
const PARTS_OF_ONE_LENGTH: usize = 1000;
/// The last length is `PART_MIN << PART_DOUBLINGS`, which is 512 MiB. So the largest object has about 2.5 TB.
const PART_DOUBLINGS: usize = 6;
const PARTS_MAX: usize = 10_000;
/// Parts of one upload that may be on their way while the next part is filled.
const PARTS_ON_THEIR_WAY: usize = 2;

/// The name of the metadata with the mark. Azure allows only names that are also names in C#.
const MARK: &str = "ibtupload";

/// An object while it is uploaded. Memory holds one part, and those on their way.
pub struct Upload {
    path: Path,
    mark: String,
    /// The bytes that no part has yet.
    buffer: Vec<u8>,
    /// `None` until the first part is full.
    parts: Option<PartsUpload>,
}

struct PartsUpload {
    id: MultipartId,
    /// The parts that the service has, in order.
    stored: Vec<PartId>,
    on_their_way: VecDeque<Request<PartId>>,
}

impl Upload {
    pub fn begin(path: Path) -> Answer<Self> {
        let mark = random_digits().map_err(|error| refusal(error.to_string()))?;
        Ok(Upload { path, mark, buffer: Vec::new(), parts: None })
    }

    pub fn write(&mut self, mut data: &[u8], bucket: &BucketClient, network: &Network) -> Answer<()> {
        while !data.is_empty() {
            let room = self.part_len() - self.buffer.len();
            let (now, later) = data.split_at(room.min(data.len()));
            self.buffer.extend_from_slice(now);
            data = later;
            if self.buffer.len() == self.part_len() {
                self.send_part(bucket, network)?;
            }
        }
        Ok(())
    }

    fn part_len(&self) -> usize {
        let number = self.parts.as_ref().map_or(0, PartsUpload::count);
        PART_MIN << (number / PARTS_OF_ONE_LENGTH).min(PART_DOUBLINGS)
    }

    /// Sends the buffer as the next part. Waits for an earlier part if too many are on their way.
    fn send_part(&mut self, bucket: &BucketClient, network: &Network) -> Answer<()> {
        if self.parts.is_none() {
            let id = network.run(begin_parts(bucket.clone(), self.path.clone(), marked(&self.mark)))?;
            self.parts = Some(PartsUpload { id, stored: Vec::new(), on_their_way: VecDeque::new() });
        }
        let Some(parts) = &mut self.parts else { return Ok(()) };
        if parts.count() == PARTS_MAX {
            return Err(refusal("the service allows no larger object: set a size of parts of archives"));
        }
        // Large parts are sent one at a time, because they take memory.
        let room = if self.buffer.len() > PART_MIN { 1 } else { PARTS_ON_THEIR_WAY };
        while parts.on_their_way.len() >= room {
            parts.collect(network)?;
        }
        let data = PutPayload::from(std::mem::take(&mut self.buffer));
        let (client, path, id, number) =
            (bucket.parts.clone(), self.path.clone(), parts.id.clone(), parts.count());
        let send = async move {
            let sent = repeat(|| client.put_part(&path, &id, number, data.clone())).await;
            sent.map_err(|error| of_object(&error))
        };
        parts.on_their_way.push_back(network.start_request(send)?);
        Ok(())
    }

    /// Gives the object its name. `Exists` if the name is taken. After any error, the upload in parts is removed.
    pub fn commit(mut self, bucket: &BucketClient, network: &Network) -> Answer<()> {
        let committed = self.try_commit(bucket, network);
        if committed.is_err() {
            self.abort(bucket, network);
        }
        committed
    }

    fn try_commit(&mut self, bucket: &BucketClient, network: &Network) -> Answer<()> {
        if self.parts.is_none() {
            let data = PutPayload::from(std::mem::take(&mut self.buffer));
            return network.run(put_new(bucket.clone(), self.path.clone(), data, self.mark.clone()));
        }
        if !self.buffer.is_empty() {
            self.send_part(bucket, network)?;
        }
        let Some(parts) = &mut self.parts else { return Ok(()) };
        while !parts.on_their_way.is_empty() {
            parts.collect(network)?;
        }
        let (id, stored) = (parts.id.clone(), std::mem::take(&mut parts.stored));
        network.run(complete(bucket.clone(), self.path.clone(), id, stored, self.mark.clone()))
    }

    /// Removes the parts that the service has. If that fails, they stay until a rule of the bucket removes them.
    pub fn abort(&mut self, bucket: &BucketClient, network: &Network) {
        let Some(parts) = self.parts.take() else { return };
        // Dropping the requests stops them, so that no part arrives after the upload was removed.
        drop(parts.on_their_way);
        let (client, path, id) = (bucket.parts.clone(), self.path.clone(), parts.id);
        let removed = async move {
            let limit = Duration::from_secs(10);
            let _ = tokio::time::timeout(limit, client.abort_multipart(&path, &id)).await;
            Ok(())
        };
        let _ = network.run_cleanup(removed);
    }
}

/// The metadata of an object.
fn marked(mark: &str) -> Attributes {
    Attributes::from_iter([(Attribute::Metadata(MARK.into()), mark.to_string())])
}

impl PartsUpload {
    fn count(&self) -> usize {
        self.stored.len() + self.on_their_way.len()
    }

    /// Waits for the oldest part on its way.
    fn collect(&mut self, network: &Network) -> Answer<()> {
        if let Some(request) = self.on_their_way.pop_front() {
            self.stored.push(network.wait(request)?);
        }
        Ok(())
    }
}

async fn begin_parts(bucket: BucketClient, path: Path, attributes: Attributes) -> Answer<MultipartId> {
    let mut options = PutMultipartOptions::default();
    if bucket.parts_have_metadata {
        options.attributes = attributes;
    }
    let begun = repeat(|| bucket.parts.create_multipart_opts(&path, options.clone())).await;
    begun.map_err(|error| of_object(&error))
}

/// Uploads an object in one request.
async fn put_new(bucket: BucketClient, path: Path, data: PutPayload, mark: String) -> Answer<()> {
    let options = PutOptions { mode: PutMode::Create, attributes: marked(&mark), ..PutOptions::default() };
    match repeat(|| bucket.objects.put_opts(&path, data.clone(), options.clone())).await {
        Ok(_) => Ok(()),
        Err(error) if says_exists(&error) => is_own(&bucket, &path, &mark, &error).await,
        Err(error) => Err(of_object(&error)),
    }
}

/// Makes an object of uploaded parts. Where the service has no condition for this, the name is looked up first: then
/// two programs that upload one name in the same moment may replace each other's object.
async fn complete(
    bucket: BucketClient,
    path: Path,
    id: MultipartId,
    parts: Vec<PartId>,
    mark: String,
) -> Answer<()> {
    if bucket.completes_new.is_none() && mark_at(&bucket, &path).await?.is_some() {
        return Err(Refusal::of(Kind::Exists));
    }
    let client = bucket.completes_new.as_ref().unwrap_or(&bucket.parts);
    match repeat(|| client.complete_multipart(&path, &id, parts.clone())).await {
        Ok(_) => Ok(()),
        // A repeated request does not find the upload if an earlier one completed it.
        Err(error) if says_exists(&error) || matches!(error, ServiceError::NotFound { .. }) => {
            is_own(&bucket, &path, &mark, &error).await
        }
        Err(error) => Err(of_object(&error)),
    }
}

/// `Ok` if the object is the one with `mark`, `Exists` if it is another one. If there is no object, `error` says why.
async fn is_own(bucket: &BucketClient, path: &Path, mark: &str, error: &ServiceError) -> Answer<()> {
    match mark_at(bucket, path).await? {
        Some(found) if found == mark => Ok(()),
        Some(_) => Err(Refusal::of(Kind::Exists)),
        // `NotFound` of a commit is about the upload, not about an object.
        None => Err(Refusal { status: Kind::Storage as i32, ..of_object(error) }),
    }
}

/// The mark of the object, or an empty text; `None` if there is no object.
async fn mark_at(bucket: &BucketClient, path: &Path) -> Answer<Option<String>> {
    let options = GetOptions { head: true, ..GetOptions::default() };
    match repeat(|| bucket.objects.get_opts(path, options.clone())).await {
        Ok(found) => {
            let mark = found.attributes.get(&Attribute::Metadata(MARK.into()));
            Ok(Some(mark.map(|mark| mark.to_string()).unwrap_or_default()))
        }
        Err(ServiceError::NotFound { .. }) => Ok(None),
        Err(error) => Err(of_object(&error)),
    }
}
