//! The workspace's own binaries, built when a test first asks for one.
//!
//! Cargo gives a test the binaries of its own package only, and those that happen to lie in the
//! target folder may be older than the sources; so the test asks Cargo, which answers at once when
//! nothing changed.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use anyhow::{Context, anyhow, bail};
use serde::Deserialize;

/// The path of a binary of the workspace, up to date with its sources.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<Result<BTreeMap<String, PathBuf>, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    let built = built.as_ref().map_err(|error| anyhow!("{error}"))?;
    built.get(name).cloned().with_context(|| {
        format!(
            "the workspace has no binary {name:?}, only {:?}",
            built.keys()
        )
    })
}

/// The top folder of the sources.
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// One line of `cargo build --message-format=json`; other kinds lack the fields.
#[derive(Deserialize)]
struct Artifact {
    executable: Option<PathBuf>,
    target: Target,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

fn build() -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(workspace())
        .args([
            "build",
            "--workspace",
            "--bins",
            "--message-format=json-render-diagnostics",
        ])
        .stderr(Stdio::inherit());
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.output().context("start cargo")?;
    if !output.status.success() {
        bail!("the binaries do not build ({})", output.status);
    }
    let binaries = output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Artifact>(line).ok())
        .filter(|artifact| artifact.target.kind == ["bin"])
        .filter_map(|artifact| Some((artifact.target.name, artifact.executable?)));
    Ok(binaries.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_binaries_are_there_when_asked_for() {
        for name in ["roadstead-control-plane", "roadstead-data-plane"] {
            assert!(binary(name).unwrap().is_file());
        }
        let error = binary("nothing").unwrap_err().to_string();
        assert!(
            error.starts_with("the workspace has no binary \"nothing\""),
            "{error}"
        );
    }
}
