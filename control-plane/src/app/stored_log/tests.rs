//! A log on a disk, over starts that follow a crash and starts that follow an orderly end.

use tempfile::TempDir;

use super::*;
use crate::event::Event;
use crate::event_log::{Options, open};
use crate::model::endpoints::EndpointSlice;
use crate::model::ingress::IngressClass;
use crate::model::key::{Kind, Origin};
use crate::model::object::{Age, Meta};

/// A process: what it restored, and the log that it writes.
struct Process {
    restored: Restored,
    log: StoredLog,
}

impl Process {
    fn start(folder: &TempDir) -> Self {
        let (writer, _) = open(&folder.path().join("log"), Options::default()).unwrap();
        let restored = restore(&writer.log(), Timestamp(0)).unwrap();
        let keep = Keep {
            records: 1000,
            endpoints_millis: 1000,
        };
        let metrics = LogMetrics::new(&opentelemetry::global::meter("test"));
        let log = StoredLog::new(
            writer,
            folder.path().join("keys"),
            Arc::default(),
            keep,
            metrics,
        );
        Self { restored, log }
    }

    fn record(&mut self, event: Event) {
        let record = Record {
            seq: self.restored.fold.state().seq().next(),
            epoch: Epoch(1),
            time: Timestamp(0),
            event,
        };
        self.log.append(std::slice::from_ref(&record)).unwrap();
        self.restored.apply(&record);
    }

    /// What an orderly end does.
    fn end(mut self) {
        let Restored { fold, dirty } = &self.restored;
        let seq = fold.state().seq();
        let entries = dirty.entries(fold);
        let mut entries = entries.map(|entry| entry.map_err(LogError::new));
        self.log.begin_checkpoint(seq).unwrap();
        self.log.add_to_checkpoint(&mut entries).unwrap();
        self.log.finish_checkpoint(seq).unwrap();
    }

    fn held(&self) -> Vec<String> {
        let objects = self.restored.fold.state().objects();
        objects.map(|(key, _)| key.name.to_string()).collect()
    }
}

fn key(name: &str) -> ObjectKey {
    ObjectKey {
        origin: Origin::Kubernetes,
        kind: Kind::IngressClass,
        namespace: "".into(),
        name: name.into(),
    }
}

fn accepted(name: &str) -> Event {
    Event::ObjectAccepted {
        key: key(name),
        meta: Meta {
            uid: "u".into(),
            resource_version: "1".into(),
            age: Age {
                created: Timestamp(0),
                rank: name.into(),
            },
        },
        spec: Spec::IngressClass(IngressClass {
            controller: "c".into(),
            is_default: false,
        }),
    }
}

#[test]
fn a_checkpoint_holds_what_was_recorded_before_a_crash_as_well() {
    let folder = TempDir::new().unwrap();
    let mut process = Process::start(&folder);
    process.record(accepted("deleted-after-a-crash"));
    process.record(accepted("first"));
    process.end();

    let mut process = Process::start(&folder);
    assert_eq!(process.restored.dirty.records(), 0);
    process.record(accepted("before-a-crash"));
    process.record(Event::ObjectDeleted {
        key: key("deleted-after-a-crash"),
    });
    drop(process);

    let mut process = Process::start(&folder);
    assert_eq!(process.restored.dirty.records(), 2);
    process.record(accepted("last"));
    let all = process.held();
    assert_eq!(all, ["before-a-crash", "first", "last"]);
    process.end();

    let process = Process::start(&folder);
    assert_eq!(process.held(), all);
    assert_eq!(process.restored.dirty.records(), 0);
}

#[test]
fn a_start_knows_which_object_the_endpoints_are_of() {
    let folder = TempDir::new().unwrap();
    let key = ObjectKey {
        kind: Kind::EndpointSlice,
        ..key("s")
    };
    let slice = |uid: &str| HeldSlice {
        uid: uid.into(),
        spec: EndpointSlice {
            service: "s".into(),
            ports: vec![],
            endpoints: vec![],
        },
    };
    let mut process = Process::start(&folder);
    let change = SliceChange {
        key: key.clone(),
        slice: Some(slice("one")),
    };
    let changes = BTreeMap::from([(key.clone(), change)]);
    process.log.write_endpoints(&changes, Timestamp(0)).unwrap();
    drop(process);
    let process = Process::start(&folder);
    let slices = process.restored.fold.state().slices();
    assert_eq!(slices.get(&key).map(|held| &**held), Some(&slice("one")));

    // As it was stored before uids were.
    let old = r#"{"service":"s","ports":[],"endpoints":[]}"#;
    let stored = (serde_json::to_vec(&key).unwrap(), Some(old.into()));
    let mut log = process.log;
    log.writer.endpoints_put([stored], Timestamp(1)).unwrap();
    drop(log);
    let process = Process::start(&folder);
    let slices = process.restored.fold.state().slices();
    assert_eq!(slices.get(&key).map(|held| &**held), Some(&slice("")));
}

#[test]
fn an_export_goes_on_behind_a_record_that_it_cannot_read() {
    let folder = TempDir::new().unwrap();
    let mut process = Process::start(&folder);
    process.record(accepted("before"));
    let entry = |seq, schema, bytes: &[u8]| Entry {
        seq: Seq(seq),
        class: Class::Configuration.into(),
        schema,
        bytes: bytes.to_vec(),
    };
    let written = Record {
        seq: Seq(4),
        epoch: Epoch(1),
        time: Timestamp(0),
        event: accepted("after"),
    };
    let strange = [
        entry(2, codec::SCHEMA + 1, b"{}"),
        entry(3, codec::SCHEMA, b"no JSON"),
        entry(4, codec::SCHEMA, &codec::encode(&written).unwrap()),
    ];
    process.log.writer.append(&strange).unwrap();

    let mut lines: Vec<serde_json::Value> = Vec::new();
    export(&process.log.writer.log(), |line| {
        lines.push(serde_json::from_str(line)?);
        Ok(())
    })
    .unwrap();
    let seqs: Vec<_> = lines.iter().map(|line| line["seq"].as_u64()).collect();
    assert_eq!(seqs, [Some(1), Some(2), Some(3), Some(4)]);
    let unreadable: Vec<_> = lines
        .iter()
        .map(|line| line["unreadable"].as_str())
        .collect();
    let [None, Some(newer), Some(malformed), None] = unreadable[..] else {
        panic!("{unreadable:?}");
    };
    assert!(newer.contains("newer release"), "{newer}");
    assert!(malformed.contains("cannot be read"), "{malformed}");
}
