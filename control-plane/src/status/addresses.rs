//! Where users reach the proxies, from where the configuration says.
//!
//! What is not known is not guessed: while a Service has no address, or no proxy is connected,
//! there is none, and what stands in the statuses stays.

mod nodes;
mod serving;

use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Service;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::backoff;
use crate::config::AddressSource;
use crate::model::address::Address;
use crate::presence::Presence;
use crate::status::addresses::nodes::Nodes;
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
            let nodes = Nodes::new(Api::all(client), sorts);
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

/// Failures in a row that are told.
const SURE: u32 = 3;
