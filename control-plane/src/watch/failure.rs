//! What an error of a watch means, and what mends it.

use kube::core::Status;
use kube::runtime::watcher::Error;

use crate::model::key::Kind;

/// Why a list or watch did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The cluster does not know the kind.
    Absent,
    /// We may not list it.
    Forbidden,
    /// What was watched from is too old: a list follows.
    Gone,
    /// Anything else: the server is not there, restarts, or is overloaded.
    Unavailable,
}

impl Cause {
    pub(super) fn of(error: &Error) -> Self {
        let error = match error {
            Error::InitialListFailed(error)
            | Error::WatchStartFailed(error)
            | Error::WatchFailed(error) => error,
            Error::WatchError(status) => return Self::of_status(status),
            Error::NoResourceVersion => return Self::Unavailable,
        };
        Self::of_answer(error)
    }

    /// What the answer to a question means that is no watch.
    pub(super) fn of_answer(error: &kube::Error) -> Self {
        if let kube::Error::Api(status) = error {
            Self::of_status(status)
        } else {
            Self::Unavailable
        }
    }

    fn of_status(status: &Status) -> Self {
        match (status.code, status.reason.as_str()) {
            // The reason as well: a load balancer in front has 404s of its own.
            (404, "NotFound") => Self::Absent,
            (403, "Forbidden") => Self::Forbidden,
            (410, _) => Self::Gone,
            _ => Self::Unavailable,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Forbidden => "forbidden",
            Self::Gone => "gone",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The rule that is missing, for whoever has to write it.
pub(super) fn missing_rule(kind: Kind, namespace: &str, verbs: &str) -> String {
    let (group, resource) = match kind {
        Kind::EndpointSlice => ("discovery.k8s.io", "endpointslices"),
        Kind::Ingress => ("networking.k8s.io", "ingresses"),
        Kind::IngressClass => ("networking.k8s.io", "ingressclasses"),
        Kind::Certificate | Kind::Secret | Kind::TicketSecret => ("", "secrets"),
        Kind::Service => ("", "services"),
    };
    let role = if namespace.is_empty() {
        "a ClusterRole".to_owned()
    } else {
        format!("a Role in the namespace {namespace}")
    };
    format!(
        "the API server forbids it; give the control plane's ServiceAccount {role} with \
         {{apiGroups: [\"{group}\"], resources: [\"{resource}\"], verbs: [{verbs}]}}"
    )
}

/// What it takes to watch a kind.
pub(super) const WATCH: &str = "get, list, watch";
/// What it takes to ask for objects by name.
pub(super) const GET: &str = "get";
