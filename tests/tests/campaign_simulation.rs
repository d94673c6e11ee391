//! Replicas, a Lease, an API server and proxies in one thread, with virtual time: hundreds of
//! schedules, each of which its seed plays again.
//!
//! Real are the engine, what it folds and projects, the rules of the Lease and of how logs are
//! joined, what a replica sends to a proxy, and what that makes of it, and when which step of which
//! order is due and what comes of it; simulated are disks, the network, clocks, the API server and
//! the CA. Each of the bugs that are planted here must be found.

#![cfg(test)]

#[path = "campaign_simulation/ca.rs"]
mod ca;
#[path = "campaign_simulation/disk.rs"]
mod disk;
#[path = "campaign_simulation/issuer.rs"]
mod issuer;
#[path = "campaign_simulation/kept.rs"]
mod kept;
#[path = "campaign_simulation/objects.rs"]
mod objects;
#[path = "campaign_simulation/ports.rs"]
mod ports;
#[path = "campaign_simulation/replica.rs"]
mod replica;
#[path = "campaign_simulation/stream.rs"]
mod stream;
#[path = "campaign_simulation/world.rs"]
mod world;

use roadstead_tests::campaign::{first_seed, report, rounds};
use world::{Plant, World};

#[test]
fn no_schedule_breaks_what_is_promised() {
    let (mut terms, mut versions, mut certificates) = (0, 0, 0);
    let schedules = rounds(400, 20_000);
    let first = first_seed().unwrap();
    for seed in (first..).take(schedules) {
        match World::play(seed, None) {
            Ok(figures) => {
                terms += figures.terms;
                versions += figures.versions;
                certificates += figures.certificates;
            }
            Err(broken) => panic!("{broken}; ROADSTEAD_CAMPAIGN_SEED={seed} plays it again"),
        }
    }
    // Schedules in which nothing happens would find nothing.
    assert!(terms >= 2 * schedules, "{terms} terms");
    assert!(certificates >= 2 * schedules, "{certificates} certificates");
    report(&format!(
        "{schedules} schedules, {terms} terms, {versions} versions at proxies, {certificates} certificates"
    ));
}

#[test]
fn every_planted_bug_is_found() {
    for plant in Plant::ALL {
        let broken = |seed| Some((seed, World::play(seed, Some(plant)).err()?));
        let found = (0..MOST).find_map(broken);
        let (seed, broken) =
            found.unwrap_or_else(|| panic!("{plant:?} was not found in {MOST} schedules"));
        report(&format!("{plant:?} was found by seed {seed}: {broken}"));
    }
}

#[test]
fn a_seed_plays_the_same_schedule_again() {
    assert_eq!(World::play(7, None), World::play(7, None));
}

/// Schedules within which a planted bug must be found.
const MOST: u64 = 400;
