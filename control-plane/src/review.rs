//! Who a token is of, and what that account may do: questions to the Kubernetes API.
//!
//! Behind a trait, so that those who ask are tested without it, and a shell around it remembers
//! what operators' calls ask again and again.

mod kubernetes;
mod remembered;

use std::collections::BTreeMap;
use std::fmt;

use futures::future::BoxFuture;

pub use kubernetes::Reviewer;
pub use remembered::Remembered;

/// Someone who answers both questions.
pub trait Review: fmt::Debug + Send + Sync {
    /// Whose token this is (TokenReview).
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Account, ReviewError>>;

    /// Whether an account has a right (SubjectAccessReview).
    fn allows<'a>(
        &'a self,
        account: &'a Account,
        right: Right,
    ) -> BoxFuture<'a, Result<bool, ReviewError>>;
}

/// An account, as the API server knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

/// A right to read from us, in the whole cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    pub verb: &'static str,
    /// Of the API group [`GROUP`], which has no objects.
    pub resource: &'static str,
}

/// The API group in which rights are named.
pub const GROUP: &str = "roadstead.dev";

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{GROUP}", self.verb, self.resource)
    }
}

/// A question has no answer that lets anyone in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// The API server does not know the token.
    #[error("the token is not accepted: {0}")]
    NotAuthentic(String),
    /// It could not be asked.
    #[error("the API server cannot be asked now: {0}")]
    Unavailable(String),
    /// Too many others wait for an answer.
    #[error("too many tokens are being reviewed: try again")]
    Full,
}
