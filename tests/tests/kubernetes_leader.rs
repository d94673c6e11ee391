//! Several replicas of the control plane on a real Kubernetes API server: one leads, the others
//! have its history, and whatever befalls the one, traffic does not care.

#![cfg(test)]

#[path = "kubernetes_leader/scene.rs"]
mod scene;

use std::time::Duration;

use anyhow::{Context, ensure};
use roadstead_tests::{
    echo::Echo,
    http::get,
    installation::{HTTP, SOON, replicas::Terms},
    planes::answers,
    program::Signal,
    sandbox, wait,
};
use serde_json::json;

use scene::Scene;

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
        // So long that what is seen of the order does not hang on a busy machine.
        let terms = Terms {
            duration: Terms::SHORT.renew_within + Duration::from_secs(5),
            ..Terms::SHORT
        };
        let mut scene = Scene::with(sandbox, terms).await?;
        let first = scene.replicas.leader().await?;
        let named = scene.replicas.holder().await?;
        scene.replicas.planes[first].wire.block();
        loop {
            let leads = scene.replicas.planes[first].leads().await;
            // Asked after it: nobody can have held it before.
            let holder = scene.replicas.holder().await?;
            ensure!(
                holder == named,
                "it led a moment ago, and the Lease names {holder:?}"
            );
            if !leads {
                break;
            }
        }
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
fn where_no_replica_has_room_the_configuration_stands_still_and_endpoints_go_on() {
    sandbox::run(async |sandbox| {
        let mut scene = Scene::start(sandbox).await?;
        scene.add("one").await?;
        scene.replicas.same_history().await?;
        for replica in &scene.replicas.planes {
            replica.disk.fill()?;
        }
        scene.apply_large("large").await?;
        // Each of them tries, and the last one stays.
        let leader = scene.unwritable(3).await?;
        // Pods are replaced, and traffic follows.
        let other = Echo::start("other", "10.1.0.2:8080".parse()?).await?;
        scene.send("one", &other).await?;
        answers(HTTP, "one.example", "/", "other").await?;
        let reply = get(HTTP, "large.example", "/1/").await?;
        ensure!(reply.status == 404, "{} of what no log holds", reply.status);
        scene.calm().await?;
        ensure!(scene.unwritable(3).await? == leader, "another leads");

        // One of them that does not lead has room again, and takes over.
        let roomy = (leader + 1) % 3;
        scene.replicas.planes[roomy].disk.empty()?;
        wait::until_ok("who has room leads", SOON, async || {
            let leads = scene.replicas.leads_now().await?;
            ensure!(leads == roomy, "{leads} leads");
            Ok(())
        })
        .await?;
        let path = format!("/1/{}", "x".repeat(300));
        answers(HTTP, "large.example", &path, "backend").await?;
        answers(HTTP, "one.example", "/", "other").await?;
        for index in (0..3).filter(|index| *index != roomy) {
            scene.replicas.planes[index].disk.empty()?;
        }
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
