//! The chart's own rights, in modes that narrow or widen them: a control plane that has them, and
//! the configuration that the chart makes, does what the mode is for.

#![cfg(test)]

use anyhow::{Context, ensure};
use k8s_openapi::api::{core::v1::ConfigMap, events::v1::Event, networking::v1::Ingress};
use kube::{Api, api::ListParams};
use roadstead_tests::{
    cluster::{Cluster, Options},
    deploy::chart::{self, NAMESPACE},
    installation::{ControlPlane, SOON, start_proxy},
    program::{Program, built},
    sandbox::{self, Sandbox},
    wait,
};
use serde_json::{Value, json};

#[test]
fn with_some_namespaces_only_these_are_served_and_told_and_a_service_of_our_own_is_shown() {
    sandbox::run(async |sandbox| {
        let values = "watch.namespaces={shop},\
                      controlPlane.config.ingressStatus.service=roadstead/edge";
        let mut mode = Mode::start(sandbox, values).await?;
        mode.shows("shop", &["192.0.2.5"]).await?;
        mode.told("shop", "site", "ServiceNotFound").await?;
        // Events on what is in no namespace are in this one.
        mode.told("default", "odd", "Unsupported").await?;
        mode.routes(&["ingress/shop/site"]).await?;
        mode.nothing_was_forbidden().await?;
        ensure!(mode.events("blog").await?.is_empty());
        mode.shows("blog", &[]).await
    });
}

#[test]
fn with_addresses_of_nodes_these_are_read_and_shown_everywhere() {
    sandbox::run(async |sandbox| {
        let values = "controlPlane.config.ingressStatus.nodes={internalIP}";
        let mut mode = Mode::start(sandbox, values).await?;
        let _proxy = start_proxy(sandbox, &mode.control, |config| {
            let executable = built::binary("roadstead-data-plane")?;
            let arguments = ["--config".into(), config.to_owned().into_os_string()];
            Program::start(sandbox, "proxy", &executable, arguments)
        })
        .await?;
        for namespace in ["shop", "blog"] {
            mode.shows(namespace, &["10.0.0.9"]).await?;
            mode.told(namespace, "site", "ServiceNotFound").await?;
        }
        mode.nothing_was_forbidden().await
    });
}

#[test]
fn beside_another_controller_its_classes_are_served_and_no_write_is_tried() {
    sandbox::run(async |sandbox| {
        let values = "controlPlane.config.beside.controllers={k8s.io/ingress-nginx}";
        let mut mode = Mode::start(sandbox, values).await?;
        let ingress = ["blog/site", "shop/site", "shop/theirs"];
        let routes = ingress.map(|name| format!("ingress/{name}"));
        mode.routes(&routes.each_ref().map(String::as_str)).await?;
        mode.nothing_was_forbidden().await?;
        for namespace in ["shop", "blog", "default"] {
            ensure!(mode.events(namespace).await?.is_empty(), "{namespace}");
        }
        Ok(())
    });
}

/// A control plane with the rights and the configuration of the chart.
struct Mode {
    cluster: Cluster,
    control: ControlPlane,
}

impl Mode {
    /// Installs the chart with these values, beside objects of some namespaces, and starts a
    /// control plane as its pods would.
    async fn start(sandbox: &Sandbox, values: &str) -> anyhow::Result<Self> {
        let cluster = Cluster::start(sandbox, &Options::bare()).await?;
        let objects = cluster.objects();
        objects.apply(OBJECTS).await?;
        let node = "apiVersion: v1\nkind: Node\nmetadata: {name: proxy}\n";
        objects.apply(node).await?;
        let addresses = json!([{"type": "InternalIP", "address": "10.0.0.9"}]);
        let status = json!({"status": {"addresses": addresses}});
        objects.patch(node, "status", &status).await?;
        for namespace in ["shop", "blog"] {
            objects
                .apply(&ingress(namespace, "site", "roadstead"))
                .await?;
        }
        objects.apply(&ingress("shop", "theirs", "nginx")).await?;
        chart::release(&cluster.kubeconfig(), "install", &["--set", values])?;

        let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), NAMESPACE);
        let map = maps.get("roadstead-control-plane").await?;
        let text = map.data.and_then(|mut data| data.remove("config.yaml"));
        let mut config: Value = serde_saphyr::from_str(&text.context("no configuration")?)?;
        let mut sources = config["sources"].take();
        let kubeconfig = cluster.kubeconfig_of(NAMESPACE, "roadstead-control-plane")?;
        sources["kubernetes"]["kubeconfig"] = json!(kubeconfig);
        let keys = config.as_object_mut().context("no keys")?;
        // Of the pod, and of the network that it is in.
        for of_the_pod in ["sources", "listeners", "dataFolder", "grpc", "admin"] {
            keys.remove(of_the_pod);
        }
        config["lease"]["peers"] = json!([]);
        config["access"]["fileTokens"] = json!(true);
        let control =
            ControlPlane::start_by(sandbox, "control-plane", 1, &sources, &config, |config| {
                let executable = built::binary("roadstead-control-plane")?;
                let arguments = ["--config".into(), config.to_owned().into_os_string()];
                Program::start(sandbox, "control-plane", &executable, arguments)
            });
        let mut mode = Self {
            control: control?,
            cluster,
        };
        mode.control.is_ready().await?;
        Ok(mode)
    }

    /// Waits until these are the routes, in order.
    async fn routes(&self, expected: &[&str]) -> anyhow::Result<()> {
        let operator = self.control.operator()?;
        wait::until_ok("the routes", SOON, async || {
            let snapshot = operator.snapshot().await?;
            let found = snapshot.names("route");
            ensure!(found == expected, "{found:?}");
            Ok(())
        })
        .await
    }

    /// Waits until the status of a namespace's site has these addresses.
    async fn shows(&self, namespace: &str, addresses: &[&str]) -> anyhow::Result<()> {
        let ingresses: Api<Ingress> = Api::namespaced(self.cluster.client(), namespace);
        wait::until_ok("the addresses in the status", SOON, async || {
            let status = ingresses.get("site").await?.status;
            let entries = status.and_then(|status| status.load_balancer?.ingress);
            let entries = entries.into_iter().flatten();
            let found: Vec<_> = entries.filter_map(|entry| entry.ip).collect();
            ensure!(found == addresses, "{found:?}");
            Ok(())
        })
        .await
    }

    /// Waits until an Event says this of an object.
    async fn told(&self, namespace: &str, name: &str, reason: &str) -> anyhow::Result<()> {
        wait::until_ok("an Event", SOON, async || {
            let found = self.events(namespace).await?;
            let told = format!("{name} {reason}");
            ensure!(found.contains(&told), "no {told} in {found:?}");
            Ok(())
        })
        .await
    }

    /// Of what Events of a namespace are, and their reasons.
    async fn events(&self, namespace: &str) -> anyhow::Result<Vec<String>> {
        let events: Api<Event> = Api::namespaced(self.cluster.client(), namespace);
        let events = events.list(&ListParams::default()).await?.items.into_iter();
        let ours = events.filter(|event| {
            let controller = event.reporting_controller.as_deref();
            controller == Some("roadstead.dev/ingress-controller")
        });
        Ok(ours
            .filter_map(|event| Some(format!("{} {}", event.regarding?.name?, event.reason?)))
            .collect())
    }

    /// Ends the control plane, which was refused nothing by the API server.
    async fn nothing_was_forbidden(&mut self) -> anyhow::Result<()> {
        let program = self.control.program();
        program.stop(SOON).await?;
        let log = program.log()?;
        let refused = log.lines().find(|line| line.contains("forbid"));
        ensure!(refused.is_none(), "{refused:?}");
        ensure!(log.contains("this replica leads"), "a log that moved");
        Ok(())
    }
}

/// One whose Service does not exist.
fn ingress(namespace: &str, name: &str, class: &str) -> String {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ingressClassName": class, "rules": [{
            "host": format!("{name}.{namespace}.example"), "http": {"paths": [{
                "path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": "none", "port": {"number": 80}}},
            }]},
        }]},
    })
    .to_string()
}

/// Namespaces, a Service of our own, a class that cannot be used, and another controller's.
const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: roadstead}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: blog}
---
apiVersion: v1
kind: Service
metadata: {name: edge, namespace: roadstead}
spec: {externalIPs: [192.0.2.5], ports: [{name: web, port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: odd}
spec:
  controller: roadstead.dev/ingress-controller
  parameters: {apiGroup: k8s.example, kind: Parameters, name: some}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: nginx}
spec: {controller: k8s.io/ingress-nginx}
";
