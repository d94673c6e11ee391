//! Keys of the statuses that are written to Ingresses.

use serde::Deserialize;

use crate::config::ConfigError;
use crate::model::address::Address;

/// Where users reach the proxies, for `status.loadBalancer` of the Ingresses that are served.
/// Of `addresses`, `service` and `nodes` at most one is set; without any of them nothing is
/// written. Nothing is taken away when the control plane stops, and where no address is known
/// what was written stays. `statusWrites: false` turns it off as well.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct IngressStatus {
    /// These IP addresses and DNS names, in this order.
    pub addresses: Vec<String>,
    /// Those of this Service, as `namespace/name`: its `status.loadBalancer`, else its
    /// `spec.externalIPs`. Takes the right to get, list and watch this Service.
    pub service: Option<String>,
    /// Those of the nodes whose proxies are connected and serve, or did within 30 s; a proxy must
    /// be named `NODE` or `NODE/…`. Nothing is written before all of them could be read. Of a node the first of these sorts that it has: `externalIP`, `internalIP`.
    /// Takes the right to get Nodes.
    pub nodes: Vec<NodeAddress>,
    /// So many addresses at most, the first by the order of nodes' names, or of the Service:
    /// 1 to 64. Default: 16, because each Ingress holds them all.
    pub most: usize,
    /// Writes a second: 1 to 1000. A change of addresses is one for each Ingress, a change of an
    /// Ingress one, which goes first. Default: 50, as the kubelet's for Events.
    pub writes_per_second: u32,
    /// Writes over what another field manager has written, for the day on which Roadstead takes
    /// over from another controller. Default: false: it stays, and is told.
    pub take_over: bool,
}

/// A sort of a node's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NodeAddress {
    #[serde(rename = "externalIP")]
    External,
    #[serde(rename = "internalIP")]
    Internal,
}

/// Where addresses come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressSource {
    Given(Vec<Address>),
    Service { namespace: String, name: String },
    Nodes(Vec<NodeAddress>),
}

impl Default for IngressStatus {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            service: None,
            nodes: Vec::new(),
            most: 16,
            writes_per_second: 50,
            take_over: false,
        }
    }
}

impl IngressStatus {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let invalid = |key: &str, problem: &str, remedy| {
            Err(ConfigError::Invalid {
                key: format!("ingressStatus.{key}"),
                problem: problem.to_owned(),
                remedy,
            })
        };
        let given = [
            !self.addresses.is_empty(),
            self.service.is_some(),
            !self.nodes.is_empty(),
        ];
        if given.iter().filter(|given| **given).count() > 1 {
            let problem = "addresses come from one place";
            return invalid("addresses", problem, "set one of addresses, service, nodes");
        }
        for text in &self.addresses {
            if let Err(error) = text.parse::<Address>() {
                let problem = format!("{text:?} {error}");
                return invalid("addresses", &problem, "name addresses without a port");
            }
        }
        if let Some(service) = &self.service
            && namespaced(service).is_none()
        {
            let problem = format!("{service:?} names no Service");
            return invalid("service", &problem, "use namespace/name");
        }
        if !(1..=MOST).contains(&self.most) || self.addresses.len() > MOST {
            return invalid("most", "too few or too many addresses", "use 1 to 64");
        }
        if !(1..=1000).contains(&self.writes_per_second) {
            return invalid("writesPerSecond", "too few or too many", "use 1 to 1000");
        }
        Ok(())
    }

    /// Where addresses come from, if anywhere.
    pub fn source(&self) -> Option<AddressSource> {
        if let Some(service) = &self.service {
            let (namespace, name) = namespaced(service)?;
            return Some(AddressSource::Service {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            });
        }
        if !self.nodes.is_empty() {
            return Some(AddressSource::Nodes(self.nodes.clone()));
        }
        let addresses = self.addresses.iter().filter_map(|text| text.parse().ok());
        let addresses: Vec<Address> = addresses.collect();
        (!addresses.is_empty()).then_some(AddressSource::Given(addresses))
    }
}

fn namespaced(text: &str) -> Option<(&str, &str)> {
    let (namespace, name) = text.split_once('/')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains('/')).then_some((namespace, name))
}

const MOST: usize = 64;
