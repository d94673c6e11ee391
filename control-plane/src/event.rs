//! Facts: the only thing that is stored.
//!
//! An event says what changed, in the words of the model; a record adds where in the log
//! it stands. What an event means never changes: see `event/codec.rs` for its bytes.

pub mod codec;
pub mod hold;
pub mod recovery;
pub mod sealed;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::event::hold::{Extent, HoldId};
use crate::model::{
    endpoints::EndpointSlice,
    ingress::ClassRef,
    key::{Kind, ObjectKey, Origin},
    object::{Meta, Spec},
    refusal::Refusal,
    settings::Settings,
    time::Timestamp,
};

/// Position of a record in the log. The first is 1.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A leader's term. It only rises, whichever log or cluster it is read from.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An event with its place in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub seq: Seq,
    pub epoch: Epoch,
    /// When the leader wrote it; never less than the time of the record before.
    pub time: Timestamp,
    pub event: Event,
}

/// A fact that changed something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum Event {
    /// A leader's first record.
    EpochBegan {
        /// Id of the installation.
        lineage: Box<str>,
        /// See `project::REVISION`.
        projection_revision: u32,
        binary_version: Box<str>,
    },
    /// The log could not be written from this time on, and can again: what was seen
    /// meanwhile was not taken in, and is found again by listing.
    LogInterrupted { since: Timestamp },
    /// The settings that decide what a configuration means are now these.
    Configured { settings: Settings },
    /// An object appeared or changed, and can be used.
    ObjectAccepted {
        key: ObjectKey,
        meta: Meta,
        spec: Spec,
    },
    /// An object appeared or changed, and cannot be used: its last good version stays.
    ObjectRefused {
        key: ObjectKey,
        meta: Meta,
        refusal: Refusal,
        /// The last good version of an EndpointSlice, if it has one that no record holds:
        /// endpoints are not logged, and a refused slice is not found again by listing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_good: Option<EndpointSlice>,
    },
    /// A recovery record held the last good version of an object of which this log knows
    /// nothing. Whether the object still exists is not known before it is listed.
    ObjectRecovered {
        key: ObjectKey,
        meta: Meta,
        spec: Spec,
        /// The class that an Ingress named after it, if that was another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        class: Option<ClassRef>,
    },
    /// An object is gone.
    ObjectDeleted { key: ObjectKey },
    /// Objects were not found any more, so many that they are held until an operator confirms,
    /// or they come back. Replaces a hold of the same origin and kind that was of other objects.
    DeletionHeld { extent: Extent },
    /// An operator wants what is held to be gone.
    DeletionConfirmed {
        hold: HoldId,
        /// Who said so, and why.
        by: Box<str>,
        reason: Box<str>,
    },
    /// Of what was held nothing is missing any more: it is back, or gone.
    DeletionHoldEnded { hold: HoldId },
    /// A list has objects as they were before this log knew them: the cluster was restored from a
    /// backup. What it lists is taken for what is; the guard against mass deletion applies.
    ClusterRestored {
        kind: Kind,
        /// How many objects went back.
        objects: u32,
        /// One of them.
        example: ObjectKey,
    },
    /// The first lists of all kinds from these origins are complete, or keep what the log has where
    /// a kind cannot be listed: once in each term. From here on this log knows what there is. Before,
    /// it knows a part, which must not be served to whoever was served more; before the first of all,
    /// no recovery record may be judged by it either.
    SourcesListed { origins: BTreeSet<Origin> },
    /// A proxy opened its stream.
    ProxyJoined { proxy: Box<str>, boot_id: Box<str> },
    /// A proxy's stream ended.
    ProxyLeft { proxy: Box<str>, boot_id: Box<str> },
    /// A proxy cannot use a resource.
    FaultBegan {
        proxy: Box<str>,
        resource: Box<str>,
        reason: Box<str>,
        message: Box<str>,
    },
    /// A proxy can use a resource that it could not use before, or no longer holds it.
    FaultEnded {
        proxy: Box<str>,
        resource: Box<str>,
        reason: Box<str>,
    },
    /// All connected proxies hold the version of this epoch and sequence number.
    AcknowledgedByAll {
        epoch: Epoch,
        seq: Seq,
        proxies: u32,
        /// How many of these cannot use all of it.
        #[serde(default, skip_serializing_if = "is_zero")]
        faulty: u32,
    },
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// What decides how long a record is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Decides what is served.
    Configuration,
    /// Epochs, and from when to when the log is whole.
    Lifecycle,
    /// Comings and goings of proxies.
    Presence,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 3] = [Self::Configuration, Self::Lifecycle, Self::Presence];
}

impl Event {
    /// The event's name, as in answers to operators.
    pub fn name(&self) -> &'static str {
        match self {
            Self::EpochBegan { .. } => "EpochBegan",
            Self::LogInterrupted { .. } => "LogInterrupted",
            Self::Configured { .. } => "Configured",
            Self::ObjectAccepted { .. } => "ObjectAccepted",
            Self::ObjectRefused { .. } => "ObjectRefused",
            Self::ObjectRecovered { .. } => "ObjectRecovered",
            Self::ObjectDeleted { .. } => "ObjectDeleted",
            Self::DeletionHeld { .. } => "DeletionHeld",
            Self::DeletionConfirmed { .. } => "DeletionConfirmed",
            Self::DeletionHoldEnded { .. } => "DeletionHoldEnded",
            Self::ClusterRestored { .. } => "ClusterRestored",
            Self::SourcesListed { .. } => "SourcesListed",
            Self::ProxyJoined { .. } => "ProxyJoined",
            Self::ProxyLeft { .. } => "ProxyLeft",
            Self::FaultBegan { .. } => "FaultBegan",
            Self::FaultEnded { .. } => "FaultEnded",
            Self::AcknowledgedByAll { .. } => "AcknowledgedByAll",
        }
    }

    /// The event's class.
    pub fn class(&self) -> Class {
        match self {
            Self::Configured { .. }
            | Self::ObjectAccepted { .. }
            | Self::ObjectRefused { .. }
            | Self::ObjectRecovered { .. }
            | Self::ObjectDeleted { .. } => Class::Configuration,
            Self::EpochBegan { .. }
            | Self::LogInterrupted { .. }
            | Self::DeletionHeld { .. }
            | Self::DeletionConfirmed { .. }
            | Self::DeletionHoldEnded { .. }
            | Self::ClusterRestored { .. }
            | Self::SourcesListed { .. } => Class::Lifecycle,
            Self::ProxyJoined { .. }
            | Self::ProxyLeft { .. }
            | Self::FaultBegan { .. }
            | Self::FaultEnded { .. }
            | Self::AcknowledgedByAll { .. } => Class::Presence,
        }
    }

    /// The object that the event is about.
    pub fn object(&self) -> Option<&ObjectKey> {
        match self {
            Self::ObjectAccepted { key, .. }
            | Self::ObjectRefused { key, .. }
            | Self::ObjectRecovered { key, .. }
            | Self::ObjectDeleted { key } => Some(key),
            Self::EpochBegan { .. }
            | Self::LogInterrupted { .. }
            | Self::Configured { .. }
            | Self::DeletionHeld { .. }
            | Self::DeletionConfirmed { .. }
            | Self::DeletionHoldEnded { .. }
            | Self::ClusterRestored { .. }
            | Self::SourcesListed { .. }
            | Self::ProxyJoined { .. }
            | Self::ProxyLeft { .. }
            | Self::FaultBegan { .. }
            | Self::FaultEnded { .. }
            | Self::AcknowledgedByAll { .. } => None,
        }
    }
}

/// One sentence for people.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EpochBegan { binary_version, .. } => {
                write!(f, "a leader began (version {binary_version})")
            }
            Self::LogInterrupted { since } => {
                write!(f, "the log could not be written since {since}")
            }
            Self::Configured { settings } => {
                f.write_str("the settings changed")?;
                for (number, (name, listener)) in settings.listeners.iter().enumerate() {
                    let before = if number == 0 { "; listeners:" } else { "," };
                    let address = SocketAddr::new(listener.address, listener.port);
                    write!(f, "{before} {name} {address}")?;
                    if let Some(port) = listener.public_port {
                        write!(f, " (port {port} for clients)")?;
                    }
                    if let Some(first) = listener.proxy_protocol.first() {
                        write!(f, " with PROXY headers from {first}")?;
                    }
                    if let more @ 1.. = listener.proxy_protocol.len().saturating_sub(1) {
                        write!(f, " and {more} more")?;
                    }
                }
                for (number, controller) in settings.beside.iter().enumerate() {
                    let before = if number == 0 { "; beside" } else { "," };
                    write!(f, "{before} {controller}")?;
                }
                if settings.redirects_to_https {
                    f.write_str("; HTTP is redirected to HTTPS")?;
                }
                Ok(())
            }
            Self::ObjectAccepted {
                key,
                spec: Spec::Managed(managed),
                ..
            } => write!(f, "{key}: {managed}"),
            Self::ObjectAccepted { key, .. } => write!(f, "{key} was accepted"),
            Self::ObjectRefused { key, refusal, .. } => {
                write!(f, "{key} was refused: {refusal}")
            }
            Self::ObjectRecovered { key, .. } => {
                write!(f, "the last good version of {key} was recovered")
            }
            Self::ObjectDeleted { key } => write!(f, "{key} was deleted"),
            Self::DeletionHeld { extent } => write!(f, "not found any more, and held: {extent}"),
            Self::DeletionConfirmed { hold, by, reason } => {
                write!(
                    f,
                    "that what hold {hold} holds be gone was confirmed by {by}: {reason}"
                )
            }
            Self::DeletionHoldEnded { hold } => write!(f, "hold {hold} ended"),
            Self::ClusterRestored {
                kind,
                objects,
                example,
            } => write!(
                f,
                "the cluster was restored from a backup: {objects} of kind {kind} are older than \
                 they were, such as {example}"
            ),
            Self::SourcesListed { .. } => f.write_str("all sources were listed"),
            Self::ProxyJoined { proxy, .. } => write!(f, "proxy {proxy} joined"),
            Self::ProxyLeft { proxy, .. } => write!(f, "proxy {proxy} left"),
            Self::FaultBegan {
                proxy,
                resource,
                message,
                ..
            } => write!(f, "proxy {proxy} cannot use {resource}: {message}"),
            Self::FaultEnded {
                proxy, resource, ..
            } => write!(f, "proxy {proxy} no longer finds fault with {resource}"),
            Self::AcknowledgedByAll {
                epoch,
                seq,
                proxies,
                faulty,
            } => {
                write!(f, "version {epoch}.{seq} is live on all {proxies} proxies")?;
                match faulty {
                    0 => Ok(()),
                    faulty => write!(f, ", of which {faulty} cannot use all of it"),
                }
            }
        }
    }
}
