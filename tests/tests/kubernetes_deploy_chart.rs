//! The Helm chart, as helm renders it, and what is made from it.
//!
//! The cases are the files of `kubernetes_deploy_chart/`, each of which says in its first line
//! what it shows; the examples that are shipped keep the same rules.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use roadstead_control_plane::config::Config as ControlPlane;
use roadstead_data_plane::config::Config as DataPlane;
use roadstead_tests::deploy::{chart, file, ran, rules, yaml_files};
use serde::Deserialize;
use serde_json::{Value, json};

/// Values, and what comes of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    values: Value,
    #[serde(default)]
    sees: Vec<Sight>,
    /// Objects that there are not.
    #[serde(default)]
    absent: Vec<String>,
    /// What is said to who installs it, in parts, and what is not.
    #[serde(default)]
    told: Vec<String>,
    #[serde(default)]
    untold: Vec<String>,
    /// What helm says when it makes nothing.
    refused: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sight {
    /// An object, as `Kind/name`.
    of: String,
    /// A JSON pointer; left out: the object itself.
    #[serde(default)]
    at: String,
    /// What is there; left out: anything.
    is: Option<Value>,
    /// What the text there holds.
    holds: Option<String>,
}

#[test]
fn the_chart_passes_the_lint() {
    let chart = chart::folder();
    chart::helm(["lint", "--strict", &chart.display().to_string()]).unwrap();
}

#[test]
fn every_case_becomes_what_its_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubernetes_deploy_chart");
    let mut failures = Vec::new();
    for case in yaml_files(Path::new(cases)).unwrap() {
        if let Err(error) = play(&case, folder.path()) {
            failures.push(format!("{}: {error:#}", case.display()));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

fn play(file: &Path, folder: &Path) -> anyhow::Result<()> {
    let case: Case = serde_saphyr::from_str(&fs::read_to_string(file)?)?;
    let values = folder.join("values.yaml");
    fs::write(&values, serde_json::to_string(&case.values)?)?;
    let made = chart::render(&[&values]);
    if let Some(refused) = &case.refused {
        let Err(error) = made else {
            bail!("not refused");
        };
        let said = format!("{error:#}");
        ensure!(said.contains(refused), "refused otherwise: {said}");
        return Ok(());
    }
    let objects = made?;
    rules::check(&objects, folder)?;
    let by_title: BTreeMap<_, _> = objects.iter().map(|o| (chart::title(o), o)).collect();
    for absent in &case.absent {
        ensure!(!by_title.contains_key(absent), "{absent} is there");
    }
    let asked = !case.told.is_empty() || !case.untold.is_empty();
    let notes = asked.then(|| chart::notes(&[&values])).transpose()?;
    let notes = notes.unwrap_or_default();
    for part in &case.told {
        ensure!(
            notes.contains(part),
            "{part:?} is not in the notes: {notes}"
        );
    }
    for part in &case.untold {
        ensure!(!notes.contains(part), "{part:?} is in the notes: {notes}");
    }
    for sight in &case.sees {
        let Sight { of, at, is, holds } = sight;
        let object = by_title.get(of).with_context(|| format!("no {of}"))?;
        let found = object.pointer(at);
        let found = found.with_context(|| format!("{of} has no {at}"))?;
        if let Some(is) = is {
            ensure!(found == is, "{of}{at} is {found}, not {is}");
        }
        if let Some(holds) = holds {
            let held = found.as_str().is_some_and(|text| text.contains(holds));
            ensure!(held, "{of}{at} is {found}");
        }
    }
    Ok(())
}

#[test]
fn only_a_change_that_needs_a_restart_replaces_pods() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("values.yaml");
    let pods_of = |values: Value| {
        fs::write(&file, values.to_string()).unwrap();
        let objects = chart::render(&[&file]).unwrap().into_iter();
        let pods = objects.filter_map(|mut object| {
            let pod = object.pointer_mut("/spec/template")?.take();
            Some((chart::title(&object), pod))
        });
        pods.collect::<BTreeMap<_, _>>()
    };
    let pods = |plane: &str, config: &Value| pods_of(json!({plane: {"config": config}}));
    for (plane, config, replaces) in [
        ("controlPlane", json!({"log": {"level": "debug"}}), false),
        ("controlPlane", json!({"log": {"format": "json"}}), true),
        (
            "controlPlane",
            json!({"deletionGuard": {"percent": 60}}),
            false,
        ),
        ("controlPlane", json!({"hostOwnership": "shared"}), false),
        ("controlPlane", json!({"history": {"records": 5000}}), true),
        ("dataPlane", json!({"log": {"level": "debug"}}), false),
        ("dataPlane", json!({"log": {"format": "json"}}), true),
        ("dataPlane", json!({"acceptLineage": "other"}), false),
        ("dataPlane", json!({"accessLog": "json"}), true),
    ] {
        let before = pods(plane, &json!({}));
        let differ = before != pods(plane, &config);
        assert_eq!(differ, replaces, "{plane} {config}");
    }
    let acme = |pem, hosts: &[&str]| {
        let roots = json!({"pem": pem});
        pods_of(json!({"acme": {"acceptTerms": true, "roots": roots, "onlyFor": hosts}}))
    };
    assert_ne!(acme("one", &[]), acme("other", &[]));
    assert_eq!(acme("one", &[]), acme("one", &["example.com"]));
}

#[test]
fn every_example_keeps_the_rules() {
    let folder = tempfile::tempdir().unwrap();
    for example in yaml_files(&chart::folder().join("examples")).unwrap() {
        let objects = chart::render(&[&example]).unwrap();
        let kept = rules::check(&objects, folder.path());
        kept.with_context(|| example.display().to_string()).unwrap();
    }
}

#[test]
fn the_plain_manifests_are_those_of_the_chart() {
    let drawn = tempfile::tempdir().unwrap();
    ran(Command::new(file("kubernetes/render")).arg(drawn.path())).unwrap();
    let shipped = files(&file("kubernetes"));
    let mut expected = files(drawn.path());
    // The one that is written by hand.
    expected.insert(
        "namespace.yaml".into(),
        shipped[Path::new("namespace.yaml")].clone(),
    );
    let names: BTreeSet<_> = expected.keys().collect();
    assert_eq!(shipped.keys().collect::<BTreeSet<_>>(), names);
    for (name, text) in expected {
        assert!(
            shipped[&name] == text,
            "run deploy/kubernetes/render: {} is not of this chart",
            name.display()
        );
    }
}

#[test]
fn the_image_that_the_kustomization_names_is_that_of_every_container() {
    let image = "registry.example/edge/roadstead";
    let objects = chart::objects(&chart::manifests(image).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let named = |object: &Value| chart::title(object) != "Namespace/roadstead";
    let (objects, namespace): (Vec<_>, Vec<_>) = objects.into_iter().partition(named);
    assert_eq!(namespace.len(), 1);
    rules::check(&objects, folder.path()).unwrap();
    let pods = objects
        .iter()
        .filter_map(|o| o.pointer("/spec/template/spec"));
    let containers = pods.flat_map(|pod| {
        let lists = ["initContainers", "containers"].map(|list| pod[list].as_array());
        lists.into_iter().flatten().flatten()
    });
    let images: Vec<&Value> = containers.map(|container| &container["image"]).collect();
    let chart = fs::read_to_string(chart::folder().join("Chart.yaml")).unwrap();
    let chart: Value = serde_saphyr::from_str(&chart).unwrap();
    let expected = format!("{image}:{}", chart["appVersion"].as_str().unwrap());
    assert_eq!(images, vec![&json!(expected); 3]);
}

fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let files = yaml_files(folder).unwrap().into_iter();
    files
        .map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            (file.file_name().unwrap().into(), text)
        })
        .collect()
}

#[test]
fn the_values_have_each_key_of_the_control_plane_that_the_chart_does_not_set() {
    let of_the_chart = BTreeMap::from([
        (
            "",
            "sources listeners ingressClass certificates acme statusWrites dataFolder grpc admin",
        ),
        ("lease", "name identity address peers"),
        ("access", "authoritySecret authorityConfigMap proxyAccounts"),
    ]);
    let read = |text: &Path| ControlPlane::read(text).err().map(|e| e.to_string());
    keys_agree("controlPlane/properties/config", "", &of_the_chart, read);
}

#[test]
fn the_values_have_each_key_of_the_ca() {
    let read = |text: &Path| ControlPlane::read(text).err().map(|e| e.to_string());
    let zone = |of: &str| format!("acme.dns01.zones[].{of}");
    let (tsig, cloudflare) = (zone("rfc2136.tsig"), zone("cloudflare"));
    let (route53, webhook) = (zone("route53"), zone("webhook"));
    // Of what is secret it knows the file; the chart knows whence that is.
    let of_the_chart = BTreeMap::from([
        ("acme", "proxyPods"),
        ("acme.externalAccount", "keyFile -secret -key"),
        (&*tsig, "secretFile -secret -key"),
        (&*cloudflare, "tokenFile roots -secret -key"),
        (&*route53, "credentialsFile url roots -secret -key"),
        (&*webhook, "authorizationFile roots -secret -key -rootsKey"),
    ]);
    keys_agree("acme", "acme", &of_the_chart, read);
}

#[test]
fn the_values_have_each_key_of_the_data_plane_that_the_chart_does_not_set() {
    let of_the_chart = BTreeMap::from([(
        "",
        "proxy controlPlane stateFolder keysFolder admin handoverSocket",
    )]);
    let read = |text: &Path| DataPlane::read(text).err().map(|e| e.to_string());
    keys_agree("dataPlane/properties/config", "", &of_the_chart, read);
}

/// Compares the schema of values with what a plane says it knows below a key of its file. `of_the_chart`
/// has the keys that the chart sets itself, and behind a `-` those that only it knows.
fn keys_agree(
    values: &str,
    below: &str,
    of_the_chart: &BTreeMap<&str, &str>,
    read: impl Fn(&Path) -> Option<String>,
) {
    let schema = fs::read_to_string(chart::folder().join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let at = format!("/properties/{values}");
    let mut open = vec![(below.to_owned(), schema.pointer(&at).unwrap())];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    while let Some((path, schema)) = open.pop() {
        let properties = schema["properties"].as_object().unwrap();
        let mut of_values: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
        let chart = of_the_chart.get(path.as_str()).copied().unwrap_or_default();
        for key in chart.split_whitespace() {
            match key.strip_prefix('-') {
                Some(key) => of_values.remove(key),
                None => of_values.insert(key),
            };
        }
        // An unknown key is refused with a list of those that are known.
        let nested = path.split('.').filter(|key| !key.is_empty()).rev();
        let text = nested.fold("{noSuchKey: 1}".to_owned(), |inner, key| {
            match key.strip_suffix("[]") {
                Some(key) => format!("{{{key}: [{inner}]}}"),
                None => format!("{{{key}: {inner}}}"),
            }
        });
        fs::write(&file, text).unwrap();
        let said = read(&file).unwrap();
        let (_, known) = said.split_once(", expected ").unwrap();
        let known = known.lines().next().unwrap();
        let known: BTreeSet<&str> = known.trim_start_matches("one of ").split(", ").collect();
        assert_eq!(of_values, known, "{values} {path}: {said}");
        for (key, schema) in properties {
            let file = (path.as_str(), key.as_str()) == ("acme", "roots");
            let below = format!("{path}.{key}").trim_start_matches('.').to_owned();
            let of_each = &schema["items"];
            if schema["properties"].is_object() && !file {
                open.push((below, schema));
            } else if of_each["properties"].is_object() {
                open.push((format!("{below}[]"), of_each));
            }
        }
    }
}
