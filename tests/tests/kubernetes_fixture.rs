//! The Kubernetes fixture itself: what every other test on it takes for granted.

#![cfg(test)]

use std::time::Duration;

use anyhow::Context;
use k8s_openapi::api::networking::v1::Ingress;
use kube::{Api, ResourceExt};
use roadstead_tests::{
    cluster::{Cluster, Options, client_of, kubeconfig_via},
    relay::Relay,
    sandbox, wait,
};
use serde_json::json;
use tokio::time::timeout;

const INGRESS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, labels: {round: one}}
spec:
  rules:
  - host: example.org
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
";

#[test]
#[expect(clippy::print_stderr, reason = "the figures, shown by tests/run")]
fn an_ingress_outlives_its_api_server() {
    sandbox::run(async |sandbox| {
        let cluster = Cluster::start(sandbox, &Options::default()).await?;
        let objects = cluster.objects();
        let ingresses: Api<Ingress> = Api::namespaced(cluster.client(), "default");

        let applied = objects.apply(INGRESS).await?;
        let read = ingresses.get("web").await?;
        assert_eq!(read.uid(), applied[0].uid());
        let rules = read.spec.context("a spec")?.rules.context("rules")?;
        assert_eq!(rules[0].host.as_deref(), Some("example.org"));

        let patched = objects
            .patch(
                INGRESS,
                "",
                &json!({"metadata": {"labels": {"round": "two"}}}),
            )
            .await?;

        let back_in = cluster.api_server().restart().await?;
        let read = objects
            .read(INGRESS)
            .await?
            .context("the Ingress after a restart")?;
        assert_eq!(read.labels()["round"], "two");
        assert_eq!(read.resource_version(), patched.resource_version());

        objects.delete(INGRESS).await?;
        objects.delete(INGRESS).await?;
        assert!(objects.read(INGRESS).await?.is_none());

        let started_in = cluster.started_in();
        let stopped_in = cluster.stop().await?;
        eprintln!(
            "cluster: started in {started_in:.1?}, API server killed and back in {back_in:.1?}, \
             stopped in {stopped_in:.1?}"
        );
        Ok(())
    });
}

#[test]
fn the_api_server_can_be_held_down_frozen_and_cut_off() {
    sandbox::run(async |sandbox| {
        let cluster = Cluster::start(sandbox, &Options::default()).await?;
        let server = cluster.api_server();
        let relay = Relay::start("127.0.0.1:0".parse()?, Cluster::address()).await?;
        let config = kubeconfig_via(&cluster.kubeconfig(), relay.address())?;
        let client = client_of(&config).await?;
        client.apiserver_version().await?;

        relay.block();
        let brief = Duration::from_millis(300);
        timeout(brief, client.apiserver_version())
            .await
            .unwrap_err();
        relay.unblock();
        client.apiserver_version().await?;

        server.freeze().await?;
        timeout(brief, client.apiserver_version())
            .await
            .unwrap_err();
        server.thaw()?;
        client.apiserver_version().await?;

        server.hold_down()?;
        wait::until("refused connections", Duration::from_secs(5), async || {
            client.apiserver_version().await.is_err().then_some(())
        })
        .await?;
        server.release()?;
        server.serves().await?;
        // Killed within its first seconds it comes back as well.
        server.restart().await?;
        client.apiserver_version().await?;
        Ok(())
    });
}

#[test]
fn a_service_account_has_no_more_rights_than_it_was_given() {
    sandbox::run(async |sandbox| {
        let cluster = Cluster::start(sandbox, &Options::default()).await?;
        cluster
            .objects()
            .apply(
                "{apiVersion: v1, kind: ServiceAccount, metadata: {name: reader}}\n---\n\
                 apiVersion: rbac.authorization.k8s.io/v1\n\
                 kind: Role\n\
                 metadata: {name: reader}\n\
                 rules: [{apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [list]}]\n\
                 ---\n\
                 apiVersion: rbac.authorization.k8s.io/v1\n\
                 kind: RoleBinding\n\
                 metadata: {name: reader}\n\
                 roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}\n\
                 subjects: [{kind: ServiceAccount, name: reader, namespace: default}]\n",
            )
            .await?;
        let config = cluster.kubeconfig_of("default", "reader")?;
        let client = client_of(&config).await?;
        let here: Api<Ingress> = Api::default_namespaced(client.clone());
        wait::until_ok("the right to list", Duration::from_secs(10), async || {
            Ok(here.list(&Default::default()).await?)
        })
        .await?;
        let everywhere: Api<Ingress> = Api::all(client);
        everywhere.list(&Default::default()).await.unwrap_err();
        Ok(())
    });
}
