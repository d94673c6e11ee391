//! What a disk may hold after a power cut, if only fsync is a barrier.
//!
//! Apart from the history it is made from. What was not fsynced is lost, kept, torn at the
//! borders of sectors or kept in another order, each file and each name for itself: a sector
//! holds what it held at any moment since the last fsync, a length is any that it had, and a
//! name is as it was before or after any change. A rename is one change: it happened or not.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::disk::{ContentChange, Disk, Kind, NameChange, Node, ROOT};
use crate::campaign::random::Random;

/// Writes what is left of a disk, if its power is cut at a time, into an empty folder.
pub fn write(disk: &Disk, cut: u64, random: &mut Random, folder: &Path) -> anyhow::Result<()> {
    let names = names(disk, cut, random);
    let mut paths = BTreeMap::from([(ROOT, folder.to_owned())]);
    let mut open = vec![ROOT];
    while let Some(parent) = open.pop() {
        let above: PathBuf = paths.get(&parent).context("a folder")?.clone();
        for ((_, name), node) in names.iter().filter(|((folder, _), _)| *folder == parent) {
            let path = above.join(name);
            let Some(found) = disk.nodes.get(*node) else {
                continue;
            };
            match &found.kind {
                Kind::Folder => {
                    fs::create_dir(&path)?;
                    paths.insert(*node, path);
                    open.push(*node);
                }
                Kind::Link(target) => symlink(target, &path)?,
                Kind::File => fs::write(&path, content(disk, *node, found, cut, random))?,
            }
        }
    }
    Ok(())
}

/// The names that are left.
fn names(disk: &Disk, cut: u64, random: &mut Random) -> BTreeMap<(usize, String), usize> {
    let mut names = BTreeMap::new();
    let mut lost: BTreeSet<&(usize, String)> = BTreeSet::new();
    // Mostly lost, mostly kept, or evenly mixed.
    let chances = [1, 2, 8];
    let kept_of_eight = chances.get(random.below(3) as usize).copied().unwrap_or(1);
    for change in disk
        .renames
        .iter()
        .filter(|change| change.span.begun <= cut)
    {
        let NameChange {
            span,
            takes,
            gives,
            node,
        } = change;
        // The folder that gets a name, or else the one that loses it.
        let folder = gives.as_ref().or(takes.as_ref()).map(|(folder, _)| *folder);
        let durable = disk.is_durable(*span, folder.as_slice(), cut);
        // What builds on a lost change is lost with it.
        let builds_on_lost = takes.iter().chain(gives).any(|name| lost.contains(name));
        if !durable && (builds_on_lost || random.below(8) >= kept_of_eight) {
            lost.extend(takes.iter().chain(gives));
            continue;
        }
        if let Some(name) = takes {
            names.remove(name);
        }
        if let Some(name) = gives {
            names.insert(name.clone(), *node);
        }
    }
    names
}

/// What is left of a file.
fn content(disk: &Disk, node: usize, file: &Node, cut: u64, random: &mut Random) -> Vec<u8> {
    let mut content = Vec::new();
    let mut pending = Vec::new();
    for (span, change) in file.changes.iter().filter(|(span, _)| span.begun <= cut) {
        // What comes after something pending is not durable before it: one fsync takes all.
        if disk.is_durable(*span, &[node], cut) {
            change.apply(&mut content);
        } else {
            pending.push(change);
        }
    }
    match random.below(6) {
        0 => {}
        1 => pending.iter().for_each(|change| change.apply(&mut content)),
        2 => {
            let some = random.below(pending.len() as u64 + 1) as usize;
            pending
                .iter()
                .take(some)
                .for_each(|change| change.apply(&mut content));
        }
        3 => tear_and_reorder(&mut content, &pending, random),
        _ => mix_sectors(&mut content, &pending, random),
    }
    content
}

/// Each change is lost, kept, or kept up to some sector.
fn tear_and_reorder(content: &mut Vec<u8>, pending: &[&ContentChange], random: &mut Random) {
    for change in pending {
        match (random.below(3), change) {
            (0, _) => {}
            (1, ContentChange::Write { at, bytes }) => {
                let sectors = bytes.len() as u64 / SECTOR + 1;
                let end = (at / SECTOR + random.below(sectors + 1)) * SECTOR;
                let kept = end.saturating_sub(*at).min(bytes.len() as u64) as usize;
                let bytes = bytes.get(..kept).unwrap_or_default().to_vec();
                ContentChange::Write { at: *at, bytes }.apply(content);
            }
            (_, change) => change.apply(content),
        }
    }
}

/// Each sector holds what it held at some moment, and the length is one that it had.
fn mix_sectors(content: &mut Vec<u8>, pending: &[&ContentChange], random: &mut Random) {
    let lengths = lengths(content, pending);
    let length = lengths.get(random.below(lengths.len() as u64) as usize);
    let longest = lengths.iter().max().copied().unwrap_or(0);
    let sectors = |change: &ContentChange| match change {
        ContentChange::Write { bytes, .. } if bytes.is_empty() => 0..0,
        ContentChange::Write { at, bytes } => {
            at / SECTOR..(at + bytes.len() as u64).div_ceil(SECTOR)
        }
        ContentChange::Truncate(length) => length / SECTOR..longest.div_ceil(SECTOR),
    };
    let mut changes_of: HashMap<u64, u64> = HashMap::new();
    for sector in pending.iter().flat_map(|change| sectors(change)) {
        *changes_of.entry(sector).or_default() += 1;
    }
    let seed = random.number();
    let kept = |sector: u64| {
        let changes = changes_of.get(&sector).copied().unwrap_or(0);
        Random::new(seed ^ sector).below(changes + 1)
    };
    content.resize(longest as usize, 0);
    let mut seen: HashMap<u64, u64> = HashMap::new();
    for change in pending {
        for sector in sectors(change) {
            let seen = seen.entry(sector).or_default();
            *seen += 1;
            if *seen <= kept(sector) {
                apply_to_sector(content, change, sector);
            }
        }
    }
    content.resize(length.copied().unwrap_or(longest) as usize, 0);
}

fn apply_to_sector(content: &mut [u8], change: &ContentChange, sector: u64) {
    let (begin, end) = (sector * SECTOR, (sector + 1) * SECTOR);
    let (from, bytes): (u64, Option<&[u8]>) = match change {
        ContentChange::Write { at, bytes } => {
            let from = begin.max(*at);
            let to = end.min(at + bytes.len() as u64);
            (from, bytes.get((from - at) as usize..(to - at) as usize))
        }
        ContentChange::Truncate(length) => {
            let from = begin.max(*length);
            (from, ZEROS.get(..(end - from) as usize))
        }
    };
    let bytes = bytes.unwrap_or_default();
    let to = (from as usize + bytes.len()).min(content.len());
    if let Some(place) = content.get_mut(from as usize..to) {
        place.copy_from_slice(bytes.get(..place.len()).unwrap_or_default());
    }
}

/// The length at every moment since the last fsync.
fn lengths(content: &[u8], pending: &[&ContentChange]) -> Vec<u64> {
    let mut length = content.len() as u64;
    let mut lengths = vec![length];
    for change in pending {
        length = match change {
            ContentChange::Truncate(length) => *length,
            ContentChange::Write { at, bytes } => length.max(at + bytes.len() as u64),
        };
        lengths.push(length);
    }
    lengths
}

const SECTOR: u64 = 512;
static ZEROS: [u8; SECTOR as usize] = [0; SECTOR as usize];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_log::trace::{Call, What};

    /// A file written, synced, renamed and written again: what can be left of it.
    #[test]
    fn only_what_was_synced_is_sure_and_everything_else_is_met() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |at, byte| What::Write {
            path: path("a"),
            at: Some(at),
            bytes: vec![byte; 1024],
        };
        let what = [
            What::Open {
                path: path("a"),
                create: true,
                truncate: false,
            },
            write(0, 1),
            What::Sync { path: path("a") },
            What::Sync {
                path: folder.path().to_owned(),
            },
            write(0, 2),
            write(512, 3),
            What::Rename {
                from: path("a"),
                to: path("b"),
            },
        ];
        let call = |(at, what)| Call {
            begun: 2 * at,
            ended: Some(2 * at + 1),
            what,
        };
        let calls: Vec<_> = (1_u64..).zip(what).map(call).collect();
        let mut disk = Disk::of(folder.path()).unwrap();
        fs::write(path("b"), [[2; 512], [3; 512], [3; 512]].concat()).unwrap();
        disk.follow(calls).unwrap();

        let mut found = BTreeSet::new();
        for seed in 0..400 {
            let image = tempfile::tempdir().unwrap();
            super::write(&disk, 100, &mut Random::new(seed), image.path()).unwrap();
            let files: Vec<_> = fs::read_dir(image.path())
                .unwrap()
                .map(Result::unwrap)
                .collect();
            assert_eq!(files.len(), 1, "a rename happened or not");
            let content = fs::read(files[0].path()).unwrap();
            let sectors: Vec<_> = content.chunks(512).map(|sector| sector[0]).collect();
            assert!(
                content
                    .chunks(512)
                    .all(|sector| sector.iter().all(|byte| *byte == sector[0]))
            );
            found.insert((files[0].file_name().into_string().unwrap(), sectors));
        }
        let contents: BTreeSet<_> = found
            .iter()
            .map(|(_, sectors)| sectors.as_slice())
            .collect();
        for expected in [
            &[1, 1][..],
            &[2, 2],
            &[1, 2],
            &[1, 3],
            &[2, 3],
            &[2, 1],
            &[2, 3, 3],
            &[1, 1, 3],
        ] {
            assert!(
                contents.contains(expected),
                "{expected:?} is not in {contents:?}"
            );
        }
        assert!(
            contents
                .iter()
                .all(|sectors| sectors.len() >= 2 && sectors[0] != 3)
        );
        assert_eq!(
            found
                .iter()
                .map(|(name, _)| name)
                .collect::<BTreeSet<_>>()
                .len(),
            2
        );
    }
}
