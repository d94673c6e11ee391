//! Kills at random points: what was acknowledged is there when the log is opened again.

#![cfg(test)]

use std::{path::Path, thread, time::Duration};

use anyhow::Context;
use roadstead_tests::{
    campaign::{self, random::Random, rounds},
    event_log::{Acknowledged, Running, check::check, scratch, session::options},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_event-log-session");

/// One log lives through this many kills; then a new one begins, so that beginnings are met too.
const KILLS_A_LOG: u64 = 20;

#[test]
fn nothing_acknowledged_is_lost_by_kills_at_random_points() {
    let kills = rounds(200, 5000) as u64;
    for first in (0..kills).step_by(KILLS_A_LOG as usize) {
        let scratch = scratch(Path::new(PROGRAM)).unwrap();
        let mut acknowledged = Acknowledged::default();
        for kill in first..(first + KILLS_A_LOG).min(kills) {
            killed(scratch.path(), first, kill, &mut acknowledged)
                .with_context(|| format!("kill {kill}; {acknowledged:?}"))
                .unwrap();
        }
    }
    campaign::report(&format!("{kills} kills, nothing acknowledged was lost"));
}

fn killed(
    scratch: &Path,
    log: u64,
    kill: u64,
    acknowledged: &mut Acknowledged,
) -> anyhow::Result<()> {
    let folder = scratch.join("log");
    let folder_name = folder.to_str().context("a name in UTF-8")?;
    let mut random = Random::new(kill);
    // By turns the default and short segments, of which more come and go.
    let segment: usize = if log.is_multiple_of(2 * KILLS_A_LOG) {
        4 << 20
    } else {
        512 << 10
    };
    let arguments = [
        "run",
        folder_name,
        &kill.to_string(),
        &segment.to_string(),
        "1000000",
    ];
    let mut running = Running::start(Path::new(PROGRAM), &arguments)?;
    if random.one_in(3) {
        // While it opens the log, or soon after.
        thread::sleep(Duration::from_micros(random.below(60_000)));
    } else {
        for _ in 0..random.below(120) {
            let line = running.line()?.context("the session ended by itself")?;
            acknowledged.hear(&line);
        }
        thread::sleep(Duration::from_micros(random.below(3_000)));
    }
    running.kill(acknowledged)?;
    check(&folder, options(segment), *acknowledged)
}
