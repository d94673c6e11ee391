//! Where lies what outlives the event log: Secrets of our own namespace, or files in the folder of
//! keys.
//!
//! Bodies by name, and what can go wrong with them. It knows nothing of what is in them: which
//! may be replaced by which is decided by those who keep something there.

mod files;
mod secrets;

use std::time::Duration;

use crate::model::key::Origin;

pub use files::Files;
pub use secrets::Secrets;

/// Bodies that belong together, and are listed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// Recovery records.
    LastGood,
    /// Certificates that we obtain, with their keys, and the accounts that they are obtained by.
    Certificates,
    /// What session tickets are made by.
    Tickets,
}

/// Where the bodies of one collection lie.
pub trait Store: Send + Sync + 'static {
    /// The origin.
    fn origin(&self) -> Origin;

    /// All bodies.
    fn all(&self) -> impl Future<Output = Result<Vec<Body>, StoreError>> + Send;

    /// The body of this name, if there is one.
    fn one(&self, name: &str) -> impl Future<Output = Result<Option<Body>, StoreError>> + Send;

    /// Makes a body, or replaces the one of this revision; durable when it returns the new
    /// revision.
    fn put(
        &self,
        draft: Draft<'_>,
        over: Option<&str>,
    ) -> impl Future<Output = Result<Box<str>, StoreError>> + Send;

    /// Removes the body of this revision, if there is one.
    fn remove(
        &self,
        name: &str,
        revision: &str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Where all bodies lie, for people.
    fn whereabouts(&self) -> String;

    /// Where one lies.
    fn place(&self, name: &str) -> String;
}

/// Bytes under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    pub name: Box<str>,
    pub bytes: Vec<u8>,
    /// Opaque; another one after each change.
    pub revision: Box<str>,
}

/// What is to be written.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    pub name: &'a str,
    /// The object that it is about, for people.
    pub about: String,
    pub bytes: Vec<u8>,
}

/// Bytes of a body at most. The API server takes Secrets of 1 MiB, and etcd holds them all.
pub const MAX_BYTES: usize = 256 * 1024;

/// The store does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The body has another revision, or is gone, or there is one.
    #[error("somebody else changed it")]
    Conflict,
    #[error("{0}")]
    Forbidden(String),
    /// This body, and perhaps no other.
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Unavailable(String),
}

impl StoreError {
    pub fn silent(limit: Duration) -> Self {
        Self::Unavailable(format!("no answer within {limit:?}"))
    }

    /// For metrics.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Forbidden(_) => "forbidden",
            Self::Refused(_) => "refused",
            Self::Unavailable(_) => "unavailable",
        }
    }

    /// Whether other bodies fare no better.
    pub fn concerns_all(&self) -> bool {
        match self {
            Self::Conflict | Self::Refused(_) => false,
            Self::Forbidden(_) | Self::Unavailable(_) => true,
        }
    }
}
