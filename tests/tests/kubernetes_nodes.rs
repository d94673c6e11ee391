//! The chart on real nodes (kubelet, containerd, kube-proxy), with the image of the Dockerfile: it
//! serves through each of them, whatever becomes of the rest.

#![cfg(test)]

use std::time::Duration;

use anyhow::{Context, ensure};
use futures::future::try_join_all;
use roadstead_tests::{
    deploy::{
        image,
        nodes::Nodes,
        scene::{HOST, NODES, Scene, Shipped, TAKEOVER},
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
#[expect(clippy::print_stderr, reason = "the figures, shown by tests/run")]
fn an_upgrade_of_proxies_leaves_all_nodes_but_one_serving() {
    sandbox::run_within(LIMIT, async |sandbox| {
        let scene = Scene::start(sandbox, Shipped::Manifests).await?;
        scene.settled().await?;
        let before = scene.proxies().await?;
        scene.replace_proxies().await?;
        let mut away = [None; NODES as usize];
        let mut longest = Duration::ZERO;
        while !scene.are_replaced().await? {
            let answered = try_join_all((0..NODES).map(answers)).await?;
            for (since, answered) in away.iter_mut().zip(answered) {
                let now = Instant::now();
                match (*since, answered) {
                    (None, false) => *since = Some(now),
                    (Some(then), true) => {
                        longest = longest.max(now - then);
                        *since = None;
                    }
                    (None, true) | (Some(_), false) => {}
                }
            }
            let away = away.iter().flatten().count();
            ensure!(away <= 1, "{away} nodes are away at once");
        }
        scene.served("/first").await?;
        let after = scene.proxies().await?;
        ensure!(before.is_disjoint(&after), "a proxy was not replaced");
        eprintln!("a node without its proxy while it was replaced: {longest:.1?} at most");
        Ok(())
    });
}

#[test]
#[expect(clippy::print_stderr, reason = "the figures, shown by tests/run")]
fn an_upgrade_of_proxies_behind_a_service_refuses_no_connection() {
    sandbox::run_within(LIMIT, async |sandbox| {
        let scene = Scene::start(sandbox, Shipped::NodePort).await?;
        let before = scene.proxies().await?;
        let more = ["--set", "dataPlane.podAnnotations.upgrade=one"];
        let mut upgrade = JoinSet::new();
        upgrade.spawn(scene.release("upgrade", &more));
        let mut asked = 0;
        // Until the last of the old proxies is gone. Of connections of its own each: those that a
        // client keeps while nothing is asked are closed by a proxy that ends.
        while !upgrade.is_empty() || !before.is_disjoint(&scene.proxies().await?) {
            if let Some(ended) = upgrade.try_join_next() {
                ended??;
            }
            for node in &scene.serving {
                let reply = get(scene.address(*node), HOST, "/first").await;
                let reply = reply.with_context(|| format!("node-{node}, request {asked}"))?;
                ensure!(reply.status.is_success(), "{}", reply.status);
                asked += 1;
            }
        }
        eprintln!("{asked} requests were answered while proxies behind a Service were replaced");
        Ok(())
    });
}

/// Whether this node answers. What waits in the queue of a listener that closes is reset.
async fn answers(node: u8) -> anyhow::Result<bool> {
    let address = Nodes::address(node, 80);
    let Ok(reply) = get(address, HOST, "/first").await else {
        return Ok(false);
    };
    ensure!(reply.status.is_success(), "{}", reply.status);
    Ok(true)
}

async fn go_on(loads: &mut [Load]) -> anyhow::Result<()> {
    for (node, load) in loads.iter_mut().enumerate() {
        let gone_on = load.goes_on(50).await;
        gone_on.with_context(|| format!("of the {node}. node that serves"))?;
    }
    Ok(())
}

const LIMIT: Duration = Duration::from_secs(900);
