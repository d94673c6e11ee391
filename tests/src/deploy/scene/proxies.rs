//! What is done to the proxies of an installation.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{EvictParams, ListParams, Patch, PatchParams};
use kube::{Api, Error, ResourceExt as _};
use serde_json::json;

use super::{NODES, SOON, Scene, Shipped};
use crate::deploy::chart::NAMESPACE;
use crate::wait;

/// The container's port of the example that has a NodePort; the Service's is another.
const LISTENER: u16 = 8080;

impl Scene {
    /// Has the proxies replaced, as a new image would; returns at once. Each upgrade has a name.
    pub async fn replace_proxies(&self, upgrade: &str) -> anyhow::Result<()> {
        let annotations = json!({"upgrade": upgrade});
        let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
        let (parameters, patch) = (PatchParams::default(), Patch::Merge(patch));
        match self.shipped {
            Shipped::Chart | Shipped::Manifests => {
                let sets = self.daemon_set();
                sets.patch(PROXIES, &parameters, &patch).await?;
            }
            Shipped::NodePort => {
                let deployments = self.deployment();
                deployments.patch(PROXIES, &parameters, &patch).await?;
            }
        }
        Ok(())
    }

    /// Whether all proxies are of the newest kind, and ready.
    pub async fn are_replaced(&self) -> anyhow::Result<bool> {
        let all = i32::from(NODES);
        match self.shipped {
            Shipped::Chart | Shipped::Manifests => {
                let found = self.daemon_set().get(PROXIES).await?;
                let status = found.status.context("no status")?;
                Ok(status.observed_generation == found.metadata.generation
                    && status.updated_number_scheduled == Some(all)
                    && status.number_available == Some(all))
            }
            Shipped::NodePort => {
                let found = self.deployment().get(PROXIES).await?;
                let status = found.status.context("no status")?;
                Ok(status.observed_generation == found.metadata.generation
                    && status.updated_replicas == Some(all)
                    && status.replicas == Some(all)
                    && status.available_replicas == Some(all))
            }
        }
    }

    fn daemon_set(&self) -> Api<DaemonSet> {
        Api::namespaced(self.cluster.client(), NAMESPACE)
    }

    fn deployment(&self) -> Api<Deployment> {
        Api::namespaced(self.cluster.client(), NAMESPACE)
    }

    /// The names of the proxies' pods.
    pub async fn proxies(&self) -> anyhow::Result<BTreeSet<String>> {
        let pods = self.proxy_pods().await?;
        Ok(pods.iter().map(|pod| pod.name_any()).collect())
    }

    async fn proxy_pods(&self) -> anyhow::Result<Vec<Pod>> {
        let proxies = ListParams::default().labels("app.kubernetes.io/component=data-plane");
        Ok(self.pods().list(&proxies).await?.items)
    }

    /// Where the pods of proxies that are behind a Service take requests.
    pub(super) async fn proxy_addresses(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let pods = self.proxy_pods().await?.into_iter();
        let address = |pod: Pod| pod.status?.pod_ip?.parse().ok();
        let addresses = pods.filter_map(address);
        Ok(addresses.map(|ip: IpAddr| (ip, LISTENER).into()).collect())
    }

    /// Waits until there is a proxy that was not there before, and whose program runs.
    pub async fn another_starts(&self, before: &BTreeSet<String>) -> anyhow::Result<()> {
        wait::until_ok("another proxy runs", SOON, async || {
            let pods = self.proxy_pods().await?;
            let mut others = pods.iter().filter(|pod| !before.contains(&pod.name_any()));
            let phase = |pod: &Pod| pod.status.as_ref()?.phase.clone();
            ensure!(others.any(|pod| phase(pod).as_deref() == Some("Running")));
            Ok(())
        })
        .await
    }

    /// Cordons the nodes of two proxies and evicts these, both at once and for as long as it takes
    /// until they are gone, as `kubectl drain` does. Says how often the budget forbade it.
    pub async fn drain_two_proxies(&self) -> anyhow::Result<usize> {
        let pods = self.proxy_pods().await?;
        let drained = pods.get(..2).context("no two proxies")?;
        for pod in drained {
            let spec = pod.spec.as_ref();
            let node = spec.and_then(|spec| spec.node_name.as_deref());
            let (_, index) = node
                .and_then(|node| node.split_once('-'))
                .context("a node")?;
            self.cordon(index.parse()?, true).await?;
        }
        let client = self.cluster.client_that_asks_once().await?;
        let evicted: Api<Pod> = Api::namespaced(client, NAMESPACE);
        let mut forbidden = 0;
        for pod in drained {
            let name = pod.name_any();
            wait::until_ok("the budget lets a proxy go", SOON, async || {
                match evicted.evict(&name, &EvictParams::default()).await {
                    Err(Error::Api(status)) if status.code == 429 => {
                        forbidden += 1;
                        bail!("{}", status.message)
                    }
                    answer => answer.map(drop).map_err(Into::into),
                }
            })
            .await?;
        }
        let gone: BTreeSet<String> = drained.iter().map(|pod| pod.name_any()).collect();
        wait::until_ok("the evicted proxies are gone", SOON, async || {
            ensure!(gone.is_disjoint(&self.proxies().await?));
            ensure!(self.are_replaced().await?);
            Ok(())
        })
        .await?;
        Ok(forbidden)
    }

    /// One of these proxies, and its node.
    pub async fn one_of(&self, proxies: &BTreeSet<String>) -> anyhow::Result<(String, u8)> {
        let pods = self.proxy_pods().await?;
        let mut pods = pods.iter().filter(|pod| proxies.contains(&pod.name_any()));
        let pod = pods.next().context("none of them is there")?;
        Ok((pod.name_any(), node_of(pod)?))
    }

    /// The program of a proxy crashes. Waits until its container is started again, and ready.
    pub async fn crash(&self, proxy: &str) -> anyhow::Result<()> {
        let node = node_of(&self.pods().get(proxy).await?)?;
        let (before, _) = self.restarts(proxy).await?;
        let crashed = self.nodes.crash(node, &format!("/{proxy}"))?;
        ensure!(crashed == 1, "{crashed} programs of {proxy} crashed");
        wait::until_ok("the proxy that crashed is ready again", SOON, async || {
            let (restarts, ready) = self.restarts(proxy).await?;
            ensure!(restarts > before && ready, "{restarts}, ready: {ready}");
            Ok(())
        })
        .await
    }

    /// How often a proxy was started again, and whether it is ready.
    async fn restarts(&self, proxy: &str) -> anyhow::Result<(i32, bool)> {
        let status = self.pods().get(proxy).await?.status;
        let containers = status.and_then(|status| status.container_statuses);
        let container = containers.and_then(|containers| containers.into_iter().next());
        let container = container.context("no container")?;
        Ok((container.restart_count, container.ready))
    }
}

fn node_of(pod: &Pod) -> anyhow::Result<u8> {
    let spec = pod.spec.as_ref();
    let node = spec.and_then(|spec| spec.node_name.as_deref());
    let index = node.and_then(|node| node.split_once('-'));
    let (_, index) = index.context("it is on no node")?;
    Ok(index.parse()?)
}

const PROXIES: &str = "roadstead-data-plane";
