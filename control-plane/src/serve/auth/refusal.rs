//! Why a call is not let through, and what would mend it.

use tonic::Status;

use crate::metrics::streams::Refused;
use crate::review::{GROUP, Right};
use crate::tokens::Role;

/// Which ways there are to prove oneself, and which of them was not gone.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) cause: Refused,
    pub(super) problem: String,
    /// Tokens from files are good, too: of this role.
    pub(super) file: Option<Role>,
    /// Tokens of this audience are reviewed by the API server.
    pub(super) audience: Option<String>,
}

impl Refusal {
    /// Whether nothing is known against the caller.
    pub(super) fn is_of_the_moment(&self) -> bool {
        matches!(self.cause, Refused::NotReviewed | Refused::TooMany)
    }

    pub(super) fn status(&self) -> Status {
        let mut text = self.problem.clone();
        if let Some(role) = self.file {
            let file = role.file_name();
            text += &format!("; the token is in the file {file} among the control plane's keys");
        }
        if let Some(audience) = &self.audience {
            text += &format!(
                "; a token is made by: kubectl create token SERVICEACCOUNT --namespace NAMESPACE \
                 --audience {audience}"
            );
        }
        match self.cause {
            Refused::NoToken | Refused::UnknownToken | Refused::NoCertificate => {
                Status::unauthenticated(text)
            }
            Refused::OtherRole | Refused::Forbidden => Status::permission_denied(text),
            Refused::NotReviewed => Status::unavailable(text),
            Refused::TooMany => Status::resource_exhausted(text),
        }
    }
}

/// What an account lacks, and how it is given it.
pub(super) fn lacks(account: &str, right: Right) -> String {
    let Right { verb, resource } = right;
    let whom = match account
        .strip_prefix("system:serviceaccount:")
        .and_then(|account| account.split_once(':'))
    {
        Some((namespace, name)) => format!("--serviceaccount={namespace}:{name}"),
        None => format!("--user={account}"),
    };
    format!(
        "{account} may not {right}: it needs a ClusterRole with {{apiGroups: [{GROUP}], \
         resources: [{resource}], verbs: [{verb}]}}; the one that is installed with \
         Roadstead (in its NAMESPACE) is given by: kubectl create clusterrolebinding roadstead-operators \
         --clusterrole=roadstead-operator-NAMESPACE {whom}"
    )
}
