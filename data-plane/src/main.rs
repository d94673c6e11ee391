//! Roadstead's proxy, as a program.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use roadstead_data_plane::{app, config::Cli};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match app::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(
                clippy::print_stderr,
                reason = "telemetry may not have started, and a person reads this"
            )]
            {
                // In one line: a backtrace would bury it.
                eprintln!("roadstead-data-plane: {}", story(&error));
            }
            ExitCode::FAILURE
        }
    }
}

/// The error and its causes, but for those that a message has in it already.
fn story(error: &anyhow::Error) -> String {
    let mut causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    causes.dedup_by(|cause, before| before.contains(&**cause));
    causes.join(": ")
}
