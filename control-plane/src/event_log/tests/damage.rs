//! A torn tail is cut; anything else is refused, with its place.

use super::*;
use crate::event_log::{
    chunks,
    pen::Pen,
    records,
    room::Room,
    store::{Store, Tree},
};

/// Writes to a closed log behind its back.
pub(super) fn tamper(folder: &Path, tamper: impl FnOnce(&mut Pen)) {
    let Options {
        cache_bytes,
        segment_bytes,
        ..
    } = Options::default();
    let sled = folder.join("sled");
    let store = Store::open(&sled, cache_bytes, segment_bytes).unwrap();
    let room = Room::new(&sled.join("db"), 0).unwrap();
    let mut pen = Pen::new(store.into(), room, segment_bytes as u64);
    tamper(&mut pen);
    pen.barrier().unwrap();
}

fn refused(folder: &Path) -> Damage {
    match open(folder, Options::default()) {
        Err(OpenError::Damaged(damage)) => damage,
        other => panic!("{other:?}"),
    }
}

fn log_of_nine(folder: &Path) {
    let (mut writer, _) = start(folder);
    for seq in 1..=9 {
        writer.append(&numbered([seq])).unwrap();
    }
}

#[test]
fn a_batch_that_was_torn_is_cut_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    log_of_nine(folder.path());
    let batch = numbered(10..=13);
    tamper(folder.path(), |pen| {
        records::put(pen, &batch[0], 3).unwrap();
        records::put(pen, &batch[1], 2).unwrap();
        // The last of them torn within itself.
        pen.put(
            Tree::Records,
            &[&12_u64.to_be_bytes()[..], &[0, 0]].concat(),
            &[0, 0, 9, 9],
        )
        .unwrap();
    });
    let (mut writer, report) = start(folder.path());
    let cut = Cut {
        first: Seq(10),
        last: Seq(12),
    };
    assert_eq!((report.cut, report.last), (Some(cut), Some(Seq(9))));
    assert_eq!(all(&writer.log()), numbered(1..=9));
    writer.append(&batch).unwrap();
    drop(writer);
    let (writer, report) = start(folder.path());
    assert_eq!((report.cut, report.last), (None, Some(Seq(13))));
    assert_eq!(all(&writer.log()), numbered(1..=13));
}

#[test]
fn a_first_batch_that_was_torn_leaves_an_empty_log() {
    let folder = tempfile::tempdir().unwrap();
    drop(start(folder.path()));
    tamper(folder.path(), |pen| {
        Retained::store_begin(pen, Seq(7)).unwrap();
        records::put(pen, &numbered([7])[0], 1).unwrap();
    });
    let (mut writer, report) = start(folder.path());
    assert_eq!(report.last, None);
    writer.append(&numbered([1])).unwrap();
}

/// Cutting a torn tail can be cut off in turn, between any two of its steps and in any way that
/// an earlier release did it. It was met in a power cut: the log then refused to open.
#[test]
fn whatever_is_left_of_a_torn_batch_is_cut() {
    let long = entry(12, Class::Configuration, &[7; 13_000]);
    for left in 0..1_u16 << 4 {
        let folder = tempfile::tempdir().unwrap();
        log_of_nine(folder.path());
        tamper(folder.path(), |pen| {
            records::put(pen, &long, 3).unwrap();
            for chunk in (0..4_u16).filter(|chunk| left & 1 << chunk == 0) {
                let key = [&12_u64.to_be_bytes()[..], &chunk.to_be_bytes()].concat();
                pen.remove(Tree::Records, &key).unwrap();
            }
        });
        let (mut writer, report) = start(folder.path());
        let cut = (left > 0).then_some(Cut {
            first: Seq(12),
            last: Seq(12),
        });
        assert_eq!((report.cut, report.last), (cut, Some(Seq(9))), "{left:b}");
        assert_eq!(all(&writer.log()), numbered(1..=9));
        writer.append(&numbered(10..=13)).unwrap();
        drop(writer);
        let (writer, report) = start(folder.path());
        assert_eq!((report.cut, report.last), (None, Some(Seq(13))), "{left:b}");
        assert_eq!(all(&writer.log()), numbered(1..=13));
    }
}

#[test]
fn a_record_that_is_missing_is_named_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    log_of_nine(folder.path());
    tamper(folder.path(), |pen| records::remove(pen, Seq(4)).unwrap());
    let (writer, _) = start(folder.path());
    let mut reader = writer.log().read(Seq(1), None).unwrap();
    match reader.find(Result::is_err) {
        Some(Err(ReadError::Damaged(damage))) => assert_eq!(damage.place, Place::At(Seq(4))),
        other => panic!("{other:?}"),
    }
    assert!(reader.next().is_none());
    assert_eq!(writer.log().read(Seq(5), None).unwrap().count(), 5);
}

#[test]
fn a_record_with_a_wrong_checksum_is_named_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    log_of_nine(folder.path());
    tamper(folder.path(), |pen| {
        let mut stored = frame::encode(&numbered([4])[0], 0);
        *stored.last_mut().unwrap() ^= 1;
        chunks::put(pen, Tree::Records, &4_u64.to_be_bytes(), &stored).unwrap();
    });
    let (writer, _) = start(folder.path());
    let error = writer
        .log()
        .read(Seq(1), None)
        .unwrap()
        .find_map(Result::err)
        .unwrap();
    let message = error.to_string();
    for part in ["checksum", "tree records, at 4", "move this folder away"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn acknowledged_records_missing_at_the_end_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    log_of_nine(folder.path());
    tamper(folder.path(), |pen| records::remove(pen, Seq(9)).unwrap());
    let damage = refused(folder.path());
    assert_eq!(damage.place, Place::At(Seq(9)));
    assert!(damage.what.contains("9 was acknowledged"), "{damage}");
    // It is refused again: nothing was cut.
    assert_eq!(refused(folder.path()), damage);
}

#[test]
fn an_acknowledged_record_that_is_unreadable_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    log_of_nine(folder.path());
    tamper(folder.path(), |pen| {
        let mut stored = frame::encode(&numbered([9])[0], 0);
        stored[1] ^= 1;
        chunks::put(pen, Tree::Records, &9_u64.to_be_bytes(), &stored).unwrap();
    });
    assert_eq!(refused(folder.path()).place, Place::At(Seq(9)));
}

#[test]
fn records_missing_before_a_checkpoint_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    writer.append(&numbered(1..=9)).unwrap();
    writer.checkpoint(Seq(9), []).unwrap();
    drop(writer);
    tamper(folder.path(), |pen| {
        for seq in 8..=9 {
            records::remove(pen, Seq(seq)).unwrap();
        }
    });
    assert_eq!(refused(folder.path()).place, Place::At(Seq(8)));
}

#[test]
fn a_checkpoint_that_is_not_whole_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    writer.append(&numbered(1..=9)).unwrap();
    let changes = [change("a", Some("1")), change("b", Some("2"))];
    writer.checkpoint(Seq(9), changes).unwrap();
    drop(writer);
    tamper(folder.path(), |pen| {
        let key = [&keyed::escape(b"b")[..], &9_u64.to_be_bytes()].concat();
        chunks::remove(pen, Tree::Entries, &key).unwrap();
    });
    let (writer, _) = start(folder.path());
    match writer.log().verify(Seq(9)) {
        Err(ReadError::Damaged(damage)) => assert_eq!(damage.tree, "entries"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn flipped_bits_in_the_file_are_refused_or_named_never_believed() {
    use std::os::unix::fs::FileExt;
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = start(folder.path());
    let long = |seq| entry(seq, Class::Configuration, &[seq as u8; 3000]);
    for seq in 1..=200 {
        writer.append(&[long(seq)]).unwrap();
    }
    drop(writer);
    let db = folder.path().join("sled/db");
    let whole = fs::read(&db).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let mut noticed = 0;
    let spots = 40;
    for spot in 0..spots {
        let _ = fs::remove_dir_all(copy.path().join("sled"));
        fs::create_dir_all(copy.path().join("sled/blobs")).unwrap();
        fs::copy(folder.path().join("mark"), copy.path().join("mark")).unwrap();
        fs::copy(
            folder.path().join("sled/conf"),
            copy.path().join("sled/conf"),
        )
        .unwrap();
        let file = copy.path().join("sled/db");
        fs::write(&file, &whole).unwrap();
        let at = whole.len() * spot / spots + 7;
        let file = fs::File::options().write(true).open(&file).unwrap();
        file.write_all_at(&[whole[at] ^ 4], at as u64).unwrap();
        let read = match open(copy.path(), Options::default()) {
            Ok((writer, _)) => {
                let reader = writer.log().read(Seq(1), None).unwrap();
                reader
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match read {
            Ok(records) => assert_eq!(records, (1..=200).map(long).collect::<Vec<_>>()),
            Err(message) => {
                assert!(message.contains("is damaged"), "{message}");
                noticed += 1;
            }
        }
    }
    assert!(noticed > 0, "some of the bits must have mattered");
}
