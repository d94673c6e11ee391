//! What the pure core costs at 10, 1,000 and 10,000 Ingresses.
//!
//! `cargo bench -p roadstead-control-plane`; the README's table comes from here.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has failed"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use roadstead_control_plane::event::{Epoch, Event, Record, codec};
use roadstead_control_plane::model::endpoints::{Condition, Endpoint, EndpointPort, EndpointSlice};
use roadstead_control_plane::model::ingress::{
    BackendRef, ClassRef, Ingress, PathRule, PortRef, Rule,
};
use roadstead_control_plane::model::key::{Kind, ObjectKey, Origin};
use roadstead_control_plane::model::object::{Age, Meta, Spec};
use roadstead_control_plane::model::service::{Service, ServicePort, Target};
use roadstead_control_plane::model::settings::{Listener, Protocol, Settings};
use roadstead_control_plane::model::time::Timestamp;
use roadstead_control_plane::project::{Fold, REVISION, project_all};
use roadstead_control_plane::snapshot::publication::Publication;
use roadstead_control_plane::state::endpoints::{HeldSlice, SliceChange};
use roadstead_matcher::host::HostPattern;
use roadstead_matcher::path::PathPattern;

const SIZES: [usize; 3] = [10, 1_000, 10_000];

fn object(kind: Kind, n: usize, spec: Spec) -> Event {
    let name: Arc<str> = format!("object-{n}").into();
    Event::ObjectAccepted {
        meta: Meta {
            uid: format!("00000000-0000-0000-0000-{n:012}").into(),
            resource_version: "1".into(),
            age: Age {
                created: Timestamp(0),
                rank: name.clone(),
            },
        },
        key: key(kind, name),
        spec,
    }
}

fn key(kind: Kind, name: Arc<str>) -> ObjectKey {
    ObjectKey {
        origin: Origin::Kubernetes,
        kind,
        namespace: "default".into(),
        name,
    }
}

fn ingress(n: usize, service: usize) -> Event {
    let path = |text| PathRule {
        path: PathPattern::element_prefix(text).unwrap(),
        backend: BackendRef {
            service: format!("object-{service}").into(),
            port: PortRef::Number(80),
        },
    };
    let spec = Ingress {
        class: ClassRef::Field("roadstead".into()),
        rules: vec![Rule {
            host: HostPattern::parse(&format!("host-{n}.example.com")).unwrap(),
            paths: Some(vec![path("/"), path("/api")]),
        }],
        ..Ingress::default()
    };
    object(Kind::Ingress, n, Spec::Ingress(spec))
}

fn service(n: usize) -> Event {
    let spec = Service {
        target: Target::Endpoints,
        ports: vec![ServicePort {
            name: "http".into(),
            number: 80,
        }],
    };
    object(Kind::Service, n, Spec::Service(spec))
}

fn slice(n: usize, address: u32) -> SliceChange {
    let endpoint = Endpoint {
        address: IpAddr::V4(address.into()),
        condition: Condition::Ready,
        uid: "".into(),
    };
    SliceChange {
        key: key(Kind::EndpointSlice, format!("object-{n}").into()),
        slice: Some(HeldSlice {
            uid: format!("slice-{n}").into(),
            spec: EndpointSlice {
                service: format!("object-{n}").into(),
                ports: vec![EndpointPort {
                    name: "http".into(),
                    number: 8080,
                }],
                endpoints: vec![endpoint],
            },
        }),
    }
}

/// A hundredth as many Services as Ingresses.
fn records(size: usize) -> Vec<Record> {
    let listener = Listener::new(80, Protocol::Http);
    let begun = Event::EpochBegan {
        lineage: "bench".into(),
        projection_revision: REVISION,
        binary_version: "bench".into(),
    };
    let configured = Event::Configured {
        settings: Settings {
            listeners: BTreeMap::from([("http".into(), listener)]),
            ..Settings::default()
        },
    };
    let services = size.div_ceil(100);
    let mut events = vec![begun, configured];
    events.extend((0..services).map(service));
    events.extend((0..size).map(|n| ingress(n, n % services)));
    let mut fold = Fold::default();
    events
        .into_iter()
        .map(|event| record(&mut fold, event))
        .collect()
}

fn record(fold: &mut Fold, event: Event) -> Record {
    let record = Record {
        seq: fold.state().seq().next(),
        epoch: Epoch(1),
        time: Timestamp(0),
        event,
    };
    fold.apply(&record);
    record
}

fn folded(size: usize) -> Fold {
    let mut fold = Fold::default();
    for record in records(size) {
        fold.apply(&record);
    }
    for n in 0..size.div_ceil(100) {
        fold.apply_endpoints(slice(n, 0x0a00_0000 + n as u32));
    }
    fold
}

fn core(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("core");
    group.sample_size(10);
    for size in SIZES {
        let records = records(size);
        group.bench_function(BenchmarkId::new("fold all records", size), |bencher| {
            bencher.iter(|| {
                let mut fold = Fold::default();
                for record in &records {
                    black_box(fold.apply(record));
                }
                fold
            });
        });
        let mut fold = folded(size);
        let state = fold.state().clone();
        group.bench_function(BenchmarkId::new("project everything", size), |bencher| {
            bencher.iter_batched(|| state.clone(), project_all, BatchSize::LargeInput);
        });
        let mut publication = Publication::default();
        let mut turn = 0;
        group.bench_function(
            BenchmarkId::new("one route: fold, project, publish, delta", size),
            |bencher| {
                bencher.iter(|| {
                    turn += 1;
                    let services = size.div_ceil(100);
                    let record = Record {
                        seq: fold.state().seq().next(),
                        epoch: Epoch(1),
                        time: Timestamp(0),
                        event: ingress(size / 2, turn % services.max(2)),
                    };
                    black_box(codec::encode(&record).unwrap());
                    let before = publication.number();
                    let changed = fold.apply(&record);
                    publication = publication.succeed(
                        "bench".into(),
                        fold.snapshot().clone(),
                        changed.resources.into(),
                    );
                    let delta = publication.changed_since(before).unwrap();
                    black_box(delta.len())
                });
            },
        );
        group.bench_function(
            BenchmarkId::new("one endpoint: fold, project, publish, delta", size),
            |bencher| {
                bencher.iter(|| {
                    turn += 1;
                    let before = publication.number();
                    let changed = fold.apply_endpoints(slice(0, turn as u32));
                    publication = publication.succeed(
                        "bench".into(),
                        fold.snapshot().clone(),
                        changed.resources.into(),
                    );
                    let delta = publication.changed_since(before).unwrap();
                    black_box(delta.len())
                });
            },
        );
    }
    group.finish();
}

criterion_group!(benches, core);
criterion_main!(benches);
