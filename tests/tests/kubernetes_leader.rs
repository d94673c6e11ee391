//! Several replicas of the control plane on a real Kubernetes API server: one leads, the others
//! have its history, and whatever befalls the one, traffic does not care.

#![cfg(test)]

use std::time::Duration;

use anyhow::{Context, ensure};
use roadstead_tests::{
    echo::Echo,
    installation::{
        HTTP, SOON,
        replicas::{Replicas, Terms},
        wired::ours,
    },
    planes::{answers, load::Load, objects::Site},
    program::Signal,
    sandbox::{self, Sandbox},
    wait,
};
use serde_json::json;

#[test]
fn a_leader_that_is_killed_is_followed_by_one_with_the_same_history() {
    sandbox::run(async |sandbox| {
        let mut scene = Scene::start(sandbox).await?;
        let first = scene.replicas.leader().await?;
        scene.add("one").await?;
        let before = scene.replicas.same_history().await?;
        scene.replicas.planes[first].plane.program().kill()?;
        let second = scene.replicas.leader().await?;
        ensure!(second != first, "the killed one leads");
        scene.add("two").await?;
        scene.replicas.settled().await?;
        // It comes back, and has what it missed.
        scene.replicas.planes[first].plane.program().start_again()?;
        let after = scene.replicas.same_history().await?;
        ensure!(after.starts_with(&before), "history was lost");
        ensure!(
            scene.replicas.leader().await? == second,
            "the one that came back leads"
        );
        scene.calm().await
    });
}

#[test]
fn a_leader_that_ends_in_order_leaves_the_lease_to_others_at_once() {
    sandbox::run(async |sandbox| {
        // With a Lease that nobody could wait for.
        let mut scene = Scene::with(sandbox, Terms::DEFAULT).await?;
        let first = scene.replicas.leader().await?;
        scene.replicas.planes[first]
            .plane
            .program()
            .stop(SOON)
            .await?;
        let begun = tokio::time::Instant::now();
        scene.replicas.leader().await?;
        let took = begun.elapsed();
        ensure!(took < Terms::DEFAULT.duration, "it took {took:?}");
        scene.add("after").await?;
        scene.calm().await
    });
}

#[test]
fn a_replica_that_was_started_again_takes_its_own_lease_without_waiting() {
    sandbox::run(async |sandbox| {
        let mut scene = Scene::alone(sandbox, Terms::DEFAULT).await?;
        scene.replicas.leader().await?;
        scene.replicas.planes[0].plane.program().kill()?;
        let begun = tokio::time::Instant::now();
        scene.replicas.planes[0].plane.program().start_again()?;
        scene.replicas.leader().await?;
        let took = begun.elapsed();
        ensure!(took < Terms::DEFAULT.duration / 2, "it took {took:?}");
        scene.add("after").await?;
        scene.calm().await
    });
}

#[test]
fn a_leader_that_was_stopped_for_long_wakes_up_deposed() {
    sandbox::run(async |sandbox| {
        let mut scene = Scene::start(sandbox).await?;
        let first = scene.replicas.leader().await?;
        scene.replicas.planes[first]
            .plane
            .program()
            .signal(Signal::STOP)?;
        let second = wait::until_ok("another leads", SOON, async || {
            let holder = scene.replicas.holder().await?.context("nobody")?;
            let named = |index: usize| holder.starts_with(&format!("control-plane-{}_", index + 1));
            let second = (0..3).find(|index| *index != first && named(*index));
            second.context(holder)
        })
        .await?;
        // Its successor's first change may come before or after this; both are fine.
        scene.apply("while-it-is-stopped").await?;
        scene.replicas.planes[first]
            .plane
            .program()
            .signal(Signal::CONT)?;
        ensure!(scene.replicas.leader().await? == second);
        answers(HTTP, "while-it-is-stopped.example", "/", "backend").await?;
        scene.replicas.settled().await?;
        scene.replicas.same_history().await?;
        scene.calm().await
    });
}

#[test]
fn a_lease_that_is_deleted_is_made_anew_and_one_that_is_edited_begins_a_higher_term() {
    sandbox::run(async |sandbox| {
        let mut scene = Scene::start(sandbox).await?;
        scene.replicas.leader().await?;
        scene.replicas.delete_lease().await?;
        // Whoever leads makes it anew.
        scene.replicas.leader().await?;
        scene.add("after-the-deletion").await?;
        let mut epoch = 0;
        for edit in [
            json!({"spec": {"holderIdentity": "somebody"}}),
            json!({"metadata": {"annotations": {"roadstead.dev/epoch": "0"}}}),
            json!({"metadata": {"annotations": null}, "spec": null}),
        ] {
            scene.replicas.leader().await?;
            scene.replicas.settled().await?;
            let before = scene.replicas.proxies[0].look().await?.0;
            ensure!(before > epoch, "epoch {before} after {epoch}");
            epoch = before;
            scene.replicas.edit_lease(&edit).await?;
            wait::until_ok("a proxy hears of another term", SOON, async || {
                let now = scene.replicas.proxies[0].look().await?.0;
                ensure!(now > epoch, "{now} is not above {epoch}");
                Ok(())
            })
            .await?;
        }
        scene.replicas.same_history().await?;
        scene.calm().await
    });
}

#[test]
fn a_leader_that_cannot_reach_the_api_server_stops_before_another_begins() {
    sandbox::run(async |sandbox| {
        let mut scene = Scene::start(sandbox).await?;
        let first = scene.replicas.leader().await?;
        scene.replicas.planes[first].wire.block();
        wait::until_ok("it leads no longer", SOON, async || {
            ensure!(!scene.replicas.planes[first].leads().await);
            Ok(())
        })
        .await?;
        let second = scene.replicas.leader().await?;
        ensure!(second != first);
        scene.replicas.planes[first].wire.unblock();
        scene.add("after").await?;
        scene.replicas.settled().await?;
        scene.replicas.same_history().await?;
        scene.calm().await
    });
}

#[test]
fn a_replica_without_its_log_has_all_of_the_history_again() {
    sandbox::run(async |sandbox| {
        let mut scene = Scene::start(sandbox).await?;
        let leader = scene.replicas.leader().await?;
        scene.add("one").await?;
        let before = scene.replicas.same_history().await?;
        let follower = (leader + 1) % 3;
        // Of a follower, and then of the leader.
        for lost in [follower, leader] {
            let plane = &mut scene.replicas.planes[lost].plane;
            plane.program().kill()?;
            plane.lose("log")?;
            plane.program().start_again()?;
            let after = scene.replicas.same_history().await?;
            ensure!(after.starts_with(&before), "history was lost");
        }
        scene.add("two").await?;
        scene.replicas.settled().await?;
        scene.calm().await
    });
}

#[test]
fn a_leader_that_lost_its_log_has_it_from_the_others_before_it_leads_again() {
    sandbox::run(async |sandbox| {
        let mut scene = Scene::start(sandbox).await?;
        let leader = scene.replicas.leader().await?;
        scene.add("one").await?;
        let before = scene.replicas.same_history().await?;
        // The others cannot take over, and have what it lost.
        for (index, replica) in scene.replicas.planes.iter().enumerate() {
            if index != leader {
                replica.wire.block();
            }
        }
        let plane = &mut scene.replicas.planes[leader].plane;
        plane.program().kill()?;
        plane.lose("log")?;
        plane.program().start_again()?;
        ensure!(scene.replicas.leader().await? == leader);
        let history = scene.replicas.planes[leader]
            .plane
            .operator()?
            .history()
            .await?;
        let history: Vec<_> = history
            .into_iter()
            .map(|(seq, epoch, _)| (seq, epoch))
            .collect();
        ensure!(history.starts_with(&before), "history was lost");
        for replica in &scene.replicas.planes {
            replica.wire.unblock();
        }
        scene.add("two").await?;
        scene.replicas.settled().await?;
        scene.calm().await
    });
}

#[test]
fn every_volume_can_be_lost_while_objects_are_refused_and_no_route_is() {
    sandbox::run(async |sandbox| {
        let mut scene = Scene::start(sandbox).await?;
        scene.add("edited").await?;
        scene.spoil("edited").await?;
        let leader = scene.replicas.leader().await?;
        scene.lose(&[leader]).await?;
        answers(HTTP, "edited.example", "/", "backend").await?;
        scene.lose(&[0, 1, 2]).await?;
        answers(HTTP, "edited.example", "/", "backend").await?;
        // It is served by what the recovery record holds, and not because nobody looked yet.
        scene.add("after").await?;
        answers(HTTP, "edited.example", "/", "backend").await?;
        scene.calm().await
    });
}

/// Replicas, a proxy, a route that nobody touches, and requests for it that go on.
struct Scene {
    replicas: Replicas,
    untouched: Load,
    backend: Echo,
}

impl Scene {
    async fn start(sandbox: &Sandbox) -> anyhow::Result<Self> {
        Self::with(sandbox, Terms::SHORT).await
    }

    async fn with(sandbox: &Sandbox, terms: Terms) -> anyhow::Result<Self> {
        let replicas = Box::pin(Replicas::start(sandbox, 3, 1, terms)).await?;
        Box::pin(Self::of(replicas)).await
    }

    async fn alone(sandbox: &Sandbox, terms: Terms) -> anyhow::Result<Self> {
        let replicas = Box::pin(Replicas::start(sandbox, 1, 1, terms)).await?;
        Box::pin(Self::of(replicas)).await
    }

    async fn of(replicas: Replicas) -> anyhow::Result<Self> {
        let backend = Echo::start("backend", "10.1.0.1:8080".parse()?).await?;
        let site = Site {
            name: "untouched",
            host: "untouched.example",
            path: "/",
            backends: &[backend.address()],
        };
        replicas.serve(&site).await?;
        answers(HTTP, "untouched.example", "/", "backend").await?;
        let untouched = Load::paced(HTTP, "untouched.example", "/", PACE);
        Ok(Self {
            replicas,
            untouched,
            backend,
        })
    }

    async fn apply(&self, name: &str) -> anyhow::Result<()> {
        let host = format!("{name}.example");
        let site = Site {
            name,
            host: &host,
            path: "/",
            backends: &[self.backend.address()],
        };
        self.replicas.serve(&site).await
    }

    /// Edits a site's Ingress into one that is refused, and waits until its last good version is kept
    /// where no volume is.
    async fn spoil(&self, name: &str) -> anyhow::Result<()> {
        let host = format!("{name}.example");
        let site = Site {
            name,
            host: &host,
            path: "/",
            backends: &[self.backend.address()],
        };
        let path = "path: /\n        pathType: Prefix";
        let yaml = ours(&site.yaml());
        ensure!(yaml.contains(path), "{yaml}");
        let bad = "path: /a/../b\n        pathType: ImplementationSpecific";
        let objects = &self.replicas.objects;
        objects.apply(&yaml.replacen(path, bad, 1)).await?;
        let leader = self.replicas.leader().await?;
        wait::until_ok("its recovery record is kept", SOON, async || {
            let name = "roadstead_recovery_records";
            let plane = &self.replicas.planes[leader].plane;
            let stored = plane.metric(name, &["state=\"stored\""]).await?;
            ensure!(stored > 0.0, "{stored}");
            Ok(())
        })
        .await
    }

    /// These replicas lose their volumes, and begin with nothing.
    async fn lose(&mut self, replicas: &[usize]) -> anyhow::Result<()> {
        for index in replicas {
            self.replicas.planes[*index].plane.program().kill()?;
        }
        for index in replicas {
            self.replicas.planes[*index].lose_volume()?;
        }
        for index in replicas {
            let program = self.replicas.planes[*index].plane.program();
            program.start_again()?;
        }
        self.replicas.settled().await?;
        self.calm().await
    }

    /// A route more, which answers.
    async fn add(&self, name: &str) -> anyhow::Result<()> {
        self.apply(name).await?;
        answers(HTTP, &format!("{name}.example"), "/", "backend").await?;
        Ok(())
    }

    /// No request failed so far, and they go on.
    async fn calm(&mut self) -> anyhow::Result<()> {
        self.untouched.goes_on(20).await
    }
}

const PACE: Duration = Duration::from_millis(10);
