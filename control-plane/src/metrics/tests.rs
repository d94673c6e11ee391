use std::collections::BTreeSet;
use std::time::Duration;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;

use crate::event::{Epoch, Event, Record, Seq};
use crate::metrics::engine::EngineMetrics;
use crate::metrics::folder::FolderMetrics;
use crate::metrics::log::LogMetrics;
use crate::metrics::recovery::RecoveryMetrics;
use crate::metrics::secrets::{Call, SecretMetrics};
use crate::metrics::status::StatusMetrics;
use crate::metrics::streams::{End, Refused, Scope, StreamMetrics};
use crate::metrics::watch::WatchMetrics;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::object::{Age, Meta};
use crate::model::refusal::{Reason, Refusal};
use crate::model::time::Timestamp;
use crate::presence::Presence;
use crate::publish::Publisher;

struct Scrape {
    registry: prometheus::Registry,
    _provider: SdkMeterProvider,
    engine: EngineMetrics,
}

impl Scrape {
    /// Every instrument, used once.
    fn of_everything() -> Self {
        let registry = prometheus::Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .without_target_info();
        let reader = exporter.build().unwrap();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let meter = provider.meter("test");
        let publisher = Publisher::new();
        let presence = tokio::sync::watch::Sender::new(Presence::default());

        let log = LogMetrics::new(&meter);
        log.appended(&[refused("a")], Duration::from_millis(2));
        log.size(1);
        log.writable(true);
        let engine = EngineMetrics::new(&meter, publisher.subscribe());
        engine.turned(Duration::from_millis(2));
        engine.published();
        engine.listable(Origin::Folder, Kind::Ingress, true);
        let watch = WatchMetrics::new(&meter);
        watch.list(Kind::Ingress);
        watch.failure(Kind::Ingress, "gone");
        watch.unnamed(Kind::Ingress);
        let folder = FolderMetrics::new(&meter);
        folder.files.record(1, &[]);
        folder.objects.record(1, &[]);
        folder.broken.record(0, &[]);
        folder.reads.add(1, &[]);
        folder.unused.add(1, &[]);
        super::lines_dropped(&meter, || 1);
        let recovery = RecoveryMetrics::new(&meter);
        recovery.wanted(Origin::Folder, 1);
        recovery.stored(Origin::Folder, 1);
        recovery.left_out(Origin::Folder, 0);
        recovery.failure(Origin::Folder, "unavailable");
        StatusMetrics::new(&meter).write("written");
        let streams = StreamMetrics::new(&meter, presence.subscribe(), publisher.subscribe());
        streams.ended(End::Proxy);
        streams.transferred(Scope::Delta, 9);
        streams.acknowledged(Duration::from_millis(2));
        streams.refused();
        streams.differed();
        streams.call_refused(Refused::NoToken);
        let secrets = SecretMetrics::new(&meter, || (1, 1));
        secrets.called(Call::Answered);
        secrets.gave(true);
        Self {
            registry,
            _provider: provider,
            engine,
        }
    }

    fn text(&self) -> String {
        let families = self.registry.gather();
        prometheus::TextEncoder::new()
            .encode_to_string(&families)
            .unwrap()
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey {
        origin: Origin::Kubernetes,
        kind: Kind::Ingress,
        namespace: "default".into(),
        name: name.into(),
    }
}

fn record(event: Event) -> Record {
    Record {
        seq: Seq(1),
        epoch: Epoch(1),
        time: Timestamp(0),
        event,
    }
}

fn refused(name: &str) -> Record {
    record(Event::ObjectRefused {
        key: key(name),
        meta: Meta {
            uid: "u".into(),
            resource_version: "1".into(),
            age: Age {
                created: Timestamp(0),
                rank: "r".into(),
            },
        },
        refusal: Refusal::new(Reason::InvalidHost, "spec", "no host"),
        last_good: None,
    })
}

#[test]
fn the_table_names_every_metric_and_no_other() {
    let mut scrape = Scrape::of_everything();
    scrape.engine.recorded(&refused("a"));
    scrape.engine.holds(&[]);
    let text = scrape.text();
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let exposed: BTreeSet<&str> = names.map(|rest| rest.split(' ').next().unwrap()).collect();
    let table = include_str!("../metrics.rs")
        .lines()
        .filter(|line| line.starts_with("//! | `"));
    let documented: BTreeSet<&str> = table
        .flat_map(|line| line.split('|').nth(1).unwrap().split(','))
        .map(|name| name.trim().trim_matches('`'))
        .collect();
    assert_eq!(exposed, documented);
}

#[test]
fn a_refused_object_counts_until_it_is_accepted_or_gone() {
    let mut scrape = Scrape::of_everything();
    let mut count = |record: Record| {
        scrape.engine.recorded(&record);
        let text = scrape.text();
        let name = "roadstead_objects_refused{kind=\"Ingress\",reason=\"InvalidHost\"} ";
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::to_owned)
    };
    assert_eq!(count(refused("a")).as_deref(), Some("1"));
    assert_eq!(count(refused("a")).as_deref(), Some("1"));
    assert_eq!(count(refused("b")).as_deref(), Some("2"));
    let deleted = |name| record(Event::ObjectDeleted { key: key(name) });
    assert_eq!(count(deleted("a")).as_deref(), Some("1"));
    assert_eq!(count(deleted("b")).as_deref(), Some("0"));
}
