//! What can come between the API server and the control plane, on a real API server, through to
//! HTTP answers: the right state is found again, whatever was missed.

#![cfg(test)]

#[path = "kubernetes_watch/objects.rs"]
mod objects;

use std::{fs, net::SocketAddr, path::Path};

use anyhow::{Context, ensure};
use k8s_openapi::api::{core::v1::Service, networking::v1::Ingress};
use kube::Api;
use roadstead_tests::{
    cluster::client_of,
    echo::Echo,
    installation::{
        HTTP, SOON, right_to_lead,
        wired::{Wired, bare, ours},
    },
    planes::{answers, objects::Site, refuses},
    sandbox, wait,
};
use serde_json::{Value, json};

use objects::{ACCOUNT, bad, bad_slice, rights};

#[test]
fn a_dropped_watch_goes_on_where_it_was() {
    sandbox::run(async |sandbox| {
        let [one, two] = echoes().await?;
        let parts = Wired::start_as_admin(sandbox, &bare(&[]), &json!({})).await?;
        parts.serve(&site("a", &[one.address()])).await?;
        answers(HTTP, "a.example", "/", "one").await?;
        let lists = lists(&parts).await?;
        for round in [&two, &one, &two] {
            parts.wire.cut();
            parts.serve(&site("a", &[round.address()])).await?;
            let who = if std::ptr::eq(round, &one) {
                "one"
            } else {
                "two"
            };
            answers(HTTP, "a.example", "/", who).await?;
        }
        // What is cut while nothing passes missed something, and is told of it.
        parts.wire.block();
        parts.withdraw(&site("a", &[])).await?;
        parts.serve(&site("b", &[one.address()])).await?;
        parts.wire.cut();
        parts.wire.unblock();
        answers(HTTP, "b.example", "/", "one").await?;
        refuses(HTTP, "a.example", "/", "no-route").await?;
        ensure!(self::lists(&parts).await? == lists, "something was listed");
        Ok(())
    });
}

#[test]
fn a_silent_watch_is_given_up() {
    sandbox::run(async |sandbox| {
        let [one, two] = echoes().await?;
        let keys = json!({"watchSeconds": 5});
        let parts = Wired::start_as_admin(sandbox, &bare(&[]), &keys).await?;
        parts.serve(&site("a", &[one.address()])).await?;
        parts.serve(&site("b", &[one.address()])).await?;
        answers(HTTP, "a.example", "/", "one").await?;
        answers(HTTP, "b.example", "/", "one").await?;

        parts.wire.silence();
        parts.serve(&site("a", &[two.address()])).await?;
        parts.withdraw(&site("b", &[])).await?;
        answers(HTTP, "a.example", "/", "two").await?;
        refuses(HTTP, "b.example", "/", "no-route").await?;
        Ok(())
    });
}

#[test]
fn what_the_api_server_has_forgotten_is_listed_anew() {
    sandbox::run(async |sandbox| {
        let [one, _] = echoes().await?;
        let parts = Wired::start_as_admin(sandbox, &bare(&[]), &json!({})).await?;
        parts.serve(&site("a", &[one.address()])).await?;
        answers(HTTP, "a.example", "/", "one").await?;

        parts.wire.block();
        missed(&parts, &one).await?;
        parts.cluster.compact().await?;
        // A new one has in memory nothing from before.
        parts.cluster.api_server().restart().await?;
        parts.wire.cut();
        parts.wire.unblock();
        found_again(&parts).await
    });
}

#[test]
fn a_watch_of_compacted_versions_begins_with_a_list() {
    sandbox::run(async |sandbox| {
        let [one, _] = echoes().await?;
        // Without its cache the API server asks etcd for everything, old versions as well.
        let options = bare(&["--watch-cache=false"]);
        let parts = Wired::start_as_admin(sandbox, &options, &json!({})).await?;
        parts.serve(&site("a", &[one.address()])).await?;
        answers(HTTP, "a.example", "/", "one").await?;

        parts.wire.block();
        missed(&parts, &one).await?;
        parts.cluster.compact().await?;
        parts.wire.cut();
        parts.wire.unblock();
        found_again(&parts).await
    });
}

/// An Ingress goes and another comes.
async fn missed(parts: &Wired, backend: &Echo) -> anyhow::Result<()> {
    parts.withdraw(&site("a", &[])).await?;
    parts.serve(&site("b", &[backend.address()])).await
}

async fn found_again(parts: &Wired) -> anyhow::Result<()> {
    answers(HTTP, "b.example", "/", "one").await?;
    refuses(HTTP, "a.example", "/", "no-route").await?;
    let failures = "roadstead_watch_failures_total";
    let labels = ["kind=\"Ingress\"", "cause=\"gone\""];
    let gone = parts.control_plane.metric(failures, &labels).await?;
    ensure!(gone >= 1.0, "the API server had forgotten nothing");
    Ok(())
}

#[test]
fn bookmarks_move_a_quiet_watch_on() {
    sandbox::run(async |sandbox| {
        let policy = sandbox.write("audit.yaml", AUDIT)?;
        let audit = sandbox.folder().join("audit.log");
        let flags = [
            format!("--audit-policy-file={}", policy.display()),
            format!("--audit-log-path={}", audit.display()),
        ];
        let keys = json!({"watchSeconds": 5});
        let parts =
            Wired::start_as_admin(sandbox, &bare(&flags.each_ref().map(|flag| &**flag)), &keys)
                .await?;
        wait::until("a watch of Ingresses", SOON, async || newest(&audit)).await?;
        let lists = lists(&parts).await?;

        // Ingresses stay as they are, and the rest of the cluster does not.
        let applied = parts.objects.apply(ELSEWHERE).await?;
        let version = applied
            .first()
            .and_then(|object| object.metadata.resource_version.clone());
        let version: u64 = version.context("a version")?.parse()?;
        // Whoever lists them has the API server find out that it is up to date.
        let ingresses: Api<Ingress> = Api::all(parts.cluster.client());
        ingresses.list(&Default::default()).await?;
        wait::until("a watch from there on", SOON, async || {
            newest(&audit).filter(|from| *from >= version)
        })
        .await?;
        ensure!(self::lists(&parts).await? == lists, "something was listed");
        Ok(())
    });
}

/// The newest version from which the control plane watched Ingresses.
fn newest(audit: &Path) -> Option<u64> {
    let text = fs::read_to_string(audit).ok()?;
    let requests = text.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let uri = line["requestURI"].as_str()?.to_owned();
        let (_, from) = uri.split_once("resourceVersion=")?;
        from.split('&').next()?.parse().ok()
    });
    requests.max()
}

#[test]
fn what_may_not_be_listed_stays_as_it_was_and_is_found_again_when_it_may() {
    sandbox::run(async |sandbox| {
        let [one, two] = echoes().await?;
        let mut parts = Wired::start(sandbox, &bare(&[]), async |cluster, wire| {
            let objects = cluster.objects();
            objects.apply(&rights(true)).await?;
            objects.apply(&right_to_lead(ACCOUNT)).await?;
            let kubeconfig = cluster.kubeconfig_of("default", "roadstead")?;
            until_services_may_be_listed(&kubeconfig, true).await?;
            let keys = json!({"watchSeconds": 5});
            Ok(json!({"kubernetes": wire.source(&kubeconfig, &keys)?}))
        })
        .await?;
        for name in ["a", "b"] {
            parts.serve(&site(name, &[one.address()])).await?;
            answers(HTTP, &format!("{name}.example"), "/", "one").await?;
        }

        // A right is asked for when a watch begins.
        parts.objects.apply(&rights(false)).await?;
        let kubeconfig = parts.cluster.kubeconfig_of("default", "roadstead")?;
        until_services_may_be_listed(&kubeconfig, false).await?;
        parts.wire.cut();
        let loud = "kind=Service";
        let program = parts.control_plane.program();
        let line = program.logged("cannot be listed", SOON).await?;
        for part in [loud, "services", "list, watch"] {
            ensure!(line.contains(part), "{line}");
        }
        let service = "{apiVersion: v1, kind: Service, metadata: {name: b}}";
        parts.objects.delete(service).await?;
        // The other kinds go on.
        parts.serve(&site("a", &[two.address()])).await?;
        answers(HTTP, "a.example", "/", "two").await?;
        answers(HTTP, "b.example", "/", "one").await?;

        // So it is after a restart, too.
        parts.while_it_is_away(async |_| Ok(())).await?;
        parts.control_plane.is_ready().await?;
        parts.serve(&site("a", &[one.address()])).await?;
        answers(HTTP, "a.example", "/", "one").await?;
        answers(HTTP, "b.example", "/", "one").await?;

        parts.objects.apply(&rights(true)).await?;
        refuses(HTTP, "b.example", "/", "no-service").await?;
        parts.serve(&site("b", &[two.address()])).await?;
        answers(HTTP, "b.example", "/", "two").await?;
        Ok(())
    });
}

/// The API server's own view of who may what is a moment behind.
async fn until_services_may_be_listed(kubeconfig: &Path, may: bool) -> anyhow::Result<()> {
    let services: Api<Service> = Api::all(client_of(kubeconfig).await?);
    wait::until("the rights are in force", SOON, async || {
        let listed = services.list(&Default::default()).await;
        (listed.is_ok() == may).then_some(())
    })
    .await
}

#[test]
fn what_happened_while_the_control_plane_was_away_is_seen_when_it_is_back() {
    sandbox::run(async |sandbox| {
        let [one, two] = echoes().await?;
        let mut parts = Wired::start_as_admin(sandbox, &bare(&[]), &json!({})).await?;
        for name in ["gone", "changed", "bad", "stays"] {
            parts.serve(&site(name, &[one.address()])).await?;
            answers(HTTP, &format!("{name}.example"), "/", "one").await?;
        }
        parts
            .while_it_is_away(async |parts| {
                parts.withdraw(&site("gone", &[])).await?;
                parts.serve(&site("changed", &[two.address()])).await?;
                parts.serve(&site("new", &[two.address()])).await?;
                parts.objects.apply(&bad("bad")).await?;
                Ok(())
            })
            .await?;
        refuses(HTTP, "gone.example", "/", "no-route").await?;
        answers(HTTP, "changed.example", "/", "two").await?;
        answers(HTTP, "new.example", "/", "two").await?;
        answers(HTTP, "stays.example", "/", "one").await?;
        // Its last good version is that of the log.
        answers(HTTP, "bad.example", "/", "one").await?;
        refuses(HTTP, "more.bad.example", "/b", "no-route").await?;
        Ok(())
    });
}

#[test]
fn endpoints_that_were_made_anew_unseen_and_are_bad_are_not_those_of_before() {
    sandbox::run(async |sandbox| {
        let [one, _] = echoes().await?;
        let mut parts = Wired::start_as_admin(sandbox, &bare(&[]), &json!({})).await?;
        for name in ["a", "b", "bad"] {
            parts.serve(&site(name, &[one.address()])).await?;
            answers(HTTP, &format!("{name}.example"), "/", "one").await?;
        }
        // On a list of a running control plane.
        parts.wire.block();
        make_slice_anew(&parts, "a").await?;
        parts.objects.apply(&bad_slice("bad")).await?;
        parts.cluster.compact().await?;
        parts.cluster.api_server().restart().await?;
        parts.wire.cut();
        parts.wire.unblock();
        refuses(HTTP, "a.example", "/", "no-endpoints").await?;
        // After a restart.
        parts
            .while_it_is_away(async |parts| make_slice_anew(parts, "b").await)
            .await?;
        refuses(HTTP, "b.example", "/", "no-endpoints").await?;
        refuses(HTTP, "a.example", "/", "no-endpoints").await?;
        // One that was edited keeps its addresses.
        answers(HTTP, "bad.example", "/", "one").await?;
        Ok(())
    });
}

/// A site's slice is deleted, and another made of its name that cannot be used.
async fn make_slice_anew(parts: &Wired, name: &str) -> anyhow::Result<()> {
    let bad = bad_slice(name);
    parts.objects.delete(&bad).await?;
    parts.objects.apply(&bad).await?;
    Ok(())
}

#[test]
fn namespaces_and_labels_restrict_what_is_seen_and_can_be_changed() {
    sandbox::run(async |sandbox| {
        let [one, _] = echoes().await?;
        let at = [one.address()];
        let mut parts = Wired::start_as_admin(sandbox, &bare(&[]), &json!({})).await?;
        let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: other}}";
        parts.objects.apply(namespace).await?;
        for (name, namespace, labels) in [
            ("plain", "default", json!({})),
            ("labelled", "default", json!({"edge": "yes"})),
            ("elsewhere", "other", json!({})),
            ("both", "other", json!({"edge": "yes"})),
        ] {
            let yaml = ours(&site(name, &at).yaml());
            let objects: Vec<Value> = serde_saphyr::from_multiple(&yaml)?;
            for mut object in objects {
                object["metadata"]["namespace"] = json!(namespace);
                if object["kind"] == "Ingress" {
                    object["metadata"]["labels"] = labels.clone();
                }
                parts.objects.apply(&object.to_string()).await?;
            }
        }
        let kubeconfig = parts.cluster.kubeconfig();
        for (namespaces, selector, seen) in [
            (json!([]), Value::Null, "plain labelled elsewhere both"),
            (json!([]), json!("edge=yes"), "labelled both"),
            (json!(["other"]), json!("edge=yes"), "both"),
            (json!(["other"]), Value::Null, "elsewhere both"),
            (
                json!(["default", "other"]),
                json!("edge!=yes"),
                "plain elsewhere",
            ),
            (json!(["default"]), Value::Null, "plain labelled"),
        ] {
            let source = json!({
                "kubeconfig": kubeconfig, "namespaces": namespaces, "labelSelector": selector,
            });
            let keys = json!({"sources": {"kubernetes": source}});
            parts.control_plane.configure(&keys)?;
            parts.while_it_is_away(async |_| Ok(())).await?;
            for name in ["plain", "labelled", "elsewhere", "both"] {
                let host = format!("{name}.example");
                if seen.split(' ').any(|seen| seen == name) {
                    answers(HTTP, &host, "/", "one").await?;
                } else {
                    refuses(HTTP, &host, "/", "no-route").await?;
                }
            }
        }
        Ok(())
    });
}

#[test]
fn a_folder_and_a_cluster_are_served_together_and_either_can_be_taken_away() {
    sandbox::run(async |sandbox| {
        let [one, two] = echoes().await?;
        fs::create_dir_all(sandbox.folder().join("objects"))?;
        let folder = json!({"path": sandbox.folder().join("objects")});
        let mut parts = Wired::start(sandbox, &bare(&[]), async |cluster, wire| {
            let kubernetes = wire.source(&cluster.kubeconfig(), &json!({}))?;
            Ok(json!({"kubernetes": kubernetes, "folder": folder}))
        })
        .await?;
        // Both have a site of this name and host, and one each of their own.
        let (theirs, mine) = ([one.address()], [two.address()]);
        parts.serve(&site("same", &theirs)).await?;
        answers(HTTP, "same.example", "/", "one").await?;
        site("same", &mine).save(sandbox)?;
        site("folder", &mine).save(sandbox)?;
        parts.serve(&site("cluster", &theirs)).await?;
        // What stands in the folder is older than any object.
        answers(HTTP, "same.example", "/", "two").await?;
        answers(HTTP, "folder.example", "/", "two").await?;
        answers(HTTP, "cluster.example", "/", "one").await?;

        // The folder does not wait for an API server that is away, not even at a start.
        parts.cluster.api_server().hold_down()?;
        fs::remove_file(site("same", &mine).file(sandbox))?;
        answers(HTTP, "same.example", "/", "one").await?;
        parts.while_it_is_away(async |_| Ok(())).await?;
        answers(HTTP, "cluster.example", "/", "one").await?;
        parts.cluster.api_server().release()?;
        parts.cluster.api_server().serves().await?;
        parts.control_plane.is_ready().await?;

        let kubernetes = json!({"kubeconfig": parts.cluster.kubeconfig()});
        restart_on(&mut parts, &json!({"folder": folder})).await?;
        refuses(HTTP, "cluster.example", "/", "no-route").await?;
        refuses(HTTP, "same.example", "/", "no-route").await?;
        answers(HTTP, "folder.example", "/", "two").await?;
        restart_on(&mut parts, &json!({"kubernetes": kubernetes})).await?;
        answers(HTTP, "cluster.example", "/", "one").await?;
        answers(HTTP, "same.example", "/", "one").await?;
        refuses(HTTP, "folder.example", "/", "no-route").await?;
        Ok(())
    });
}

async fn restart_on(parts: &mut Wired, sources: &Value) -> anyhow::Result<()> {
    parts
        .control_plane
        .configure(&json!({"sources": sources}))?;
    parts.while_it_is_away(async |_| Ok(())).await
}

/// Two backends, `one` and `two`.
async fn echoes() -> anyhow::Result<[Echo; 2]> {
    Ok([
        Echo::start("one", "10.1.0.1:8080".parse()?).await?,
        Echo::start("two", "10.1.0.2:8080".parse()?).await?,
    ])
}

/// A site of this name, whose host is the name's.
fn site<'a>(name: &'static str, backends: &'a [SocketAddr]) -> Site<'a> {
    let host = HOSTS
        .into_iter()
        .find(|host| host.strip_suffix(".example") == Some(name));
    Site {
        name,
        host: host.unwrap_or_default(),
        path: "/",
        backends,
    }
}

/// Complete lists so far, of all kinds.
async fn lists(parts: &Wired) -> anyhow::Result<f64> {
    let lists = "roadstead_watch_lists_total";
    parts.control_plane.metric(lists, &[]).await
}

const HOSTS: [&str; 14] = [
    "a.example",
    "b.example",
    "bad.example",
    "both.example",
    "changed.example",
    "cluster.example",
    "elsewhere.example",
    "folder.example",
    "gone.example",
    "labelled.example",
    "new.example",
    "plain.example",
    "same.example",
    "stays.example",
];

/// Every watch of Ingresses, when it begins.
const AUDIT: &str = "
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseComplete, Panic]
rules:
- level: Metadata
  verbs: [watch]
  resources: [{group: networking.k8s.io, resources: [ingresses]}]
- level: None
";

const ELSEWHERE: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: elsewhere}}";
