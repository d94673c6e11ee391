//! The Helm chart, by helm itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::deploy::{file, ran};

/// The release and the namespace of which the README speaks.
pub const RELEASE: &str = "roadstead";
pub const NAMESPACE: &str = "roadstead";
/// The last release of Kubernetes that the chart permits: helm asks it where no server is.
const KUBERNETES: &str = "1.30.0";

/// What the README has users put their image in place of.
const UNNAMED: &str = "newName: registry.invalid/roadstead";

/// The chart's folder.
pub fn folder() -> PathBuf {
    file("helm/roadstead")
}

/// Runs helm; its output.
pub fn helm<'a>(arguments: impl IntoIterator<Item = &'a str>) -> anyhow::Result<String> {
    ran(Command::new("helm").args(arguments))
}

/// The objects that the chart makes of these files of values.
pub fn render(values: &[&Path]) -> anyhow::Result<Vec<Value>> {
    made_of(&folder(), values, &[])
}

fn made_of(chart: &Path, values: &[&Path], more: &[&str]) -> anyhow::Result<Vec<Value>> {
    let mut command = Command::new("helm");
    command.args(["template", RELEASE]).arg(chart).args(more);
    command.args(["--namespace", NAMESPACE, "--kube-version", KUBERNETES]);
    for file in values {
        command.arg("--values").arg(file);
    }
    objects(&ran(&mut command)?)
}

/// What helm says to who installed the chart with these values: `helm template` leaves it out, and
/// everything else that says it wants a cluster.
pub fn notes(values: &[&Path]) -> anyhow::Result<String> {
    let copy = tempfile::tempdir()?;
    let chart = copy.path().join("roadstead");
    ran(Command::new("cp").arg("-r").arg(folder()).arg(&chart))?;
    let templates = chart.join("templates");
    let notes = fs::read_to_string(templates.join("NOTES.txt"))?;
    let object = format!(
        "{{{{- define \"notes\" }}}}{notes}{{{{ end }}}}\n\
         kind: Notes\n\
         text: {{{{ include \"notes\" . | toJson }}}}\n"
    );
    fs::write(templates.join("notes.yaml"), object)?;
    let objects = made_of(&chart, values, &["--show-only", "templates/notes.yaml"])?;
    let text = objects.first().and_then(|object| object["text"].as_str());
    Ok(text.context("no notes")?.to_owned())
}

/// `helm VERB` of the release.
pub fn release(kubeconfig: &Path, verb: &str, more: &[&str]) -> anyhow::Result<String> {
    of_release(RELEASE, NAMESPACE, kubeconfig, verb, more)
}

/// The same of another, and in another namespace.
pub fn of_release(
    name: &str,
    namespace: &str,
    kubeconfig: &Path,
    verb: &str,
    more: &[&str],
) -> anyhow::Result<String> {
    let mut command = Command::new("helm");
    command.args([verb, name]);
    if verb != "uninstall" {
        command.arg(folder());
    }
    if verb == "install" {
        command.arg("--create-namespace");
    }
    command.args(["--namespace", namespace, "--kubeconfig"]);
    ran(command.arg(kubeconfig).args(more))
}

/// The plain manifests, as `kubectl apply -k` makes them for who named this image in their
/// kustomization.
pub fn manifests(image: &str) -> anyhow::Result<String> {
    let copy = tempfile::tempdir()?;
    let folder = copy.path().join("kubernetes");
    ran(Command::new("cp")
        .arg("-r")
        .arg(file("kubernetes"))
        .arg(&folder))?;
    let kustomization = folder.join("kustomization.yaml");
    let text = fs::read_to_string(&kustomization)?;
    let named = text.replace(UNNAMED, &format!("newName: {image}"));
    ensure!(named != text, "{UNNAMED} is not in the kustomization");
    fs::write(&kustomization, named)?;
    ran(Command::new("kustomize").arg("build").arg(&folder))
}

/// The objects of a stream of YAML documents.
pub fn objects(yaml: &str) -> anyhow::Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).context("read YAML")?;
    Ok(documents
        .into_iter()
        .filter(|object| !object.is_null())
        .collect())
}

/// What an object is called: `Kind/name`, or `Kind/namespace/name` in another namespace.
pub fn title(object: &Value) -> String {
    let text = |at: &str| object.pointer(at).and_then(Value::as_str);
    let (kind, name) = (text("/kind"), text("/metadata/name"));
    let (kind, name) = (kind.unwrap_or("?"), name.unwrap_or("?"));
    match text("/metadata/namespace").filter(|namespace| *namespace != NAMESPACE) {
        Some(namespace) => format!("{kind}/{namespace}/{name}"),
        None => format!("{kind}/{name}"),
    }
}
