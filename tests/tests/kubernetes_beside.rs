//! Beside another controller, on a real API server: its classes are served, its users' objects
//! stay untouched, and what would differ is told of each host.

#![cfg(test)]

use anyhow::{Context, ensure};
use k8s_openapi::api::{events::v1::Event, networking::v1::Ingress};
use kube::{Api, api::ListParams};
use roadstead_proto::v1::{Finding, Host};
use roadstead_tests::{
    cluster::{Cluster, Options},
    installation::{ControlPlane, SOON},
    program::{Program, built},
    sandbox::{self, Sandbox},
    wait,
};
use serde_json::{Value, json};

#[test]
fn another_controllers_ingresses_are_served_and_reported_and_nothing_is_written_on_them() {
    sandbox::run(async |sandbox| {
        let cluster = Cluster::start(sandbox, &Options::bare()).await?;
        let objects = cluster.objects();
        objects.apply(THEIRS).await?;
        objects.apply(&ours("ours")).await?;
        let mut control = start(sandbox, &cluster)?;
        control.is_ready().await?;
        routes(&control, &["ingress/default/ours"]).await?;
        told(&cluster, "ours").await?;

        // From now on beside the other, without a restart.
        control.configure(&beside())?;
        routes(&control, &["ingress/default/ours", "ingress/default/shop"]).await?;
        let logged = control.program().logged("nothing is written", SOON).await?;
        ensure!(logged.contains("beside.controllers"), "{logged}");
        let report = control.operator()?.hosts(false).await?;
        let hosts: Vec<String> = report.hosts.iter().map(shown).collect();
        assert_eq!(
            hosts,
            [
                "ours.example of default: default/ours",
                "shop.example of default: default/shop, not other/rival",
            ]
        );
        let only = control.operator()?.hosts(true).await?;
        let findings: Vec<String> = only
            .hosts
            .iter()
            .flat_map(|host| host.findings.iter().map(words))
            .collect();
        assert_eq!(
            findings,
            [
                "default/ours ServiceNotFound spec.rules[0].http.paths[0]: there is no Service \
                 none; answered with 503",
                "default/shop SecretNotFound spec.tls[0].secretName: there is no Secret shop; HTTPS \
                 is not served for shop.example",
                "default/shop Ignored metadata.annotations\
                 [nginx.ingress.kubernetes.io/rewrite-target]: means nothing here; the Ingress is \
                 served without it",
                "other/rival HostOwnedByAnother spec.rules[0].http.paths[0]: shop.example, prefix \
                 /api is not served: the host belongs to namespace default, which can share it \
                 with the annotation roadstead.dev/share-hosts-with",
            ]
        );
        let refused: Vec<String> = only.refused.iter().map(words).collect();
        assert_eq!(
            refused,
            [
                "default/broken Unsupported spec.defaultBackend.resource: only Services can be \
                 sent to; name one in service; nothing of it is served",
            ]
        );

        // Not even on one of ours that comes meanwhile.
        objects.apply(&ours("meanwhile")).await?;
        let three = ["meanwhile", "ours", "shop"].map(|name| format!("ingress/default/{name}"));
        routes(&control, &three.each_ref().map(String::as_str)).await?;

        // Alone again: theirs are theirs, and what is written now shows what was not before.
        control.configure(&json!({}))?;
        routes(
            &control,
            &["ingress/default/meanwhile", "ingress/default/ours"],
        )
        .await?;
        objects.apply(&ours("after")).await?;
        told(&cluster, "after").await?;
        for name in ["ours", "meanwhile", "after"] {
            shows(&cluster, name).await?;
        }
        let events: Api<Event> = Api::all(cluster.client());
        let events = events.list(&ListParams::default()).await?.items.into_iter();
        let regarding = events.filter_map(|event| event.regarding?.name);
        let mut regarding: Vec<String> = regarding.collect();
        regarding.sort();
        regarding.dedup();
        assert_eq!(regarding, ["after", "ours"]);
        let ingresses: Api<Ingress> = Api::all(cluster.client());
        for ingress in ingresses.list(&ListParams::default()).await? {
            let class = ingress.spec.and_then(|spec| spec.ingress_class_name);
            let managers = ingress.metadata.managed_fields.unwrap_or_default();
            let by_us = managers
                .iter()
                .any(|entry| entry.manager.as_deref() == Some("roadstead"));
            ensure!(
                by_us == (class.as_deref() == Some("roadstead")),
                "{:?}",
                ingress.metadata.name
            );
        }
        Ok(())
    });
}

fn start(sandbox: &Sandbox, cluster: &Cluster) -> anyhow::Result<ControlPlane> {
    let sources = json!({"kubernetes": {"kubeconfig": cluster.kubeconfig()}});
    let keys = json!({"ingressStatus": {"addresses": [ADDRESS]}});
    ControlPlane::start_by(sandbox, "control-plane", 1, &sources, &keys, |config| {
        let executable = built::binary("roadstead-control-plane")?;
        let arguments = ["--config".into(), config.to_owned().into_os_string()];
        Program::start(sandbox, "control-plane", &executable, arguments)
    })
}

/// Without the key of statuses, whose change applies at the next start only.
fn beside() -> Value {
    json!({"beside": {"controllers": ["k8s.io/ingress-nginx"]}, "ingressStatus": {}})
}

/// Waits until these are the routes, in order.
async fn routes(control: &ControlPlane, expected: &[&str]) -> anyhow::Result<()> {
    let operator = control.operator()?;
    wait::until_ok("the routes", SOON, async || {
        let snapshot = operator.snapshot().await?;
        let found = snapshot.names("route");
        ensure!(found == expected, "{found:?}");
        Ok(())
    })
    .await
}

/// Waits until an Event says that the Service of one of ours does not exist, which is the last of it.
async fn told(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    let events: Api<Event> = Api::namespaced(cluster.client(), "default");
    wait::until_ok("an Event", SOON, async || {
        let found = events.list(&ListParams::default()).await?.items.into_iter();
        let mut found = found.filter(|event| event.reason.as_deref() == Some("ServiceNotFound"));
        let found =
            found.any(|event| event.regarding.and_then(|of| of.name).as_deref() == Some(name));
        ensure!(found, "none on {name}");
        Ok(())
    })
    .await
}

/// Waits until the status of one of ours names the address.
async fn shows(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    let ingresses: Api<Ingress> = Api::namespaced(cluster.client(), "default");
    wait::until_ok("the address in the status", SOON, async || {
        let status = ingresses.get(name).await?.status;
        let entries = status.and_then(|status| status.load_balancer?.ingress);
        let entry = entries.and_then(|entries| entries.into_iter().next());
        let address = entry.context("no address")?.ip;
        ensure!(address.as_deref() == Some(ADDRESS), "{address:?}");
        Ok(())
    })
    .await
}

fn shown(host: &Host) -> String {
    let claimants = host.ingresses.iter().map(|claimant| {
        let not = if claimant.served { "" } else { "not " };
        let ingress = claimant.ingress.clone().unwrap_or_default();
        format!("{not}{}/{}", ingress.namespace, ingress.name)
    });
    let claimants: Vec<String> = claimants.collect();
    format!("{} of {}: {}", host.host, host.owner, claimants.join(", "))
}

fn words(finding: &Finding) -> String {
    let Finding {
        ingress,
        field,
        reason,
        message,
    } = finding;
    let ingress = ingress.clone().unwrap_or_default();
    format!(
        "{}/{} {reason} {field}: {message}",
        ingress.namespace, ingress.name
    )
}

/// One of our class, whose Service does not exist.
fn ours(name: &str) -> String {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name},
        "spec": {"ingressClassName": "roadstead", "rules": [{
            "host": format!("{name}.example"), "http": {"paths": [{
                "path": "/", "pathType": "Prefix",
                "backend": {"service": {"name": "none", "port": {"number": 80}}},
            }]},
        }]},
    })
    .to_string()
}

const ADDRESS: &str = "192.0.2.1";

/// A class of another controller; an Ingress with what only that does, one that wants a path of its
/// host from another namespace, and one that cannot be used.
const THEIRS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: other}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: nginx}
spec:
  controller: k8s.io/ingress-nginx
  parameters: {apiGroup: k8s.example, kind: Parameters, name: some}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{name: web, port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, annotations: {nginx.ingress.kubernetes.io/rewrite-target: /}}
spec:
  ingressClassName: nginx
  tls: [{hosts: [shop.example], secretName: shop}]
  rules:
  - host: shop.example
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {name: web}}}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: rival, namespace: other}
spec:
  ingressClassName: nginx
  rules:
  - host: shop.example
    http: {paths: [{path: /api, pathType: Prefix, backend: {service: {name: web, port: {name: web}}}}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: broken}
spec:
  ingressClassName: nginx
  defaultBackend: {resource: {apiGroup: k8s.example, kind: Bucket, name: some}}
";
