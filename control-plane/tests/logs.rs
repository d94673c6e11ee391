//! Logs of released schemas: what each holds is still read, and still means the same.
//!
//! `logs/schema-N.log` holds a record a line, as logs of that schema hold it: sequence number,
//! class, bytes, with tabs between. What it folds to is in `schema-N.snap`, and the checkpoint of
//! that in `schema-N.checkpoint`, an entry a line: key and value.
//!
//! What was released never changes. An event, a field or a value that is new is a new schema
//! (`shapes.rs` says whether there is any): raise `codec::SCHEMA`, begin files of that number, with
//! at least one line for each event, and upcast in `event/codec.rs` what can no longer be read as
//! it was. A line that shows more of what the schema has may be added to the newest.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use roadstead_control_plane::checkpoint::{Dirty, restore};
use roadstead_control_plane::event::{Class, Event, Record, Seq, codec};
use roadstead_control_plane::event_log::ClassCode;
use roadstead_control_plane::project::Fold;

/// A line of a log.
struct Line {
    text: String,
    class: u8,
    record: Record,
    bytes: Vec<u8>,
}

fn log(schema: u16) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/logs");
    folder.join(format!("schema-{schema}.log"))
}

fn lines(schema: u16) -> Vec<Line> {
    let text = std::fs::read_to_string(log(schema)).unwrap();
    let line = |text: &str| {
        let parts: Vec<&str> = text.split('\t').collect();
        let [seq, class, bytes] = parts.as_slice() else {
            panic!("three parts: {text}");
        };
        let record = codec::decode(Seq(seq.parse().unwrap()), schema, bytes.as_bytes());
        Line {
            text: text.to_owned(),
            class: class.parse().unwrap(),
            record: record.unwrap_or_else(|error| panic!("{error}: {text}")),
            bytes: bytes.as_bytes().to_vec(),
        }
    };
    text.lines().map(line).collect()
}

#[test]
fn every_released_schema_has_a_log_that_is_read_and_folds_to_the_same() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("logs");
    settings.bind(|| {
        for schema in 1..=codec::SCHEMA {
            let mut fold = Fold::default();
            let mut dirty = Dirty::default();
            for line in lines(schema) {
                let changed = fold.apply(&line.record);
                dirty.note(&line.record, &changed);
            }
            let shown = show(&fold);
            insta::assert_snapshot!(format!("schema-{schema}"), shown);
            let written = written(&fold, &dirty);
            if schema == codec::SCHEMA && lasting(&released(schema)) != lasting(&written) {
                let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schema.checkpoint");
                std::fs::write(&new, written).unwrap();
                panic!(
                    "schema {schema} had another checkpoint: is this a new one? It is in {}",
                    new.display()
                );
            }
            for checkpoint in [written, released(schema)] {
                let restored = restore(entries(&checkpoint)).unwrap();
                assert_eq!(show(&restored), shown, "a checkpoint says otherwise");
            }
        }
    });
}

/// The checkpoint that is written now.
fn written(fold: &Fold, dirty: &Dirty) -> String {
    let mut text = String::new();
    for entry in dirty.entries(fold) {
        if let (key, Some(value)) = entry.unwrap() {
            let [key, value] = [key, value].map(|bytes| String::from_utf8(bytes).unwrap());
            writeln!(text, "{key}\t{value}").unwrap();
        }
    }
    text
}

/// What of a checkpoint is the schema's alone, and no matter of projection and of words: its head,
/// the objects, and which entries there are beside.
fn lasting(checkpoint: &str) -> BTreeSet<&str> {
    let of_schema = |line| str::starts_with(line, ['h', 'o']);
    let lasting = |line| if of_schema(line) { line } else { &line[..1] };
    checkpoint.lines().map(lasting).collect()
}

/// That of a release.
fn released(schema: u16) -> String {
    std::fs::read_to_string(log(schema).with_extension("checkpoint")).unwrap_or_default()
}

fn entries(checkpoint: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let entry = |line: &str| {
        let (key, value) = line.split_once('\t').unwrap();
        (key.into(), value.into())
    };
    checkpoint.lines().map(entry).collect()
}

#[test]
fn the_schema_of_now_is_written_as_its_log_has_it() {
    for line in lines(codec::SCHEMA) {
        let Line { text, class, .. } = &line;
        let written = codec::encode(&line.record).unwrap();
        assert!(
            written == line.bytes,
            "written is {}, but a log has {text}: is this a new schema?",
            String::from_utf8_lossy(&written)
        );
        let code = ClassCode::from(line.record.event.class());
        let classes = [Class::Configuration, Class::Lifecycle, Class::Presence];
        let numbered = classes.get(usize::from(*class) - 1);
        assert_eq!(numbered.copied(), code.known(), "{text}");
    }
}

#[test]
fn the_log_of_the_schema_of_now_has_every_event() {
    let found = lines(codec::SCHEMA);
    let found: BTreeSet<&str> = found.iter().map(|line| known(&line.record.event)).collect();
    assert_eq!(
        found.len(),
        KINDS,
        "add a line for what is not among {found:?}"
    );
}

/// The event's name. A new kind of event does not compile here before it is counted.
fn known(event: &Event) -> &'static str {
    match event {
        Event::EpochBegan { .. }
        | Event::LogInterrupted { .. }
        | Event::Configured { .. }
        | Event::ObjectAccepted { .. }
        | Event::ObjectRefused { .. }
        | Event::ObjectRecovered { .. }
        | Event::ObjectDeleted { .. }
        | Event::DeletionHeld { .. }
        | Event::DeletionConfirmed { .. }
        | Event::DeletionHoldEnded { .. }
        | Event::ClusterRestored { .. }
        | Event::SourcesListed { .. }
        | Event::ProxyJoined { .. }
        | Event::ProxyLeft { .. }
        | Event::FaultBegan { .. }
        | Event::FaultEnded { .. }
        | Event::AcknowledgedByAll { .. } => event.name(),
    }
}

/// As many as [`known`] knows.
const KINDS: usize = 17;

/// All that a fold of records holds, and what it says to proxies.
fn show(fold: &Fold) -> String {
    let mut out = format!("{:#?}\n", fold.state().head());
    for (key, held) in fold.state().objects() {
        writeln!(out, "{key}: {}", serde_json::to_string(held).unwrap()).unwrap();
    }
    writeln!(out, "version {}", fold.snapshot().version()).unwrap();
    // Endpoints are not a matter of records.
    let resources = fold.snapshot().resources().iter();
    for (id, resource) in resources.filter(|(id, _)| !id.is_endpoints()) {
        let hash: String = resource
            .hash
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        writeln!(out, "{} {}: {hash}", id.kind.as_str_name(), id.name).unwrap();
    }
    for (key, standing) in fold.standings() {
        writeln!(out, "{key} stands: {standing:?}").unwrap();
    }
    out
}
