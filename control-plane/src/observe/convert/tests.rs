//! Objects in, model or refusal out: what the golden tests, which see only what is served, do not.

use serde_json::{Value, json};

use crate::model::ingress::ClassRef;
use crate::model::key::Origin;
use crate::model::object::Spec;
use crate::model::refusal::Reason;
use crate::observe::Seen;
use crate::observe::convert::{Document, NameError, Place, read};

const KUBERNETES: Place<'static> = Place::Kubernetes;
const FOLDER: Place<'static> = Place::Folder {
    rank: "a.yaml:000000",
    version: "1",
};

fn document(place: Place<'_>, yaml: &str) -> Document {
    let options = serde_saphyr::options! { strict_booleans: true };
    read(
        place,
        &serde_saphyr::from_str_with_options(yaml, options).unwrap(),
    )
}

fn object(place: Place<'_>, yaml: &str) -> Seen {
    match document(place, yaml) {
        Document::Object(seen) => *seen,
        other @ (Document::Foreign | Document::Nameless(_) | Document::Unknown) => {
            panic!("{other:?}\n{yaml}")
        }
    }
}

fn ingress(rest: &str) -> String {
    let head = "apiVersion: networking.k8s.io/v1\nkind: Ingress\n";
    format!("{head}metadata: {{name: a, namespace: n}}\n{rest}")
}

fn path(path: &str) -> String {
    ingress(&format!("spec: {{rules: [{{http: {{paths: [{path}]}}}}]}}"))
}

fn service(spec: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec: {spec}")
}

fn slice(rest: &str) -> String {
    let head = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: e}";
    format!("{head}\n{rest}")
}

#[test]
fn what_is_bad_is_refused_with_its_field() {
    let backend = "backend: {service: {name: s, port: {number: 80}}}";
    let cases = [
        (ingress(""), "spec", Reason::Malformed),
        (ingress("spec: {rules: []}"), "spec", Reason::Malformed),
        (ingress("spec: {ingressClassName: a b, defaultBackend: {service: {name: s, port: {number: 1}}}}"),
            "spec.ingressClassName", Reason::Malformed),
        (ingress("spec: {rules: [{host: a}, {host: 10.0.0.1}]}"), "spec.rules[1].host", Reason::InvalidHost),
        (ingress("spec: {rules: [{host: '*.*.a'}]}"), "spec.rules[0].host", Reason::InvalidHost),
        (ingress("spec: {rules: [{http: {paths: []}}]}"), "spec.rules[0].http.paths", Reason::InvalidPath),
        (path(&format!("{{path: /, {backend}}}")), "spec.rules[0].http.paths[0].pathType", Reason::InvalidPath),
        (path(&format!("{{path: /, pathType: Regex, {backend}}}")), "spec.rules[0].http.paths[0].pathType", Reason::InvalidPath),
        (path(&format!("{{path: a, pathType: Exact, {backend}}}")), "spec.rules[0].http.paths[0].path", Reason::InvalidPath),
        (path(&format!("{{path: /a/../b, pathType: Prefix, {backend}}}")), "spec.rules[0].http.paths[0].path", Reason::InvalidPath),
        (path("{path: /, pathType: Prefix}"), "spec.rules[0].http.paths[0].backend", Reason::InvalidBackend),
        (path("{path: /, pathType: Prefix, backend: {resource: {kind: Bucket, name: b}}}"),
            "spec.rules[0].http.paths[0].backend.resource", Reason::Unsupported),
        (path("{path: /, pathType: Prefix, backend: {service: {name: A/B, port: {number: 1}}}}"),
            "spec.rules[0].http.paths[0].backend.service.name", Reason::InvalidBackend),
        (path("{path: /, pathType: Prefix, backend: {service: {name: s}}}"),
            "spec.rules[0].http.paths[0].backend.service.port", Reason::InvalidBackend),
        (path("{path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 80, name: http}}}}"),
            "spec.rules[0].http.paths[0].backend.service.port", Reason::InvalidBackend),
        (path("{path: /, pathType: Prefix, backend: {service: {name: s, port: {name: '80'}}}}"),
            "spec.rules[0].http.paths[0].backend.service.port", Reason::InvalidBackend),
        (path("{path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 65536}}}}"),
            "spec.rules[0].http.paths[0].backend.service.port", Reason::InvalidBackend),
        (ingress("spec: {rules: {}}"), "", Reason::Malformed),
        ("{apiVersion: extensions/v1beta1, kind: Ingress, metadata: {name: a}}".into(), "apiVersion", Reason::Unsupported),
        ("{apiVersion: discovery.k8s.io/v1beta1, kind: EndpointSlice, metadata: {name: a}}".into(), "apiVersion", Reason::Unsupported),
        (service("{type: Tunnel}"), "spec.type", Reason::Unsupported),
        (service("{type: ExternalName}"), "spec.externalName", Reason::InvalidExternalName),
        (service("{type: ExternalName, externalName: 127.0.0.1}"), "spec.externalName", Reason::InvalidExternalName),
        (service("{type: ExternalName, externalName: '127.1'}"), "spec.externalName", Reason::InvalidExternalName),
        (service("{type: ExternalName, externalName: '0x7f000001'}"), "spec.externalName", Reason::InvalidExternalName),
        (service("{type: ExternalName, externalName: '::1'}"), "spec.externalName", Reason::InvalidExternalName),
        (service("{type: ExternalName, externalName: '*.a.example'}"), "spec.externalName", Reason::InvalidExternalName),
        (service("{ports: [{port: 0}]}"), "spec.ports[0].port", Reason::Malformed),
        (slice("{addressType: FQDN}").replace("{addressType: FQDN}", "addressType: FQDN"), "addressType", Reason::Unsupported),
        (slice("addressType: IPv4\nendpoints: [{addresses: ['::1']}]"), "endpoints[0].addresses[0]", Reason::InvalidEndpoint),
        (slice("addressType: IPv4\nendpoints: [{addresses: [10.0.0.1, 127.0.0.1]}]"), "endpoints[0].addresses[1]", Reason::InvalidEndpoint),
        (slice("addressType: IPv6\nendpoints: [{addresses: ['::ffff:169.254.169.254']}]"), "endpoints[0].addresses[0]", Reason::InvalidEndpoint),
        (slice("addressType: IPv4\nports: [{port: -1}]"), "ports[0].port", Reason::InvalidEndpoint),
        ("{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: a}, spec: {controller: roadstead.dev/ingress-controller, parameters: {kind: K, name: k}}}".into(),
            "spec.parameters", Reason::Unsupported),
    ];
    for (yaml, field, reason) in cases {
        let refusal = object(KUBERNETES, &yaml).spec.expect_err(&yaml);
        assert_eq!((&*refusal.field, refusal.reason), (field, reason), "{yaml}");
        assert!(!refusal.message.is_empty());
    }
}

#[test]
fn a_refused_ingress_says_whose_it_is() {
    let bad = "rules: [{host: 10.0.0.1}]";
    for (yaml, class) in [
        (ingress(&format!("spec: {{{bad}}}")), "Some(Unset)"),
        (
            ingress(&format!("spec: {{ingressClassName: nginx, {bad}}}")),
            "Some(Field(\"nginx\"))",
        ),
        (
            ingress("spec: 7").replace(
                "{name",
                "{annotations: {kubernetes.io/ingress.class: nginx}, name",
            ),
            "Some(Annotation(\"nginx\"))",
        ),
        (ingress("spec: 7"), "None"),
    ] {
        let refusal = object(KUBERNETES, &yaml).spec.unwrap_err();
        assert_eq!(format!("{:?}", refusal.class), class, "{yaml}");
    }
}

/// The API server refuses loopback and link-local addresses, and none of the others.
#[test]
fn a_slice_of_the_cluster_cannot_lead_to_a_clouds_metadata() {
    for (family, address) in [
        ("IPv4", "100.100.100.200"),
        ("IPv4", "168.63.129.16"),
        ("IPv4", "192.0.0.192"),
        ("IPv6", "fd00:ec2::254"),
        ("IPv6", "fd20:ce::254"),
        ("IPv6", "::ffff:100.100.100.200"),
        ("IPv6", "64:ff9b::a9fe:a9fe"),
        ("IPv6", "2002:a9fe:a9fe::"),
    ] {
        let yaml = slice(&format!(
            "addressType: {family}\nendpoints: [{{addresses: ['{address}']}}]"
        ));
        let refusal = object(KUBERNETES, &yaml).spec.unwrap_err();
        assert_eq!(&*refusal.field, "endpoints[0].addresses[0]", "{address}");
        let address: std::net::IpAddr = address.parse().unwrap();
        let message = refusal.message.to_string();
        assert!(message.contains(&address.to_string()), "{message}");
        assert!(message.contains("take it out of the slice"), "{message}");
        assert!(object(FOLDER, &yaml).spec.is_ok(), "{address}");
    }
}

#[test]
fn a_loopback_address_may_stand_in_a_folder() {
    let yaml = slice("addressType: IPv4\nendpoints: [{addresses: [127.0.0.1]}]");
    assert!(object(FOLDER, &yaml).spec.is_ok());
    let any = slice("addressType: IPv4\nendpoints: [{addresses: [0.0.0.0]}]");
    assert!(object(FOLDER, &any).spec.is_err());
}

#[test]
fn what_means_the_same_is_equal() {
    let one = slice(
        "addressType: IPv4\nports: [{name: b, port: 2}, {name: a, port: 1}, {name: u, port: 3, protocol: UDP}]\n\
        endpoints: [{addresses: [10.0.0.2]}, {addresses: [10.0.0.1], conditions: {ready: false, terminating: true}}, \
        {addresses: [10.0.0.1]}, {addresses: [10.0.0.3], conditions: {ready: false}}]",
    );
    let other = slice(
        "addressType: IPv4\nports: [{name: a, port: 1, protocol: TCP}, {name: b, port: 2}]\n\
        endpoints: [{addresses: [10.0.0.1, 10.0.0.2], conditions: {ready: true, terminating: true}}]",
    );
    let (one, other) = (object(KUBERNETES, &one), object(KUBERNETES, &other));
    assert_eq!(one, other);
    assert!(matches!(one.spec, Ok(Spec::EndpointSlice(_))));
}

#[test]
fn identity_and_age_are_those_of_the_place() {
    let yaml = service("{}").replace(
        "{name: s}",
        "{name: s, uid: u, resourceVersion: '7', creationTimestamp: 2026-01-02T03:04:05Z}",
    );
    let seen = object(KUBERNETES, &yaml);
    assert_eq!(seen.key.to_string(), "Service default/s");
    let meta = format!(
        "{} {} {}",
        seen.meta.uid, seen.meta.resource_version, seen.meta.age.created
    );
    assert_eq!(meta, "u 7 2026-01-02T03:04:05.000Z");
    assert_eq!(&*seen.meta.age.rank, "default/s");
    let seen = object(FOLDER, &yaml);
    assert_eq!(seen.key.origin, Origin::Folder);
    assert_eq!(
        (&*seen.meta.uid, seen.meta.age.created.0),
        ("a.yaml:000000", 0)
    );
}

#[test]
fn what_is_not_an_object_of_ours_is_told_apart() {
    for (yaml, expected) in [
        (
            "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}}",
            Document::Foreign,
        ),
        (
            "{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: a}}",
            Document::Foreign,
        ),
        ("{replicas: 3}", Document::Unknown),
        ("[]", Document::Unknown),
        (
            "{apiVersion: v1, kind: Service, metadata: {}}",
            Document::Nameless(NameError::Missing),
        ),
    ] {
        assert_eq!(document(FOLDER, yaml), expected, "{yaml}");
    }
    let slashed = "{apiVersion: v1, kind: Service, metadata: {name: a/b}}";
    assert!(matches!(
        document(FOLDER, slashed),
        Document::Nameless(NameError::Invalid { .. })
    ));
}

#[test]
fn of_an_endless_class_only_so_much_is_kept_that_it_is_none() {
    let long = "ü".repeat(1 << 20);
    let yaml = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: a, namespace: n, \
         annotations: {{kubernetes.io/ingress.class: {long}}}}}\n\
         spec: {{defaultBackend: {{service: {{name: s, port: {{number: 1}}}}}}}}"
    );
    let Ok(Spec::Ingress(ingress)) = object(KUBERNETES, &yaml).spec else {
        panic!("refused");
    };
    let ClassRef::Annotation(class) = ingress.class else {
        panic!("{:?}", ingress.class);
    };
    assert!((254..=256).contains(&class.len()), "{}", class.len());
}

#[test]
fn a_status_says_what_is_there_and_who_set_it() {
    let manager = |name: &str, operation: &str, field: &str| {
        json!({
            "manager": name, "operation": operation,
            "fieldsV1": {"f:status": {"f:loadBalancer": {field: {}}}},
        })
    };
    let published = |managers: Vec<Value>, entries: Value| {
        let ingress = serde_json::from_value(json!({
            "metadata": {"name": "a", "uid": "u", "resourceVersion": "12", "managedFields": managers},
            "status": {"loadBalancer": {"ingress": entries}},
        }));
        super::published(&ingress.unwrap())
    };
    let ours = published(
        vec![
            manager("roadstead", "Apply", "f:ingress"),
            manager("kubectl", "Update", "f:other"),
        ],
        json!([{"ip": "192.0.2.1"}, {"hostname": "lb.example.com"}, {}]),
    );
    let shown: Vec<String> = ours.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["192.0.2.1", "lb.example.com"]);
    assert_eq!((&*ours.uid, ours.resource_version), ("u", 12));
    assert_eq!((ours.ours, ours.others), (true, None));
    let theirs = published(vec![manager("roadstead", "Update", "f:ingress")], json!([]));
    assert_eq!(
        (theirs.ours, theirs.others.as_deref()),
        (false, Some("roadstead"))
    );
    let nobodys = published(vec![], json!(null));
    assert_eq!(
        (nobodys.ours, nobodys.others, nobodys.addresses.len()),
        (false, None, 0)
    );
}
