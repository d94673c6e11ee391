//! Operators are sent to whichever replica of the control plane their connection finds.

#![cfg(test)]

use anyhow::ensure;
use roadstead_tests::{
    installation::{
        SOON,
        replicas::{Replicas, Terms},
    },
    sandbox, wait,
};

#[test]
fn every_replica_tells_of_the_proxies_that_are_connected_to_whichever_leads() {
    sandbox::run(async |sandbox| {
        let mut replicas = Replicas::start(sandbox, 3, 1, Terms::SHORT).await?;
        replicas.settled().await?;
        each_tells(&replicas, &[0, 1, 2]).await?;
        // The next leader is asked as soon as it is known.
        let leader = replicas.leader().await?;
        replicas.planes[leader].plane.program().kill()?;
        let left: Vec<usize> = (0..3).filter(|index| *index != leader).collect();
        each_tells(&replicas, &left).await
    });
}

async fn each_tells(replicas: &Replicas, indices: &[usize]) -> anyhow::Result<()> {
    for index in indices {
        let operator = replicas.planes[*index].plane.operator()?;
        wait::until_ok("a replica tells of the proxy", SOON, async || {
            let proxies = operator.proxies().await?;
            let told: Vec<_> = proxies.iter().map(|p| (&*p.name, p.current)).collect();
            ensure!(told == [("proxy-1", true)], "replica {index}: {told:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}
