//! Certificates that nobody brings, on a real API server: obtained from a CA with the rights of
//! the chart, told to who wants them, kept in our own namespace, and left to cert-manager where
//! that is asked.

#![cfg(test)]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, SocketAddr},
};

use anyhow::{Context, ensure};
use http::Method;
use http_body_util::BodyExt;
use k8s_openapi::api::{
    core::v1::{Pod, Secret},
    events::v1::Event,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use roadstead_tests::{
    cluster::{Cluster, Options},
    echo::{Echo, Seen},
    http::{Reply, request},
    installation::{ControlPlane, HTTP, SOON, rights::CONTROL_PLANE, start_proxy, wired::ours},
    pebble::{Behaviour, Pebble},
    planes::{
        certificates::{Authority, connect},
        objects::Site,
    },
    program::{Program, built},
    sandbox::{self, Sandbox},
    wait,
};
use rustls::pki_types::CertificateDer;
use serde_json::json;

#[test]
fn hosts_without_a_certificate_are_given_one_that_outlives_the_volume_and_cert_managers_are_not() {
    sandbox::run(async |sandbox| Box::pin(obtain(sandbox)).await);
}

#[test]
fn no_ca_is_asked_while_a_proxy_that_takes_traffic_is_not_connected() {
    sandbox::run(async |sandbox| Box::pin(wait_for_pods(sandbox)).await);
}

async fn wait_for_pods(sandbox: &Sandbox) -> anyhow::Result<()> {
    let scene = Scene::start(sandbox).await?;
    let Scene {
        cluster,
        echo,
        pebble,
        root,
    } = &scene;
    let objects = cluster.objects();
    // One that is about to start takes no traffic, nor does one of something else.
    for (name, role, ready) in [
        ("gone", "proxy", "True"),
        ("starts", "proxy", "False"),
        ("other", "other", "True"),
    ] {
        let pod = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: {}, \
             labels: {{role: {role}}}}}, spec: {{serviceAccountName: {}, \
             containers: [{{name: a, image: any}}]}}}}",
            CONTROL_PLANE.namespace, CONTROL_PLANE.name
        );
        objects.apply(&pod).await?;
        let condition = json!({"type": "Ready", "status": ready});
        let status = json!({"status": {"conditions": [condition]}});
        objects.patch(&pod, "status", &status).await?;
    }
    let mut control = start(sandbox, cluster, pebble)?;
    control.is_ready().await?;
    let _proxy = start_proxy(sandbox, &control, |config| proxy(sandbox, config)).await?;
    objects.apply(&site("bare", "", "", echo.address())).await?;
    let waits = "Certificate bare.example waits for proxies";
    control.program().logged(waits, SOON).await?;
    let operator = control.operator()?;
    operator
        .proxy("proxy", "it has acknowledged", |proxy| proxy.current)
        .await?;
    // Its answer would be enough: what comes after it is live, and nobody was asked.
    for name in ["later", "last"] {
        objects.apply(&site(name, "", "", echo.address())).await?;
        operator
            .event("ObjectAccepted", &format!("Ingress default/{name}"))
            .await?;
        operator
            .proxy("proxy", "it has acknowledged", |proxy| proxy.current)
            .await?;
    }
    ensure!(!pebble.has_asked("bare.example")?);
    let pods: Api<Pod> = Api::namespaced(cluster.client(), CONTROL_PLANE.namespace);
    let now = DeleteParams::default().grace_period(0);
    pods.delete("gone", &now).await?;
    serves(root, "bare").await?;
    Ok(())
}

/// A cluster with the chart's rights, a backend, and a CA.
struct Scene {
    cluster: Cluster,
    echo: Echo,
    pebble: Pebble,
    root: CertificateDer<'static>,
}

impl Scene {
    async fn start(sandbox: &Sandbox) -> anyhow::Result<Self> {
        let cluster = Cluster::start(sandbox, &Options::bare()).await?;
        let echo = Echo::start("echo", "10.1.0.1:8080".parse()?).await?;
        let behaviour = Behaviour {
            http_port: HTTP.port(),
            tls_port: HTTPS.port(),
            ..Behaviour::default()
        };
        let pebble = Pebble::start(sandbox, &behaviour).await?;
        let root = pebble.issuing_root().await?;
        let rights = CONTROL_PLANE.of_the_chart([]);
        cluster.objects().apply(&rights).await?;
        Ok(Self {
            cluster,
            echo,
            pebble,
            root,
        })
    }
}

async fn obtain(sandbox: &Sandbox) -> anyhow::Result<()> {
    let Scene {
        cluster,
        echo,
        pebble,
        root,
    } = Scene::start(sandbox).await?;
    let objects = cluster.objects();
    // That of cert-manager is known first.
    let theirs = "annotations: {cert-manager.io/cluster-issuer: some}";
    let site = |name, tls, more| site(name, tls, more, echo.address());
    objects
        .apply(&site("theirs", ", secretName: theirs", theirs))
        .await?;
    objects
        .apply(&site("named", ", secretName: missing", ""))
        .await?;
    objects.apply(&site("bare", "", "")).await?;
    let mut control = start(sandbox, &cluster, &pebble)?;
    control.is_ready().await?;
    let _proxy = start_proxy(sandbox, &control, |config| proxy(sandbox, config)).await?;

    let [named, bare] = [serves(&root, "named").await?, serves(&root, "bare").await?];
    ensure!(named != bare);
    told(&cluster, "named", "CertificatePending").await?;
    told(&cluster, "named", "CertificateIssued").await?;
    told(&cluster, "bare", "CertificateIssued").await?;
    let note = told(&cluster, "theirs", "SecretNotFound").await?;
    ensure!(note.contains("cert-manager obtains it"), "{note}");
    let kept = kept(&cluster).await?;
    let about: BTreeSet<&str> = kept.values().map(String::as_str).collect();
    let account = format!("account at {}", pebble.directory());
    let [of_named, of_bare] =
        ["named", "bare"].map(|name| format!("certificate of {name}.example"));
    ensure!(
        about == BTreeSet::from([&*account, &*of_named, &*of_bare]),
        "{kept:?}"
    );
    ensure!(kept.len() == 3, "{kept:?}");

    // cert-manager has obtained it.
    let authority = Authority::new()?;
    let pair = authority.issue(&["theirs.example"])?;
    objects.apply(&pair.secret("theirs")).await?;
    serves(&authority.root(), "theirs").await?;

    control.program().kill()?;
    control.lose("")?;
    control.program().start_again()?;
    control.is_ready().await?;
    let of_certificates = control.operator()?.events().await?;
    let of_certificates = of_certificates
        .iter()
        .filter(|event| event.object.starts_with("Certificate"));
    ensure!(of_certificates.count() == 2, "more than what was kept");
    // What would be ordered again would be before this.
    objects.apply(&site("later", "", "")).await?;
    serves(&root, "later").await?;
    ensure!(serves(&root, "named").await? == named);
    ensure!(serves(&root, "bare").await? == bare);
    ensure!(orders(&pebble)? == 3, "{}", pebble.program.log()?);

    // Nobody looks at what is kept while it is known; who begins anew does not find it.
    let secret = kept.iter().find(|(_, about)| **about == of_named);
    let (secret, _) = secret.context("the Secret of named.example")?;
    let secrets: Api<Secret> = Api::namespaced(cluster.client(), CONTROL_PLANE.namespace);
    secrets.delete(secret, &DeleteParams::default()).await?;
    ensure!(serves(&root, "named").await? == named);
    control.program().kill()?;
    control.program().start_again()?;
    wait::until_ok("another certificate is served", SOON, async || {
        ensure!(shown(&root, "named").await? != named);
        Ok(())
    })
    .await?;
    ensure!(serves(&root, "bare").await? == bare);
    ensure!(orders(&pebble)? == 4, "{}", pebble.program.log()?);
    ensure!(self::kept(&cluster).await?.contains_key(secret));
    Ok(())
}

fn start(sandbox: &Sandbox, cluster: &Cluster, pebble: &Pebble) -> anyhow::Result<ControlPlane> {
    let kubeconfig = cluster.kubeconfig_of(CONTROL_PLANE.namespace, CONTROL_PLANE.name)?;
    let source = json!({"kubeconfig": kubeconfig, "ownNamespace": CONTROL_PLANE.namespace});
    let keys = json!({
        "listeners": {
            "http": {"address": HTTP.ip(), "port": HTTP.port()},
            "https": {"address": HTTPS.ip(), "port": HTTPS.port(), "protocol": "https"},
        },
        "acme": {
            "directory": pebble.directory(), "acceptTerms": true, "roots": pebble.roots(),
            "proxyPods": "role=proxy",
        },
    });
    let sources = json!({"kubernetes": source});
    let name = "control-plane";
    ControlPlane::start_by(sandbox, name, 1, &sources, &keys, |config| {
        let executable = built::binary("roadstead-control-plane")?;
        let arguments = ["--config".into(), config.to_owned().into_os_string()];
        Program::start(sandbox, name, &executable, arguments)
    })
}

fn proxy(sandbox: &Sandbox, config: &std::path::Path) -> anyhow::Result<Program> {
    let executable = built::binary("roadstead-data-plane")?;
    let arguments = ["--config".into(), config.to_owned().into_os_string()];
    Program::start(sandbox, "proxy", &executable, arguments)
}

/// A site of this name for NAME.example; `tls` is the rest of its entry, `more` of its metadata.
fn site(name: &str, tls: &str, more: &str, backend: SocketAddr) -> String {
    let host = format!("{name}.example");
    let site = Site {
        name,
        host: &host,
        path: "/",
        backends: &[backend],
    };
    let tls = format!("spec:\n  tls: [{{hosts: [{host}]{tls}}}]\n");
    let metadata = format!("metadata: {{name: {name}, {more}}}\n");
    let yaml = site.yaml().replacen("spec:\n", &tls, 1);
    ours(&yaml.replacen(&format!("metadata: {{name: {name}}}\n"), &metadata, 1))
}

/// Waits until HTTPS is served for NAME.example, and says what is shown for it.
async fn serves(root: &CertificateDer<'static>, name: &str) -> anyhow::Result<Vec<u8>> {
    let what = format!("HTTPS is served for {name}.example");
    wait::until_ok(&what, SOON, async || shown(root, name).await).await
}

async fn shown(root: &CertificateDer<'static>, name: &str) -> anyhow::Result<Vec<u8>> {
    let host = format!("{name}.example");
    let mut secure = connect(root, HTTPS, &host).await?;
    let request = request(Method::GET, &host, "/");
    let (head, body) = secure.sender.send_request(request).await?.into_parts();
    let reply = Reply {
        status: head.status,
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
    };
    Seen::from_reply(&reply)?;
    Ok(secure.shown)
}

/// How many orders the CA has seen.
fn orders(pebble: &Pebble) -> anyhow::Result<usize> {
    Ok(pebble.program.log()?.matches("Added order").count())
}

/// What is kept of certificates, by the Secrets' names, and what each is about. There is nothing
/// of it elsewhere.
async fn kept(cluster: &Cluster) -> anyhow::Result<BTreeMap<String, String>> {
    let secrets: Api<Secret> = Api::all(cluster.client());
    let all = secrets.list(&ListParams::default()).await?.items;
    let mut kept = BTreeMap::new();
    for secret in all {
        let metadata = secret.metadata;
        let name = metadata.name.context("a name")?;
        let label = metadata.labels.unwrap_or_default();
        let label = label.get("roadstead.dev/recovery").map(String::as_str);
        let named = ["roadstead-certificate-", "roadstead-account-"];
        let named = named.iter().any(|prefix| name.starts_with(prefix));
        ensure!(
            named == (label == Some("certificates")),
            "{name}: {label:?}"
        );
        let namespace = metadata.namespace.context("a namespace")?;
        if named {
            ensure!(
                namespace == CONTROL_PLANE.namespace,
                "{name} in {namespace}"
            );
            let about = metadata.annotations.unwrap_or_default();
            let about = about.get("roadstead.dev/object").cloned();
            kept.insert(name, about.context("what it is about")?);
        } else {
            let theirs = namespace == CONTROL_PLANE.namespace || name == "theirs";
            ensure!(theirs, "Secret {namespace}/{name}");
        }
    }
    Ok(kept)
}

/// Waits until the owner of an Ingress was told by an Event of this reason, and says what.
async fn told(cluster: &Cluster, name: &str, reason: &str) -> anyhow::Result<String> {
    let events: Api<Event> = Api::namespaced(cluster.client(), "default");
    wait::until_ok(&format!("{reason} on {name}"), SOON, async || {
        let all = events.list(&ListParams::default()).await?.items.into_iter();
        let mut of_it = all.filter(|event| {
            let regarding = event.regarding.as_ref();
            regarding.is_some_and(|of| {
                of.kind.as_deref() == Some("Ingress") && of.name.as_deref() == Some(name)
            })
        });
        let event = of_it.find(|event| event.reason.as_deref() == Some(reason));
        event.and_then(|event| event.note).context("no such Event")
    })
    .await
}

const HTTPS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 443);
