//! Where users reach the proxies, from where the configuration says.
//!
//! What is not known is not guessed: while a Service has no address, or no proxy is connected,
//! there is none, and what stands in the statuses stays.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Node, Service};
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::backoff;
use crate::config::{AddressSource, NodeAddress};
use crate::model::address::Address;
use crate::presence::Presence;
use crate::status::board::Board;

/// Where addresses come from, and what is needed to know them.
#[derive(Debug)]
pub struct Whereabouts {
    pub source: AddressSource,
    /// So many at most.
    pub most: usize,
    pub presence: watch::Receiver<Presence>,
}

/// Tells the board of the addresses, for as long as it is polled.
pub(super) async fn follow(whereabouts: Whereabouts, client: Client, board: &Board) {
    let Whereabouts {
        source,
        most,
        presence,
    } = whereabouts;
    match source {
        AddressSource::Given(addresses) => want(board, addresses, most),
        AddressSource::Service { namespace, name } => {
            let services = Api::namespaced(client, &namespace);
            service(services, &namespace, &name, board, most).await;
        }
        AddressSource::Nodes(sorts) => {
            let nodes = Nodes {
                api: Api::all(client),
                sorts,
                known: BTreeMap::new(),
                in_a_row: 0,
            };
            nodes.run(presence, board, most).await;
        }
    }
}

fn want(board: &Board, mut addresses: Vec<Address>, most: usize) {
    if addresses.len() > most {
        tracing::debug!(
            addresses = addresses.len(),
            most,
            "more addresses than are written"
        );
        addresses.truncate(most);
    }
    let addresses = (!addresses.is_empty()).then(|| Arc::from(addresses));
    board.want(addresses);
}

async fn service(services: Api<Service>, namespace: &str, name: &str, board: &Board, most: usize) {
    let mut seen = watch_object(services, name).boxed();
    let mut in_a_row = 0;
    while let Some(item) = seen.next().await {
        match item {
            Ok(found) => {
                in_a_row = 0;
                if found.is_none() {
                    tracing::warn!(
                        namespace,
                        name,
                        "there is no such Service: no status is written"
                    );
                }
                let addresses = found.map(|found| of_service(&found)).unwrap_or_default();
                want(board, addresses, most);
            }
            Err(error) => {
                in_a_row += 1;
                if in_a_row == SURE {
                    tracing::warn!(
                        %error,
                        "the Service {namespace}/{name} (ingressStatus.service) cannot be watched; it \
                         takes a Role in namespace {namespace} with {{apiGroups: [\"\"], resources: \
                         [\"services\"], resourceNames: [\"{name}\"], verbs: [get, list, watch]}}"
                    );
                }
                sleep(backoff::delay(in_a_row)).await;
            }
        }
    }
}

/// The addresses that its load balancer gave, or those that its owner says lead to it.
fn of_service(service: &Service) -> Vec<Address> {
    let status = service.status.as_ref();
    let balancer = status.and_then(|status| status.load_balancer.as_ref());
    let entries = balancer.and_then(|balancer| balancer.ingress.as_ref());
    let given = entries.into_iter().flatten();
    let given = given.filter_map(|entry| entry.ip.as_deref().or(entry.hostname.as_deref()));
    let given: Vec<Address> = given.filter_map(|text| text.parse().ok()).collect();
    if !given.is_empty() {
        return given;
    }
    let spec = service.spec.as_ref();
    let external = spec.and_then(|spec| spec.external_ips.as_ref());
    let external = external.into_iter().flatten();
    external.filter_map(|text| text.parse().ok()).collect()
}

/// The nodes of the proxies that are connected.
struct Nodes {
    api: Api<Node>,
    sorts: Vec<NodeAddress>,
    /// What each node said, and when.
    known: BTreeMap<Arc<str>, (Instant, Vec<Address>)>,
    in_a_row: u32,
}

impl Nodes {
    async fn run(mut self, mut presence: watch::Receiver<Presence>, board: &Board, most: usize) {
        loop {
            presence.borrow_and_update();
            let addresses = self.look(&presence, most).await;
            want(board, addresses, most);
            // A proxy that is restarted is gone for a moment: that is not worth a write to each
            // Ingress, and two. Only what has been so for a while counts.
            let changed = timeout(LOOK, presence.changed()).await;
            if matches!(changed, Ok(Err(_))) {
                return std::future::pending().await;
            }
            sleep(SETTLE).await;
        }
    }

    /// The addresses of the first nodes, by name, whose proxies serve something.
    async fn look(&mut self, presence: &watch::Receiver<Presence>, most: usize) -> Vec<Address> {
        let serving: Vec<Arc<str>> = {
            let presence = presence.borrow();
            let serving = presence
                .proxies()
                .filter(|proxy| proxy.acknowledged.is_some());
            serving.map(|proxy| proxy.hello.proxy.clone()).collect()
        };
        self.known.retain(|name, _| serving.contains(name));
        let mut addresses = Vec::new();
        for name in serving {
            if addresses.len() >= most {
                break;
            }
            addresses.extend(self.of_node(&name).await);
        }
        addresses
    }

    async fn of_node(&mut self, name: &Arc<str>) -> Vec<Address> {
        let known = self.known.get(name);
        if let Some((at, addresses)) = known.filter(|(at, _)| at.elapsed() < TRUE_FOR) {
            let _ = at;
            return addresses.clone();
        }
        let asked = timeout(PATIENCE, self.api.get_opt(name)).await;
        let found = match asked {
            Ok(Ok(found)) => {
                self.in_a_row = 0;
                found
            }
            failed @ (Ok(Err(_)) | Err(_)) => {
                self.in_a_row += 1;
                if self.in_a_row == SURE {
                    let error = failed.map(|asked| asked.err());
                    tracing::warn!(
                        node = &**name,
                        ?error,
                        "the node cannot be read (ingressStatus.nodes); it takes a ClusterRole with \
                         {{apiGroups: [\"\"], resources: [\"nodes\"], verbs: [get]}}"
                    );
                }
                // What it said before is likelier than nothing.
                return known
                    .map(|(_, addresses)| addresses.clone())
                    .unwrap_or_default();
            }
        };
        if found.is_none() {
            tracing::warn!(
                proxy = &**name,
                "no node has the proxy's name: its address is not written"
            );
        }
        let addresses = found
            .map(|node| of_node(&node, &self.sorts))
            .unwrap_or_default();
        self.known
            .insert(name.clone(), (Instant::now(), addresses.clone()));
        addresses
    }
}

/// Of the first sort that it has any of, all.
fn of_node(node: &Node, sorts: &[NodeAddress]) -> Vec<Address> {
    let all = node
        .status
        .as_ref()
        .and_then(|status| status.addresses.as_ref());
    let of_sort = |sort: &NodeAddress| -> Vec<Address> {
        let named = match sort {
            NodeAddress::External => "ExternalIP",
            NodeAddress::Internal => "InternalIP",
        };
        let found = all
            .into_iter()
            .flatten()
            .filter(|entry| entry.type_ == named);
        found
            .filter_map(|entry| entry.address.parse().ok())
            .collect()
    };
    let mut found = sorts.iter().map(of_sort);
    found.find(|found| !found.is_empty()).unwrap_or_default()
}

/// Failures in a row that are told.
const SURE: u32 = 3;
/// Longer than any API server that will still answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longer than a proxy takes to come back, or a failover to settle.
const SETTLE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_secs(60);
/// How long a node's addresses are believed.
const TRUE_FOR: Duration = Duration::from_secs(600);
