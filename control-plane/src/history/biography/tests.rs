//! What is read of a log in which an object is rarely spoken of.

use super::*;
use crate::event::{Epoch, Event};
use crate::history::archive::{ArchiveError, Records};
use crate::model::key::{Kind, Origin};
use crate::project::Fold;
use crate::versions::Made;

/// Records from one place on; each so manyth is about the object, and all others are about another.
#[derive(Debug)]
struct Rarely {
    oldest: Seq,
    each: u64,
}

impl Archive for Rarely {
    fn oldest(&self) -> Seq {
        self.oldest
    }

    fn fold_before(&self, _: Seq) -> Result<Fold, ArchiveError> {
        panic!("nothing is folded for it");
    }

    fn records(&self, from: Seq, to: Seq, want: Want) -> Result<Records<'_>, ArchiveError> {
        assert!(from >= self.oldest && want == Want::Folded);
        Ok(Box::new((from.0..=to.0).map(|seq| {
            let about = if seq % self.each == 0 { "a" } else { "b" };
            Ok(Record {
                seq: Seq(seq),
                epoch: Epoch(1),
                time: Timestamp(i64::try_from(seq).unwrap()),
                event: Event::ObjectDeleted { key: object(about) },
            })
        })))
    }
}

fn object(name: &str) -> ObjectKey {
    ObjectKey {
        name: name.into(),
        ..ObjectKey::before_all(Origin::Kubernetes, Kind::Certificate)
    }
}

/// All pages from this place on: the numbers of the events of each.
fn pages(archive: &Rarely, before: u64, limit: usize) -> Vec<Vec<u64>> {
    let versions = Versions::default();
    let mut pages = Vec::new();
    let mut before = Some(Seq(before));
    while let Some(from) = before {
        let page = read(archive, &versions, &object("a"), from, limit).unwrap();
        pages.push(page.events.iter().map(|told| told.seq.0).collect());
        before = page.next;
    }
    pages
}

#[test]
fn each_event_is_told_once_and_the_newest_first_whatever_the_size_of_a_page() {
    let archive = Rarely {
        oldest: Seq(1),
        each: 400,
    };
    let all: Vec<u64> = (1..=6).rev().map(|n| n * 400).collect();
    for limit in 1..=7 {
        let pages = pages(&archive, 2_401, limit);
        assert!(pages.iter().all(|page| page.len() <= limit), "{pages:?}");
        assert_eq!(pages.concat(), all, "{limit}");
    }
    // The event at the place itself is of the page before.
    assert_eq!(pages(&archive, 800, 7), [[400]]);
}

#[test]
fn a_page_reads_so_many_records_and_says_where_to_go_on() {
    let archive = Rarely {
        oldest: Seq(1),
        each: 2 * READ,
    };
    let pages = pages(&archive, 4 * READ + 1, 7);
    assert_eq!(pages, [vec![4 * READ], vec![], vec![2 * READ], vec![]]);
}

#[test]
fn what_is_no_longer_retained_is_the_end() {
    let archive = Rarely {
        oldest: Seq(900),
        each: 400,
    };
    assert_eq!(pages(&archive, 2_001, 7), [[2_000, 1_600, 1_200]]);
    assert_eq!(pages(&archive, 900, 7), [[0; 0]]);
    assert_eq!(pages(&archive, 0, 7), [[0; 0]]);
}

#[test]
fn an_event_is_told_with_the_version_that_was_served_after_it() {
    let made = |seq| Made {
        seq: Seq(seq),
        epoch: Epoch(1),
        time: Timestamp(0),
        cause: "a test".into(),
    };
    let archive = Rarely {
        oldest: Seq(1),
        each: 2,
    };
    let versions = Versions::restore([made(3), made(6)], false);
    let told = read(&archive, &versions, &object("a"), Seq(7), 7).unwrap();
    let told = told.events.into_iter().map(|told| {
        let version = told.version.map(|version| version.seq.0);
        (told.time.0, version, told.text)
    });
    let text = || "Certificate a was deleted".to_owned();
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            (6, Some(6), text()),
            (4, Some(3), text()),
            (2, None, text())
        ]
    );
}
