//! The store behind the API server, asked directly.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::http::{Connection, Protocol, request};

/// Forgets everything but what is there now: whoever goes on from an older version, a watch or
/// the next page of a list, is told that it is gone.
pub(super) async fn compact() -> anyhow::Result<()> {
    let anything = json!({"key": "AA==", "limit": 1});
    let answer = ask("/v3/kv/range", &anything).await?;
    let revision = answer.pointer("/header/revision");
    let revision = revision.with_context(|| format!("no revision in {answer}"))?;
    let all_before = json!({"revision": revision, "physical": true});
    ask("/v3/kv/compaction", &all_before).await?;
    Ok(())
}

async fn ask(path: &str, body: &Value) -> anyhow::Result<Value> {
    let mut connection = Connection::open(ADDRESS, Protocol::Http1).await?;
    let mut asked = request(Method::POST, "localhost", path);
    *asked.body_mut() = Full::from(Bytes::from(body.to_string()));
    let reply = connection.send(asked).await?;
    ensure!(reply.status.is_success(), "etcd: {path}: {}", reply.text());
    serde_json::from_slice(&reply.body).context("etcd's answer")
}

/// Where `tests/cluster` has it.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 2379);
