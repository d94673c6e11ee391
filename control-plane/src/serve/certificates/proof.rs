//! Which node a caller is on: by its token, or by the certificate that it has.

use tonic::Status;

use crate::metrics::streams::Refused;
use crate::model::time::Timestamp;
use crate::pki::{Credential, Subject};
use crate::review::{Account, ReviewError};
use crate::serve::auth::Malformed;
use crate::serve::certificates::Issuing;

/// A node that was proven.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::serve) struct Proof {
    pub(super) subject: Subject,
    /// By a token, and when.
    pub(super) proven: Timestamp,
}

/// There is no proof.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unproven {
    #[error(
        "this call needs the header \"authorization: Bearer TOKEN\" with the token of the pod's \
         projected volume (set controlPlane.tokenFile in the proxy's configuration)"
    )]
    Nothing,
    #[error("{0}; the proxy's projected volume must name that audience (serviceAccountToken)")]
    Token(String),
    #[error("{0}")]
    Unavailable(String),
    #[error(
        "the token is of {0}, which is no proxy's account here: access.proxyAccounts in the \
         control plane's configuration names those"
    )]
    Account(String),
    #[error(
        "the token is not bound to a pod on a node ({0} is missing): it must come from a volume \
         of the proxy's pod, in Kubernetes 1.30 or later"
    )]
    Unbound(&'static str),
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Full(String),
    #[error("no token proved this certificate's holder in the last seven days: one is needed")]
    Stale,
}

impl Unproven {
    pub(super) fn refused(&self) -> (Refused, Status) {
        let text = self.to_string();
        match self {
            Self::Nothing | Self::Malformed(_) => (Refused::NoToken, Status::unauthenticated(text)),
            Self::Full(_) => (Refused::TooMany, Status::resource_exhausted(text)),
            Self::Token(_) => (Refused::UnknownToken, Status::unauthenticated(text)),
            Self::Unavailable(_) => (Refused::NotReviewed, Status::unavailable(text)),
            Self::Account(_) => (Refused::OtherRole, Status::permission_denied(text)),
            Self::Unbound(_) => (Refused::UnknownToken, Status::permission_denied(text)),
            Self::Stale => (Refused::NoCertificate, Status::unauthenticated(text)),
        }
    }
}

impl Proof {
    /// What is proven now, by a token and a certificate that is believed. A token is better than a certificate, and counts alone if it can be
    /// reviewed: who was taken its pod is not to go on by what it was given before.
    pub(super) async fn find(
        issuing: &Issuing,
        token: Option<&str>,
        shown: Option<&Credential>,
        now: Timestamp,
    ) -> Result<Self, Unproven> {
        let Some(token) = token else {
            return Self::by_certificate(shown.ok_or(Unproven::Nothing)?, now);
        };
        match issuing.reviewer.authenticate(token).await {
            Ok(account) => Self::by_token(&account, &issuing.users, now),
            Err(ReviewError::NotAuthentic(problem)) => Err(Unproven::Token(problem)),
            // Whoever has it filled up gains nothing by it.
            Err(error @ ReviewError::Full) => Err(Unproven::Full(error.to_string())),
            Err(error @ ReviewError::Unavailable(_)) => match shown {
                Some(shown) => Self::by_certificate(shown, now),
                None => Err(Unproven::Unavailable(error.to_string())),
            },
        }
    }

    fn by_token(account: &Account, users: &[String], now: Timestamp) -> Result<Self, Unproven> {
        if !users.contains(&account.name) {
            return Err(Unproven::Account(account.name.clone()));
        }
        let bound = |key: &'static str| {
            let values = account.extra.get(key).map(Vec::as_slice);
            match values {
                Some([value]) if !value.is_empty() => Ok(value.as_str()),
                _ => Err(Unproven::Unbound(key)),
            }
        };
        bound(POD_NAME)?;
        bound(POD_UID)?;
        let node = bound(NODE_NAME)?;
        Ok(Self {
            subject: Subject::proxy(node).ok_or(Unproven::Unbound(NODE_NAME))?,
            proven: now,
        })
    }

    fn by_certificate(shown: &Credential, now: Timestamp) -> Result<Self, Unproven> {
        if !matches!(shown.subject, Subject::Proxy { .. }) {
            return Err(Unproven::Nothing);
        }
        if now.0.saturating_sub(shown.proven.0) > BY_CERTIFICATE {
            return Err(Unproven::Stale);
        }
        Ok(Self {
            subject: shown.subject.clone(),
            proven: shown.proven,
        })
    }
}

const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
/// How long a certificate begets the next without a token: a long weekend without an API server.
const BY_CERTIFICATE: i64 = 7 * 24 * 3_600_000;

#[cfg(test)]
mod tests;
