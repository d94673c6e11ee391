//! Objects as users write them, good and bad: what the API server takes and we refuse.

#![expect(
    clippy::indexing_slicing,
    reason = "of JSON: what is not there is null, or comes to be"
)]

use serde_json::{Value, json};

use super::{Kind, NAMESPACES, Place};
use crate::campaign::random::Random;

/// An object for a place, with a random body.
pub(super) fn object(random: &mut Random, place: &Place, usable: bool) -> Value {
    let Place {
        kind,
        namespace,
        number,
    } = *place;
    let (api, what, mut object) = match kind {
        Kind::Class => (NETWORKING, "IngressClass", class(random, usable)),
        Kind::Ingress => (NETWORKING, "Ingress", ingress(random, usable)),
        Kind::Service => ("v1", "Service", service(random, usable)),
        Kind::Slice => (
            "discovery.k8s.io/v1",
            "EndpointSlice",
            slice(random, number, usable),
        ),
    };
    object["apiVersion"] = json!(api);
    object["kind"] = json!(what);
    object["metadata"]["name"] = json!(format!("{}-{number}", what.to_lowercase()));
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}

fn class(random: &mut Random, usable: bool) -> Value {
    let ours = !usable || !random.one_in(4);
    let mut class = json!({
        "metadata": {},
        "spec": {"controller": if ours { OURS } else { "example.com/other" }},
    });
    if random.one_in(3) {
        let default = "ingressclass.kubernetes.io/is-default-class";
        class["metadata"]["annotations"] = json!({default: "true"});
    }
    if !usable {
        class["spec"]["parameters"] =
            json!({"apiGroup": "k8s.example", "kind": "Any", "name": "any", "scope": "Cluster"});
    }
    class
}

fn ingress(random: &mut Random, usable: bool) -> Value {
    let mut annotations = json!({});
    let mut spec = json!({});
    let class = format!("ingressclass-{}", random.below(4));
    match random.below(8) {
        0..4 => spec["ingressClassName"] = json!("roadstead"),
        4..6 => spec["ingressClassName"] = json!(class),
        6 => annotations["kubernetes.io/ingress.class"] = json!(class),
        _ => {}
    }
    if random.one_in(4) {
        let mut namespaces = NAMESPACES.to_vec();
        random.shuffle(&mut namespaces);
        namespaces.truncate(1 + usize::from(random.one_in(2)));
        annotations[SHARE] = json!(namespaces.join(", "));
    }
    let rules: Vec<Value> = (0..=random.below(3)).map(|_| rule(random)).collect();
    spec["rules"] = json!(rules);
    if random.one_in(5) {
        spec["defaultBackend"] = backend(random);
    }
    if !usable {
        let path = &mut spec["rules"][0]["http"]["paths"][0];
        match random.below(3) {
            0 => path["backend"] = json!({"resource": {"kind": "Bucket", "name": "any"}}),
            1 => annotations[SHARE] = json!("no namespace"),
            _ => {
                path["path"] = json!("/a/../b");
                path["pathType"] = json!("ImplementationSpecific");
            }
        }
    }
    json!({"metadata": {"annotations": annotations}, "spec": spec})
}

fn service(random: &mut Random, usable: bool) -> Value {
    let spec = match random.below(8) {
        _ if !usable => json!({"type": "ExternalName", "externalName": "10.1.2.3"}),
        0..5 => json!({"ports": ports(random)}),
        5 => json!({"clusterIP": "None", "ports": ports(random)}),
        _ => {
            let name = format!("n{}.elsewhere.example", random.below(3));
            json!({"type": "ExternalName", "externalName": name})
        }
    };
    json!({"metadata": {}, "spec": spec})
}

/// A slice's address type cannot change, and goes by its number.
fn slice(random: &mut Random, number: u64, usable: bool) -> Value {
    let family = match number {
        4 => Family::V6,
        5 => Family::Names,
        _ => Family::V4,
    };
    let mut endpoints: Vec<Value> = Vec::new();
    for _ in 0..random.below(4) {
        let host = random.below(6);
        let mut endpoint = json!({"addresses": [family.address(host)]});
        match random.below(6) {
            0 => endpoint["conditions"] = json!({"ready": true}),
            1 => endpoint["conditions"] = json!({"ready": false}),
            2 => {
                endpoint["conditions"] =
                    json!({"ready": false, "serving": true, "terminating": true});
            }
            _ => {}
        }
        if random.one_in(2) {
            endpoint["targetRef"] = json!({
                "kind": "Pod", "name": format!("pod-{host}"), "namespace": "one",
                "uid": format!("00000000-0000-4000-8000-{host:012}"),
            });
        }
        endpoints.push(endpoint);
    }
    if !usable {
        endpoints.push(json!({"addresses": [family.multicast()]}));
    }
    let mut labels = json!({});
    if !random.one_in(8) {
        let service = format!("service-{}", random.below(4));
        labels["kubernetes.io/service-name"] = json!(service);
    }
    let ports: Vec<Value> = [("http", 8080), ("alt", 8081)]
        .iter()
        .filter(|_| !random.one_in(4))
        .map(|(name, port)| json!({"name": name, "port": port}))
        .collect();
    json!({
        "metadata": {"labels": labels},
        "addressType": family.as_str(),
        "endpoints": endpoints,
        "ports": ports,
    })
}

#[derive(Clone, Copy)]
enum Family {
    V4,
    V6,
    /// Of which we serve none.
    Names,
}

impl Family {
    fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
            Self::Names => "FQDN",
        }
    }

    fn address(self, host: u64) -> String {
        match self {
            Self::V4 => format!("10.1.200.{host}"),
            Self::V6 => format!("fd00:2::{host}"),
            Self::Names => format!("n{host}.elsewhere.example"),
        }
    }

    fn multicast(self) -> &'static str {
        match self {
            Self::V4 => "239.1.1.1",
            Self::V6 => "ff02::1",
            Self::Names => "bad.elsewhere.example",
        }
    }
}

fn rule(random: &mut Random) -> Value {
    let host = random.one_of(&HOSTS).copied().unwrap_or_default();
    let paths: Vec<Value> = (0..=random.below(3))
        .map(|_| {
            let (path, kind) = random.one_of(&PATHS).copied().unwrap_or(("/", "Prefix"));
            json!({"path": path, "pathType": kind, "backend": backend(random)})
        })
        .collect();
    let mut rule = json!({"http": {"paths": paths}});
    if !host.is_empty() {
        rule["host"] = json!(host);
    }
    rule
}

fn backend(random: &mut Random) -> Value {
    // One more than there are: a Service that never comes.
    let service = format!("service-{}", random.below(5));
    let ports = [
        json!({"number": 80}),
        json!({"number": 81}),
        json!({"name": "http"}),
        json!({"name": "alt"}),
    ];
    let port = random.one_of(&ports);
    json!({"service": {"name": service, "port": port}})
}

fn ports(random: &mut Random) -> Vec<Value> {
    let mut ports = vec![json!({"name": "http", "port": 80, "protocol": "TCP"})];
    if random.one_in(2) {
        ports.push(json!({"name": "alt", "port": 81, "protocol": "TCP"}));
    }
    if random.one_in(3) {
        ports.push(json!({"name": "dns", "port": 53, "protocol": "UDP"}));
    }
    if random.one_in(4) {
        ports.remove(0);
    }
    if ports.is_empty() {
        ports.push(json!({"name": "alt", "port": 81, "protocol": "TCP"}));
    }
    ports
}

const NETWORKING: &str = "networking.k8s.io/v1";
const OURS: &str = "roadstead.dev/ingress-controller";
const SHARE: &str = "roadstead.dev/share-hosts-with";
const HOSTS: [&str; 6] = [
    "a.history.example",
    "b.history.example",
    "c.history.example",
    "*.history.example",
    "x.a.history.example",
    "",
];
const PATHS: [(&str, &str); 7] = [
    ("/", "Prefix"),
    ("/a", "Prefix"),
    ("/a", "Exact"),
    ("/a/", "Exact"),
    ("/a/b", "Prefix"),
    ("/b", "ImplementationSpecific"),
    ("/", "Exact"),
];
