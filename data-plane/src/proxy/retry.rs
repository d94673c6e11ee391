//! When a request may be sent once more.
//!
//! Pure, and apart from the sending: to repeat what an upstream has acted on is worse than to
//! fail, and the rule has to be readable in one place.

use http::Method;

use super::rescue::Failure;
use crate::{message::Body, upstream::ExchangeError};

/// Whether sending the request twice does what sending it once does, and is possible.
pub(super) fn may_be_repeated(method: &Method, body: &Body) -> bool {
    let idempotent = matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
    );
    idempotent && body.is_untouched()
}

/// Whether a connection that had served before was closed by the upstream as we began to use it
/// again. That is nobody's fault, and a fresh connection serves the request.
pub(super) fn was_stale(error: ExchangeError) -> bool {
    error == ExchangeError::Unanswered
}

/// Whether nothing of the request has been sent, so that another endpoint may have it.
pub(super) fn may_go_elsewhere(failure: &Failure) -> bool {
    match failure {
        Failure::Connect(_) | Failure::Forbidden | Failure::Overloaded => true,
        Failure::Exchange(_)
        | Failure::NoEndpoints
        | Failure::NoRoute
        | Failure::NoService
        | Failure::Request(_)
        | Failure::Unresolved => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn only_what_does_no_more_the_second_time_is_repeated() {
        let full = || Body::full(Bytes::from_static(b"x"));
        for (method, body, repeated) in [
            (Method::GET, Body::Empty, true),
            (Method::PUT, full(), true),
            (Method::POST, Body::Empty, false),
            (Method::PATCH, full(), false),
        ] {
            assert_eq!(may_be_repeated(&method, &body), repeated, "{method}");
        }
    }
}
