//! The client of each service, with the settings of the environment and of the standard files.

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use object_store::{
    BackoffConfig, ClientConfigKey, ClientOptions, HeaderMap, HeaderValue, ObjectStore, RetryConfig,
};

use super::aws_files;
use super::url::{CloudService, OPEN};
use crate::error::{Error, Kind, Result};

/// The address of the service that gives credentials to programs on a machine of AWS.
const AWS_METADATA: &str = "169.254.169.254:80";

/// One bucket, through the interfaces that this room uses.
#[derive(Clone)]
pub struct BucketClient {
    pub objects: Arc<dyn ObjectStore>,
    pub pages: Arc<dyn PaginatedListStore>,
    pub parts: Arc<dyn MultipartStore>,
    /// Completes uploads in parts only if the name is free. `None` if the service cannot do this.
    pub completes_new: Option<Arc<dyn MultipartStore>>,
    /// False if an upload in parts cannot have metadata.
    pub parts_have_metadata: bool,
}

impl BucketClient {
    fn new(client: impl ObjectStore + PaginatedListStore + MultipartStore) -> Self {
        let client = Arc::new(client);
        BucketClient {
            objects: client.clone(),
            pages: client.clone(),
            parts: client,
            completes_new: None,
            parts_have_metadata: true,
        }
    }

    /// Makes the client of a bucket. Sends no request to the service.
    pub fn open(service: CloudService, bucket: &str) -> Result<Self> {
        // An error means that another storage has set it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        match service {
            CloudService::S3 => s3(bucket),
            CloudService::Google => google(bucket),
            CloudService::Azure => azure(bucket),
        }
    }
}

/// A request that finds the service busy, or no connection, is repeated for at most a minute, after 0.1 seconds, 0.2
/// and so on up to 10.
fn retries() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(10),
        base: 2.0,
    };
    RetryConfig { backoff, max_retries: 8, retry_timeout: Duration::from_secs(60) }
}

/// A request may take long, because a part of an upload is large, but not stand still.
fn patience(options: ClientOptions) -> ClientOptions {
    options
        .with_timeout_disabled()
        .with_read_timeout(Duration::from_secs(60))
        .with_connect_timeout(Duration::from_secs(10))
        .with_user_agent(HeaderValue::from_static(concat!("libibt/", env!("CARGO_PKG_VERSION"))))
}

fn wrong_settings(error: &object_store::Error) -> Error {
    Error::new(
        Kind::InvalidArg,
        OPEN,
        format!("the settings of the environment do not make a client: {error}"),
    )
}

/// The options of the environment, which `from_env` of each builder reads, for all services.
fn environment_options(prefix: &str) -> ClientOptions {
    let mut options = ClientOptions::default();
    for (name, value) in std::env::vars_os() {
        if let (Some(name), Some(value)) = (name.to_str(), value.to_str())
            && let Some(setting) = name.strip_prefix(prefix)
            && let Ok(key) = setting.to_ascii_lowercase().parse()
        {
            options = options.with_config(key, value);
        }
    }
    options
}

fn s3(bucket: &str) -> Result<BucketClient> {
    let builder = |headers: HeaderMap| -> Result<AmazonS3Builder> {
        let options = environment_options("AWS_").with_default_headers(headers);
        let builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_client_options(patience(options))
            .with_retry(retries())
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_disable_bulk_delete(true);
        with_profile(builder)
    };
    let built = |builder: AmazonS3Builder| builder.build().map_err(|error| wrong_settings(&error));
    let client = built(builder(HeaderMap::new())?)?;
    // The interface of an upload in parts has no condition, so a client of its own sends it with each request.
    let mut if_new = HeaderMap::new();
    if_new.insert("if-none-match", HeaderValue::from_static("*"));
    let completes_new = built(builder(if_new)?)?;
    Ok(BucketClient { completes_new: Some(Arc::new(completes_new)), ..BucketClient::new(client) })
}

/// Adds what the environment leaves open from the files of AWS. Fails if there are no credentials at all: the client
/// would only notice at the first request, after many attempts to reach a service for them.
fn with_profile(mut builder: AmazonS3Builder) -> Result<AmazonS3Builder> {
    use AmazonS3ConfigKey::*;
    let given = |builder: &AmazonS3Builder, key| {
        builder.get_config_value(&key).is_some_and(|value| !value.is_empty())
    };
    let profile = aws_files::profile(|name| std::env::var_os(name))?;
    let keys = [
        (AccessKeyId, "aws_access_key_id"),
        (SecretAccessKey, "aws_secret_access_key"),
        (Token, "aws_session_token"),
    ];
    let places = [(Region, "region"), (Endpoint, "endpoint_url")];
    let has_keys = given(&builder, AccessKeyId) || given(&builder, SecretAccessKey);
    let has_role = given(&builder, WebIdentityTokenFile)
        || given(&builder, ContainerCredentialsRelativeUri)
        || given(&builder, ContainerCredentialsFullUri);
    let wanted = keys.into_iter().filter(|_| !has_keys && !has_role).chain(places);
    for (key, name) in wanted {
        if let Some(value) = profile.get(name)
            && !given(&builder, key)
        {
            builder = builder.with_config(key, value);
        }
    }
    let allows_http =
        builder.get_config_value(&Client(ClientConfigKey::AllowHttp)).is_some_and(|value| value == "true");
    if !allows_http && [Endpoint, S3Endpoint].iter().any(|key| has_scheme_http(builder.get_config_value(key)))
    {
        let detail = "the address of the service begins with http://: AWS_ALLOW_HTTP=true permits a connection without \
                      encryption";
        return Err(Error::new(Kind::InvalidArg, OPEN, detail));
    }
    let unsigned = builder.get_config_value(&SkipSignature).is_some_and(|value| value == "true");
    if !unsigned && !has_role && !given(&builder, AccessKeyId) && !given(&builder, SecretAccessKey) {
        require_metadata_service(given(&builder, MetadataEndpoint))?;
    }
    Ok(builder)
}

fn has_scheme_http(address: Option<String>) -> bool {
    address.is_some_and(|address| address.to_ascii_lowercase().starts_with("http://"))
}

/// Fails unless this machine has the service of AWS that gives credentials to programs.
fn require_metadata_service(named: bool) -> Result<()> {
    let disabled =
        std::env::var("AWS_EC2_METADATA_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    let reachable = || {
        let address = AWS_METADATA.to_socket_addrs().ok().and_then(|mut found| found.next());
        address.is_some_and(|address| TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok())
    };
    if !disabled && (named || reachable()) {
        return Ok(());
    }
    let detail = "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE and \
                  ~/.aws/credentials (AWS_SKIP_SIGNATURE=true for a public bucket)";
    Err(Error::new(Kind::InvalidArg, OPEN, detail))
}

fn google(bucket: &str) -> Result<BucketClient> {
    let client = GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(bucket)
        .with_client_options(patience(environment_options("GOOGLE_")))
        .with_retry(retries())
        .build()
        .map_err(|error| wrong_settings(&error))?;
    Ok(BucketClient::new(client))
}

fn azure(container: &str) -> Result<BucketClient> {
    let client = MicrosoftAzureBuilder::from_env()
        .with_container_name(container)
        .with_client_options(patience(environment_options("AZURE_")))
        .with_retry(retries())
        .build()
        .map_err(|error| wrong_settings(&error))?;
    Ok(BucketClient { parts_have_metadata: false, ..BucketClient::new(client) })
}
