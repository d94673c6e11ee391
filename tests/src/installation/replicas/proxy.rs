//! One of the proxies of all replicas, as its admin port shows it.

use std::net::SocketAddr;

use anyhow::{bail, ensure};
use serde_json::Value;

use crate::{http, installation::is_ready, program::Program};

/// A proxy of all replicas. Its traffic is on an address of its own.
#[derive(Debug)]
pub struct Proxy {
    pub program: Program,
    admin: SocketAddr,
    /// The versions that it was seen to hold, in order.
    seen: Vec<(u64, u64)>,
}

impl Proxy {
    pub(super) fn new(program: Program, admin: SocketAddr) -> Self {
        Self {
            program,
            admin,
            seen: Vec::new(),
        }
    }

    pub(super) async fn is_ready(&mut self) -> anyhow::Result<()> {
        is_ready(&mut self.program, self.admin).await
    }

    /// How many versions it was seen to hold.
    pub fn versions(&self) -> usize {
        self.seen.len()
    }

    /// The version that it holds now, which is no lower than before.
    pub async fn look(&mut self) -> anyhow::Result<(u64, u64)> {
        let reply = http::get(self.admin, "localhost", "/snapshot").await?;
        let held: Value = serde_json::from_slice(&reply.body)?;
        let number = |key: &str| {
            held.pointer(&format!("/version/{key}"))
                .and_then(Value::as_u64)
        };
        let (Some(epoch), Some(seq)) = (number("epoch"), number("seq")) else {
            bail!("{held}");
        };
        let held = (epoch, seq);
        if let Some(before) = self.seen.last() {
            ensure!(held >= *before, "it went back from {before:?} to {held:?}");
        }
        if self.seen.last() != Some(&held) {
            self.seen.push(held);
        }
        Ok(held)
    }
}
