//! TXT records, by which a CA finds in the DNS that hosts are ours (RFC 8555, section 8.4).

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::managed::{Challenge, ChallengeType};
use crate::model::time::Timestamp;

/// A record of the DNS that a CA is to find.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TxtRecord {
    /// The host that it is for, or the wildcard.
    pub host: Box<str>,
    /// What it says, by which it is known among others of its name.
    pub text: Box<str>,
    /// Since when.
    #[serde(default)]
    pub wanted: Timestamp,
    /// Where it belongs; `None`: that is still to be found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Since when the zone's server has it; `None`: it may have it, if the place is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added: Option<Timestamp>,
    /// Whoever asks for it finds it.
    #[serde(default)]
    pub shown: bool,
    /// How often in a row something about it failed.
    #[serde(default)]
    pub failures: u32,
    /// What servers said of it last, for people.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub said: Box<str>,
    /// Nothing is done about it before.
    #[serde(default)]
    pub not_before: Timestamp,
}

/// A record that was added, or may have been, and that nobody needs any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Leftover {
    pub host: Box<str>,
    pub text: Box<str>,
    pub place: Place,
    /// How often in a row it could not be removed.
    #[serde(default)]
    pub failures: u32,
    /// Nothing is done about it before.
    #[serde(default)]
    pub not_before: Timestamp,
}

/// Where a record belongs: names of the DNS, without the dot at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// That which a CA finds, after all CNAMEs.
    pub name: Box<str>,
    pub zone: Box<str>,
}

impl TxtRecord {
    /// The record by which this challenge is met, if it is met by one, as it is wanted from now on.
    pub fn of(challenge: &Challenge, now: Timestamp) -> Option<Self> {
        (challenge.challenge_type == ChallengeType::Dns01).then(|| Self {
            host: challenge.host.clone(),
            text: text(&challenge.key_authorization),
            wanted: now,
            place: None,
            added: None,
            shown: false,
            failures: 0,
            said: Box::default(),
            not_before: Timestamp::default(),
        })
    }

    /// Whether this challenge is met by it.
    pub fn meets(&self, challenge: &Challenge) -> bool {
        challenge.challenge_type == ChallengeType::Dns01
            && challenge.host == self.host
            && text(&challenge.key_authorization) == self.text
    }

    /// The same, to be removed, if it may be there.
    pub fn leftover(self) -> Option<Leftover> {
        Some(Leftover {
            host: self.host,
            text: self.text,
            place: self.place?,
            failures: 0,
            not_before: Timestamp::default(),
        })
    }

    /// Whether something about it goes wrong, and not only takes its time.
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Where a CA begins to look for it.
    pub fn sought_at(&self) -> String {
        format!("_acme-challenge.{}", self.host.trim_start_matches("*."))
    }
}

fn text(key_authorization: &str) -> Box<str> {
    let digest = Sha256::digest(key_authorization);
    BASE64_URL_SAFE_NO_PAD.encode(digest).into()
}

/// What is being done about it, in a few words.
impl fmt::Display for TxtRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, self.added) {
            (None, _) => write!(f, "it is found out where {} belongs", self.sought_at())?,
            (Some(place), None) => write!(f, "the DNS is told the CA's challenge, {}", place.name)?,
            (Some(place), Some(_)) => {
                write!(
                    f,
                    "the servers of {} are to show the CA's challenge, {}",
                    place.zone, place.name
                )?;
            }
        }
        match self.said.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.said),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_the_digest_of_the_key_authorization_and_stands_below_the_host() {
        let challenge = Challenge {
            challenge_type: ChallengeType::Dns01,
            host: "*.example.com".into(),
            token: "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA".into(),
            key_authorization: "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.thumb".into(),
        };
        let record = TxtRecord::of(&challenge, Timestamp(0)).unwrap();
        assert_eq!(record.sought_at(), "_acme-challenge.example.com");
        // SHA-256 in base64url, without padding.
        assert_eq!(record.text.len(), 43);
        assert!(record.meets(&challenge));
        let other = Challenge {
            host: "example.com".into(),
            ..challenge.clone()
        };
        assert!(!record.meets(&other));
        let by_http = Challenge {
            challenge_type: ChallengeType::Http01,
            ..challenge
        };
        assert!(!record.meets(&by_http) && TxtRecord::of(&by_http, Timestamp(0)).is_none());
    }
}
