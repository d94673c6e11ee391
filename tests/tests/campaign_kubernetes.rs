//! Random histories on a real API server, with kills, cuts and restarts in between: what is served
//! in the end is what a fresh start would serve, the proxy holds it, and an untouched route never
//! fails.

#![cfg(test)]

use std::time::Duration;

use anyhow::Context;
use roadstead_tests::{
    campaign::{report, rounds, seeds},
    history::trial::Trial,
    sandbox,
};
use tokio::time::Instant;

#[test]
fn whatever_happens_the_end_is_as_after_a_fresh_start() {
    let operations = rounds(500, 2000) as u64;
    for seed in seeds(rounds(1, 6)).unwrap() {
        sandbox::run_within(LIMIT, async move |sandbox| {
            let begun = Instant::now();
            let mut trial = Box::pin(Trial::start(sandbox, seed)).await?;
            let played = trial.play(operations).await;
            let played = played.with_context(|| {
                format!(
                    "after operation {}; ROADSTEAD_CAMPAIGN_SEED={seed} plays it again",
                    trial.made()
                )
            })?;
            report(&format!(
                "seed {seed}: {played}, in {:.0?}",
                begun.elapsed()
            ));
            Ok(())
        });
    }
}

/// Of one seed.
const LIMIT: Duration = Duration::from_secs(1800);
