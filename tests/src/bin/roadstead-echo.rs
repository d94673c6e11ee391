//! A small backend that says who it is and what reached it: for the quickstart and for trials.
//!
//! `roadstead-echo NAME ADDRESS:PORT` answers until it is ended. Its answers are those of the
//! backends of the tests, so that what is read by hand and by tests is the same.

use std::{future::pending, net::SocketAddr};

use anyhow::{Context, bail};
use roadstead_tests::echo::Echo;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, address] = arguments.as_slice() else {
        bail!("usage: roadstead-echo NAME ADDRESS:PORT");
    };
    let address: SocketAddr = address.parse().context("ADDRESS:PORT")?;
    let _echo = Echo::start(name, address).await?;
    pending().await
}
