//! Certificates in files that the configuration names, as a source of objects.
//!
//! The files are looked at once a second: links are moved about where they are mounted from a
//! Secret, which tells a watch of the file nothing. A chain and its key are two files, and whoever
//! writes them writes one after the other: they are read once they have stood still for a look.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

use crate::config::watch::{Stamp, stamp};
use crate::config::{CertificateFiles, Live};
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::object::{Age, Meta, Spec};
use crate::model::time::Timestamp;
use crate::observe::certificate::{self, MAX_PEM, Problem};
use crate::observe::{Observation, Seen};

/// Reads and follows them until the engine, or who reads the configuration, is gone. Each change of
/// `relist` tells of all of them anew.
pub async fn run(
    mut configured: watch::Receiver<Live>,
    inbox: mpsc::Sender<Observation>,
    mut relist: watch::Receiver<u64>,
) {
    let mut told = None;
    let mut last_look = None;
    loop {
        let named = configured.borrow_and_update().certificates.clone();
        let look = spawn_blocking(move || (Look::at(&named), named));
        let Some(((looked, named), was_late)) = patiently(look, &inbox).await else {
            return;
        };
        // After it was said that they cannot be read all are told of.
        told = told.filter(|_| !was_late);
        let is_new = told
            .as_ref()
            .is_none_or(|told: &Look| !told.is_of_those_of(&looked));
        let is_still = last_look.as_ref() == Some(&looked);
        if is_new || is_still && told.as_ref() != Some(&looked) {
            let read = spawn_blocking(move || Read::of(&named));
            let Some((Read { objects, is_whole }, _)) = patiently(read, &inbox).await else {
                return;
            };
            let listed = Observation::Listed {
                origin: Origin::Configuration,
                kind: Kind::Secret,
                objects,
                unreadable: Vec::new(),
            };
            if inbox.send(listed).await.is_err() {
                return;
            }
            // What could not be read is tried again at each look.
            told = is_whole.then(|| looked.clone());
        }
        let names_any = !looked.0.is_empty();
        last_look = Some(looked);
        tokio::select! {
            () = inbox.closed() => return,
            changed = configured.changed() => if changed.is_err() {
                return;
            },
            changed = relist.changed() => {
                if changed.is_err() {
                    return;
                }
                told = None;
            }
            () = sleep(LOOK), if names_any => {}
        }
    }
}

/// What comes of this work, and whether the disk was late: then that was said meanwhile. None once
/// nobody is there who could be told.
async fn patiently<T>(
    mut work: JoinHandle<T>,
    inbox: &mpsc::Sender<Observation>,
) -> Option<(T, bool)> {
    if let Ok(done) = timeout(PATIENCE, &mut work).await {
        return Some((done.ok()?, false));
    }
    let unlistable = Observation::Unlistable {
        origin: Origin::Configuration,
        kind: Kind::Secret,
        message: format!("the files of certificates were not read within {PATIENCE:?}"),
    };
    inbox.send(unlistable).await.ok()?;
    Some((work.await.ok()?, true))
}

/// What stands in all of the files.
struct Read {
    objects: Vec<Seen>,
    /// None of them was there and could not be read.
    is_whole: bool,
}

impl Read {
    fn of(named: &BTreeMap<Box<str>, CertificateFiles>) -> Self {
        let mut is_whole = true;
        let objects = named.iter().map(|(name, files)| {
            let chain = content(&files.certificate_file);
            let key = content(&files.key_file);
            is_whole &= chain.is_ok() && key.is_ok();
            seen(name, chain, key)
        });
        Self {
            objects: objects.collect(),
            is_whole,
        }
    }
}

/// What tells what stands in the files now from what stood there before.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look(BTreeMap<Box<str>, (CertificateFiles, [Option<Stamp>; 2])>);

impl Look {
    fn at(named: &BTreeMap<Box<str>, CertificateFiles>) -> Self {
        let looked = named.iter().map(|(name, files)| {
            let stamps = [&files.certificate_file, &files.key_file].map(|path| stamp(path));
            (name.clone(), (files.clone(), stamps))
        });
        Self(looked.collect())
    }

    /// Whether the other is of the same files.
    fn is_of_those_of(&self, other: &Self) -> bool {
        self.files().eq(other.files())
    }

    fn files(&self) -> impl Iterator<Item = (&str, &CertificateFiles)> {
        let all = self.0.iter();
        all.map(|(name, (files, _))| (&**name, files))
    }
}

/// What stands in two of them.
fn seen(name: &str, chain: Result<Vec<u8>, String>, key: Result<Vec<u8>, String>) -> Seen {
    let read = || {
        let chain = chain.map_err(Problem::Chain)?;
        let key = key.map_err(Problem::Key)?;
        certificate::read(&chain, &key)
    };
    let (spec, bundle, version) = match read() {
        Ok((certificate, bundle)) => {
            let version = bundle.name().to_string();
            (Ok(Spec::Certificate(certificate)), Some(bundle), version)
        }
        Err(problem) => {
            let refusal = problem.refusal(Origin::Configuration);
            (Err(refusal), None, String::new())
        }
    };
    Seen {
        key: ObjectKey {
            name: name.into(),
            ..ObjectKey::before_all(Origin::Configuration, Kind::Secret)
        },
        meta: Meta {
            uid: name.into(),
            resource_version: version.into(),
            age: Age {
                created: Timestamp(0),
                rank: name.into(),
            },
        },
        spec,
        bundle,
    }
}

/// What a file holds, as far as it is looked at.
fn content(path: &Path) -> Result<Vec<u8>, String> {
    let read = || {
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut bytes = Vec::new();
        let most = u64::try_from(MAX_PEM).unwrap_or(u64::MAX).saturating_add(1);
        File::open(path)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let remedy = "put it there, where the control plane may read it";
    read().map_err(|error| format!("{} cannot be read: {error}; {remedy}", path.display()))
}

const LOOK: Duration = Duration::from_secs(1);
/// Of all files together.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
