//! A small world of objects, in which hosts, paths, Services and classes collide often.

use std::collections::BTreeMap;

use proptest::prelude::*;
use roadstead_control_plane::model::bundle::BundleName;
use roadstead_control_plane::model::certificate::{Certificate, KeyType};
use roadstead_control_plane::model::endpoints::{Condition, Endpoint, EndpointPort, EndpointSlice};
use roadstead_control_plane::model::guard::DeletionGuard;
use roadstead_control_plane::model::ingress::{
    BackendRef, ClassRef, Ingress, IngressClass, PathRule, PortRef, Rule, Tls,
};
use roadstead_control_plane::model::key::{Kind, ObjectKey, Origin};
use roadstead_control_plane::model::object::{Age, Meta, Spec, TicketSecret};
use roadstead_control_plane::model::refusal::{Reason, Refusal};
use roadstead_control_plane::model::service::{Service, ServicePort, Target};
use roadstead_control_plane::model::settings::{Listener, Obtains, Protocol, Settings};
use roadstead_control_plane::model::time::Timestamp;
use roadstead_control_plane::model::tls_policy::{DefaultCertificate, TlsPolicy};
use roadstead_control_plane::observe::{Observation, Seen};
use roadstead_control_plane::project::Fold;
use roadstead_control_plane::state::CONTROLLER;
use roadstead_matcher::host::HostPattern;
use roadstead_matcher::path::PathPattern;

use crate::managed;

/// Something that happens to one object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) key: ObjectKey,
    /// What it is now; `None`: deleted.
    pub(crate) now: Option<(Meta, Result<Spec, Refusal>)>,
}

impl Step {
    pub(crate) fn observation(&self) -> Observation {
        match self.seen() {
            Some(seen) => Observation::Changed(seen),
            None => Observation::Deleted(self.key.clone()),
        }
    }

    pub(crate) fn key(&self) -> &ObjectKey {
        &self.key
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.now, Some((_, Err(_))))
    }

    /// The same, if all classes were ours.
    pub(crate) fn of_our_class(&self) -> Self {
        let mut step = self.clone();
        if let Some((_, Ok(Spec::IngressClass(class)))) = &mut step.now {
            class.controller = CONTROLLER.into();
        }
        step
    }

    pub(crate) fn seen(&self) -> Option<Seen> {
        let (meta, spec) = self.now.clone()?;
        Some(Seen {
            key: self.key.clone(),
            meta,
            spec,
            bundle: None,
        })
    }

    /// The same, of another namespace and with other hosts; cluster-wide objects stay out of it.
    pub(crate) fn elsewhere(&self) -> Self {
        let mut step = self.clone();
        if let Some((_, Ok(Spec::Managed(managed)))) = &mut step.now {
            **managed = managed::at(other(&managed.names[0]), managed.issued.is_some());
        }
        if step.key.kind == Kind::Certificate {
            let host = other(&HostPattern::parse(&step.key.name).unwrap());
            step.key.name = host.to_string().into();
            return step;
        }
        step.key.namespace = format!("other-{}", step.key.namespace).into();
        let in_no_namespace = matches!(step.key.kind, Kind::IngressClass | Kind::TicketSecret);
        if in_no_namespace || step.key.origin == Origin::Configuration {
            step.key.name = format!("other-{}", step.key.name).into();
            step.key.namespace = "".into();
        }
        if let Some((_, Ok(spec))) = &mut step.now {
            match spec {
                Spec::Ingress(ingress) => {
                    ingress.default_backend = None;
                    ingress.class = ClassRef::Annotation("roadstead".into());
                    for rule in &mut ingress.rules {
                        rule.host = other(&rule.host);
                    }
                    for host in ingress.tls.iter_mut().flat_map(|tls| &mut tls.hosts) {
                        *host = other(host);
                    }
                }
                Spec::Certificate(certificate) => {
                    for name in &mut certificate.names {
                        *name = other(name);
                    }
                    certificate.names.sort_unstable();
                }
                Spec::IngressClass(class) => class.is_default = false,
                Spec::EndpointSlice(_)
                | Spec::Managed(_)
                | Spec::Service(_)
                | Spec::TicketSecret(_) => {}
            }
        }
        step
    }

    pub(crate) fn example(origin: Origin) -> Self {
        let ingress = Ingress {
            class: ClassRef::Annotation("roadstead".into()),
            default_backend: Some(backend(0, 0)),
            rules: vec![rule(&format!("{origin}.example"), vec![])],
            ..Ingress::default()
        };
        Self {
            key: key(origin, Kind::Ingress, "a", 0),
            now: Some((meta(0, "a", "0"), Ok(Spec::Ingress(ingress)))),
        }
    }
}

fn other(host: &HostPattern) -> HostPattern {
    let host = format!("{host}.other").replace('*', "x");
    HostPattern::parse(host.trim_start_matches('.')).unwrap()
}

/// `spec.controller` of the classes that are not ours.
pub(crate) const OTHER: &str = "other.example/controller";

pub(crate) fn settings() -> Settings {
    Settings {
        listeners: BTreeMap::from([
            ("http".into(), Listener::new(80, Protocol::Http)),
            (
                "https".into(),
                Listener {
                    tls: TlsPolicy {
                        default_certificate: Some(DefaultCertificate::Secret {
                            namespace: "c".into(),
                            name: "n1".into(),
                        }),
                        ..TlsPolicy::default()
                    },
                    ..Listener::new(443, Protocol::Https)
                },
            ),
        ]),
        // Most laws are about what a list says.
        deletion_guard: DeletionGuard {
            percent: 100,
            at_least: 0,
        },
        obtains: Some(Obtains {
            by_dns: vec![host("example")],
            ..Obtains::default()
        }),
        redirects_to_https: true,
        ..Settings::default()
    }
}

pub(crate) fn refusal() -> Refusal {
    Refusal::new(Reason::InvalidPath, "spec", "is bad")
}

/// Refusals of objects that say, or do not say, whose they are.
fn refusals() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        2 => Just(refusal()),
        1 => Just(refusal().of_class(ClassRef::Field("roadstead".into()))),
        1 => Just(refusal().of_class(ClassRef::Field("other".into()))),
    ]
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..40)
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let namespace = prop::sample::select(vec!["a", "b", "c"]);
    let object = (namespace, 0..4_u8).prop_flat_map(|(namespace, n)| {
        prop_oneof![
            4 => (Just(key(Origin::Kubernetes, Kind::Ingress, namespace, n)), now(namespace, n, ingress())),
            2 => (Just(key(Origin::Kubernetes, Kind::Service, namespace, n)), now(namespace, n, service())),
            2 => (Just(key(Origin::Kubernetes, Kind::EndpointSlice, namespace, n)), now(namespace, n, slice())),
            2 => (Just(key(Origin::Kubernetes, Kind::Secret, namespace, n)), now(namespace, n, certificate())),
            1 => (Just(key(Origin::Configuration, Kind::Secret, "", n)), now("", n, certificate())),
            1 => (Just(key(Origin::Kubernetes, Kind::IngressClass, "", n % 2)), now("", n % 2, class())),
            1 => (Just(key(Origin::Kubernetes, Kind::TicketSecret, "", n)), good(n, ticket_secret(n))),
        ]
    });
    let object = object.prop_map(|(key, now)| Step { key, now });
    prop_oneof![10 => object, 1 => managed::step()]
}

/// What two machines hold of objects that are good now, for comparison: of an object that is
/// refused, a list cannot know the last good version, which passed by unseen, nor which Secrets
/// that of an Ingress, or of those of a class, refers to. And not their resource versions, which are those of the last
/// change that anything is routed on.
pub(crate) fn settle(a: &Fold, b: &Fold) -> (String, String) {
    let of = |fold: &Fold| {
        let state = fold.state();
        let any_refused = state.objects().any(|(key, held)| {
            matches!(key.kind, Kind::Ingress | Kind::IngressClass) && held.refused.is_some()
        });
        let objects: Vec<_> = state
            .objects()
            .filter(|(key, _)| key.kind != Kind::Secret || !any_refused)
            .map(|(key, held)| {
                (
                    key.clone(),
                    held.refused.clone().map(|mut refused| {
                        refused.meta.resource_version = "any".into();
                        refused
                    }),
                    held.good
                        .clone()
                        .filter(|_| held.refused.is_none())
                        .map(|mut good| {
                            good.meta.resource_version = "any".into();
                            good
                        }),
                )
            })
            .collect();
        let refused = |key| fold.state().object(key).is_some();
        let slices = fold.state().slices().iter();
        let slices: BTreeMap<_, _> = slices.filter(|(key, _)| !refused(*key)).collect();
        format!("{objects:#?}{slices:#?}")
    };
    (of(a), of(b))
}

fn key(origin: Origin, kind: Kind, namespace: &str, n: u8) -> ObjectKey {
    ObjectKey {
        origin,
        kind,
        namespace: namespace.into(),
        name: if kind == Kind::IngressClass {
            ["roadstead", "other"][usize::from(n)].into()
        } else {
            format!("n{n}").into()
        },
    }
}

pub(crate) fn meta(created: i64, namespace: &str, name: &str) -> Meta {
    Meta {
        uid: format!("{namespace}-{name}-{created}").into(),
        resource_version: "1".into(),
        age: Age {
            created: Timestamp(created),
            rank: format!("{namespace}/{name}").into(),
        },
    }
}

type Now = Option<(Meta, Result<Spec, Refusal>)>;

fn now(
    namespace: &'static str,
    n: u8,
    spec: impl Strategy<Value = Spec>,
) -> impl Strategy<Value = Now> {
    let spec = prop_oneof![5 => spec.prop_map(Ok), 1 => refusals().prop_map(Err)];
    let now = (0..3_i64, 0..3_u8, spec).prop_map(move |(created, version, spec)| {
        let mut meta = meta(created, namespace, &n.to_string());
        // Of a status or a label, too, on which nothing is routed.
        meta.resource_version = version.to_string().into();
        (meta, spec)
    });
    prop::option::weighted(0.8, now)
}

/// The same of what nobody refuses.
fn good(n: u8, spec: impl Strategy<Value = Spec>) -> impl Strategy<Value = Now> {
    let now = (0..3_i64, spec)
        .prop_map(move |(created, spec)| (meta(created, "", &n.to_string()), Ok(spec)));
    prop::option::weighted(0.8, now)
}

fn ticket_secret(n: u8) -> impl Strategy<Value = Spec> {
    let bundle = BundleName::of(&[n]);
    Just(Spec::TicketSecret(TicketSecret { bundle }))
}

fn ingress() -> impl Strategy<Value = Spec> {
    let host = prop::sample::select(vec!["", "x.example", "x.example", "y.example", "*.example"]);
    let paths = prop::option::weighted(0.8, prop::collection::vec((path(), backend_ref()), 0..3));
    let rule = (host, paths).prop_map(|(host, paths)| {
        let paths = paths.map(|paths| {
            let paths = paths.into_iter();
            paths
                .map(|(path, backend)| PathRule { path, backend })
                .collect()
        });
        Rule {
            host: HostPattern::parse(host).unwrap(),
            paths,
        }
    });
    let class = prop_oneof![
        3 => Just(ClassRef::Annotation("roadstead".into())),
        2 => Just(ClassRef::Field("roadstead".into())),
        1 => Just(ClassRef::Field("other".into())),
        1 => Just(ClassRef::Unset),
    ];
    let shares = prop::sample::subsequence(vec![Box::from("a"), "b".into(), "c".into()], 0..=3);
    let ignored =
        prop::sample::subsequence(vec![Box::from("metadata.annotations[nginx.org/x]")], 0..=1);
    (
        class,
        prop::option::weighted(0.3, backend_ref()),
        prop::collection::vec(rule, 0..3),
        prop::collection::vec(tls(), 0..3),
        shares,
        ignored,
        prop::bool::weighted(0.3),
        any::<Option<bool>>(),
    )
        .prop_map(
            |(
                class,
                default_backend,
                rules,
                tls,
                shares_hosts_with,
                ignored,
                certificates_elsewhere,
                redirects_to_https,
            )| {
                Spec::Ingress(Ingress {
                    class,
                    default_backend,
                    rules,
                    tls,
                    shares_hosts_with,
                    ignored,
                    certificates_elsewhere,
                    redirects_to_https,
                })
            },
        )
}

fn tls() -> impl Strategy<Value = Tls> {
    let hosts = prop::sample::subsequence(HOSTS.to_vec(), 0..=2);
    (hosts, prop::option::weighted(0.8, 0..4_u8)).prop_map(|(hosts, secret)| Tls {
        hosts: hosts.into_iter().map(host).collect(),
        secret: secret.map(|n| format!("n{n}").into()),
    })
}

fn certificate() -> impl Strategy<Value = Spec> {
    let names = prop::sample::subsequence(HOSTS.to_vec(), 0..=3);
    let key_type = prop::sample::select(vec![KeyType::Rsa, KeyType::Ecdsa]);
    (names, key_type, 1..4_i64, any::<[u8; 2]>()).prop_map(|(names, key_type, until, bytes)| {
        let mut names: Vec<HostPattern> = names.into_iter().map(host).collect();
        names.sort_unstable();
        Spec::Certificate(Certificate {
            bundle: BundleName::of(&bytes),
            names,
            key_type,
            not_before: Timestamp(0),
            not_after: Timestamp(until),
            issuer: "CN=issuer".into(),
            serial: "1".into(),
        })
    })
}

fn host(text: &str) -> HostPattern {
    HostPattern::parse(text).unwrap()
}

const HOSTS: [&str; 4] = ["x.example", "y.example", "z.example", "*.example"];

fn rule(host: &str, paths: Vec<PathRule>) -> Rule {
    Rule {
        host: HostPattern::parse(host).unwrap(),
        paths: if paths.is_empty() { None } else { Some(paths) },
    }
}

fn path() -> impl Strategy<Value = PathPattern> {
    prop::sample::select(vec![
        PathPattern::root(),
        PathPattern::exact("/a").unwrap(),
        PathPattern::element_prefix("/a").unwrap(),
        PathPattern::element_prefix("/a/b").unwrap(),
    ])
}

fn backend_ref() -> impl Strategy<Value = BackendRef> {
    (0..4_u8, 0..3_u8).prop_map(|(service, port)| backend(service, port))
}

fn backend(service: u8, port: u8) -> BackendRef {
    BackendRef {
        service: format!("n{service}").into(),
        port: [
            PortRef::Number(80),
            PortRef::Number(81),
            PortRef::Name("web".into()),
        ][usize::from(port)]
        .clone(),
    }
}

fn service() -> impl Strategy<Value = Spec> {
    let target = prop_oneof![
        4 => Just(Target::Endpoints),
        1 => Just(Target::External("out.example".into())),
        1 => Just(Target::Nothing),
    ];
    let ports = prop::sample::subsequence(vec![("web", 80), ("other", 81)], 0..=2);
    (target, ports).prop_map(|(target, ports)| {
        let ports = ports.into_iter().map(|(name, number)| ServicePort {
            name: name.into(),
            number,
        });
        Spec::Service(Service {
            target,
            ports: ports.collect(),
        })
    })
}

fn slice() -> impl Strategy<Value = Spec> {
    let endpoint = (0..4_u8, any::<bool>()).prop_map(|(n, ready)| Endpoint {
        address: [10, 0, 0, n].into(),
        condition: if ready {
            Condition::Ready
        } else {
            Condition::Draining
        },
        uid: format!("pod-{n}").into(),
    });
    (0..4_u8, prop::collection::btree_set(endpoint, 0..4)).prop_map(|(service, endpoints)| {
        Spec::EndpointSlice(EndpointSlice {
            service: format!("n{service}").into(),
            ports: vec![EndpointPort {
                name: "web".into(),
                number: 8080,
            }],
            endpoints: endpoints.into_iter().collect(),
        })
    })
}

fn class() -> impl Strategy<Value = Spec> {
    (any::<bool>(), any::<bool>()).prop_map(|(ours, is_default)| {
        Spec::IngressClass(IngressClass {
            controller: if ours { CONTROLLER } else { OTHER }.into(),
            is_default,
        })
    })
}
