//! The control plane's program.

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;
use roadstead_control_plane::app;
use roadstead_control_plane::config::Cli;

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
                eprintln!("roadstead-control-plane: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
