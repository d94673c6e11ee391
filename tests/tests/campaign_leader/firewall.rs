//! What gets lost between addresses of the sandbox's network.

use std::{net::SocketAddr, path::Path, process::Command};

use anyhow::{Context, bail};

/// What is sent there.
pub(crate) fn to(address: SocketAddr) -> String {
    format!(
        "ip daddr {} tcp dport {} drop",
        address.ip(),
        address.port()
    )
}

/// What comes from there.
pub(crate) fn from(address: SocketAddr) -> String {
    format!(
        "ip saddr {} tcp sport {} drop",
        address.ip(),
        address.port()
    )
}

/// These rules and no others.
pub(crate) fn only(rules: &[String]) -> anyhow::Result<()> {
    let mut script = "table inet faults {}\ndelete table inet faults\n".to_owned();
    if !rules.is_empty() {
        let rules = rules.join("\n");
        script += &format!(
            "table inet faults {{\nchain output {{\ntype filter hook output priority 0;\n\
             {rules}\n}}\n}}\n"
        );
    }
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), script)?;
    let status = Command::new("nft")
        .arg("-f")
        .arg::<&Path>(file.path())
        .status();
    let status = status.context("start `nft` (of nftables)")?;
    if !status.success() {
        bail!("nft: {status}");
    }
    Ok(())
}
