//! How long a campaign runs: the short form in every run of the tests, the long one by a flag.
//!
//! Kills, power cuts and random histories find more the longer they run; `tests/run --long` says
//! so in the environment, and every campaign asks here.

/// The first number, or the second in a long run.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration but this word"
)]
pub fn rounds(short: usize, long: usize) -> usize {
    match std::env::var("ROADSTEAD_CAMPAIGN").as_deref() {
        Ok("long") => long,
        _ => short,
    }
}

/// Where a campaign's seeds begin: 0, or what the environment says to try others.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration but this number"
)]
pub fn first_seed() -> u64 {
    let given = std::env::var("ROADSTEAD_CAMPAIGN_SEED").ok();
    given.and_then(|seed| seed.parse().ok()).unwrap_or(0)
}

/// Says how much a campaign did; shown by `tests/run`, which asks for the output of tests.
#[expect(clippy::print_stdout, reason = "the output of a test is its report")]
pub fn report(figures: &str) {
    println!("{figures}");
}
