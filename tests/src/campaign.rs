//! How long a campaign runs: the short form in every run of the tests, the long one by a flag.
//!
//! Kills, power cuts and random histories find more the longer they run; `tests/run --long` says
//! so in the environment, and every campaign asks here.

pub mod random;

use anyhow::Context;

/// The first number, or the second in a long run.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration but these words"
)]
pub fn rounds(short: usize, long: usize) -> usize {
    match std::env::var("ROADSTEAD_CAMPAIGN").as_deref() {
        Ok("long") => long,
        _ => short,
    }
}

/// Where a campaign's seeds begin: 0, or what the environment says to try others.
pub fn first_seed() -> anyhow::Result<u64> {
    Ok(named_seed()?.unwrap_or(0))
}

/// The seeds 1 to this number; or the one that the environment names, by which a failure is met
/// again.
pub fn seeds(number: usize) -> anyhow::Result<Vec<u64>> {
    Ok(match named_seed()? {
        Some(seed) => vec![seed],
        None => (1..=number as u64).collect(),
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration but these words"
)]
fn named_seed() -> anyhow::Result<Option<u64>> {
    let named = std::env::var("ROADSTEAD_CAMPAIGN_SEED").ok();
    let seed = named.map(|seed| seed.parse());
    seed.transpose()
        .context("ROADSTEAD_CAMPAIGN_SEED is no number")
}

/// Says how much a campaign did; shown by `tests/run`, which asks for the output of tests.
#[expect(clippy::print_stdout, reason = "the output of a test is its report")]
pub fn report(figures: &str) {
    println!("{figures}");
}
