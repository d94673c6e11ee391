//! What this proxy says of itself: who it is, and what it serves by.
//!
//! Apart from `control`, which makes it, because the admin port shows it too.

use std::{collections::BTreeMap, fmt::Write as _};

use roadstead_proto::digest::Digest;

use crate::snapshot::{Fault, Key, Version};

/// Who this proxy is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Unique in the installation.
    pub proxy: String,
    /// Drawn at each start of the process.
    pub boot_id: String,
}

/// What this proxy serves by, for the control plane, for probes and for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// None before the first version.
    pub version: Option<Version>,
    pub endpoints_revision: u64,
    pub digest: Digest,
    /// How often what is held was counted anew, so that it is said again.
    pub counts: u64,
    pub faults: BTreeMap<Key, Fault>,
    pub routes: usize,
    pub upstreams: usize,
    /// Certificates that are shown.
    pub certificates: usize,
    /// Listeners that are open.
    pub listeners: usize,
}

impl Identity {
    /// This proxy, at this start.
    pub fn new(proxy: String) -> Result<Self, getrandom::Error> {
        let mut drawn = [0; 8];
        getrandom::fill(&mut drawn)?;
        let boot_id = drawn.iter().fold(String::new(), |mut id, byte| {
            // Writing to a string does not fail.
            let _: std::fmt::Result = write!(id, "{byte:02x}");
            id
        });
        Ok(Self { proxy, boot_id })
    }
}
