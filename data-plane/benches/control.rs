//! What a start and a change cost the control thread, by the number of hosts.
//!
//! A host is one route with one rule, one upstream and its two endpoints.

use std::{hint::black_box, time::Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use prost::Message;
use roadstead_data_plane::{
    active::{Active, Compiler},
    journal::{Batch, Journal, Mark},
    snapshot::{Held, Key, Told, Transfer, Version},
};
use roadstead_proto::{
    digest::{Digest, resource_hash},
    v1::{self, ResourceType},
};

const SIZES: [usize; 3] = [10, 1_000, 10_000];

fn told(kind: ResourceType, name: &str, body: &impl Message) -> Told {
    let body = body.encode_to_vec();
    Told {
        key: Key::new(kind.into(), name),
        hash: resource_hash(&body, []),
        body: body.into(),
        requires: [].into(),
    }
}

fn service(host: usize) -> String {
    format!("service/team-{}/shop-{host}:http", host % 50)
}

fn route(host: usize, path: &str) -> Told {
    let name = format!("ingress/team-{}/shop-{host}", host % 50);
    let source = v1::Source {
        kind: "Ingress".to_owned(),
        namespace: format!("team-{}", host % 50),
        name: format!("shop-{host}"),
        uid: "0d6f5b1e-7f0c-4a8e-9f55-3e7e2f1d9a10".to_owned(),
    };
    let rule = v1::Rule {
        id: "spec.rules[0].http.paths[0]".to_owned(),
        hostname: format!("shop-{host}.team-{}.example.com", host % 50),
        path: Some(v1::PathMatch {
            kind: v1::path_match::Kind::ElementPrefix.into(),
            value: path.to_owned(),
        }),
        fallback: false,
        backends: vec![v1::Backend {
            upstream: service(host),
            weight: 1,
        }],
        https_port: 0,
    };
    let route = v1::Route {
        source: Some(source),
        listeners: vec![],
        rules: vec![rule],
    };
    told(ResourceType::Route, &name, &route)
}

fn upstream(host: usize) -> Told {
    let upstream = v1::Upstream {
        source: None,
        target: Some(v1::upstream::Target::Discovered(v1::DiscoveredTarget {})),
    };
    told(ResourceType::Upstream, &service(host), &upstream)
}

fn endpoints(host: usize, last: usize) -> Told {
    let endpoint = |index: usize| v1::Endpoint {
        address: format!("10.{}.{}.{index}", host / 250, host % 250),
        port: 8080,
        condition: v1::endpoint::Condition::Ready.into(),
        uid: format!("7d1c2a44-0000-4000-8000-{host:08}{index:04}"),
    };
    let endpoints = v1::Endpoints {
        endpoints: vec![endpoint(1), endpoint(last)],
    };
    told(ResourceType::Endpoints, &service(host), &endpoints)
}

/// A proxy's tables, without threads.
#[derive(Default)]
struct Tables {
    held: Held,
    compiler: Compiler,
    digest: Digest,
    seq: u64,
}

impl Tables {
    fn with_hosts(hosts: usize) -> (Self, Batch) {
        let all = (0..hosts)
            .flat_map(|host| [route(host, "/"), upstream(host), endpoints(host, 2)])
            .collect();
        let mut tables = Self::default();
        let (_, batch) = tables.change(all, &[]);
        (tables, batch)
    }

    fn change(&mut self, changed: Vec<Told>, replaced: &[&Told]) -> (Active, Batch) {
        for told in replaced {
            let Key { kind, name } = &told.key;
            self.digest.remove(*kind, name, &told.hash);
        }
        for told in &changed {
            let Key { kind, name } = &told.key;
            self.digest.insert(*kind, name, &told.hash);
        }
        self.seq += 1;
        let version = Version {
            lineage: "lineage".into(),
            epoch: 1,
            seq: self.seq,
        };
        let transfer = Transfer {
            version: version.clone(),
            endpoints_revision: 0,
            digest: self.digest.clone(),
            replaced: [].into(),
            changed,
            removed: vec![],
            trace_parent: None,
        };
        let Ok(applied) = self.held.apply(transfer) else {
            unreachable!("the digest follows the changes");
        };
        self.compiler.apply(&applied.touched, &self.held);
        let mark = Mark {
            version: version.clone(),
            endpoints_revision: 0,
            fingerprint: self.held.digest().fingerprint(),
        };
        (self.compiler.active(version), Batch::new(applied, mark))
    }
}

/// From a resource's bytes to tables that serve by it.
fn change(c: &mut Criterion) {
    let mut group = c.benchmark_group("change");
    let forms: [(&str, [Told; 2]); 2] = [
        ("route", [route(7, "/"), route(7, "/new")]),
        ("endpoints", [endpoints(7, 2), endpoints(7, 3)]),
    ];
    for hosts in SIZES {
        for (name, [before, after]) in &forms {
            let (mut tables, _) = Tables::with_hosts(hosts);
            let mut forms = (before, after);
            group.bench_function(BenchmarkId::new(*name, hosts), |b| {
                b.iter(|| {
                    forms = (forms.1, forms.0);
                    black_box(tables.change(vec![forms.0.clone()], &[forms.1]))
                });
            });
        }
    }
}

/// From the file to tables that can be served by.
fn warm_start(c: &mut Criterion) {
    let mut group = c.benchmark_group("warm-start");
    group.sample_size(10);
    for hosts in SIZES {
        let Ok(folder) = tempfile::tempdir() else {
            return;
        };
        let (_, batch) = Tables::with_hosts(hosts);
        let Ok((mut journal, _)) = Journal::open(folder.path(), "bench") else {
            return;
        };
        if journal.append(&batch).is_err() {
            return;
        }
        group.bench_function(BenchmarkId::from_parameter(hosts), |b| {
            b.iter_custom(|times| {
                let mut total = std::time::Duration::ZERO;
                for _ in 0..times {
                    let started = now();
                    let kept = Journal::open(folder.path(), "bench").ok().and_then(|o| o.1);
                    let Some(kept) = kept else { continue };
                    let (held, touched) = Held::restore(kept.restored);
                    assert_eq!(held.digest().fingerprint(), kept.fingerprint);
                    let mut compiler = Compiler::default();
                    compiler.apply(&touched, &held);
                    total += started.elapsed();
                    black_box((held, compiler));
                }
                total
            });
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

criterion_group!(benches, change, warm_start);
criterion_main!(benches);
