//! What is kept of a certificate, or of an account, where it outlives the event log.
//!
//! Apart from the steps, because this alone says what of it others may write over, and it alone
//! has the keys together with what they are for.

use std::fmt;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::event::Epoch;
use crate::event::codec::SCHEMA;
use crate::event::sealed::{OpenError, Sealed, open, seal};
use crate::model::bundle::Bundle;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::managed::Managed;
use crate::model::time::Timestamp;
use crate::observe::certificate;
use crate::plan::issuance::scheduler::Item;

/// A certificate with its keys, or the one that is to be obtained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kept {
    pub(super) managed: Managed,
    pub(super) created: Timestamp,
    /// The chain of what was issued, and its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pair: Option<Pair>,
    /// The key of the order that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next_key: Option<Pem>,
    /// The chain and the key as they are served.
    #[serde(skip)]
    pub(super) bundle: Option<Bundle>,
}

/// A chain and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pair {
    pub(super) chain: Box<str>,
    pub(super) key: Pem,
}

/// An account at a CA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    /// The CA's directory.
    pub(super) ca: Box<str>,
    pub(super) key: Pem,
    /// What the CA calls it; empty before it does.
    #[serde(default)]
    pub(super) url: Box<str>,
}

/// A private key in PEM.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Pem(pub(super) Box<str>);

/// Without what must not be seen.
impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pem")
    }
}

/// Either.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Record {
    Account(Account),
    Certificate(Box<Kept>),
}

/// A record cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("was written by a newer release (schema {schema}; this one knows {SCHEMA})")]
    NewerSchema { schema: u16 },
    #[error("is of a later leader, of epoch {0}")]
    LaterLeader(Epoch),
    /// Not what serde says of it, which may have parts of it.
    #[error("cannot be read")]
    Malformed,
}

#[derive(Serialize, Deserialize)]
struct Content<R> {
    record: R,
}

impl Kept {
    /// One of which nothing is done yet.
    pub(super) fn new(managed: Managed, created: Timestamp) -> Self {
        Self {
            managed,
            created,
            pair: None,
            next_key: None,
            bundle: None,
        }
    }

    /// The same, with its bundle; `None`: chain and key are not those of what is served.
    fn bundled(mut self) -> Option<Self> {
        if let Some(pair) = &self.pair {
            let read = certificate::read(pair.chain.as_bytes(), pair.key.0.as_bytes());
            let (_, bundle) = read.ok()?;
            self.bundle = Some(bundle);
        }
        let issued = self.managed.issued.as_ref();
        let named = issued.map(|issued| issued.certificate.bundle);
        (named == self.bundle.as_ref().map(Bundle::name)).then_some(self)
    }
}

impl Item for Kept {
    fn managed(&self) -> &Managed {
        &self.managed
    }

    fn anew(&self) -> Self {
        Self::new(Managed::new(self.managed.names.clone()), self.created)
    }
}

impl Record {
    /// The name under which it is kept.
    pub(super) fn name(&self) -> Box<str> {
        match self {
            Self::Account(account) => account_name(&account.ca),
            Self::Certificate(kept) => {
                let names = kept.managed.names.iter().map(ToString::to_string);
                let names: Vec<String> = names.collect();
                hashed("certificate", &names.join(" "))
            }
        }
    }

    /// What it is about, for people.
    pub(super) fn about(&self) -> String {
        match self {
            Self::Account(account) => format!("account at {}", account.ca),
            Self::Certificate(kept) => {
                let name = kept.managed.names.first();
                name.map_or_else(String::new, |name| format!("certificate of {name}"))
            }
        }
    }

    /// Its bytes, as written by this installation in this term.
    pub(super) fn encode(&self, lineage: &str, epoch: Epoch) -> Result<Vec<u8>, RecordError> {
        seal(lineage, epoch, Content { record: self }).map_err(|_| RecordError::Malformed)
    }

    /// Reads one, which may be of another installation: keys outlive it.
    pub(super) fn decode(bytes: &[u8], lineage: &str, epoch: Epoch) -> Result<Self, RecordError> {
        let sealed: Sealed<Content<Self>> = open(bytes).map_err(|error| match error {
            OpenError::NewerSchema { schema } => RecordError::NewerSchema { schema },
            OpenError::Malformed(_) => RecordError::Malformed,
        })?;
        if *sealed.lineage == *lineage && sealed.epoch > epoch {
            return Err(RecordError::LaterLeader(sealed.epoch));
        }
        Ok(match sealed.content.record {
            Self::Certificate(kept) => {
                let kept = kept.bundled().ok_or(RecordError::Malformed)?;
                Self::Certificate(Box::new(kept))
            }
            Self::Account(account) => Self::Account(account),
        })
    }
}

/// The name under which the account at a CA is kept.
pub(super) fn account_name(ca: &str) -> Box<str> {
    hashed("account", ca)
}

/// The object that a certificate is.
pub(super) fn key(origin: Origin, managed: &Managed) -> ObjectKey {
    let name = managed.names.first();
    ObjectKey {
        origin,
        kind: Kind::Certificate,
        namespace: "".into(),
        name: name.map_or_else(String::new, ToString::to_string).into(),
    }
}

fn hashed(kind: &str, text: &str) -> Box<str> {
    let mut name = format!("{kind}-");
    for byte in Sha256::digest(text).iter().take(NAME_BYTES) {
        // Writing to a String does not fail.
        let _ = write!(name, "{byte:02x}");
    }
    name.into()
}

/// Enough of a hash that no two share a name.
const NAME_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use roadstead_matcher::host::HostPattern;

    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_shows_no_key() {
        let key = Pem("-----BEGIN PRIVATE KEY-----".into());
        let names = vec![HostPattern::parse("a.example").unwrap()];
        let mut kept = Kept::new(Managed::new(names), Timestamp(5));
        kept.next_key = Some(key.clone());
        let certificate = Record::Certificate(Box::new(kept.clone()));
        let account = Record::Account(Account {
            ca: "https://ca.example/".into(),
            key,
            url: "https://ca.example/1".into(),
        });
        for record in [certificate, account] {
            let bytes = record.encode("l", Epoch(7)).unwrap();
            let read = |lineage, epoch| Record::decode(&bytes, lineage, Epoch(epoch));
            assert_eq!(read("l", 7).unwrap(), record);
            assert_eq!(read("other", 1).unwrap(), record);
            let later = read("l", 6).unwrap_err().to_string();
            assert_eq!(later, "is of a later leader, of epoch 7");
            assert!(!format!("{record:?}").contains("PRIVATE"));
            assert!(record.name().len() < 60, "{}", record.name());
        }
        // What is not the chain of what is served is no such record.
        kept.pair = Some(Pair {
            chain: "chain".into(),
            key: Pem("key".into()),
        });
        let bytes = Record::Certificate(Box::new(kept)).encode("l", Epoch(7));
        assert!(Record::decode(&bytes.unwrap(), "l", Epoch(7)).is_err());
    }

    #[test]
    fn what_is_no_record_says_why_and_nothing_of_what_it_holds() {
        let read = |text: &str| {
            let read = Record::decode(text.as_bytes(), "l", Epoch(1));
            read.unwrap_err().to_string()
        };
        assert!(read(r#"{"schema":65535}"#).contains("newer release"));
        for broken in ["", "secret", r#"{"schema":1,"secret":2}"#] {
            assert_eq!(read(broken), "cannot be read");
        }
    }
}
