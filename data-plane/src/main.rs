//! Roadstead's proxy, as a program.

use clap::Parser;
use mimalloc::MiMalloc;
use roadstead_data_plane::{app, config::Cli};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> anyhow::Result<()> {
    app::run(Cli::parse())
}
