//! How a call to a CA failed, in the terms in which it is decided when to call again.

use std::time::Duration;

use http::StatusCode;
use instant_acme::{Error, Problem};

use crate::acme::answer::{Answer, Trouble};
use crate::acme::words::printable;

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub kind: FailureKind,
    /// How long the CA asks to be left alone, at most 30 days.
    pub retry_after: Option<Duration>,
    /// For people: at most 512 bytes, printable, without key bytes.
    pub message: String,
}

/// What a failure means for what is done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Too much was asked (RFC 8555, 6.6; status 429, or 503 with Retry-After).
    RateLimited,
    /// The CA will not, and asking again changes nothing soon. The problem's type (RFC 8555,
    /// 6.7), at most 512 bytes.
    Refused { problem: Option<String> },
    /// Nothing was asked, or the CA took nothing in, or it was only to be read.
    Unavailable,
    /// The same: the CA refused each of several nonces that it gave (RFC 8555, 6.5).
    BadNonce,
    /// A change was asked for and its answer did not come whole: it may have been made.
    Unknown,
    /// What was asked for is not there (status 404 or 410).
    Gone,
    /// The certificate that an order was to replace has been replaced (RFC 9773, 7.4).
    AlreadyReplaced,
    /// The account is not there (RFC 8555, 6.7: `accountDoesNotExist`).
    UnknownAccount,
}

/// Whether what was asked for would have changed anything at the CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Reads,
    Changes,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, message: &str) -> Self {
        Self {
            kind,
            retry_after: None,
            message: printable(message),
        }
    }

    /// Refused by this side, or by what a CA says of something.
    pub(super) fn refused(message: &str) -> Self {
        Self::new(FailureKind::Refused { problem: None }, message)
    }

    /// Of what this crate's error and the last answer say.
    pub(super) fn of(error: &Error, answer: &Answer, effect: Effect) -> Self {
        let problem = if let Error::Api(problem) = error {
            Some(problem)
        } else {
            None
        };
        let lost = match effect {
            Effect::Changes if answer.posted => FailureKind::Unknown,
            Effect::Changes | Effect::Reads => FailureKind::Unavailable,
        };
        Self {
            kind: kind(problem, answer, lost),
            retry_after: answer.retry_after(),
            message: message(error, problem, answer),
        }
    }
}

fn kind(problem: Option<&Problem>, answer: &Answer, lost: FailureKind) -> FailureKind {
    let named = problem.and_then(|problem| problem.r#type.as_deref());
    let refused = FailureKind::Refused {
        problem: named.map(printable),
    };
    match named.and_then(|name| name.strip_prefix("urn:ietf:params:acme:error:")) {
        Some("rateLimited") => return FailureKind::RateLimited,
        Some("alreadyReplaced") => return FailureKind::AlreadyReplaced,
        Some("accountDoesNotExist") => return FailureKind::UnknownAccount,
        Some("badNonce") => return FailureKind::BadNonce,
        _ => {}
    }
    let Some(status) = answer.status else {
        return match answer.trouble {
            Some(Trouble::NotSent(_)) => FailureKind::Unavailable,
            Some(Trouble::Lost(_)) => lost,
            None => refused,
        };
    };
    match status {
        StatusCode::TOO_MANY_REQUESTS => FailureKind::RateLimited,
        StatusCode::SERVICE_UNAVAILABLE if answer.retry_after().is_some() => {
            FailureKind::RateLimited
        }
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::REQUEST_TIMEOUT => FailureKind::Unavailable,
        StatusCode::NOT_FOUND | StatusCode::GONE => FailureKind::Gone,
        // Said by the CA itself, not by a gateway before it that knows not what became of it.
        _ if status.is_server_error() && problem.is_some() => FailureKind::Unavailable,
        _ if status.is_server_error() => lost,
        _ if status.is_success() && problem.is_none() => lost,
        _ => refused,
    }
}

fn message(error: &Error, problem: Option<&Problem>, answer: &Answer) -> String {
    if let Some(problem) = problem {
        return said(problem);
    }
    let error = match &answer.trouble {
        Some(Trouble::NotSent(text) | Trouble::Lost(text)) => text.clone(),
        None => error.to_string(),
    };
    let text = match answer.status {
        Some(status) if !status.is_success() => {
            format!("the CA answered with status {status} and no problem document")
        }
        Some(status) => format!("the CA's answer (status {status}) cannot be read: {error}"),
        None => error,
    };
    printable(&text)
}

/// A problem document in one line.
pub(super) fn said(problem: &Problem) -> String {
    let mut text = match (problem.detail.as_deref(), problem.r#type.as_deref()) {
        (Some(detail), Some(kind)) => format!("{detail} ({kind})"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => "a problem without a description".to_owned(),
    };
    for part in problem.subproblems.iter().take(SUBPROBLEMS) {
        text = format!("{text}; {part}");
    }
    printable(&text)
}

/// More would not be shown.
const SUBPROBLEMS: usize = 16;
