//! `ProxyService`: who is connected, and what each holds.
//!
//! Apart from the stream, which knows one proxy each: this reads what the engine has heard
//! of all of them. Only the engine of whoever leads hears of them: any other replica asks there.

use std::sync::Arc;

use roadstead_proto::v1::{self, proxy_service_server::ProxyService};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::presence::{Fault, Presence, Proxy};
use crate::serve::wire::timestamp;
use crate::serve::{Leader, Role, error};
use crate::snapshot::publication::Publication;

/// Who is connected here, if this replica leads.
#[derive(Clone, Debug)]
pub(super) struct Connected {
    presence: watch::Receiver<Presence>,
    publications: watch::Receiver<Arc<Publication>>,
    role: watch::Receiver<Role>,
}

impl Connected {
    pub(super) fn new(
        presence: watch::Receiver<Presence>,
        publications: watch::Receiver<Arc<Publication>>,
        role: watch::Receiver<Role>,
    ) -> Self {
        Self {
            presence,
            publications,
            role,
        }
    }

    pub(super) fn list(&self) -> Result<v1::ListProxiesResponse, Status> {
        if let Role::Following { leader } = &*self.role.borrow() {
            return Err(error::not_leading(leader.as_deref()));
        }
        let presence = self.presence.borrow().clone();
        let newest = Arc::clone(&self.publications.borrow());
        let version = newest.snapshot().version();
        let faults = FAULTS / presence.len().max(1);
        let proxies = presence.proxies().map(|proxy| wire(proxy, &newest, faults));
        Ok(v1::ListProxiesResponse {
            proxies: proxies.collect(),
            version: newest
                .is_something()
                .then(|| version.to_proto(newest.lineage())),
        })
    }
}

/// For operators, by whichever replica.
#[derive(Debug)]
pub(super) struct Proxies {
    connected: Connected,
    leader: Leader,
}

impl Proxies {
    pub(super) fn new(connected: Connected, leader: Leader) -> Self {
        Self { connected, leader }
    }
}

#[tonic::async_trait]
impl ProxyService for Proxies {
    async fn list_proxies(
        &self,
        _: Request<v1::ListProxiesRequest>,
    ) -> Result<Response<v1::ListProxiesResponse>, Status> {
        let elsewhere = self.connected.role.borrow().elsewhere();
        let listed = match elsewhere {
            Some(leader) => self.leader.proxies(leader).await?,
            None => self.connected.list()?,
        };
        Ok(Response::new(listed))
    }
}

fn wire(proxy: &Proxy, newest: &Publication, faults: usize) -> v1::Proxy {
    let acknowledged = proxy.acknowledged;
    let version = acknowledged.map(|acknowledged| acknowledged.version);
    v1::Proxy {
        name: proxy.hello.proxy.as_ref().to_owned(),
        boot_id: proxy.hello.boot_id.clone().into(),
        peer: proxy.hello.peer.clone().into(),
        connected_at: Some(timestamp(proxy.connected_at)),
        binary_version: proxy.hello.binary_version.clone().into(),
        acknowledged: version.map(|version| version.to_proto(newest.lineage())),
        endpoints_revision: acknowledged.map_or(0, |a| a.endpoints_revision),
        acknowledged_at: acknowledged.map(|a| timestamp(a.at)),
        current: version == Some(newest.snapshot().version()),
        faults: proxy.faults.iter().take(faults).map(fault).collect(),
    }
}

fn fault(fault: &Fault) -> v1::Fault {
    v1::Fault {
        resource: Some(fault.resource.to_proto()),
        reason: fault.reason.clone().into(),
        message: fault.message.clone().into(),
    }
}

/// In one answer, so that it fits into one message: faults are often the same everywhere.
const FAULTS: usize = 5_000;
