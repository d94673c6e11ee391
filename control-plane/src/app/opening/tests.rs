//! A log of a later release, on a disk.

use tempfile::TempDir;

use super::*;
use crate::event::codec::{self, SCHEMA};
use crate::event::{Epoch, Event, Record, Seq};
use crate::event_log::Entry;
use crate::identity::{Identity, claim};
use crate::model::time::Timestamp;

fn keys(folder: &TempDir) -> PathBuf {
    folder.path().join("keys")
}

fn opened(folder: &TempDir) -> Opened {
    std::fs::create_dir_all(keys(folder)).unwrap();
    open(folder.path()).unwrap()
}

fn identity(folder: &TempDir, opened: &Opened) -> Identity {
    let head = opened.restored.fold.state().head();
    Identity::find(&keys(folder), &head.lineage, head.epoch).unwrap()
}

/// The first record of a term, as written by a release of this schema.
fn began(seq: u64, identity: &Identity, schema: u16) -> Entry {
    let record = Record {
        seq: Seq(seq),
        epoch: identity.epoch,
        time: Timestamp(0),
        event: Event::EpochBegan {
            lineage: (*identity.lineage).into(),
            projection_revision: 1,
            binary_version: "later".into(),
        },
    };
    Entry {
        seq: record.seq,
        class: record.event.class().into(),
        schema,
        bytes: codec::encode(&record).unwrap(),
    }
}

fn aside(folder: &TempDir) -> PathBuf {
    log_folder(folder.path()).join("aside")
}

#[test]
fn a_log_with_a_record_of_a_newer_release_is_set_aside_and_nothing_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = opened(&folder);
    let before = identity(&folder, &first);
    claim(&keys(&folder), Epoch(7)).unwrap();
    let records = [began(1, &before, SCHEMA), began(2, &before, SCHEMA + 1)];
    first.writer.append(&records).unwrap();
    drop(first);

    let second = opened(&folder);
    assert_eq!(second.restored.fold.state().seq(), Seq(0));
    assert_eq!(second.writer.log().last(), None);
    let after = identity(&folder, &second);
    assert_eq!(after.lineage, before.lineage);
    assert_eq!(after.epoch, Epoch(8));
    drop(second);
    let kept = open_log(&aside(&folder)).unwrap().log();
    let kept: Vec<Entry> = kept
        .read(Seq(1), None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(kept, records);
}

#[test]
fn so_is_one_whose_newest_checkpoint_is_of_a_newer_release() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = opened(&folder);
    let began = began(1, &identity(&folder, &first), SCHEMA);
    first.writer.append(&[began]).unwrap();
    let head = format!("{{\"schema\": {}, \"shape\": \"another\"}}", SCHEMA + 1);
    let entries = [
        (b"h".to_vec(), Some(head.into_bytes())),
        (b"z".to_vec(), Some(b"of a kind that is not known".to_vec())),
    ];
    first.writer.checkpoint(Seq(1), entries).unwrap();
    drop(first);
    assert_eq!(opened(&folder).restored.fold.state().seq(), Seq(0));
    assert!(aside(&folder).exists());
}

#[test]
fn a_log_of_this_release_stays_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = opened(&folder);
    let began = began(1, &identity(&folder, &first), SCHEMA);
    first.writer.append(&[began]).unwrap();
    drop(first);
    assert_eq!(opened(&folder).restored.fold.state().seq(), Seq(1));
    assert!(!aside(&folder).exists());
}
