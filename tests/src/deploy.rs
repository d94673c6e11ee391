//! What is shipped under `deploy/`: the chart as helm renders it, the image, the rights.
//!
//! The programs that do it (helm, buildah) are those that users have; a test sees objects, errors
//! and files.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::program::built::workspace;

pub mod chart;
mod diary;
pub mod image;
pub mod nodes;
pub mod reference;
pub mod rights;
pub mod rules;
pub mod scene;

/// A file or folder of `deploy/`.
pub fn file(name: &str) -> PathBuf {
    workspace().join("deploy").join(name)
}

/// Runs a program to its end; its output, or an error with what it said.
pub fn ran(command: &mut Command) -> anyhow::Result<String> {
    let program = PathBuf::from(command.get_program());
    let output = command.output().with_context(|| {
        let program = program.display();
        format!("start {program}: tests/run installs it and knows where it is")
    })?;
    if !output.status.success() {
        bail!(
            "{} {}: {}",
            program.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The YAML files of a folder, by name.
pub fn yaml_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let is_yaml = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "yaml");
    let mut files: Vec<_> = files.into_iter().filter(is_yaml).collect();
    files.sort();
    anyhow::ensure!(!files.is_empty(), "no YAML in {}", folder.display());
    Ok(files)
}
