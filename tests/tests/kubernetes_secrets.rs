//! Certificates of Secrets on a real API server: which are read, by which ways, and what becomes of
//! them when they change, break and go.

#![cfg(test)]

use std::{path::Path, time::Duration};

use anyhow::{Context, ensure};
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{Api, api::ListParams};
use rcgen::{CertificateParams, KeyPair};
use roadstead_proto::v1::decoded_resource::Body;
use roadstead_tests::{
    cluster::client_of,
    echo::Echo,
    installation::{
        HTTP, SOON, right_to_lead,
        rights::{Account, BUNDLE, CERTIFICATES, SECRETS, WATCH, join},
        wired::{Wired, bare, ours},
    },
    planes::{answers, objects::Site},
    sandbox::{self, Sandbox},
    wait,
};
use serde_json::json;

#[test]
fn watched_secrets_are_followed_from_before_their_ingress_until_after_it() {
    sandbox::run(async |sandbox| Box::pin(follow(sandbox, "watch", SOON)).await);
}

#[test]
fn secrets_are_followed_by_name_where_none_is_listed() {
    // Each is looked at every 30 seconds.
    sandbox::run(async |sandbox| Box::pin(follow(sandbox, "get", 4 * SOON)).await);
}

async fn follow(sandbox: &Sandbox, mode: &str, limit: Duration) -> anyhow::Result<()> {
    let keys = json!({"secrets": mode});
    let mut parts = Wired::start_as_admin(sandbox, &bare(&[]), &keys).await?;
    let [one, two, three] = [pair("a.example")?, pair("a.example")?, pair("a.example")?];
    let objects = parts.objects.clone();
    // One is there before its Ingress, one comes after it, and one is nobody's.
    objects.apply(&secret("before", &one.0, &one.1)).await?;
    objects.apply(&secret("nobodys", &two.0, &two.1)).await?;
    objects.apply(&site("a", "before")).await?;
    let first = shown(&parts, "before", limit, |bundle| bundle.is_some()).await?;
    objects.apply(&site("b", "after")).await?;
    let of_b = pair("b.example")?;
    objects.apply(&secret("after", &of_b.0, &of_b.1)).await?;
    let after = shown(&parts, "after", limit, |bundle| bundle.is_some()).await?;
    holds(&parts, 2).await?;

    objects.apply(&secret("before", &two.0, &two.1)).await?;
    let second = shown(&parts, "before", limit, |now| *now != first).await?;
    // The key is that of another.
    objects.apply(&secret("before", &three.0, &two.1)).await?;
    let refused = "ObjectRefused";
    wait::until_ok("the Secret is refused", limit, async || {
        let operator = parts.control_plane.operator()?;
        let logged = operator.event(refused, "Secret default/before").await?;
        let text = format!("{logged:?}");
        ensure!(text.contains("tls.key"), "{text}");
        Ok(())
    })
    .await?;
    told(&parts, "before").await?;
    shown(&parts, "before", limit, |now| *now == second).await?;
    objects.apply(&secret("before", &three.0, &three.1)).await?;
    let third = shown(&parts, "before", limit, |now| {
        now.is_some() && *now != second
    })
    .await?;

    parts.while_it_is_away(async |_| Ok(())).await?;
    parts.control_plane.is_ready().await?;
    shown(&parts, "before", limit, |now| *now == third).await?;
    shown(&parts, "after", limit, |now| *now == after).await?;
    holds(&parts, 2).await?;

    objects.delete(&secret("after", &of_b.0, &of_b.1)).await?;
    shown(&parts, "after", limit, Option::is_none).await?;
    objects.delete(&site("a", "before")).await?;
    shown(&parts, "before", limit, Option::is_none).await?;
    let log = parts.control_plane.program().log()?;
    for key in [&one.1, &two.1, &three.1] {
        let line = key.lines().nth(1).context("a line of a key")?;
        ensure!(!log.contains(line), "a key is in the log");
    }
    Ok(())
}

#[test]
fn without_the_right_to_secrets_http_goes_on_and_they_are_found_when_there_is_one() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("one", "10.1.0.1:8080".parse()?).await?;
        let mut parts = Wired::start(sandbox, &bare(&[]), async |cluster, wire| {
            let objects = cluster.objects();
            objects.apply(&rights(false)).await?;
            objects.apply(&right_to_lead(ACCOUNT)).await?;
            let kubeconfig = cluster.kubeconfig_of("default", ACCOUNT.name)?;
            may_list_secrets(&kubeconfig, false).await?;
            let keys = json!({"watchSeconds": 5});
            Ok(json!({"kubernetes": wire.source(&kubeconfig, &keys)?}))
        })
        .await?;
        let plain = Site {
            name: "plain",
            host: "plain.example",
            path: "/",
            backends: &[echo.address()],
        };
        parts.serve(&plain).await?;
        answers(HTTP, "plain.example", "/", "one").await?;
        let line = parts.control_plane.program();
        let line = line.logged("cannot be listed", SOON).await?;
        for part in ["kind=Secret", "ClusterRole", "secrets", "list, watch"] {
            ensure!(line.contains(part), "{line}");
        }

        let a = pair("a.example")?;
        parts.objects.apply(&secret("a", &a.0, &a.1)).await?;
        parts.objects.apply(&site("a", "a")).await?;
        parts.objects.apply(&rights(true)).await?;
        let first = shown(&parts, "a", 4 * SOON, |bundle| bundle.is_some()).await?;

        parts.objects.apply(&rights(false)).await?;
        let kubeconfig = parts.cluster.kubeconfig_of("default", ACCOUNT.name)?;
        may_list_secrets(&kubeconfig, false).await?;
        parts.wire.cut();
        parts.while_it_is_away(async |_| Ok(())).await?;
        parts.control_plane.is_ready().await?;
        answers(HTTP, "plain.example", "/", "one").await?;
        shown(&parts, "a", SOON, |now| *now == first).await?;
        Ok(())
    });
}

/// The API server's own view of who may what is a moment behind.
async fn may_list_secrets(kubeconfig: &Path, may: bool) -> anyhow::Result<()> {
    let secrets: Api<Secret> = Api::all(client_of(kubeconfig).await?);
    wait::until("the rights are in force", SOON, async || {
        let listed = secrets.list(&ListParams::default()).await;
        (listed.is_ok() == may).then_some(())
    })
    .await
}

/// Waits until the bundle of a Secret's certificate, if it is served, is such.
async fn shown(
    parts: &Wired,
    name: &str,
    limit: Duration,
    is: impl Fn(&Option<Vec<u8>>) -> bool,
) -> anyhow::Result<Option<Vec<u8>>> {
    let resource = format!("secret/default/{name}");
    wait::until_ok(&format!("the certificate of {name}"), limit, async || {
        let snapshot = parts.control_plane.operator()?.snapshot().await?;
        let found = snapshot.get("certificate", &resource);
        let bundle = found.and_then(|found| match &found.body {
            Some(Body::Certificate(certificate)) => Some(certificate.bundle.clone()),
            Some(_) | None => None,
        });
        ensure!(is(&bundle), "{bundle:?}");
        Ok(bundle)
    })
    .await
}

/// So many bundles are held, and what is referred to is among them.
async fn holds(parts: &Wired, number: u32) -> anyhow::Result<()> {
    let name = "roadstead_secrets_bundles";
    wait::until_ok("bundles are held", SOON, async || {
        let metric = |state| {
            let label = format!("state=\"{state}\"");
            async move { parts.control_plane.metric(name, &[&label]).await }
        };
        let (held, missing) = (metric("held").await?, metric("missing").await?);
        let expected = (f64::from(number), 0.0);
        ensure!(
            (held, missing) == expected,
            "{held} held, {missing} missing"
        );
        Ok(())
    })
    .await
}

/// Its owner is told by an Event on the Secret.
async fn told(parts: &Wired, name: &str) -> anyhow::Result<()> {
    let events: Api<Event> = Api::default_namespaced(parts.cluster.client());
    wait::until_ok("an Event on the Secret", SOON, async || {
        let all = events.list(&ListParams::default()).await?;
        let mut regarding = all
            .items
            .iter()
            .filter_map(|event| event.regarding.as_ref());
        let of = |kind: Option<&str>, of: Option<&str>| kind == Some("Secret") && of == Some(name);
        let told = regarding.any(|object| of(object.kind.as_deref(), object.name.as_deref()));
        ensure!(told, "{} Events, none of them", all.items.len());
        Ok(())
    })
    .await
}

/// A certificate for a host and its key, in PEM.
fn pair(host: &str) -> anyhow::Result<(String, String)> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![host.to_owned()])?.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn secret(name: &str, chain: &str, key: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": name}, "stringData": {"tls.crt": chain, "tls.key": key},
    })
    .to_string()
}

/// An Ingress of this name for NAME.example, with this Secret.
fn site(name: &str, secret: &str) -> String {
    let host = format!("{name}.example");
    let site = Site {
        name,
        host: &host,
        path: "/",
        backends: &[],
    };
    let tls = format!("spec:\n  tls: [{{hosts: [{host}], secretName: {secret}}}]\n");
    ours(&site.yaml().replacen("spec:\n", &tls, 1))
}

/// The account, and what it may do: all that it needs, or all but read Secrets of users.
fn rights(certificates: bool) -> String {
    let may = |rule: &&str| certificates || *rule != CERTIFICATES;
    let home = [SECRETS].into_iter().chain(BUNDLE);
    join(&[
        "{apiVersion: v1, kind: Namespace, metadata: {name: own}}".to_owned(),
        ACCOUNT.yaml(),
        ACCOUNT.may("roadstead", WATCH.into_iter().filter(may)),
        ACCOUNT.may_at_home("roadstead", home),
    ])
}

const ACCOUNT: Account<'_> = Account {
    namespace: "default",
    name: "roadstead",
};
