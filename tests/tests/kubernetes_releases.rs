//! Replicas of two releases on a real Kubernetes API server: an older one meets the log of a newer.

#![cfg(test)]

use anyhow::ensure;
use roadstead_tests::{
    echo::Echo,
    http,
    installation::{
        HTTP, SOON,
        newer::Newer,
        replicas::{Replicas, Terms},
    },
    planes::{answers, load::Load, objects::Site},
    sandbox, wait,
};
use tokio::time::Duration;

#[test]
fn a_replica_stands_apart_from_a_newer_leader_and_leads_after_it_with_a_log_of_its_own() {
    sandbox::run(async |sandbox| {
        let mut replicas = Box::pin(Replicas::start(sandbox, 1, 1, Terms::SHORT)).await?;
        let backend = Echo::start("backend", "10.1.0.1:8080".parse()?).await?;
        let site = |name, host| Site {
            name,
            host,
            path: "/",
            backends: &[],
        };
        let backends = [backend.address()];
        let untouched = Site {
            backends: &backends,
            ..site("untouched", "untouched.example")
        };
        replicas.serve(&untouched).await?;
        answers(HTTP, untouched.host, "/", "backend").await?;
        let mut load = Load::paced(HTTP, untouched.host, "/", PACE);
        replicas.settled().await?;
        let before = replicas.same_history().await?;
        let (epoch, _) = replicas.proxies[0].look().await?;

        let newer = Newer::start(&replicas, "127.0.1.9:8443".parse()?).await?;
        let leads = newer.lead(&replicas, epoch + 10);
        let apart = async {
            let plane = &replicas.planes[0].plane;
            wait::until_ok("it says that it stands apart", SOON, async || {
                let reply = http::get(plane.admin(), "localhost", "/readyz").await?;
                let text = reply.text();
                ensure!(text.contains("a newer release writes the log"), "{text}");
                ensure!(!text.contains("cannot be written"), "{text}");
                Ok(())
            })
            .await?;
            // It answers with what it has, and nothing of it is gone.
            let history = plane.operator()?.history().await?;
            ensure!(history.len() >= before.len(), "history is lost already");
            ensure!(!replicas.planes[0].leads().await, "it leads");
            load.goes_on(20).await
        };
        tokio::select! {
            ended = leads => ended?,
            apart = apart => apart?,
        }

        // The Lease is renewed no more.
        replicas.leader().await?;
        replicas.settled().await?;
        let after = replicas.same_history().await?;
        ensure!(
            after.iter().all(|(_, of)| *of > epoch + 10),
            "it went on with the history that went on without it: {after:?}"
        );
        ensure!(replicas.proxies[0].look().await?.0 > epoch + 10);
        let new = Site {
            backends: &backends,
            ..site("new", "new.example")
        };
        replicas.serve(&new).await?;
        answers(HTTP, new.host, "/", "backend").await?;
        load.goes_on(20).await
    });
}

const PACE: Duration = Duration::from_millis(10);
