//! Who may call what: every call, reflection included, bears a token, or comes on a connection
//! with a certificate of ours.
//!
//! A layer around all services, so that none can be forgotten.

mod call;
mod lasting;
mod refusal;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use tokio::time::sleep;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::metrics::streams::{Refused, StreamMetrics};
use crate::pki::Subject;
use crate::review::{Account, Review, ReviewError, Right};
use crate::serve::auth::call::Call;
use crate::serve::auth::lasting::lasting;
use crate::serve::auth::refusal::{Refusal, lacks};
use crate::serve::listen::Peer;
use crate::tokens::{Role, Tokens};

/// How callers can prove who they are, besides by a certificate.
#[derive(Clone, Debug)]
pub struct Access {
    /// Tokens from files, if they are good for calls.
    pub tokens: Option<Tokens>,
    /// Who knows operators' tokens in a cluster, and of which audience they are.
    pub operators: Option<(Arc<dyn Review>, String)>,
}

/// Lets calls through that may be made.
#[derive(Clone, Debug)]
pub(super) struct Authenticate {
    access: Arc<Access>,
    metrics: StreamMetrics,
}

impl Authenticate {
    pub(super) fn new(access: Arc<Access>, metrics: StreamMetrics) -> Self {
        Self { access, metrics }
    }

    /// Whether a call may be made, where that is known at once.
    fn check(&self, call: Call, headers: &HeaderMap, peer: Option<&Peer>) -> Checked {
        let credential = peer.and_then(Peer::credential);
        let (role, right) = match (call, credential.map(|found| &found.subject)) {
            // It ends with its certificate by itself, and says more.
            (Call::Stream, Some(Subject::Proxy { .. })) => return Checked::Known,
            (Call::Replica, Some(Subject::Replica { .. }))
            | (Call::Challenge, Some(Subject::Proxy { .. }))
            | (Call::Secrets, Some(Subject::Proxy { .. } | Subject::Replica { .. })) => {
                return Checked::ByCertificate;
            }
            (Call::Certificate, _) => return Checked::Proves,
            (Call::Replica, _) => {
                let problem = "this call is for replicas of the control plane, which have a \
                               certificate of their own";
                return self.refuse(Refused::NoCertificate, problem, None);
            }
            (Call::Stream | Call::Challenge, _) if self.access.tokens.is_none() => {
                let problem = "this call needs a client certificate: a proxy gets it by \
                               CertificateService (set controlPlane.certificateFolder in its \
                               configuration)";
                return self.refuse(Refused::NoCertificate, problem, None);
            }
            (Call::Secrets, None) if self.access.tokens.is_none() => {
                // Whose it is need not be asked: no right opens this call.
                let cause = if headers.contains_key(AUTHORIZATION) {
                    Refused::OtherRole
                } else {
                    Refused::NoCertificate
                };
                let problem = "this call gives private keys to proxies and replicas, by their \
                               client certificates, and to nobody else";
                return self.refuse(cause, problem, None);
            }
            (Call::Stream | Call::Challenge, _) | (Call::Secrets, None) => (Role::Proxy, None),
            (Call::Operator(right), _) => (Role::Operator, right),
        };
        let token = match bearer(headers) {
            Ok(Some(token)) => token,
            Ok(None) => {
                let problem = "this call needs the header \"authorization: Bearer TOKEN\"";
                return self.refuse(Refused::NoToken, problem, Some(role));
            }
            Err(malformed) => {
                return self.refuse(Refused::NoToken, &malformed.to_string(), Some(role));
            }
        };
        let tokens = self.access.tokens.as_ref();
        match tokens.and_then(|tokens| tokens.role(token)) {
            Some(found) if found == role => Checked::Known,
            Some(_) => {
                let problem = "the token is not for this call";
                self.refuse(Refused::OtherRole, problem, Some(role))
            }
            None => match (&self.access.operators, role) {
                (Some((reviewer, _)), Role::Operator) => {
                    Checked::ToReview(Arc::clone(reviewer), token.to_owned(), right)
                }
                (Some(_) | None, _) => {
                    let problem = "the token is not known";
                    self.refuse(Refused::UnknownToken, problem, Some(role))
                }
            },
        }
    }

    async fn review(
        &self,
        reviewer: &dyn Review,
        token: &str,
        right: Option<Right>,
    ) -> Result<Account, Refusal> {
        let failed = |error: ReviewError| match error {
            ReviewError::NotAuthentic(_) => self.refusal(
                Refused::UnknownToken,
                error.to_string(),
                Some(Role::Operator),
            ),
            ReviewError::Unavailable(_) => {
                self.refusal(Refused::NotReviewed, error.to_string(), None)
            }
            ReviewError::Full => self.refusal(Refused::TooMany, error.to_string(), None),
        };
        let account = reviewer.authenticate(token).await.map_err(failed)?;
        let Some(right) = right else {
            return Ok(account);
        };
        if reviewer.allows(&account, right).await.map_err(failed)? {
            return Ok(account);
        }
        let problem = lacks(&account.name, right);
        Err(self.refusal(Refused::Forbidden, problem, None))
    }

    /// Waits until the right to a call is gone, and says why. Who cannot be asked about keeps
    /// what he has.
    async fn gone(&self, reviewer: &dyn Review, token: &str, right: Option<Right>) -> Status {
        loop {
            sleep(REVIEW_EVERY).await;
            match self.review(reviewer, token, right).await {
                Err(refusal) if !refusal.is_of_the_moment() => return self.told(&refusal),
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn refuse(&self, cause: Refused, problem: &str, role: Option<Role>) -> Checked {
        Checked::Refused(self.refusal(cause, problem.to_owned(), role))
    }

    fn refusal(&self, cause: Refused, problem: String, role: Option<Role>) -> Refusal {
        let operators = self.access.operators.as_ref();
        let operators = operators.filter(|_| role == Some(Role::Operator));
        Refusal {
            cause,
            problem,
            file: role.filter(|_| self.access.tokens.is_some()),
            audience: operators.map(|(_, audience)| audience.clone()),
        }
    }

    fn told(&self, refusal: &Refusal) -> Status {
        self.metrics.call_refused(refusal.cause);
        refusal.status()
    }
}

/// What is known of a call at once.
enum Checked {
    Known,
    /// For as long as the certificate is believed.
    ByCertificate,
    /// It is a stranger's until the service has proof.
    Proves,
    Refused(Refusal),
    /// The token is to be reviewed, and then the right.
    ToReview(Arc<dyn Review>, String, Option<Right>),
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
    S: Service<Request<B>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let call = Call::of(request.uri().path());
        let peer = request.extensions().get::<Peer>().cloned();
        let authenticate = self.authenticate.clone();
        match authenticate.check(call, request.headers(), peer.as_ref()) {
            Checked::Known => {
                peer.iter().for_each(Peer::let_in);
                Box::pin(self.inner.call(request))
            }
            Checked::ByCertificate => {
                let answering = self.inner.call(request);
                Box::pin(async move {
                    let answer = answering.await?;
                    let Some(peer) = peer else {
                        return Ok(answer);
                    };
                    peer.let_in();
                    Ok(lasting(
                        answer,
                        Box::pin(async move {
                            peer.ended().await;
                            Status::unauthenticated(
                                "the certificate of this connection is no longer believed: \
                                 connect again, by a new one",
                            )
                        }),
                    ))
                })
            }
            Checked::Proves => Box::pin(self.inner.call(request)),
            Checked::Refused(refusal) => {
                let status = authenticate.told(&refusal);
                Box::pin(async move { Ok(status.into_http()) })
            }
            Checked::ToReview(reviewer, token, right) => {
                // The one that is ready, and not its clone.
                let clone = self.inner.clone();
                let mut inner = std::mem::replace(&mut self.inner, clone);
                Box::pin(async move {
                    let reviewed = authenticate.review(&*reviewer, &token, right).await;
                    match reviewed {
                        // For who has to say who it was.
                        Ok(account) => request.extensions_mut().insert(account),
                        Err(refusal) => return Ok(authenticate.told(&refusal).into_http()),
                    };
                    peer.iter().for_each(Peer::let_in);
                    let answer = inner.call(request).await?;
                    let gone = async move { authenticate.gone(&*reviewer, &token, right).await };
                    Ok(lasting(answer, Box::pin(gone)))
                })
            }
        }
    }
}

/// There is an `authorization` header, and it bears no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the header \"authorization\" is not, once, \"Bearer TOKEN\" with a token of at most {LONGEST} \
     characters"
)]
pub(super) struct Malformed;

/// The token of the `authorization` header, if there is one.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Malformed> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().map_err(|_| Malformed)?,
        (Some(_), Some(_)) => return Err(Malformed),
    };
    let (scheme, token) = value.split_once(' ').ok_or(Malformed)?;
    let token = token.trim();
    let fit = scheme.eq_ignore_ascii_case("bearer") && (1..=LONGEST).contains(&token.len());
    fit.then_some(Some(token)).ok_or(Malformed)
}

/// How long a call may outlast the right to it.
const REVIEW_EVERY: Duration = Duration::from_secs(5 * 60);

/// A ServiceAccount's token has about 1 KiB.
const LONGEST: usize = 8 * 1024;

#[cfg(test)]
mod tests;
