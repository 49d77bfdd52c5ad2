//! The errors of a service, as refusals with the service's own words.

use std::error::Error as StdError;

use object_store::Error as ServiceError;
use object_store::client::{HttpError, HttpErrorKind};

use crate::error::Kind;
use crate::store::callbacks::Refusal;
use crate::text::shortened;

/// The codes by which services say that a bucket does not exist. Of an object they say `NoSuchKey` or `BlobNotFound`.
const NO_BUCKET: [&str; 2] = ["NoSuchBucket", "ContainerNotFound"];

/// A refusal of this room, which no service made.
pub fn refusal(reason: impl Into<String>) -> Refusal {
    Refusal { status: Kind::Storage as i32, os_code: 0, reason: Some(reason.into()) }
}

/// The refusal for an error of a request about one object. If the bucket does not exist, the kind is not `NotFound`:
/// that would mean that the object is lost.
pub fn of_object(error: &ServiceError) -> Refusal {
    let said = ServiceAnswer::of(error);
    let kind = match error {
        ServiceError::NotFound { .. } if !said.lacks_bucket() => Kind::NotFound,
        _ => kind_of(error),
    };
    said.refusal(kind, error)
}

/// The refusal for an error of a request about the bucket: `NotFound` if there is no such bucket.
pub fn of_bucket(error: &ServiceError) -> Refusal {
    let said = ServiceAnswer::of(error);
    let kind = if said.status.starts_with("404") { Kind::NotFound } else { kind_of(error) };
    said.refusal(kind, error)
}

/// True if the service refuses to write because the name is taken, or because somebody else is writing it.
pub fn says_exists(error: &ServiceError) -> bool {
    use ServiceError::{AlreadyExists, NotModified, Precondition};
    matches!(error, AlreadyExists { .. } | NotModified { .. } | Precondition { .. })
}

/// True if a read begins at or after the end of the object.
pub fn is_past_end(error: &ServiceError) -> bool {
    ServiceAnswer::of(error).status.starts_with("416")
}

/// True if the connection broke after the request was sent, and before the answer arrived: the request may have been
/// carried out.
pub fn is_unanswered(error: &ServiceError) -> bool {
    use HttpErrorKind::{Decode, Interrupted, Timeout, Unknown};
    let kind = |cause: &(dyn StdError + 'static)| Some(cause.downcast_ref::<HttpError>()?.kind());
    chain(error).filter_map(kind).any(|kind| matches!(kind, Decode | Interrupted | Timeout | Unknown))
}

fn kind_of(error: &ServiceError) -> Kind {
    match error {
        ServiceError::NotSupported { .. } | ServiceError::NotImplemented { .. } => Kind::Unsupported,
        _ => Kind::Storage,
    }
}

/// An error and its causes.
fn chain(error: &ServiceError) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

/// The parts of a service's answer that people need.
#[derive(Debug, Default)]
struct ServiceAnswer {
    /// For example `403 Forbidden`; empty without an answer.
    status: String,
    /// For example `AccessDenied`.
    code: String,
    message: String,
}

impl ServiceAnswer {
    /// Reads the message of the crate `object_store`, which has the answer at its end: it has no function that returns
    /// the parts.
    fn of(error: &ServiceError) -> Self {
        let text = error.to_string();
        let Some((_, answer)) = text.split_once("status code: ") else { return ServiceAnswer::default() };
        let (status, body) = answer.split_once(':').unwrap_or((answer, ""));
        let element = |name: &str| {
            let (_, rest) = body.split_once(&format!("<{name}>"))?;
            Some(one_line(rest.split_once('<')?.0))
        };
        ServiceAnswer {
            status: one_line(status),
            code: element("Code").unwrap_or_default(),
            message: element("Message").unwrap_or_else(|| one_line(body)),
        }
    }

    fn lacks_bucket(&self) -> bool {
        NO_BUCKET.contains(&self.code.as_str()) || self.message.contains("specified bucket does not exist")
    }

    fn refusal(&self, kind: Kind, error: &ServiceError) -> Refusal {
        // Not by the variant of the error: a list that is refused has the general one.
        let permits_too_little = self.status.starts_with("403") || self.status.starts_with("401");
        let os_code = if permits_too_little { libc::EACCES } else { system_error(error) };
        let mut words = format!("the service answers {}", self.status);
        for part in [&self.code, &self.message] {
            if !part.is_empty() {
                words = format!("{words}, {part}");
            }
        }
        if self.status.is_empty() {
            words = transport_words(error);
        }
        Refusal { status: kind as i32, os_code, reason: Some(words) }
    }
}

/// The system's error number at the end of the chain of causes, or 0.
fn system_error(error: &ServiceError) -> i32 {
    let system = chain(error).filter_map(|cause| cause.downcast_ref::<std::io::Error>()?.raw_os_error());
    system.last().unwrap_or(0)
}

/// The outermost and the innermost cause, without the query of any URL: a query may contain a signature.
fn transport_words(error: &ServiceError) -> String {
    let mut words = error.to_string();
    if let Some(last) = chain(error).last().map(ToString::to_string)
        && !words.contains(&last)
    {
        words = format!("{words}: {last}");
    }
    let without_query = |word: &str| match word.contains("://") {
        true => word.split('?').next().unwrap_or_default().to_string(),
        false => word.to_string(),
    };
    words.split_whitespace().map(without_query).collect::<Vec<_>>().join(" ")
}

/// A text in one short line.
fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    shortened(line.chars().filter(|c| !c.is_control()).take(400).collect::<String>()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: &str, body: &str) -> Box<dyn StdError + Send + Sync> {
        format!("Error performing GET http://h/b/o?X-Sig=hush in 1ms - Server returned non-2xx status code: {status}: {body}")
            .into()
    }

    fn not_found(code: &str) -> ServiceError {
        let body = format!("<Error><Code>{code}</Code><Message>It is\n not there</Message></Error>");
        ServiceError::NotFound { path: "o".into(), source: answered("404 Not Found", &body) }
    }

    #[test]
    fn the_words_of_the_service_are_kept_and_its_urls_are_not() {
        let refused = of_object(&not_found("NoSuchKey"));
        assert_eq!(refused.status, Kind::NotFound as i32);
        let words = refused.reason.unwrap();
        assert_eq!(words, "the service answers 404 Not Found, NoSuchKey, It is not there");
        let source = "cannot reach http://h/b/o?X-Sig=hush now".into();
        let words = of_object(&ServiceError::Generic { store: "S3", source }).reason.unwrap();
        assert!(words.contains("http://h/b/o now") && !words.contains("hush"), "{words}");
    }

    #[test]
    fn an_object_of_a_bucket_that_is_gone_is_not_lost() {
        for code in NO_BUCKET {
            assert_eq!(of_object(&not_found(code)).status, Kind::Storage as i32);
            assert_eq!(of_bucket(&not_found(code)).status, Kind::NotFound as i32);
        }
    }

    #[test]
    fn a_service_that_permits_nothing_is_eacces() {
        let source = answered("403 Forbidden", "<Code>AccessDenied</Code>");
        let refused = of_object(&ServiceError::PermissionDenied { path: "o".into(), source });
        assert_eq!((refused.status, refused.os_code), (Kind::Storage as i32, libc::EACCES));
    }
}
