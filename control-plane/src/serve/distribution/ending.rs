//! Why a stream ends, and what the proxy is told of it.
//!
//! One place for it, because the reason goes three ways: to the proxy as a status, to
//! people as a line, to metrics as a label.

use std::sync::Arc;
use std::time::Duration;

use roadstead_proto::LEADER;
use tokio::sync::watch;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::metrics::streams::End;
use crate::serve::Role;
use crate::serve::distribution::hello::HelloError;
use crate::snapshot::dialogue::OutOfOrder;

/// The reason of an end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ending {
    #[error("the proxy closed the stream")]
    Closed,
    #[error("the stream broke: {0}")]
    Broken(Status),
    #[error(
        "another stream of this name was opened later: if this process was not started again, \
         two proxies have the same name"
    )]
    Replaced,
    #[error("the control plane stops: connect again")]
    Stopping,
    #[error("this replica does not lead: connect to {0}")]
    Elsewhere(Arc<str>),
    #[error("this replica leads no longer, or leads now: connect again")]
    Role,
    #[error("this replica knows of no leader: look elsewhere")]
    Leaderless,
    #[error("there are too many streams")]
    Full,
    #[error("nothing within {after:?} of {awaited}")]
    Timeout {
        awaited: &'static str,
        after: Duration,
    },
    #[error("the hello is refused: {0}")]
    Hello(#[from] HelloError),
    #[error(
        "the certificate is of {subject}, and the proxy calls itself {proxy}: set `proxy` in its \
         configuration to the node's name, or that, a slash and more"
    )]
    OtherName { subject: String, proxy: Arc<str> },
    #[error(
        "a proxy with a certificate has the name {0}, and this one has a token: set `proxy` in its \
         configuration to another name"
    )]
    NotByToken(Arc<str>),
    #[error(
        "the certificate of this connection has ended, or its authority is no longer believed: \
         connect again, by a new one"
    )]
    Expired,
    #[error("out of order: {0}")]
    Protocol(&'static str),
    #[error("the proxy refused {times} transfers one after the other, the last because: {reason}")]
    Refused { times: u32, reason: String },
}

impl Ending {
    /// Because this replica is something else now.
    pub(super) fn of_role(role: &watch::Receiver<Role>) -> Self {
        match role.borrow().elsewhere() {
            Some(leader) => Self::Elsewhere(leader),
            None => Self::Role,
        }
    }

    /// What the proxy is told; nothing if it is gone.
    pub(super) fn status(&self) -> Option<Status> {
        let text = self.to_string();
        match self {
            Self::Closed | Self::Broken(_) => None,
            Self::Replaced => Some(Status::aborted(text)),
            Self::Stopping | Self::Role | Self::Leaderless => Some(Status::unavailable(text)),
            Self::Elsewhere(leader) => Some(redirect(text, leader)),
            Self::Full => Some(Status::resource_exhausted(text)),
            Self::Timeout { .. } => Some(Status::deadline_exceeded(text)),
            Self::OtherName { .. } | Self::NotByToken(_) => Some(Status::permission_denied(text)),
            Self::Expired => Some(Status::unauthenticated(text)),
            Self::Hello(_) | Self::Protocol(_) => Some(Status::invalid_argument(text)),
            Self::Refused { .. } => Some(Status::failed_precondition(text)),
        }
    }

    /// How metrics call it.
    pub(super) fn metric(&self) -> End {
        match self {
            Self::Closed | Self::Broken(_) => End::Proxy,
            Self::Replaced => End::Replaced,
            Self::Stopping => End::Shutdown,
            Self::Elsewhere(_) | Self::Role | Self::Leaderless => End::Role,
            Self::Timeout { .. } => End::Timeout,
            Self::Expired => End::Expired,
            Self::OtherName { .. } | Self::NotByToken(_) => End::OtherName,
            Self::Full | Self::Hello(_) | Self::Protocol(_) | Self::Refused { .. } => End::Protocol,
        }
    }
}

impl From<OutOfOrder> for Ending {
    fn from(OutOfOrder(what): OutOfOrder) -> Self {
        Self::Protocol(what)
    }
}

/// Says where to go in a form for programs, too.
fn redirect(text: String, leader: &str) -> Status {
    let mut metadata = MetadataMap::new();
    if let Ok(leader) = leader.parse() {
        metadata.insert(LEADER, leader);
    }
    Status::with_metadata(Code::Unavailable, text, metadata)
}
