//! What is expected of a request, and what came.

use std::{collections::BTreeSet, net::SocketAddr};

use anyhow::Context;
use serde::Deserialize;

use crate::http;

/// One text; or several, each of which has to come.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    One(String),
    Each(BTreeSet<String>),
}

impl Answer {
    /// What is expected, one or several.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let (one, each) = match self {
            Self::One(text) => (Some(text), None),
            Self::Each(texts) => (None, Some(texts)),
        };
        one.into_iter()
            .chain(each.into_iter().flatten())
            .map(String::as_str)
    }

    /// Asks for host and path, several times, until each answer has come; an error if another comes.
    pub(super) async fn comes(&self, proxy: SocketAddr, asked: &str) -> anyhow::Result<()> {
        let mut missing: BTreeSet<&str> = self.texts().collect();
        let expected = missing.clone();
        for tried in 1..=TRIES {
            let came = ask(proxy, asked).await?;
            if !expected.contains(&*came) {
                anyhow::bail!("{asked}: not {expected:?} but {came:?}");
            }
            missing.remove(&*came);
            if missing.is_empty() && tried >= AT_LEAST {
                return Ok(());
            }
        }
        anyhow::bail!("{asked}: {missing:?} did not come in {TRIES} tries")
    }
}

/// Who answered, or with what status and for what reason the proxy did.
async fn ask(proxy: SocketAddr, asked: &str) -> anyhow::Result<String> {
    let at = asked.find('/').context("host/path")?;
    let (host, path) = asked.split_at(at);
    let reply = http::get(proxy, host, path).await?;
    let who = reply.header("x-echo");
    if reply.status.is_success() && !who.is_empty() {
        return Ok(who.to_owned());
    }
    let reason = reply.header("x-roadstead-reason");
    Ok(format!("{} {reason}", reply.status.as_u16()))
}

/// An endpoint that should be gone would come by turns.
const AT_LEAST: usize = 6;
/// Round robin goes by thread, and a thread is met by chance.
const TRIES: usize = 64;
