//! What a client sees when it does not get an upstream's answer.
//!
//! The one file that turns errors into status codes: whoever wants to know why a request got
//! its 502 has one table to read.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use roadstead_matcher::canonical::PathError;

use crate::front::RequestError;
use crate::h1;
use crate::message::{Body, BodyError, Meter, Response};
use crate::reason::Reason;
use crate::upstream::{ConnectError, ExchangeError};

/// Why a request gets no upstream's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("no route")]
    NoRoute,
    #[error("no such service")]
    NoService,
    #[error("no endpoints")]
    NoEndpoints,
    #[error("the upstream's name has no address")]
    Unresolved,
    #[error("the upstream's address is not allowed")]
    Forbidden,
    #[error("too many connections to the upstream")]
    Overloaded,
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

/// The response to a request that failed.
pub(super) fn response(failure: Failure, mut meter: Meter) -> Response {
    let (status, reason) = verdict(failure);
    meter.fail(reason);
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(header::CONTENT_TYPE, TEXT);
    headers.insert(REASON, HeaderValue::from_static(reason.as_str()));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, METHODS);
    }
    let text = format!("{} {reason}\n", status.as_u16());
    Response {
        status,
        headers,
        body: Body::Full(Bytes::from(text)),
        declared_length: None,
        close: ends_connection(failure),
        tunnel: None,
        meter,
    }
}

fn verdict(failure: Failure) -> (StatusCode, Reason) {
    match failure {
        Failure::Request(error) => request(error),
        Failure::NoRoute => (StatusCode::NOT_FOUND, Reason::NoRoute),
        Failure::NoService => (StatusCode::SERVICE_UNAVAILABLE, Reason::NoService),
        Failure::NoEndpoints => (StatusCode::SERVICE_UNAVAILABLE, Reason::NoEndpoints),
        Failure::Unresolved => (StatusCode::SERVICE_UNAVAILABLE, Reason::Unresolved),
        Failure::Forbidden => (StatusCode::BAD_GATEWAY, Reason::ForbiddenAddress),
        Failure::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, Reason::Overloaded),
        Failure::Connect(error) => match error {
            ConnectError::Refused => (StatusCode::BAD_GATEWAY, Reason::ConnectRefused),
            ConnectError::TimedOut => (StatusCode::GATEWAY_TIMEOUT, Reason::ConnectTimeout),
            ConnectError::Failed(_) => (StatusCode::BAD_GATEWAY, Reason::ConnectFailed),
        },
        Failure::Exchange(error) => exchange(error),
    }
}

fn request(error: RequestError) -> (StatusCode, Reason) {
    let bad = StatusCode::BAD_REQUEST;
    match error {
        RequestError::Syntax(error) => match error {
            h1::RequestError::Malformed | h1::RequestError::Framing(_) => (bad, Reason::BadRequest),
            h1::RequestError::Version => (
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                Reason::VersionNotSupported,
            ),
            h1::RequestError::TooManyFields => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                Reason::HeadersTooLarge,
            ),
            h1::RequestError::TargetTooLong => (StatusCode::URI_TOO_LONG, Reason::TargetTooLong),
            h1::RequestError::Expectation => {
                (StatusCode::EXPECTATION_FAILED, Reason::ExpectationUnknown)
            }
        },
        RequestError::HeadTooLarge => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Reason::HeadersTooLarge,
        ),
        RequestError::TimedOut => (StatusCode::REQUEST_TIMEOUT, Reason::ClientTimeout),
        RequestError::Method => (StatusCode::METHOD_NOT_ALLOWED, Reason::MethodNotAllowed),
        RequestError::NoHost | RequestError::ManyHosts | RequestError::Authority(_) => {
            (bad, Reason::BadHost)
        }
        RequestError::Path(PathError::TooLong) => (StatusCode::URI_TOO_LONG, Reason::TargetTooLong),
        RequestError::Path(_) => (bad, Reason::BadPath),
    }
}

fn exchange(error: ExchangeError) -> (StatusCode, Reason) {
    let bad = StatusCode::BAD_GATEWAY;
    match error {
        ExchangeError::Request(BodyError::Stalled) => {
            (StatusCode::REQUEST_TIMEOUT, Reason::ClientTimeout)
        }
        ExchangeError::Request(BodyError::Cut) => (StatusCode::BAD_REQUEST, Reason::ClientGone),
        ExchangeError::Request(BodyError::Malformed | BodyError::TooLarge) => {
            (StatusCode::BAD_REQUEST, Reason::BadRequest)
        }
        ExchangeError::Unanswered | ExchangeError::Cut => (bad, Reason::UpstreamClosed),
        ExchangeError::TooLarge | ExchangeError::Malformed(_) | ExchangeError::Upgrade => {
            (bad, Reason::UpstreamMalformed)
        }
        ExchangeError::TimedOut => (StatusCode::GATEWAY_TIMEOUT, Reason::UpstreamTimeout),
    }
}

/// Whether it is not known where the client's next request would begin.
fn ends_connection(failure: Failure) -> bool {
    matches!(
        failure,
        Failure::Request(_) | Failure::Exchange(ExchangeError::Request(_))
    )
}

pub(super) const REASON: header::HeaderName = header::HeaderName::from_static("x-roadstead-reason");

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

const METHODS: HeaderValue =
    HeaderValue::from_static("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_at_fault_shows_in_the_status() {
        for (failure, status, reason) in [
            (Failure::NoRoute, 404, "no-route"),
            (Failure::NoService, 503, "no-service"),
            (Failure::NoEndpoints, 503, "no-endpoints"),
            (
                Failure::Connect(ConnectError::Refused),
                502,
                "connect-refused",
            ),
            (
                Failure::Connect(ConnectError::TimedOut),
                504,
                "connect-timeout",
            ),
            (
                Failure::Exchange(ExchangeError::TimedOut),
                504,
                "upstream-timeout",
            ),
            (
                Failure::Exchange(ExchangeError::Cut),
                502,
                "upstream-closed",
            ),
            (
                Failure::Exchange(ExchangeError::Upgrade),
                502,
                "upstream-malformed",
            ),
            (Failure::Request(RequestError::ManyHosts), 400, "bad-host"),
            (
                Failure::Request(RequestError::HeadTooLarge),
                431,
                "headers-too-large",
            ),
            (
                Failure::Request(RequestError::Path(PathError::Escape)),
                400,
                "bad-path",
            ),
            (
                Failure::Request(RequestError::Path(PathError::TooLong)),
                414,
                "target-too-long",
            ),
        ] {
            let (found, word) = verdict(failure);
            assert_eq!(
                (found.as_u16(), word.as_str()),
                (status, reason),
                "{failure}"
            );
        }
    }
}
