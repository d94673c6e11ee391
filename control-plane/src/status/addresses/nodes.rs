//! The addresses of the nodes whose proxies serve.
//!
//! Only whole: while a node cannot be read that was never read before, what stands in the
//! statuses is likelier than a part of what should.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::config::NodeAddress;
use crate::model::address::Address;
use crate::presence::Presence;
use crate::status::addresses::serving::Serving;
use crate::status::addresses::{SURE, want};
use crate::status::board::Board;

pub(super) struct Nodes {
    api: Api<Node>,
    sorts: Vec<NodeAddress>,
    serving: Serving,
    /// What each node said, and when.
    known: BTreeMap<Arc<str>, (Instant, Vec<Address>)>,
    in_a_row: u32,
}

impl Nodes {
    pub(super) fn new(api: Api<Node>, sorts: Vec<NodeAddress>) -> Self {
        Self {
            api,
            sorts,
            serving: Serving::default(),
            known: BTreeMap::new(),
            in_a_row: 0,
        }
    }

    pub(super) async fn run(
        mut self,
        mut presence: watch::Receiver<Presence>,
        board: &Board,
        most: usize,
    ) {
        // To a leader that has just begun the proxies have yet to come, one after the other.
        sleep(BEGINNING).await;
        loop {
            let serving: Vec<Arc<str>> = {
                let presence = presence.borrow_and_update();
                let serving = presence
                    .proxies()
                    .filter(|proxy| proxy.acknowledged.is_some());
                serving.map(|proxy| proxy.hello.proxy.clone()).collect()
            };
            self.serving.look(Instant::now(), serving.into_iter());
            if let Some(addresses) = self.look(most).await {
                want(board, addresses, most);
                let again = self.serving.next().unwrap_or_else(|| Instant::now() + LOOK);
                let pause = again.saturating_duration_since(Instant::now()).min(LOOK);
                let changed = timeout(pause, presence.changed()).await;
                if matches!(changed, Ok(Err(_))) {
                    return std::future::pending().await;
                }
            }
            // Changes come many at once.
            sleep(SETTLE).await;
        }
    }

    /// The addresses of the first nodes, by name; none if they are not all known.
    async fn look(&mut self, most: usize) -> Option<Vec<Address>> {
        let serving = &self.serving;
        self.known.retain(|name, _| serving.contains(name));
        let nodes: Vec<Arc<str>> = serving.nodes().cloned().collect();
        let mut addresses = Vec::new();
        for name in nodes {
            if addresses.len() >= most {
                break;
            }
            addresses.extend(self.of_node(&name).await?);
        }
        Some(addresses)
    }

    async fn of_node(&mut self, name: &Arc<str>) -> Option<Vec<Address>> {
        let known = self.known.get(name);
        if let Some((_, addresses)) = known.filter(|(at, _)| at.elapsed() < TRUE_FOR) {
            return Some(addresses.clone());
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
                        "the node cannot be read (ingressStatus.nodes), and no address is written \
                         before it is; it takes a ClusterRole with {{apiGroups: [\"\"], resources: \
                         [\"nodes\"], verbs: [get]}}"
                    );
                }
                // What it said before is likelier than nothing.
                return known.map(|(_, addresses)| addresses.clone());
            }
        };
        if found.is_none() {
            tracing::warn!(
                node = &**name,
                "no node has the name of a proxy (NODE or NODE/…): its address is not written"
            );
        }
        let addresses = found
            .map(|node| of_node(&node, &self.sorts))
            .unwrap_or_default();
        self.known
            .insert(name.clone(), (Instant::now(), addresses.clone()));
        Some(addresses)
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

/// Longer than any API server that will still answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longer than all proxies take to find a new leader, who wait up to five seconds between attempts.
const BEGINNING: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_secs(60);
/// How long a node's addresses are believed.
const TRUE_FOR: Duration = Duration::from_secs(600);
