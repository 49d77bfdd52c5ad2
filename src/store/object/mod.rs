//! A store in a bucket of a service (S3, Google Cloud Storage, Azure), behind [`Backend`].
//!
//! Each backup file is one object, PREFIX/NAME. A bucket has no locks. The protocols of the services are those of the
//! crate `object_store`; this room adds the rules of a store: an upload never replaces an object, a cancel takes effect
//! within a second, and errors have the service's words.

mod aws_files;
mod network;
mod reads;
mod refusals;
mod services;
mod upload;
mod url;

use object_store::ObjectStoreExt;
use object_store::list::PaginatedListOptions;
use object_store::path::Path;

use super::callbacks::{Answer, Backend, Listing};
use super::{CallbackStore, DirAccess, DirStore, Store};
use crate::error::{Kind, Result};
use crate::job::Cancel;
use network::{Network, repeat};
use reads::ReadWindows;
use refusals::{of_bucket, of_object, refusal};
use services::BucketClient;
use upload::Upload;
use url::StorageUrl;

/// Opens the storage of a URL. `file:///PATH` is the same directory storage as PATH: it has locks, and a power cut
/// removes no snapshot, which the local files of the crate `object_store` do not promise.
pub fn open_url(url: &str) -> Result<Box<dyn Store + Send>> {
    match StorageUrl::parse(url)? {
        StorageUrl::Directory(path) => Ok(Box::new(DirStore::open_with(path, DirAccess::Create)?)),
        StorageUrl::Bucket { service, ref bucket, ref prefix } => {
            let shown =
                StorageUrl::Bucket { service, bucket: bucket.clone(), prefix: prefix.clone() }.to_string();
            let client = BucketClient::open(service, bucket).map_err(|error| error.at(&shown))?;
            let (prefix, reads, network) = (prefix.clone(), ReadWindows::default(), Network::start()?);
            let backend = BucketBackend { shown, prefix, bucket: client, reads, network };
            Ok(Box::new(CallbackStore::new(std::sync::Arc::new(backend))))
        }
    }
}

/// The objects of a bucket whose keys begin with a prefix.
struct BucketBackend {
    /// The URL, for messages.
    shown: String,
    /// Empty, or ends with `/`.
    prefix: String,
    bucket: BucketClient,
    reads: ReadWindows,
    network: Network,
}

impl BucketBackend {
    fn path(&self, name: &str) -> Answer<Path> {
        Path::parse(format!("{}{name}", self.prefix)).map_err(|error| refusal(error.to_string()))
    }
}

impl Backend for BucketBackend {
    type Stream = Upload;

    fn watch(&self, cancel: &Cancel) {
        self.reads.clear();
        self.network.watch(cancel);
    }

    fn create(&self, name: &str) -> Answer<Upload> {
        Upload::begin(self.path(name)?)
    }

    fn write(&self, upload: &mut Upload, data: &[u8]) -> Answer<()> {
        upload.write(data, &self.bucket, &self.network)
    }

    fn commit(&self, upload: Upload) -> Answer<()> {
        self.reads.clear();
        upload.commit(&self.bucket, &self.network)
    }

    fn abort(&self, mut upload: Upload) {
        upload.abort(&self.bucket, &self.network);
    }

    fn read_at(&self, name: &str, offset: u64, buf: &mut [u8]) -> Answer<usize> {
        // No object is so long that a read ends at `u64::MAX`.
        if buf.is_empty() || offset.checked_add(buf.len() as u64).is_none() {
            return Ok(0);
        }
        self.reads.read(&self.path(name)?, offset, buf, &self.bucket, &self.network)
    }

    fn is_concurrent(&self) -> bool {
        true
    }

    fn read_range(&self, name: &str, offset: u64, buf: &mut [u8]) -> Answer<usize> {
        self.reads.read_range(&self.path(name)?, offset, buf, &self.bucket, &self.network)
    }

    /// Reads the names in pages of at most 1,000. Keys with a further `/` are not backup files, and are not read.
    fn list(&self, prefix: &str, out: &mut Listing) -> Answer<()> {
        let whole = format!("{}{prefix}", self.prefix);
        let mut token = None;
        loop {
            let (client, prefix) = (self.bucket.pages.clone(), whole.clone());
            let options =
                PaginatedListOptions { delimiter: Some("/".into()), page_token: token, ..Default::default() };
            let page = self.network.run(async move {
                let prefix = Some(&*prefix).filter(|prefix| !prefix.is_empty());
                let page = repeat(|| client.list_paginated(prefix, options.clone())).await;
                page.map_err(|error| of_bucket(&error))
            });
            let page = page.map_err(|mut refused| {
                refused.reason = refused.reason.map(|reason| format!("{}: {reason}", self.shown));
                refused
            })?;
            for object in &page.result.objects {
                if let Some(name) = object.location.as_ref().strip_prefix(&self.prefix) {
                    out.add(name, object.size);
                }
            }
            token = page.page_token;
            if token.is_none() {
                return Ok(());
            }
        }
    }

    fn delete(&self, name: &str) -> Answer<()> {
        self.reads.clear();
        let (client, path) = (self.bucket.objects.clone(), self.path(name)?);
        self.network.run_cleanup(async move {
            match repeat(|| client.delete(&path)).await.map_err(|error| of_object(&error)) {
                Err(refused) if refused.status == Kind::NotFound as i32 => Ok(()),
                deleted => deleted,
            }
        })
    }

    fn has_locks(&self) -> bool {
        false
    }

    fn lock(&self, _key: &str) -> Answer<()> {
        Ok(())
    }

    fn unlock(&self, _key: &str) {}
}
