//! The control side of the proxy: takes versions from the control plane and makes them live.
//!
//! Apart from traffic: all of it runs on the control thread, and whatever happens to it the
//! traffic threads serve on by the version that they have.

mod applier;
mod backoff;
mod calls;
mod certificate;
mod challenges;
mod client;
mod connect;
mod dial;
mod fetching;
mod metrics;
mod secrets;
mod shown;
mod ticket_secrets;

use std::{collections::BTreeMap, future::Future, sync::Arc};

pub use applier::{Applier, Order};
pub use calls::Calls;
pub use certificate::{Certificates, Renewal};
pub use challenges::Challenges;
pub use client::Client;
pub use connect::Connector;
pub use metrics::Metrics;

use crate::active::Active;
use crate::snapshot::{Fault, Listener};

/// What carries a version out: the traffic threads and the listeners.
pub trait Serve {
    /// Gives the version to every traffic thread; done when all of them serve by it.
    fn switch(&mut self, active: Arc<Active>) -> impl Future<Output = ()>;

    /// Opens the listeners that are not open and closes those that are not wanted.
    fn listen(&mut self, wanted: &[Arc<Listener>]) -> impl Future<Output = Listening>;
}

/// How the listeners stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// Those that are open, also where it is not where they are wanted.
    pub open: usize,
    /// What is wrong with those that are not open where they are wanted, by name.
    pub faults: BTreeMap<Arc<str>, Fault>,
}
