//! How Secrets are watched: only those that something refers to, and by more ways than one.
//!
//! Apart from other kinds: nobody is to hold, or look at, private keys that he does not serve with.

use std::sync::Arc;

use kube::{Api, Client};
use tokio::sync::{mpsc, watch};

use crate::model::key::{Kind, ObjectKey, Origin};
use crate::observe::Observation;
use crate::observe::convert::types::Secret;
use crate::watch::guard::Guarded;
use crate::watch::only::{InUse, Only};

/// The field selector of Secrets that are listed and watched.
pub(super) const WATCHED: &str = "type=kubernetes.io/tls";

/// Whether a Secret is among those. The type of one cannot be changed.
pub(super) fn is_watched(secret: &Guarded<Secret>) -> bool {
    let of_type = |secret: &Secret| secret.type_.as_deref() == Some("kubernetes.io/tls");
    secret.0.as_ref().is_ok_and(of_type)
}

/// Those that are in use; those that are not `watched` are asked for by name.
pub(super) fn in_use(
    client: &Client,
    in_use: watch::Receiver<InUse>,
    watched: fn(&Guarded<Secret>) -> bool,
) -> Only<Guarded<Secret>> {
    let client = client.clone();
    let ask = move |key: &ObjectKey| {
        let secrets: Api<Guarded<Secret>> = Api::namespaced(client.clone(), &key.namespace);
        let name = key.name.clone();
        Box::pin(async move { secrets.get_opt(&name).await }) as _
    };
    Only::new(in_use, Arc::new(ask), watched)
}

/// Says that there are none, until the engine is gone.
pub(super) async fn none(inbox: mpsc::Sender<Observation>, mut relist: watch::Receiver<u64>) {
    loop {
        let none = Observation::Unconfigured {
            origin: Origin::Kubernetes,
            kind: Kind::Secret,
        };
        if inbox.send(none).await.is_err() || relist.changed().await.is_err() {
            return;
        }
    }
}
