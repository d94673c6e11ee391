//! What somebody demanded of a certificate that we obtain.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;

/// That it is renewed now, whatever its age; and perhaps that what there is is revoked first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Demand {
    /// Who, and why, for people.
    pub by: Box<str>,
    pub reason: Box<str>,
    pub at: Timestamp,
    /// What the CA is still to be told of what it issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revokes: Option<Revokes>,
    /// Why it did not do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Box<str>>,
}

/// That one certificate, and no other of its name, is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revokes {
    /// As the certificate has it.
    pub serial: Box<str>,
    pub because: Revocation,
    /// How often the CA was told and did not answer.
    #[serde(default)]
    pub attempts: u32,
    /// It is not told before.
    #[serde(default)]
    pub not_before: Timestamp,
}

/// Why a certificate is revoked, as the CA's list says it (RFC 5280, section 5.3.1): of what is
/// there the reasons that CAs take from who has the account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Revocation {
    #[default]
    Unspecified,
    KeyCompromise,
    Superseded,
    CessationOfOperation,
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, reason, .. } = self;
        match (&self.revokes, &self.refused) {
            (Some(revokes), _) => {
                let serial = &revokes.serial;
                write!(
                    f,
                    "{serial} is to be revoked, and another obtained, says {by}: {reason}"
                )
            }
            (None, Some(refused)) => {
                write!(
                    f,
                    "not revoked: {refused}; to be renewed now, says {by}: {reason}"
                )
            }
            (None, None) => write!(f, "to be renewed now, says {by}: {reason}"),
        }
    }
}
