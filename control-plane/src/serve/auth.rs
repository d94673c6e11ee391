//! Who may call what: every call, reflection included, bears a token.
//!
//! A layer around all services, so that none can be forgotten.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use roadstead_proto::v1::distribution_service_server::SERVICE_NAME as DISTRIBUTION;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::metrics::streams::{Refused, StreamMetrics};
use crate::serve::listen::Peer;
use crate::tokens::{Role, Tokens};

/// Lets calls through whose token is for them.
#[derive(Clone, Debug)]
pub(super) struct Authenticate {
    tokens: Arc<Tokens>,
    metrics: StreamMetrics,
}

impl Authenticate {
    pub(super) fn new(tokens: Arc<Tokens>, metrics: StreamMetrics) -> Self {
        Self { tokens, metrics }
    }

    fn check(&self, path: &str, headers: &HeaderMap) -> Result<(), Status> {
        let needed = needed(path);
        let refusal = match bearer(headers) {
            None => Refused::NoToken,
            Some(token) => match self.tokens.role(token) {
                None => Refused::UnknownToken,
                Some(role) if role == needed => return Ok(()),
                Some(_) => Refused::OtherRole,
            },
        };
        self.metrics.call_refused(refusal);
        Err(status(refusal, needed))
    }
}

impl<S> Layer<S> for Authenticate {
    type Service = Authenticated<S>;

    fn layer(&self, inner: S) -> Authenticated<S> {
        Authenticated {
            inner,
            authenticate: self.clone(),
        }
    }
}

/// A service behind tokens.
#[derive(Clone, Debug)]
pub(super) struct Authenticated<S> {
    inner: S,
    authenticate: Authenticate,
}

impl<S, B> Service<Request<B>> for Authenticated<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let path = request.uri().path();
        match self.authenticate.check(path, request.headers()) {
            Ok(()) => {
                if let Some(peer) = request.extensions().get::<Peer>() {
                    peer.is_known();
                }
                Box::pin(self.inner.call(request))
            }
            Err(status) => Box::pin(async move { Ok(status.into_http()) }),
        }
    }
}

/// Whose calls these are. What does not exist is an operator's to find out.
fn needed(path: &str) -> Role {
    let service = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    match service {
        Some((DISTRIBUTION, _)) => Role::Proxy,
        Some(_) | None => Role::Operator,
    }
}

/// The token of the only `authorization` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && token.len() <= LONGEST).then_some(token)
}

fn status(refusal: Refused, needed: Role) -> Status {
    let file = needed.file_name();
    match refusal {
        Refused::NoToken => Status::unauthenticated(format!(
            "this call needs the header \"authorization: Bearer TOKEN\"; the token is in the file \
             {file} among the control plane's keys"
        )),
        Refused::UnknownToken => Status::unauthenticated(format!(
            "the token is not known: compare it with the file {file} among the control plane's keys"
        )),
        Refused::OtherRole => Status::permission_denied(format!(
            "the token is not for this call: use the one in the file {file} among the control \
             plane's keys"
        )),
    }
}

const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stream_is_for_proxies() {
        for (path, role) in [
            ("/roadstead.v1.DistributionService/Stream", Role::Proxy),
            ("/roadstead.v1.DistributionService", Role::Operator),
            ("/roadstead.v1.DistributionServiceX/Stream", Role::Operator),
            ("/roadstead.v1.SnapshotService/GetSnapshot", Role::Operator),
            ("/", Role::Operator),
            ("", Role::Operator),
        ] {
            assert_eq!(needed(path), role, "{path}");
        }
    }

    #[test]
    fn a_bearer_token_is_read_from_one_header_of_one_shape() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(read(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(read(&["bearer  abc "]).as_deref(), Some("abc"));
        let long = format!("Bearer {}", "a".repeat(LONGEST + 1));
        for wrong in [
            &[][..],
            &["abc"],
            &["Basic abc"],
            &[&long],
            &["Bearer a", "Bearer b"],
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
