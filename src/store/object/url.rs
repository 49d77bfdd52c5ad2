//! The URL of a storage: `SCHEME://BUCKET/PREFIX`, or `file:///PATH`.

use std::fmt::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::error::{Error, Kind, Result};
use crate::text::encode_name;

/// Longest prefix in bytes. The keys of objects have at most 1,024 bytes, and the name of a backup file up to 200.
const PREFIX_MAX: usize = 800;

/// The end of "cannot ..." in the errors of this room.
pub const OPEN: &str = "open the storage";

/// A service with buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloudService {
    S3,
    Google,
    Azure,
}

/// A checked URL. It contains no secret, so messages may show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageUrl {
    /// The prefix is empty or ends with `/`.
    Bucket { service: CloudService, bucket: String, prefix: String },
    /// An absolute path.
    Directory(PathBuf),
}

impl StorageUrl {
    /// `InvalidArg` for anything else. The message shows no more than the scheme, because a URL with a user, a password
    /// or a signed query may contain secrets.
    pub fn parse(url: &str) -> Result<Self> {
        let fault = |detail: String| Error::new(Kind::InvalidArg, OPEN, detail);
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(fault("a URL begins with s3://, gs://, az:// or file://".into()));
        };
        let service = match scheme.to_ascii_lowercase().as_str() {
            "s3" => Some(CloudService::S3),
            "gs" => Some(CloudService::Google),
            "az" => Some(CloudService::Azure),
            "file" => None,
            _ => {
                let known = "libibt knows s3://, gs://, az:// and file://";
                return Err(fault(format!("{known}, not {}://", encode_name(scheme.as_bytes()))));
            }
        };
        let fault = |detail: &str| fault(format!("the URL ({scheme}://...) {detail}"));
        if rest.contains('?') {
            return Err(fault(
                "has a query, from '?' on: settings come from the environment, and '?' in a name is %3F",
            ));
        }
        if rest.contains('#') {
            return Err(fault("has a fragment, from '#' on: '#' in a name is %23"));
        }
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.contains('@') {
            return Err(fault("has a user or a password before '@': credentials come from the environment"));
        }
        let path =
            decode(path).ok_or_else(|| fault("has a '%' that two hexadecimal digits do not follow"))?;
        match service {
            None => directory(host, path).map_err(fault),
            Some(service) => {
                let bucket = host.to_string();
                check_bucket(&bucket).map_err(fault)?;
                let prefix = prefix(path).map_err(fault)?;
                Ok(StorageUrl::Bucket { service, bucket, prefix })
            }
        }
    }
}

impl fmt::Display for StorageUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorageUrl::Directory(path) => write!(f, "file://{}", path.display()),
            StorageUrl::Bucket { service, bucket, prefix } => {
                let scheme = match service {
                    CloudService::S3 => "s3",
                    CloudService::Google => "gs",
                    CloudService::Azure => "az",
                };
                write!(f, "{scheme}://{bucket}")?;
                if !prefix.is_empty() {
                    f.write_char('/')?;
                }
                f.write_str(prefix.trim_end_matches('/'))
            }
        }
    }
}

/// Replaces each `%XX` by its byte. `None` for a `%` without two hexadecimal digits.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                (digit()? * 16 + digit()?) as u8
            }
            byte => byte,
        });
    }
    Some(decoded)
}

/// Names of buckets and containers: letters, digits, `-`, `.` and `_`. Each service allows fewer, and refuses the rest.
fn check_bucket(bucket: &str) -> std::result::Result<(), &'static str> {
    match bucket {
        "" => Err("names no bucket"),
        _ if bucket.contains(':') => Err("has a port: the address of a service comes from the environment"),
        _ if bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) => Ok(()),
        _ => Err("has a bucket with other characters than letters, digits, '-', '.' and '_'"),
    }
}

/// The prefix of all keys, empty or with a `/` at its end. A `/` at the end of the URL changes nothing.
fn prefix(path: Vec<u8>) -> std::result::Result<String, &'static str> {
    let path = String::from_utf8(path).map_err(|_| "has a prefix that is not UTF-8")?;
    let path = path.strip_suffix('/').unwrap_or(&path);
    if path.is_empty() {
        return Ok(String::new());
    }
    match path {
        _ if path.len() > PREFIX_MAX => Err("has a prefix of more than 800 bytes"),
        _ if path.chars().any(char::is_control) => Err("has a prefix with control characters"),
        _ if path.split('/').any(|part| matches!(part, "" | "." | "..")) => {
            Err("has a prefix with a part that is empty, '.' or '..'")
        }
        _ => Ok(format!("{path}/")),
    }
}

/// The directory of a `file` URL. The host is empty or `localhost`, as in RFC 8089.
fn directory(host: &str, path: Vec<u8>) -> std::result::Result<StorageUrl, &'static str> {
    if !matches!(host, "" | "localhost") {
        return Err("names a host: a directory of this machine is file:///PATH");
    }
    if path.is_empty() {
        return Err("names no directory");
    }
    if path.contains(&0) {
        return Err("has a path with a NUL byte");
    }
    let path = [b"/", &path[..]].concat();
    Ok(StorageUrl::Directory(PathBuf::from(std::ffi::OsString::from_vec(path))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_bucket_and_a_prefix_or_a_directory() {
        for (url, shown, prefix) in [
            ("s3://bucket", "s3://bucket", ""),
            ("S3://bucket/", "s3://bucket", ""),
            ("gs://my_bucket.x/a/b/", "gs://my_bucket.x/a/b", "a/b/"),
            ("az://c/%C3%A9%20%25%3F%23", "az://c/\u{e9} %?#", "\u{e9} %?#/"),
        ] {
            let parsed = StorageUrl::parse(url).unwrap();
            assert_eq!(parsed.to_string(), shown, "{url}");
            let StorageUrl::Bucket { prefix: found, .. } = parsed else { panic!("{url}: {parsed:?}") };
            assert_eq!(found, prefix, "{url}");
        }
        for url in ["file:///srv/a%20b", "file://localhost/srv/a%20b"] {
            assert_eq!(StorageUrl::parse(url).unwrap(), StorageUrl::Directory("/srv/a b".into()), "{url}");
        }
    }

    #[test]
    fn any_other_url_is_refused_without_showing_it() {
        for (url, reason) in [
            ("bucket/hush", "begins with s3://"),
            ("ftp://hush", "not ftp://"),
            ("s3://", "names no bucket"),
            ("s3:///hush", "names no bucket"),
            ("s3://user:hush@bucket/p", "before '@'"),
            ("s3://bucket/p?token=hush", "has a query"),
            ("s3://bucket/p#hush", "has a fragment"),
            ("s3://bucket:9000/hush", "has a port"),
            ("s3://buck%20et/hush", "other characters"),
            ("s3://b\u{fc}cket/hush", "other characters"),
            ("s3://bucket/hush%2", "'%'"),
            ("s3://bucket/hush%zz", "'%'"),
            ("s3://bucket/hush%ff", "not UTF-8"),
            ("s3://bucket/hush%00", "control characters"),
            ("s3://bucket/hush//b", "empty"),
            ("s3://bucket//hush", "empty"),
            ("s3://bucket/hush/../b", "'..'"),
            ("s3://bucket/hush/%2e%2e/b", "'..'"),
            ("file://host/hush", "names a host"),
            ("file://", "names no directory"),
            ("file:///hush%00", "NUL"),
        ] {
            let error = StorageUrl::parse(url).unwrap_err();
            assert_eq!(error.kind, Kind::InvalidArg, "{url}");
            let message = error.to_string();
            assert!(message.contains(reason), "{url}: {message}");
            assert!(!message.contains("hush"), "{url}: {message}");
        }
        assert!(StorageUrl::parse(&format!("s3://b/{}", "p".repeat(801))).is_err());
    }
}
