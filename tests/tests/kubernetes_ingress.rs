//! Every field and rule of Ingress v1, against a real API server, through to HTTP answers.
//!
//! The cases are the files of `kubernetes_ingress/`, each of which says in its first lines what
//! it shows.

#![cfg(test)]

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, ensure};
use roadstead_tests::{
    sandbox,
    script::{Script, Stage},
};
use tokio::time::Instant;

#[test]
#[expect(clippy::print_stderr, reason = "the figures, shown by tests/run")]
fn every_case_is_answered_as_its_file_says() {
    sandbox::run(async |sandbox| {
        let begun = Instant::now();
        let mut stage = Stage::start(sandbox).await?;
        let started = begun.elapsed();
        let (mut longest, mut failures) = ((Duration::ZERO, String::new()), Vec::new());
        let cases = cases()?;
        for file in &cases {
            let name = file.file_stem().unwrap_or_default().to_string_lossy();
            let begun = Instant::now();
            if let Err(error) = stage.play(&Script::read(file)?).await {
                failures.push(format!("{name}: {error:#}"));
            }
            longest = longest.max((begun.elapsed(), name.into_owned()));
        }
        let all = begun.elapsed();
        let (most, name) = longest;
        eprintln!(
            "{} cases in {all:.1?}, of which {started:.1?} to start; the longest, {name}, {most:.1?}",
            cases.len()
        );
        ensure!(failures.is_empty(), "\n{}", failures.join("\n"));
        Ok(())
    });
}

fn cases() -> anyhow::Result<Vec<PathBuf>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubernetes_ingress");
    let entries = fs::read_dir(folder).context("read the folder of cases")?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    files.sort();
    ensure!(!files.is_empty(), "no cases in {folder}");
    Ok(files)
}
