//! The chart on real nodes (kubelet, containerd, kube-proxy), with the image of the Dockerfile: it
//! serves through each of them, whatever becomes of the rest.

#![cfg(test)]

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, ensure};
use roadstead_tests::{
    deploy::{
        image,
        scene::{HOST, Scene, Shipped, TAKEOVER},
    },
    http::get,
    planes::load::Load,
    sandbox, wait,
};
use tokio::{task::JoinSet, time::Instant};

#[test]
fn the_image_runs_as_nobody_and_may_open_low_ports() {
    let folder = tempfile::tempdir().unwrap();
    let archive = image::build(folder.path()).unwrap();
    let about = image::inspect(folder.path()).unwrap();
    assert_eq!(about["OCIv1"]["config"]["User"], "65532:65532");
    let files = image::files(folder.path(), &archive).unwrap();
    let program = |name: &str| {
        let lines: Vec<_> = files.lines().collect();
        let at = lines.iter().position(|line| line.ends_with(name)).unwrap();
        let capabilities = lines[at + 1..].iter().take_while(|l| l.starts_with(' '));
        let capabilities: Vec<_> = capabilities.copied().collect();
        (lines[at], capabilities.concat())
    };
    let (proxy, capabilities) = program("bin/roadstead-data-plane");
    assert!(proxy.starts_with("-rwxr-xr-x"), "{proxy}");
    assert!(capabilities.contains("security.capability"), "{files}");
    let (replica, capabilities) = program("bin/roadstead-control-plane");
    assert!(replica.starts_with("-rwxr-xr-x"), "{replica}");
    assert!(!capabilities.contains("security.capability"), "{files}");
    // Nothing else that runs.
    assert!(!files.lines().any(|line| line.ends_with("bin/sh")));
}

#[test]
fn three_nodes_serve_while_replicas_are_replaced_moved_and_killed() {
    sandbox::run_within(LIMIT, async |sandbox| {
        let mut scene = Scene::start(sandbox, Shipped::Chart).await?;

        // Upgrade of the control plane: pods of it are replaced, one after the other.
        let mut loads = scene.loads();
        scene
            .release(
                "upgrade",
                &["--set", "controlPlane.podAnnotations.upgrade=one"],
            )
            .await?;
        go_on(&mut loads).await?;
        scene.settled().await?;

        // Scale down and up again: whoever is left leads.
        for replicas in ["1", "3"] {
            let replicas = format!("controlPlane.replicas={replicas}");
            scene.release("upgrade", &["--set", &replicas]).await?;
            go_on(&mut loads).await?;
        }
        scene.settled().await?;

        // The leader's node is drained: another leads, and proxies stay.
        scene.drain_leader().await?;
        go_on(&mut loads).await?;
        scene.changes_arrive("drained").await?;
        scene.uncordon().await?;
        scene.settled().await?;

        // A node dies with all that is on it; the others know nothing of it.
        let (dead, node) = scene.node_of_leader().await?;
        drop(loads.remove(usize::from(node)));
        scene.nodes.kill(node)?;
        go_on(&mut loads).await?;
        wait::until_ok("another leads", TAKEOVER, async || {
            ensure!(scene.leader().await? != dead);
            Ok(())
        })
        .await?;
        scene.serving.retain(|other| *other != node);
        scene.changes_arrive("killed").await?;
        go_on(&mut loads).await
    });
}

#[test]
fn an_upgrade_of_proxies_on_the_nodes_own_ports_fails_no_request_with_or_without_a_control_plane() {
    sandbox::run_within(LIMIT, async |sandbox| {
        let scene = Scene::start(sandbox, Shipped::Manifests).await?;
        scene.settled().await?;
        // Connections that clients keep, too: they are told to go in time.
        let mut loads = scene.loads();
        let before = scene.proxies().await?;
        scene.replace_proxies("one").await?;
        upgraded(&scene, &before, async || scene.are_replaced().await).await?;
        go_on(&mut loads).await?;

        // With no control plane anywhere, for minutes: they serve what the ones before have kept,
        // are replaced twice, and one that crashes has it again.
        scene.control_planes(0).await?;
        let alone = Instant::now();
        for upgrade in ["two", "three"] {
            let before = scene.proxies().await?;
            scene.replace_proxies(upgrade).await?;
            upgraded(&scene, &before, async || scene.are_replaced().await).await?;
            go_on(&mut loads).await?;
        }
        // What a crash cuts off fails; its node serves again, and the others know nothing of it.
        let (proxy, node) = scene.one_of(&scene.proxies().await?).await?;
        drop(loads.remove(usize::from(node)));
        scene.crash(&proxy).await?;
        loads.insert(usize::from(node), scene.load(node));
        while alone.elapsed() < OUTAGE {
            go_on(&mut loads).await?;
        }
        scene.control_planes(3).await?;
        scene.changes_arrive("after").await?;
        go_on(&mut loads).await
    });
}

#[test]
fn behind_a_service_nothing_needs_a_right_and_no_upgrade_drain_or_lost_log_fails_a_request() {
    sandbox::run_within(LIMIT, async |sandbox| {
        let scene = Scene::start(sandbox, Shipped::NodePort).await?;
        let before = scene.proxies().await?;
        let more = ["--set", "dataPlane.podAnnotations.upgrade=one"];
        let mut upgrade = JoinSet::new();
        upgrade.spawn(scene.release("upgrade", &more));
        upgraded(&scene, &before, async || {
            if let Some(ended) = upgrade.try_join_next() {
                ended??;
            }
            Ok(upgrade.is_empty())
        })
        .await?;

        // The one replica is replaced. It has no volume, and so begins with what the cluster holds
        // and the last good version of what cannot be used now.
        let mut loads = scene.loads();
        scene.changes_arrive("second").await?;
        scene.spoil("second").await?;
        scene.replace_replica().await?;
        scene.changes_arrive("third").await?;
        scene.served("/second").await?;

        // Two nodes are drained at once: the budget has one proxy replaced after the other.
        let forbidden = scene.drain_two_proxies().await?;
        ensure!(forbidden > 0, "two proxies were evicted at once");
        go_on(&mut loads).await?;
        scene.uncordon().await?;

        // With no control plane anywhere one that is new has nothing to serve, and those before
        // it stay. One that crashes has what it had.
        scene.control_planes(0).await?;
        let before = scene.proxies().await?;
        scene.replace_proxies("two").await?;
        scene.another_starts(&before).await?;
        go_on(&mut loads).await?;
        ensure!(before.is_subset(&scene.proxies().await?), "one is gone");
        drop(loads);
        let (proxy, _) = scene.one_of(&before).await?;
        scene.crash(&proxy).await?;
        let mut loads = scene.loads();
        go_on(&mut loads).await?;

        // Then the upgrade goes on by itself.
        scene.control_planes(1).await?;
        upgraded(&scene, &before, async || scene.are_replaced().await).await?;
        go_on(&mut loads).await
    });
}

/// Asks each node, each time by a connection of its own, until the upgrade is done and the last
/// proxy that was there at first is gone.
#[expect(clippy::print_stderr, reason = "the figures, shown by tests/run")]
async fn upgraded(
    scene: &Scene,
    before: &BTreeSet<String>,
    mut is_done: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let mut asked = 0;
    while !is_done().await? || !before.is_disjoint(&scene.proxies().await?) {
        for node in &scene.serving {
            let reply = get(scene.address(*node), HOST, "/first").await;
            let reply = reply.with_context(|| format!("node-{node}, request {asked}"))?;
            ensure!(reply.status.is_success(), "{}", reply.status);
            asked += 1;
        }
    }
    eprintln!("{asked} requests were answered while all proxies were replaced");
    Ok(())
}

async fn go_on(loads: &mut [Load]) -> anyhow::Result<()> {
    for (node, load) in loads.iter_mut().enumerate() {
        let gone_on = load.goes_on(50).await;
        gone_on.with_context(|| format!("of the {node}. node that serves"))?;
    }
    Ok(())
}

const LIMIT: Duration = Duration::from_secs(900);
/// Of all control planes.
const OUTAGE: Duration = Duration::from_secs(120);
