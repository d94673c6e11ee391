//! A control plane loses its volume while objects are refused: what they last were is found
//! again in Secrets, on a real API server.

#![cfg(test)]

use std::{collections::BTreeSet, net::SocketAddr};

use anyhow::{Context, ensure};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Secret, events::v1::Event};
use kube::{Api, api::ListParams};
use roadstead_control_plane::{model::time::Timestamp, pki::rotation::Stored};
use roadstead_tests::{
    cluster::{Cluster, Options},
    echo::Echo,
    installation::{
        ControlPlane, HTTP, SOON, right_to_lead,
        rights::{BUNDLE, CERTIFICATES, CONTROL_PLANE, WATCH, join},
        start_proxy,
    },
    planes::{answers, refuses},
    program::{Program, built},
    sandbox::{self, Sandbox},
    wait,
};
use serde_json::json;

#[test]
fn what_was_good_before_is_served_on_when_the_volume_is_lost() {
    sandbox::run(async |sandbox| {
        let cluster = Cluster::start(sandbox, &Options::bare()).await?;
        let objects = cluster.objects();
        let echo = Echo::start("echo", "10.1.0.1:8080".parse()?).await?;
        objects.apply(&backend(echo.address(), "10.1.0.1")).await?;
        let names = ["edited", "mended", "deleted", "recreated"];
        for name in names {
            objects.apply(&ingress(name, "/")).await?;
        }
        let source = json!({"kubeconfig": cluster.kubeconfig()});
        let mut control = ControlPlane::start(sandbox, "control-plane", 1, &source)?;
        control.is_ready().await?;
        let _proxy = start_proxy(sandbox, &control, |config| proxy(sandbox, config)).await?;
        for name in names {
            answers(HTTP, &host(name), "/", "echo").await?;
        }

        // Everything that can be is edited into what cannot be used.
        for name in names {
            objects.apply(&ingress(name, "/a/../b")).await?;
        }
        objects.apply(&backend(echo.address(), "239.1.1.1")).await?;
        let slice = "EndpointSlice default/echo";
        let of = |name: &str| format!("Ingress default/{name}");
        let all = names.map(of).into_iter().chain([slice.to_owned()]);
        kept(&cluster, "default", all).await?;
        stored(&control, 5).await?;
        let refusals = refusals(&cluster, "edited").await?;
        assert_eq!(refusals.len(), 1, "{refusals:?}");

        control.program().kill()?;
        control.lose("log")?;
        objects.apply(&ingress("mended", "/mended")).await?;
        objects.delete(&ingress("deleted", "/")).await?;
        objects.delete(&ingress("recreated", "/")).await?;
        objects.apply(&ingress("recreated", "/a/../b")).await?;
        control.program().start_again()?;
        control.is_ready().await?;
        is_current(&control).await?;
        answers(HTTP, &host("edited"), "/", "echo").await?;
        answers(HTTP, &host("mended"), "/mended", "echo").await?;
        refuses(HTTP, &host("mended"), "/", "no-route").await?;
        refuses(HTTP, &host("deleted"), "/", "no-route").await?;
        refuses(HTTP, &host("recreated"), "/", "no-route").await?;
        wait::until_ok("its owner is told again", SOON, async || {
            let told = self::refusals(&cluster, "edited").await?;
            ensure!(told.len() == 2, "{told:?}");
            Ok(())
        })
        .await?;
        kept(&cluster, "default", [of("edited"), slice.to_owned()]).await?;
        assert_eq!(
            control.operator()?.count_events("ObjectRecovered").await?,
            5
        );

        // All of the volume: it is another installation, and serves the same.
        let before = control.operator()?.snapshot().await?.hashes();
        control.program().stop(SOON).await?;
        control.lose("")?;
        control.program().start_again()?;
        control.is_ready().await?;
        wait::until_ok("the same is served", SOON, async || {
            let now = control.operator()?.snapshot().await?.hashes();
            ensure!(now == before, "{now:#?}\nand not\n{before:#?}");
            Ok(())
        })
        .await?;
        kept(&cluster, "default", [of("edited"), slice.to_owned()]).await?;

        objects.apply(&ingress("edited", "/")).await?;
        objects.apply(&backend(echo.address(), "10.1.0.1")).await?;
        kept(&cluster, "default", []).await
    });
}

#[test]
fn a_cluster_that_is_restored_from_a_backup_is_followed_and_told_of() {
    sandbox::run(async |sandbox| {
        let cluster = Cluster::start(sandbox, &Options::bare()).await?;
        let objects = cluster.objects();
        let echo = Echo::start("echo", "10.1.0.1:8080".parse()?).await?;
        objects.apply(&backend(echo.address(), "10.1.0.1")).await?;
        for name in ["edited", "deleted", "stays"] {
            objects.apply(&ingress(name, "/then")).await?;
        }
        let source = json!({"kubeconfig": cluster.kubeconfig()});
        let mut control = ControlPlane::start(sandbox, "control-plane", 1, &source)?;
        control.is_ready().await?;
        let _proxy = start_proxy(sandbox, &control, |config| proxy(sandbox, config)).await?;
        for name in ["edited", "deleted", "stays"] {
            answers(HTTP, &host(name), "/then", "echo").await?;
        }
        let backup = cluster.back_up().await?;

        objects.apply(&ingress("edited", "/now")).await?;
        objects.delete(&ingress("deleted", "/then")).await?;
        objects.apply(&ingress("later", "/now")).await?;
        answers(HTTP, &host("later"), "/now", "echo").await?;
        answers(HTTP, &host("edited"), "/now", "echo").await?;
        refuses(HTTP, &host("deleted"), "/then", "no-route").await?;
        // By its Lease, which it writes every two seconds, the leader sees that time went back.
        is_renewed(&cluster).await?;

        cluster.restore(&backup).await?;
        for name in ["edited", "deleted", "stays"] {
            answers(HTTP, &host(name), "/then", "echo").await?;
        }
        refuses(HTTP, &host("later"), "/now", "no-route").await?;
        let told = control.operator()?.event("ClusterRestored", "").await?;
        ensure!(told.json.contains("\"edited\""), "{}", told.json);
        // By the Lease, and not because the API server was away for too long.
        let log = control.program().log()?;
        ensure!(log.contains("what was written is undone"), "{log}");
        // It is as it was, and changes as ever.
        objects.apply(&ingress("edited", "/again")).await?;
        answers(HTTP, &host("edited"), "/again", "echo").await?;
        let told = control.operator()?.count_events("ClusterRestored").await?;
        ensure!(told == 1, "told of {told} times");
        Ok(())
    });
}

#[test]
fn rights_that_are_missing_are_named_and_waited_for() {
    sandbox::run(async |sandbox| {
        let cluster = Cluster::start(sandbox, &Options::bare()).await?;
        let objects = cluster.objects();
        let echo = Echo::start("echo", "10.1.0.1:8080".parse()?).await?;
        objects.apply(&backend(echo.address(), "10.1.0.1")).await?;
        objects.apply(&ingress("edited", "/")).await?;
        // Not of users' Secrets either: that of its own namespace would be among them.
        let watches = WATCH.into_iter().filter(|rule| *rule != CERTIFICATES);
        let watches = CONTROL_PLANE.may("roadstead", watches);
        objects
            .apply(&join(&[CONTROL_PLANE.yaml(), watches]))
            .await?;
        objects.apply(&authority()?).await?;
        let kubeconfig = cluster.kubeconfig_of("roadstead", "control-plane")?;
        let source = json!({"kubeconfig": kubeconfig, "ownNamespace": "roadstead"});
        let mut control = ControlPlane::start(sandbox, "control-plane", 1, &source)?;

        let line = control.program().logged("Lease", SOON).await?;
        for words in [
            "ERROR",
            "a Role in the namespace roadstead",
            "resources: [leases], verbs: [get, create, update]",
        ] {
            assert!(line.contains(words), "{words}: {line}");
        }
        let leads = right_to_lead(CONTROL_PLANE);
        objects.apply(&leads).await?;

        // Nothing is listed, so that nothing can be lost.
        let line = control.program().logged("cannot be read", SOON).await?;
        for words in [
            "ERROR",
            "in namespace roadstead",
            "a Role in the namespace roadstead",
            "resources: [\"secrets\"], verbs: [get, list, create, update, delete]",
        ] {
            assert!(line.contains(words), "{words}: {line}");
        }
        assert_eq!(
            control.metric("roadstead_watch_lists_total", &[]).await?,
            0.0
        );
        objects.apply(&right_to_keep("get, list")).await?;
        control.is_ready().await?;
        let _proxy = start_proxy(sandbox, &control, |config| proxy(sandbox, config)).await?;
        answers(HTTP, &host("edited"), "/", "echo").await?;

        objects.apply(&ingress("edited", "/a/../b")).await?;
        let line = control.program().logged("cannot be written", SOON).await?;
        for words in [
            "ERROR",
            "Ingress default/edited",
            "verbs: [get, list, create",
        ] {
            assert!(line.contains(words), "{words}: {line}");
        }
        answers(HTTP, &host("edited"), "/", "echo").await?;
        objects
            .apply(&right_to_keep("get, list, create, update, delete"))
            .await?;
        kept(&cluster, "roadstead", ["Ingress default/edited".to_owned()]).await?;
        control
            .program()
            .logged("what they should be again", SOON)
            .await?;
        Ok(())
    });
}

fn proxy(sandbox: &Sandbox, config: &std::path::Path) -> anyhow::Result<Program> {
    let executable = built::binary("roadstead-data-plane")?;
    let arguments = ["--config".into(), config.to_owned().into_os_string()];
    Program::start(sandbox, "proxy", &executable, arguments)
}

/// Waits until there are recovery records of these objects and of no others.
async fn kept(
    cluster: &Cluster,
    namespace: &str,
    objects: impl IntoIterator<Item = String>,
) -> anyhow::Result<()> {
    let secrets: Api<Secret> = Api::namespaced(cluster.client(), namespace);
    let ours = ListParams::default().labels("roadstead.dev/recovery=last-good");
    let expected: BTreeSet<String> = objects.into_iter().collect();
    wait::until_ok("the recovery records", SOON, async || {
        let found = secrets.list(&ours).await?.items.into_iter();
        let about =
            found.filter_map(|secret| secret.metadata.annotations?.remove("roadstead.dev/object"));
        let about: BTreeSet<String> = about.collect();
        ensure!(
            about == expected,
            "there are those of {about:?}, not {expected:?}"
        );
        Ok(())
    })
    .await
}

async fn stored(control: &ControlPlane, records: u32) -> anyhow::Result<()> {
    let name = "roadstead_recovery_records";
    let labels = ["origin=\"kubernetes\"", "state=\"stored\""];
    wait::until_ok("the metric of stored records", SOON, async || {
        let found = control.metric(name, &labels).await?;
        ensure!(found == f64::from(records), "{found}");
        Ok(())
    })
    .await
}

/// What the owner of an Ingress was told of its refusal, in Events on it.
async fn refusals(cluster: &Cluster, name: &str) -> anyhow::Result<Vec<String>> {
    let events: Api<Event> = Api::namespaced(cluster.client(), "default");
    let events = events.list(&ListParams::default()).await?.items.into_iter();
    let about = events.filter(|event| {
        let regarding = event.regarding.as_ref();
        let about = regarding.and_then(|object| object.name.as_deref());
        about == Some(name) && event.reason.as_deref() == Some("InvalidPath")
    });
    about
        .map(|event| {
            let note = event.note.context("a note")?;
            ensure!(
                note.contains("its last good version keeps serving"),
                "{note}"
            );
            Ok(note)
        })
        .collect()
}

/// Waits until the proxy holds what is served now.
async fn is_current(control: &ControlPlane) -> anyhow::Result<()> {
    let operator = control.operator()?;
    wait::until_ok("the proxy holds the version of now", SOON, async || {
        let proxies = operator.proxies().await?;
        ensure!(
            !proxies.is_empty() && proxies.iter().all(|proxy| proxy.current),
            "{proxies:?}"
        );
        Ok(())
    })
    .await
}

/// Waits until the leader's Lease was written once more.
async fn is_renewed(cluster: &Cluster) -> anyhow::Result<()> {
    let leases: Api<Lease> = Api::namespaced(cluster.client(), "default");
    let version = async || {
        let lease = leases.get("roadstead-control-plane").await?;
        lease.metadata.resource_version.context("a version")
    };
    let before = version().await?;
    wait::until_ok("the Lease is renewed", SOON, async || {
        ensure!(version().await? != before);
        Ok(())
    })
    .await
}

fn host(name: &str) -> String {
    format!("{name}.example")
}

fn ingress(name: &str, path: &str) -> String {
    let host = host(name);
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": name},
        "spec": {"ingressClassName": "roadstead", "rules": [{"host": host, "http": {"paths": [{
            "path": path, "pathType": "ImplementationSpecific",
            "backend": {"service": {"name": "echo", "port": {"number": 80}}},
        }]}}]},
    })
    .to_string()
}

/// The Service and its slice, which may hold an address that is not served.
fn backend(at: SocketAddr, address: &str) -> String {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "echo"},
        "spec": {"ports": [{"name": "web", "port": 80}]},
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "echo", "labels": {"kubernetes.io/service-name": "echo"}},
        "addressType": "IPv4", "ports": [{"name": "web", "port": at.port()}],
        "endpoints": [{"addresses": [address]}],
    });
    format!("{service}\n---\n{slice}")
}

/// The certificate authority, by which its proxy knows it, and what it needs to read that.
fn authority() -> anyhow::Result<String> {
    let now = Timestamp(jiff::Timestamp::now().as_millisecond());
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "roadstead-control-plane-ca", "namespace": "roadstead"},
        "stringData": {"authorities.json": String::from_utf8(Stored::first(now)?.text()?)?},
    });
    let rules = [
        "{apiGroups: [''], resources: [secrets], resourceNames: [roadstead-control-plane-ca], \
         verbs: [get, list, watch, update]}",
    ];
    let rights = CONTROL_PLANE.may_at_home("authority", rules.into_iter().chain(BUNDLE));
    Ok(join(&[rights, secret.to_string()]))
}

/// What may be done with Secrets of the control plane's own namespace.
fn right_to_keep(verbs: &str) -> String {
    let rule = format!("{{apiGroups: [''], resources: [secrets], verbs: [{verbs}]}}");
    CONTROL_PLANE.may_at_home("roadstead", [&*rule])
}
