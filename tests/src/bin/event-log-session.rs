//! A process for the campaigns on the event log: what they kill, trace and starve.

use std::{env, io, path::Path, process::ExitCode};

use anyhow::{Context, bail};
use roadstead_tests::campaign::random::Random;
use roadstead_tests::event_log::{
    Acknowledged, Running,
    check::check,
    session::{self, Plan, options},
};

/// `run FOLDER SEED SEGMENT OPERATIONS`: a session.
/// `crash FOLDER SEED SEGMENT`: a session that is killed, as a rule.
/// `check FOLDER SEGMENT LAST CHECKPOINT`: whether the log holds what was acknowledged.
fn main() -> ExitCode {
    match act() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("{error:?}"));
            ExitCode::FAILURE
        }
    }
}

fn act() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [_, "run", folder, seed, segment, operations] => {
            let plan = Plan {
                folder: folder.into(),
                seed: seed.parse()?,
                segment_bytes: segment.parse()?,
                operations: operations.parse()?,
            };
            session::run(&plan, &mut io::stdout())
        }
        [program, "crash", folder, seed, segment] => crash(
            Path::new(program),
            folder,
            segment,
            Random::new(seed.parse()?),
        ),
        [_, "check", folder, segment, last, checkpoint] => {
            let acknowledged = Acknowledged {
                last: last.parse()?,
                checkpoint: checkpoint.parse()?,
            };
            check(Path::new(folder), options(segment.parse()?), acknowledged)
        }
        _ => bail!("what is this to do? {arguments:?}"),
    }
}

/// A session that is killed after some lines, or ends by itself.
fn crash(program: &Path, folder: &str, segment: &str, mut random: Random) -> anyhow::Result<()> {
    let seed = random.number().to_string();
    let operations = (10 + random.below(60)).to_string();
    let arguments = ["run", folder, &seed, segment, &operations];
    let mut running = Running::start(program, &arguments)?;
    for _ in 0..random.below(80) {
        if running.line()?.is_none() {
            return running.end().context("a session");
        }
    }
    running.kill(&mut Acknowledged::default())
}

#[expect(clippy::print_stderr, reason = "it is a program")]
fn tell(text: &str) {
    eprintln!("{text}");
}
