//! What holds of everything that the chart makes, whatever its values.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use roadstead_control_plane::config::Config as ControlPlane;
use roadstead_data_plane::config::Config as DataPlane;
use serde_json::{Value, json};

use crate::deploy::chart::{NAMESPACE, title};

/// Checks all rules; the folder is for files that the planes are to read.
pub fn check(objects: &[Value], folder: &Path) -> anyhow::Result<()> {
    let titles: BTreeSet<_> = objects.iter().map(title).collect();
    ensure!(titles.len() == objects.len(), "two objects have one name");
    for object in objects {
        of_one(object, folder).with_context(|| title(object))?;
    }
    Ok(())
}

fn of_one(object: &Value, folder: &Path) -> anyhow::Result<()> {
    let kind = text(object, "/kind")?;
    if OF_THE_CLUSTER.contains(&kind) {
        ensure!(
            object.pointer("/metadata/namespace").is_none(),
            "a namespace"
        );
    } else {
        let namespace = text(object, "/metadata/namespace")?;
        let elsewhere = kind == "Role" || kind == "RoleBinding";
        ensure!(namespace == NAMESPACE || elsewhere, "in {namespace}");
    }
    let part_of = text(object, "/metadata/labels/app.kubernetes.io~1part-of")?;
    ensure!(part_of == "roadstead", "part of {part_of}");
    match kind {
        "ConfigMap" => configuration(object, folder),
        "ClusterRole" | "Role" => role(object),
        "Service" => service(object),
        "DaemonSet" | "Deployment" | "StatefulSet" => pods(object),
        _ => Ok(()),
    }
}

/// The planes can use what they are given.
fn configuration(object: &Value, folder: &Path) -> anyhow::Result<()> {
    let name = text(object, "/metadata/name")?;
    let file = folder.join(name);
    fs::write(&file, text(object, "/data/config.yaml")?)?;
    if name.ends_with("-control-plane") {
        ControlPlane::read(&file)?;
    } else {
        let mut config = DataPlane::read(&file)?;
        // As by the pod's environment.
        "node".clone_into(&mut config.proxy);
        config.finish()?;
    }
    Ok(())
}

/// Nobody may do everything.
fn role(object: &Value) -> anyhow::Result<()> {
    for rule in items(object, "/rules") {
        for list in ["/apiGroups", "/resources", "/verbs"] {
            ensure!(!items(rule, list).contains(&json!("*")), "{rule}");
        }
    }
    Ok(())
}

/// An admin port has no authentication: it is never on an address that others are sent to.
fn service(object: &Value) -> anyhow::Result<()> {
    let admin = items(object, "/spec/ports")
        .iter()
        .any(|port| port["name"] == "admin");
    ensure!(
        !admin || at(object, "/spec/clusterIP") == "None",
        "a public admin port"
    );
    Ok(())
}

fn pods(object: &Value) -> anyhow::Result<()> {
    let pod = object.pointer("/spec/template/spec").context("no pod")?;
    let of_pod = &pod["securityContext"];
    ensure!(of_pod["runAsNonRoot"] == true && of_pod["runAsUser"] != 0);
    ensure!(at(of_pod, "/seccompProfile/type") == "RuntimeDefault");
    ensure!(pod.get("hostPID").is_none() && pod.get("hostIPC").is_none());
    let proxy = text(object, "/metadata/name")?.ends_with("-data-plane");
    ensure!(!proxy || pod["automountServiceAccountToken"] == false);
    if pod["hostNetwork"] == true {
        ensure!(pod["dnsPolicy"] == "ClusterFirstWithHostNet");
    }
    for container in items(pod, "/initContainers") {
        ensure!(container["name"] == "folders", "another that is root");
        contained(container)?;
    }
    for container in items(pod, "/containers") {
        contained(container)?;
        ensure!(container["securityContext"].get("runAsUser").is_none());
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            ensure!(container.get(probe).is_some(), "no {probe}");
        }
        let ports = items(container, "/ports");
        let admin = ports.iter().find(|port| port["name"] == "admin");
        ensure!(admin.is_none_or(|port| port.get("hostPort").is_none()));
    }
    Ok(())
}

fn contained(container: &Value) -> anyhow::Result<()> {
    let image = text(container, "/image")?;
    let (_, tag) = image.rsplit_once([':', '@']).context("no tag")?;
    ensure!(!tag.contains('/') && tag != "latest", "{image}");
    let rights = &container["securityContext"];
    ensure!(rights.get("privileged").is_none(), "privileged");
    ensure!(rights["allowPrivilegeEscalation"] == false);
    ensure!(rights["readOnlyRootFilesystem"] == true);
    ensure!(*at(rights, "/capabilities/drop") == json!(["ALL"]));
    for right in items(rights, "/capabilities/add") {
        let known = ["NET_BIND_SERVICE", "CHOWN", "FOWNER"].map(Value::from);
        ensure!(known.contains(right), "{right}");
    }
    for resource in ["/requests/cpu", "/requests/memory", "/limits/memory"] {
        let at = format!("/resources{resource}");
        ensure!(container.pointer(&at).is_some(), "no {at}");
    }
    Ok(())
}

fn at<'a>(of: &'a Value, at: &str) -> &'a Value {
    of.pointer(at).unwrap_or(&Value::Null)
}

fn items<'a>(of: &'a Value, at: &str) -> &'a [Value] {
    let found = of.pointer(at).and_then(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}

fn text<'a>(of: &'a Value, at: &str) -> anyhow::Result<&'a str> {
    match of.pointer(at).and_then(Value::as_str) {
        Some(text) => Ok(text),
        None => bail!("no {at}"),
    }
}

const OF_THE_CLUSTER: [&str; 5] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "IngressClass",
    "PriorityClass",
    "SecurityContextConstraints",
];
