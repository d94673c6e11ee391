//! Names of external upstreams, from the applied version to the traffic threads.
//!
//! Apart from the resolution, which knows no threads.

use std::sync::Arc;

use tokio::sync::watch;

use super::traffic::{Workers, all};
use crate::resolve::{Dns, External, Resolved, resolve};

/// Looks up what is wanted and tells the threads, until nobody wants anything any more.
pub(super) async fn run(wanted: watch::Receiver<Arc<[External]>>, workers: Workers) {
    let (found, mut resolved) = watch::channel(Arc::<Resolved>::default());
    let tell = async {
        while resolved.changed().await.is_ok() {
            let addresses = resolved.borrow_and_update().clone();
            all(&workers, |worker| worker.resolved(addresses.clone())).await;
        }
    };
    tokio::join!(resolve(Dns::of_system(), wanted, found), tell);
}
