//! The image: the last stage of `deploy/Dockerfile`, from the workspace's own binaries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::deploy::{file, ran};
use crate::program::built;

/// As the chart names it.
pub const NAME: &str = "registry.invalid/roadstead:0.1.0";

/// Builds the image in a folder, by buildah and without a registry; the archive that nodes load it
/// from.
pub fn build(folder: &Path) -> anyhow::Result<PathBuf> {
    build_as(folder, NAME)
}

/// The same under another name.
pub fn build_as(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let binaries = built::binary("roadstead-control-plane")?;
    let binaries = binaries.parent().context("a folder of binaries")?;
    let root = folder.join("build");
    ran(Command::new(file("image-root"))
        .arg(root.join("image"))
        .arg(binaries))?;
    // The first stage is not built, and so needs nothing.
    let sources = folder.join("sources");
    fs::create_dir_all(&sources)?;
    let stages = format!("build={}", root.display());
    ran(buildah(folder)
        .args(["bud", "--isolation", "chroot", "--build-context", &stages])
        .args(["--tag", name, "--file"])
        .arg(file("Dockerfile"))
        .arg(&sources))?;
    let archive = folder.join("roadstead.tar");
    let to = format!("docker-archive:{}:{name}", archive.display());
    ran(buildah(folder).args(["push", "--quiet", name, &to]))?;
    Ok(archive)
}

/// With stores of its own: nothing stays on the machine.
fn buildah(folder: &Path) -> Command {
    let mut command = Command::new("buildah");
    command.args(["--storage-driver", "vfs", "--root"]);
    command.arg(folder.join("store"));
    command.arg("--runroot").arg(folder.join("running"));
    command
}

/// What an image says of itself.
pub fn inspect(folder: &Path) -> anyhow::Result<serde_json::Value> {
    let text = ran(buildah(folder).args(["inspect", "--type", "image", NAME]))?;
    Ok(serde_json::from_str(&text)?)
}

/// Its files, as `tar` lists them with their capabilities.
pub fn files(folder: &Path, archive: &Path) -> anyhow::Result<String> {
    let layers = folder.join("layers");
    fs::create_dir_all(&layers)?;
    ran(Command::new("tar")
        .arg("-xf")
        .arg(archive)
        .arg("-C")
        .arg(&layers))?;
    let mut listed = String::new();
    for entry in fs::read_dir(&layers)? {
        let layer = entry?.path();
        if layer.extension().is_some_and(|ending| ending == "tar") {
            let xattrs = ["--xattrs", "--xattrs-include=*", "-tvvf"];
            listed += &ran(Command::new("tar").args(xattrs).arg(layer))?;
        }
    }
    Ok(listed)
}
