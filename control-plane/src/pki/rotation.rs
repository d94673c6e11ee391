//! How one authority follows another, as a decision over what is stored and what time it is.
//!
//! Apart from where it is stored, and without a clock of its own: all replicas look at the same
//! text and come to the same conclusion. An authority is published (proxies and replicas believe
//! what it signs) long before it signs, and is believed until all that it signed has ended: also
//! if another was put in its place by hand.

use std::fmt;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;
use crate::pki::public::Public;
use crate::pki::{Authorities, Authority, PkiError, make};

/// All authorities of an installation, as they are stored. The times may be edited by hand: an
/// earlier one has happen at once what it decides.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Stored {
    /// Signs.
    current: Current,
    /// Is published, and will sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<Next>,
    /// Have signed, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    previous: Vec<Previous>,
}

#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Current {
    certificate: String,
    key: String,
    signs_since: jiff::Timestamp,
}

#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Next {
    certificate: String,
    key: String,
    /// When it was found where proxies find it; none until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    published_since: Option<jiff::Timestamp>,
}

#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Previous {
    certificate: String,
    signed_until: jiff::Timestamp,
}

/// A step that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next authority is made.
    Prepare,
    /// The next one is published: its time until it signs begins.
    Publish,
    /// The next one signs from now on.
    Promote,
    /// What the oldest previous one signed has ended.
    Forget,
}

/// What is stored is not what we store.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Without the text of the error, which may quote what it found: keys.
    #[error("it is not the text that this release writes (line {line}, column {column})")]
    Text { line: usize, column: usize },
    #[error(
        "{which} is not a certificate of an authority and its key, each of them one block of PEM \
         and nothing else"
    )]
    Pair { which: &'static str },
    #[error(
        "a previous one is not a certificate of an authority: one block of PEM and nothing else"
    )]
    Previous,
    #[error("{0}")]
    Unfit(#[from] PkiError),
}

impl Stored {
    /// A first authority, and nobody before it.
    pub fn first(now: Timestamp) -> Result<Self, PkiError> {
        let (certificate, key) = make(now).map_err(PkiError::Make)?;
        Ok(Self {
            current: Current {
                certificate,
                key,
                signs_since: time(now),
            },
            next: None,
            previous: Vec::new(),
        })
    }

    /// Reads what is stored.
    pub fn parse(bytes: &[u8]) -> Result<Self, Broken> {
        let stored: Self = serde_json::from_slice(bytes).map_err(|error| Broken::Text {
            line: error.line(),
            column: error.column(),
        })?;
        // What cannot be used does not take the place of what can.
        stored.authorities()?;
        Ok(stored)
    }

    /// The text that is stored. It holds keys.
    pub fn text(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec_pretty(self)
    }

    /// Who signs, and who is believed.
    pub fn authorities(&self) -> Result<Authorities, Broken> {
        let current = &self.current;
        let signing = pair("the current one", &current.certificate, &current.key)?;
        let mut others = Vec::new();
        if let Some(next) = &self.next {
            others.push(pair("the next one", &next.certificate, &next.key)?.certificate);
        }
        for previous in &self.previous {
            others.push(Public::read(&previous.certificate).ok_or(Broken::Previous)?);
        }
        Ok(Authorities::new(signing, &others)?)
    }

    /// With the authority that is held to be the current one, if this does not know it: somebody
    /// put another in its place, and what it signed is to be believed until it ends.
    pub fn keeping(&self, held: &Self, now: Timestamp) -> Option<Self> {
        let lost = Public::read(&held.current.certificate)?;
        let mut known = std::iter::once(&self.current.certificate)
            .chain(self.next.iter().map(|next| &next.certificate))
            .chain(self.previous.iter().map(|previous| &previous.certificate));
        if known.any(|text| Public::read(text).as_ref() == Some(&lost)) {
            return None;
        }
        let mut kept = self.clone();
        kept.previous.push(Previous {
            certificate: lost.pem(),
            signed_until: time(now),
        });
        Some(kept)
    }

    /// What is to be done now that this is stored and published. One at a time, so that each is
    /// seen before the next.
    pub fn due(&self, now: Timestamp, times: &Times) -> Option<Step> {
        let now = time(now);
        let signs = now.duration_since(self.current.signs_since);
        let ended = |previous: &Previous| now.duration_since(previous.signed_until) >= times.kept;
        if self.previous.first().is_some_and(ended) {
            return Some(Step::Forget);
        }
        match &self.next {
            None => (signs >= times.signs.saturating_sub(times.published)).then_some(Step::Prepare),
            Some(next) => match next.published_since {
                None => Some(Step::Publish),
                Some(since) => {
                    let published = now.duration_since(since);
                    (signs >= times.signs && published >= times.published).then_some(Step::Promote)
                }
            },
        }
    }

    /// What is stored after a step.
    pub fn after(&self, step: Step, now: Timestamp) -> Result<Self, PkiError> {
        let mut after = self.clone();
        match step {
            Step::Prepare => {
                let (certificate, key) = make(now).map_err(PkiError::Make)?;
                after.next = Some(Next {
                    certificate,
                    key,
                    published_since: None,
                });
            }
            Step::Publish => {
                if let Some(next) = &mut after.next {
                    next.published_since = Some(time(now));
                }
            }
            Step::Promote => {
                if let Some(next) = after.next.take() {
                    let current = Current {
                        certificate: next.certificate,
                        key: next.key,
                        signs_since: time(now),
                    };
                    let before = std::mem::replace(&mut after.current, current);
                    after.previous.push(Previous {
                        certificate: before.certificate,
                        signed_until: time(now),
                    });
                }
            }
            Step::Forget => {
                if !after.previous.is_empty() {
                    after.previous.remove(0);
                }
            }
        }
        Ok(after)
    }
}

/// Without the keys.
impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("previous", &self.previous.len())
            .finish_non_exhaustive()
    }
}

/// How long each part of an authority's life lasts.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// From its first signature until the next authority signs.
    pub signs: SignedDuration,
    /// How long the next one is published before it signs.
    pub published: SignedDuration,
    /// How long one is believed after its last signature: longer than anything it signs lasts.
    pub kept: SignedDuration,
}

impl Default for Times {
    /// A year, of the twenty that its certificate lasts; a month in which whoever was away may see
    /// it; a day more than the longest life of what is signed.
    fn default() -> Self {
        Self {
            signs: SignedDuration::from_hours(365 * 24),
            published: SignedDuration::from_hours(30 * 24),
            kept: SignedDuration::from_hours(8 * 24),
        }
    }
}

fn pair(which: &'static str, certificate: &str, key: &str) -> Result<Authority, Broken> {
    let certificate = Public::read(certificate);
    let authority = certificate.and_then(|certificate| Authority::new(certificate, key));
    authority.ok_or(Broken::Pair { which })
}

fn time(now: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(now.0).unwrap_or_default()
}

#[cfg(test)]
mod tests;
