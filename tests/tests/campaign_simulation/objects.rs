//! What users make of the simulated API server: routes, Services and endpoints.

use std::net::{IpAddr, Ipv4Addr};

use roadstead_control_plane::model::endpoints::{Condition, Endpoint, EndpointPort, EndpointSlice};
use roadstead_control_plane::model::ingress::{
    BackendRef, ClassRef, Ingress, PathRule, PortRef, Rule, Tls,
};
use roadstead_control_plane::model::key::{Kind, ObjectKey, Origin};
use roadstead_control_plane::model::object::{Age, Meta, Spec};
use roadstead_control_plane::model::service::{Service, ServicePort, Target};
use roadstead_control_plane::model::settings::{HostOwnership, Obtains, Settings};
use roadstead_control_plane::model::time::Timestamp;
use roadstead_control_plane::observe::Seen;
use roadstead_matcher::host::HostPattern;
use roadstead_matcher::path::PathPattern;

/// The kinds that there are. Of three names that follow each other each is of another.
pub(crate) const KINDS: [Kind; 3] = [Kind::Ingress, Kind::Service, Kind::EndpointSlice];

/// How many names come, change and go.
pub(crate) const NAMES: u64 = 9;

/// Names that come once, and stay as they are: those of a host of their own.
pub(crate) const STAYING: [u64; 3] = [NAMES, NAMES + 1, NAMES + 2];

/// The route of these.
pub(crate) const STAYING_ROUTE: &str = "ingress/a/9";

pub(crate) fn key(name: u64) -> ObjectKey {
    ObjectKey {
        origin: Origin::Kubernetes,
        kind: KINDS[usize::try_from(name % 3).unwrap()],
        namespace: "a".into(),
        name: name.to_string().into(),
    }
}

pub(crate) fn seen(name: u64, (uid, version): (u64, u64)) -> Seen {
    let key = key(name);
    let spec = match key.kind {
        Kind::Ingress => Spec::Ingress(ingress(name, version)),
        Kind::Service => Spec::Service(service()),
        // The Service whose name comes before.
        Kind::EndpointSlice => Spec::EndpointSlice(slice(name - 1, version)),
        Kind::Certificate | Kind::IngressClass | Kind::Secret | Kind::TicketSecret => {
            unreachable!("there are none")
        }
    };
    Seen {
        meta: Meta {
            uid: uid.to_string().into(),
            resource_version: version.to_string().into(),
            age: Age {
                created: Timestamp(i64::try_from(uid).unwrap()),
                rank: name.to_string().into(),
            },
        },
        key,
        spec: Ok(spec),
        bundle: None,
    }
}

/// One of few hosts, so that Ingresses contend, which wants a certificate, and one of the Services.
fn ingress(name: u64, version: u64) -> Ingress {
    let (host, service) = match name < NAMES {
        true => (
            format!("v{}.example", version % 5),
            1 + 3 * (version % (NAMES / 3)),
        ),
        false => (format!("stays-{name}.example"), name + 1),
    };
    let backend = BackendRef {
        service: service.to_string().into(),
        port: PortRef::Number(80),
    };
    let path = PathRule {
        path: PathPattern::element_prefix("/").unwrap(),
        backend,
    };
    let host = HostPattern::parse(&host).unwrap();
    let tls = Tls {
        hosts: vec![host.clone()],
        secret: None,
    };
    let rule = Rule {
        host,
        paths: Some(vec![path]),
    };
    Ingress {
        class: ClassRef::Field("roadstead".into()),
        rules: vec![rule],
        tls: vec![tls],
        ..Ingress::default()
    }
}

fn service() -> Service {
    Service {
        target: Target::Endpoints,
        ports: vec![ServicePort {
            name: "".into(),
            number: 80,
        }],
    }
}

fn slice(service: u64, version: u64) -> EndpointSlice {
    let [.., high, low] = version.to_be_bytes();
    EndpointSlice {
        service: service.to_string().into(),
        ports: vec![EndpointPort {
            name: "".into(),
            number: 8080,
        }],
        endpoints: vec![Endpoint {
            address: IpAddr::V4(Ipv4Addr::new(10, 0, high, low)),
            condition: Condition::Ready,
            uid: "".into(),
        }],
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        host_ownership: HostOwnership::Shared,
        obtains: Some(Obtains::default()),
        ..Settings::default()
    }
}
