//! Recovery records: facts whose loss would hurt, as they are kept outside of the log, too.
//!
//! Such a fact is an event like those of the log, so that what is upcast for one is upcast for
//! the other. With it stand the schema, and who keeps it: an installation, in a term.

use serde::{Deserialize, Serialize};

use crate::event::sealed::{OpenError, Sealed, open, seal};
use crate::event::{Epoch, Event, Seq};
use crate::model::ingress::ClassRef;
use crate::model::key::ObjectKey;
use crate::model::object::{Meta, Spec};

/// The last good version of an object that has another version, which cannot be used: it is
/// served, and nothing but the log knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryRecord {
    pub key: ObjectKey,
    pub meta: Meta,
    pub spec: Spec,
    /// The class that an Ingress named after it, if that was another: then it is not served.
    pub class: Option<ClassRef>,
}

impl RecoveryRecord {
    /// The fact, for a log that does not know it.
    pub fn into_event(self) -> Event {
        let Self {
            key,
            meta,
            spec,
            class,
        } = self;
        Event::ObjectRecovered {
            key,
            meta,
            spec,
            class,
        }
    }
}

/// A record as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The installation that keeps it.
    pub lineage: Box<str>,
    /// The term in which it was written.
    pub epoch: Epoch,
    /// As of which record of the log. Its term is another where a higher epoch began in the midst.
    pub place: Place,
    pub record: RecoveryRecord,
}

/// A place in the log of an installation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    pub epoch: Epoch,
    pub seq: Seq,
}

/// A record's bytes cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("{0}")]
    Sealed(#[from] OpenError),
    #[error("holds no recovery record, but {0}")]
    NotOne(&'static str),
    #[error("holds a specification of another kind than {0}")]
    WrongKind(ObjectKey),
}

#[derive(Serialize, Deserialize)]
struct Content {
    #[serde(default)]
    place: Place,
    event: Event,
}

/// The bytes of a record, in the schema of now.
pub fn encode(kept: Kept) -> Result<Vec<u8>, serde_json::Error> {
    let Kept {
        lineage,
        epoch,
        place,
        record,
    } = kept;
    let event = record.into_event();
    seal(&lineage, epoch, Content { place, event })
}

/// Reads a record.
pub fn decode(bytes: &[u8]) -> Result<Kept, DecodeError> {
    let Sealed {
        lineage,
        epoch,
        content: Content { place, event },
        ..
    } = open(bytes)?;
    let Event::ObjectRecovered {
        key,
        meta,
        spec,
        class,
    } = event
    else {
        return Err(DecodeError::NotOne(event.name()));
    };
    if spec.kind() != key.kind {
        return Err(DecodeError::WrongKind(key));
    }
    Ok(Kept {
        lineage,
        epoch,
        // Of what said none no more is known than its term.
        place: place.max(Place {
            epoch,
            seq: Seq::default(),
        }),
        record: RecoveryRecord {
            key,
            meta,
            spec,
            class,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::codec::SCHEMA;
    use crate::model::ingress::IngressClass;
    use crate::model::key::{Kind, Origin};
    use crate::model::object::Age;
    use crate::model::time::Timestamp;

    fn kept() -> Kept {
        let key = ObjectKey {
            origin: Origin::Kubernetes,
            kind: Kind::IngressClass,
            namespace: "".into(),
            name: "ours".into(),
        };
        let meta = Meta {
            uid: "u".into(),
            resource_version: "1".into(),
            age: Age {
                created: Timestamp(5),
                rank: "/ours".into(),
            },
        };
        let spec = Spec::IngressClass(IngressClass {
            controller: "c".into(),
            is_default: true,
        });
        Kept {
            lineage: "l".into(),
            epoch: Epoch(7),
            place: Place {
                epoch: Epoch(8),
                seq: Seq(70),
            },
            record: RecoveryRecord {
                key,
                meta,
                spec,
                class: None,
            },
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let bytes = encode(kept()).unwrap();
        assert_eq!(decode(&bytes).unwrap(), kept());
        // What was written by a release must be read by all that follow.
        let released = r#"{"schema":1,"lineage":"l","epoch":7,"event":{"ObjectRecovered":{"key":{"origin":"kubernetes","kind":"IngressClass","namespace":"","name":"ours"},"meta":{"uid":"u","resourceVersion":"1","age":{"created":5,"rank":"/ours"}},"spec":{"IngressClass":{"controller":"c","isDefault":true}}}}}"#;
        let without_place = Kept {
            place: Place {
                epoch: Epoch(7),
                seq: Seq(0),
            },
            ..kept()
        };
        assert_eq!(decode(released.as_bytes()).unwrap(), without_place);
    }

    #[test]
    fn what_is_no_record_of_ours_says_why() {
        let good = String::from_utf8(encode(kept()).unwrap()).unwrap();
        let schema = format!("\"schema\":{SCHEMA}");
        let newer = good.replace(&schema, "\"schema\":65535,\"shape\":\"unheard of\"");
        let other_kind = good.replace("\"kind\":\"IngressClass\"", "\"kind\":\"Service\"");
        let other_event =
            r#"{"schema":1,"lineage":"l","epoch":7,"event":{"SourcesListed":{"origins":[]}}}"#;
        for (bytes, expected) in [
            (&*newer, "was written by a newer release (schema 65535"),
            (&*other_kind, "another kind than Service ours"),
            (other_event, "holds no recovery record, but SourcesListed"),
            ("", "cannot be read: "),
            ("{\"schema\":1}", "cannot be read: missing field"),
        ] {
            let error = decode(bytes.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
