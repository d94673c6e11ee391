//! How long a log of a million records takes to open, and how much memory.
//!
//! `cargo bench -p roadstead-control-plane --bench log [RECORDS]`; the README's table comes from
//! here. It writes about a gigabyte below the folder of the build. What opens runs in a process of
//! its own, so that time and memory are those of opening.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has failed"
)]
#![expect(clippy::print_stdout, reason = "it reports")]

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use roadstead_control_plane::checkpoint::{Dirty, restore};
use roadstead_control_plane::event::{Epoch, Event, Record, Seq, codec};
use roadstead_control_plane::event_log::{
    self, Entry, Options, ReadError, Retention, Writer, spare_checkpoints,
};
use roadstead_control_plane::model::ingress::{
    BackendRef, ClassRef, Ingress, PathRule, PortRef, Rule,
};
use roadstead_control_plane::model::key::{Kind, ObjectKey, Origin};
use roadstead_control_plane::model::object::{Age, Meta, Spec};
use roadstead_control_plane::model::settings::Settings;
use roadstead_control_plane::model::time::Timestamp;
use roadstead_control_plane::project::{Fold, REVISION};
use roadstead_matcher::host::HostPattern;
use roadstead_matcher::path::PathPattern;
use tokio::time::Instant;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|argument| *argument != "--bench")
        .collect();
    match arguments.as_slice() {
        ["open", folder] => open(Path::new(folder)),
        [] => measure(1_000_000),
        [records, ..] => measure(records.parse().unwrap()),
    }
}

/// Writes the log, and opens it: as the process left it that wrote it, then once more.
fn measure(records: u64) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    write(folder.path(), records);
    for what in ["after a long run", "once more"] {
        println!("{what}:");
        let program = env::current_exe().unwrap();
        let mut opening = Command::new(program);
        opening.arg("open").arg(folder.path());
        assert!(opening.status().unwrap().success());
    }
}

/// As many records as an engine appends over months: 10,000 Ingresses change in turn, and every
/// 10,000 records there is a checkpoint, after which those that can be spared go.
fn write(folder: &Path, records: u64) {
    let began = Instant::now();
    let (mut writer, _) = event_log::open(folder, Options::default()).unwrap();
    let mut fold = Fold::default();
    let mut dirty = Dirty::default();
    let mut batch = Vec::new();
    for seq in 1..=records {
        let record = Record {
            seq: Seq(seq),
            epoch: Epoch(1),
            time: Timestamp(0),
            event: event(seq),
        };
        let changed = fold.apply(&record);
        dirty.note(&record, &changed);
        batch.push(Entry {
            seq: record.seq,
            class: record.event.class().into(),
            schema: codec::SCHEMA,
            bytes: codec::encode(&record).unwrap(),
        });
        if batch.len() == 1000 || seq == records {
            writer.append(&batch).unwrap();
            batch.clear();
        }
        if seq % CHECKPOINT_AFTER == 0 {
            let mut draft = writer.begin_checkpoint(Seq(seq)).unwrap();
            let entries = dirty.entries(&fold).map(Result::unwrap);
            writer.add_to_checkpoint(&mut draft, entries).unwrap();
            writer.finish_checkpoint(draft, Seq(seq)).unwrap();
            dirty = Dirty::default();
            spare(&mut writer, Seq(seq));
            writer.refresh().unwrap();
        }
    }
    let bytes = writer.log().bytes_on_disk().unwrap();
    println!(
        "{records} records were written in {:.0?}, and take {} MiB on disk",
        began.elapsed(),
        bytes >> 20
    );
}

/// What the control plane does after a checkpoint while all records are kept.
fn spare(writer: &mut Writer, newest: Seq) {
    let log = writer.log();
    let checkpoints = log.checkpoints().unwrap();
    let checkpoints: Vec<_> = checkpoints.iter().map(|found| found.seq).collect();
    let retention = Retention {
        checkpoints: spare_checkpoints(&checkpoints),
        ..Retention::default()
    };
    if !retention.checkpoints.is_empty() {
        let verified = log.verify(newest).unwrap();
        writer.compact(&retention, verified).unwrap();
    }
}

fn event(seq: u64) -> Event {
    match seq {
        1 => Event::EpochBegan {
            lineage: "bench".into(),
            projection_revision: REVISION,
            binary_version: "bench".into(),
        },
        2 => Event::Configured {
            settings: Settings::default(),
        },
        _ => ingress(seq),
    }
}

fn ingress(seq: u64) -> Event {
    // Not in order of their names, so that pages are met anew.
    let n = seq.wrapping_mul(7_919) % INGRESSES;
    let name: Arc<str> = format!("object-{n}").into();
    let path = |text| PathRule {
        path: PathPattern::element_prefix(text).unwrap(),
        backend: BackendRef {
            service: format!("service-{}", seq % 100).into(),
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
    Event::ObjectAccepted {
        key: ObjectKey {
            origin: Origin::Kubernetes,
            kind: Kind::Ingress,
            namespace: "default".into(),
            name: name.clone(),
        },
        meta: Meta {
            uid: format!("00000000-0000-0000-0000-{n:012}").into(),
            resource_version: seq.to_string().into(),
            age: Age {
                created: Timestamp(0),
                rank: name,
            },
        },
        spec: Spec::Ingress(spec),
    }
}

/// Does what a start does, and says what each part of it cost.
fn open(folder: &Path) {
    let mut cost = Cost::now();
    let (writer, report) = event_log::open(folder, Options::default()).unwrap();
    cost.say("opened");
    let log = writer.log();
    let mut entries = Vec::new();
    let checkpoint = log.read_checkpoint(report.checkpoint.unwrap().seq, |key, value| {
        entries.push((key, value));
        Ok::<_, ReadError>(())
    });
    cost.say("checkpoint read");
    let mut fold = restore(entries).unwrap();
    cost.say("restored");
    for entry in log.read(checkpoint.unwrap().seq.next(), None).unwrap() {
        let entry = entry.unwrap();
        fold.apply(&codec::decode(entry.seq, entry.schema, &entry.bytes).unwrap());
    }
    cost.say("records after it");
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    println!(
        "  {} objects at {}; {}",
        fold.state().objects().count(),
        fold.state().seq(),
        peak.unwrap_or_default()
    );
}

/// Time and CPU time since the last word.
struct Cost {
    wall: Instant,
    cpu: u64,
}

impl Cost {
    fn now() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        // utime and stime, in hundredths of a second.
        let ticks = fields.iter().skip(11).take(2);
        Self {
            wall: Instant::now(),
            cpu: ticks.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum(),
        }
    }

    fn say(&mut self, what: &str) {
        let now = Self::now();
        let wall = now.wall.duration_since(self.wall).as_millis();
        println!("  {what}: {wall} ms, CPU {} ms", now.cpu - self.cpu);
        *self = now;
    }
}

const INGRESSES: u64 = 10_000;
const CHECKPOINT_AFTER: u64 = 10_000;
