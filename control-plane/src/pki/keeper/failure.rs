//! What keeps the authorities from being in order, told so that it can be mended, and never with
//! what lies in the Secret.

use std::time::Duration;

use kube::Error;
use tokio::time::timeout;

use crate::pki::PkiError;
use crate::pki::rotation::Broken;

/// The authorities are not in order; those that are known stay so.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeepError {
    #[error(
        "Secret {0} is broken: {1}. Put a copy back; without one delete it: what a running \
         replica knows is written anew, else a new authority is made, and proxies prove \
         themselves anew by their tokens"
    )]
    Broken(String, Broken),
    #[error(
        "{object}: the API server forbids it ({message}); unless a quota is full, give the \
         control plane's ServiceAccount a Role in the namespace {namespace} with {{apiGroups: \
         [\"\"], resources: [\"{resource}\"], verbs: [{verbs}]}}"
    )]
    Forbidden {
        object: String,
        message: String,
        namespace: String,
        resource: &'static str,
        verbs: &'static str,
    },
    #[error("{object}: {message}")]
    Unavailable { object: String, message: String },
    /// Somebody else was first.
    #[error("{0} was changed meanwhile")]
    Conflict(String),
    #[error("{0}")]
    Pki(#[from] PkiError),
    #[error("the authorities cannot be written down: {0}")]
    Text(#[from] serde_json::Error),
}

/// What became of a call, without the parts of it that could hold a body.
pub(super) enum Failure {
    Api(u16, String),
    Other(String),
}

impl Failure {
    /// In the words of whoever has to mend it: who may not do these verbs to the resource in our
    /// namespace, or whatever else it was.
    pub(super) fn told(
        self,
        object: String,
        namespace: &str,
        resource: &'static str,
        verbs: &'static str,
    ) -> KeepError {
        match self {
            Self::Api(403, message) => KeepError::Forbidden {
                object,
                message,
                namespace: namespace.to_owned(),
                resource,
                verbs,
            },
            Self::Api(409, _) => KeepError::Conflict(object),
            Self::Api(404, message) => KeepError::Unavailable {
                object,
                message: format!(
                    "{message}; create the namespace, or name another in \
                     sources.kubernetes.ownNamespace"
                ),
            },
            Self::Api(code, message) => KeepError::Unavailable {
                object,
                message: format!("the API server says {code}: {message}"),
            },
            Self::Other(message) => KeepError::Unavailable { object, message },
        }
    }
}

/// Asks within a time.
pub(super) async fn answered<T>(
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Failure> {
    match timeout(PATIENCE, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Error::Api(status))) => Err(Failure::Api(status.code, status.message.clone())),
        // An answer that cannot be read is quoted in the error, and may hold keys.
        Ok(Err(Error::SerdeError(_))) => Err(Failure::Other("its answer cannot be read".into())),
        Ok(Err(error)) => Err(Failure::Other(error.to_string())),
        Err(_) => Err(Failure::Other(format!("no answer within {PATIENCE:?}"))),
    }
}

const PATIENCE: Duration = Duration::from_secs(15);
