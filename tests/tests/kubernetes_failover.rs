//! Many proxies when their leader is killed, on a real Kubernetes API server: what depends on
//! their number, and not on what they serve.

#![cfg(test)]

use std::time::Duration;

use anyhow::ensure;
use roadstead_tests::{
    installation::{
        SOON,
        replicas::{Replicas, Terms},
    },
    planes::objects::Site,
    sandbox,
    swarm::{Mark, Swarm},
};

#[test]
fn proxies_of_a_killed_leader_go_on_with_the_next_and_none_is_sent_everything_again() {
    sandbox::run(async |sandbox| {
        let replicas = Replicas::start(sandbox, 3, 0, Terms::SHORT);
        let mut replicas = Box::pin(replicas).await?;
        let first = replicas.leader().await?;
        for site in ["one", "two", "three"] {
            serve(&replicas, site).await?;
        }
        let mut swarm = Swarm::join("swarm", PROXIES, &replicas.way()?)?;
        let (before, _) = swarm.beyond(Mark::default(), SOON).await?;
        replicas.planes[first].plane.program().kill()?;
        let second = replicas.leader().await?;
        ensure!(second != first, "the killed one leads");
        let (after, _) = swarm.beyond(Mark::end_of(before.epoch), CALM).await?;
        // What changed before it was killed or comes now reaches all of them.
        serve(&replicas, "four").await?;
        swarm.beyond(after, SOON).await?;
        for (index, replica) in replicas.planes.iter().enumerate() {
            if index == first {
                continue;
            }
            let sent = async |scope| {
                let label = format!("scope=\"{scope}\"");
                let plane = &replica.plane;
                plane.metric("roadstead_transfers_total", &[&label]).await
            };
            ensure!(sent("whole").await? == 0.0, "whole transfers of {index}");
            let others = sent("buckets").await? + sent("delta").await?;
            ensure!(
                index != second || others >= PROXIES as f64 * 2.0,
                "{others} transfers of the new leader to {PROXIES} proxies"
            );
        }
        Ok(())
    });
}

async fn serve(replicas: &Replicas, name: &str) -> anyhow::Result<()> {
    let site = Site {
        name,
        host: &format!("{name}.example"),
        path: "/",
        backends: &["10.1.0.1:8080".parse()?],
    };
    replicas.serve(&site).await
}

const PROXIES: usize = 50;
/// For all of them, once somebody leads.
const CALM: Duration = Duration::from_secs(60);
