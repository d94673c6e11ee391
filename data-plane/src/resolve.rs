//! Addresses of external upstreams.
//!
//! Apart from the traffic threads, which only look up what the control thread has found.

mod forbidden;

use std::{collections::HashMap, sync::Arc};

pub use forbidden::is_forbidden;

use crate::{active::Endpoint, router::UpstreamId};

/// What is known of every external upstream.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    endpoints: HashMap<UpstreamId, Arc<[Endpoint]>>,
}

impl Resolved {
    /// The addresses of one; `None` until its name has been resolved.
    pub fn endpoints(&self, id: UpstreamId) -> Option<&Arc<[Endpoint]>> {
        self.endpoints.get(&id)
    }
}
