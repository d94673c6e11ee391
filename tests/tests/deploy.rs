//! What is shipped for a machine without Kubernetes: units for systemd, and a compose file.

#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::Command;

use roadstead_control_plane::config::Config as ControlPlane;
use roadstead_data_plane::config::Config as DataPlane;
use roadstead_tests::deploy::{file, ran};
use serde_json::{Value, json};

#[test]
fn systemd_takes_the_units_and_finds_little_exposed() {
    let folder = tempfile::tempdir().unwrap();
    for unit in [
        "roadstead-control-plane.service",
        "roadstead-data-plane.service",
    ] {
        let text = fs::read_to_string(file("systemd").join(unit)).unwrap();
        // The program need not be installed here.
        let (before, after) = text.split_once("ExecStart=/usr/local/bin/").unwrap();
        let (_, after) = after.split_once(' ').unwrap();
        let copy = folder.path().join(unit);
        fs::write(&copy, format!("{before}ExecStart=/bin/true {after}")).unwrap();
        let mut verify = Command::new("systemd-analyze");
        let output = verify
            .args(["verify", "--man=no"])
            .arg(&copy)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // A key that it does not know is only told.
        assert!(output.status.success() && said.is_empty(), "{unit}: {said}");
        let bound = ["security", "--offline=true", "--threshold=20"];
        ran(Command::new("systemd-analyze").args(bound).arg(&copy)).unwrap();
    }
}

#[test]
fn the_planes_take_the_configuration_that_comes_with_the_units() {
    ControlPlane::read(&file("systemd/control-plane.yaml")).unwrap();
    takes_as_data_plane(&file("systemd/data-plane.yaml"));
}

#[test]
fn the_planes_take_the_configuration_in_the_compose_file() {
    let compose = compose();
    let folder = tempfile::tempdir().unwrap();
    let write = |plane: &str| {
        let content = compose["configs"][plane]["content"].as_str().unwrap();
        let path = folder.path().join(plane);
        fs::write(&path, content).unwrap();
        path
    };
    ControlPlane::read(&write("control-plane")).unwrap();
    takes_as_data_plane(&write("data-plane"));
}

#[test]
fn what_compose_starts_has_no_right_that_it_does_not_need() {
    let compose = compose();
    let services = compose["services"].as_object().unwrap();
    assert_eq!(services.len(), 3);
    for (name, service) in services {
        // `<<` is how YAML says that one is also what another is.
        let of = |key: &str| {
            let own = service.get(key);
            own.unwrap_or_else(|| &compose["x-hardened"][key])
        };
        assert_eq!(of("read_only"), &json!(true), "{name}");
        assert_eq!(of("cap_drop"), &json!(["ALL"]), "{name}");
        // The proxy is not root, and has its one capability by its file: with no new privileges
        // it would have none, and could not open port 80 of the machine.
        let security = match name.as_str() {
            "data-plane" => json!([]),
            _ => json!(["no-new-privileges:true"]),
        };
        assert_eq!(of("security_opt"), &security, "{name}");
        assert_eq!(of("privileged"), &Value::Null, "{name}");
        let rights = match name.as_str() {
            "folders" => json!(["CHOWN", "FOWNER"]),
            "data-plane" => json!(["NET_BIND_SERVICE"]),
            _ => Value::Null,
        };
        assert_eq!(of("cap_add"), &rights, "{name}");
        assert_eq!(of("user").is_null(), name != "folders", "{name}");
    }
}

fn compose() -> Value {
    let text = fs::read_to_string(file("compose/compose.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

fn takes_as_data_plane(path: &Path) {
    DataPlane::read(path).unwrap().finish().unwrap();
}
