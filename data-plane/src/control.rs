//! The control side of the proxy: takes versions from the control plane and makes them live.
//!
//! Apart from traffic: all of it runs on the control thread, and whatever happens to it the
//! traffic threads serve on by the version that they have.

mod applier;
mod backoff;
mod client;
mod connect;
mod metrics;

use std::{collections::BTreeMap, future::Future, sync::Arc};

use roadstead_proto::digest::Digest;

pub use applier::{Applier, Order};
pub use client::{Client, Identity};
pub use connect::Connector;
pub use metrics::Metrics;

use crate::{
    active::Active,
    snapshot::{Fault, Key, Listener, Version},
};

/// What carries a version out: the traffic threads and the listeners.
pub trait Serve {
    /// Gives the version to every traffic thread; done when all of them serve by it.
    fn switch(&mut self, active: Arc<Active>) -> impl Future<Output = ()>;

    /// Opens the listeners that are not open and closes those that are not wanted. Returns
    /// what is wrong with those that could not be opened, by listener's name.
    fn listen(
        &mut self,
        wanted: &[Arc<Listener>],
    ) -> impl Future<Output = BTreeMap<Arc<str>, Fault>>;
}

/// What this proxy serves by, for the control plane, for probes and for people.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// None before the first version.
    pub version: Option<Version>,
    pub endpoints_revision: u64,
    pub digest: Digest,
    pub faults: BTreeMap<Key, Fault>,
    pub routes: usize,
    pub upstreams: usize,
    /// Listeners that are open.
    pub listeners: usize,
}
