//! Which installation this is, and which term of it begins.
//!
//! Kept apart from the log, in the folder of keys: a log may be lost or set aside, and the
//! epoch must rise all the same, or proxies would refuse what comes after.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::event::Epoch;

/// An installation, and the term that is to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub lineage: Arc<str>,
    pub epoch: Epoch,
}

/// No term can begin.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{} holds {found:?}, which is no number: write the last epoch into it, or remove it if the log is intact", path.display())]
    Epoch { path: PathBuf, found: String },
    #[error(
        "the log belongs to installation {log}, the folder of keys to {keys}: \
         move away the one that does not belong here"
    )]
    Strangers { log: Box<str>, keys: Box<str> },
    #[error("the system has no random numbers: {0}")]
    Random(getrandom::Error),
}

impl Identity {
    /// The installation, made known to the folder if it is new, and a term above all that the
    /// folder and the log know of. See [`claim`] for when it begins.
    ///
    /// `log_lineage` is empty if the log is.
    pub fn find(folder: &Path, log_lineage: &str, log_epoch: Epoch) -> Result<Self, IdentityError> {
        let lineage = lineage(&folder.join("lineage"), log_lineage)?;
        let last = last_epoch(folder)?;
        let epoch = Epoch(log_epoch.max(last).0.saturating_add(1));
        Ok(Self { lineage, epoch })
    }
}

/// What the folder knows of an installation that keeps its id elsewhere: the id that it had
/// here, and an epoch that its next term must be above.
pub fn remembered(folder: &Path) -> Result<(Option<String>, Epoch), IdentityError> {
    let lineage = read(&folder.join("lineage"))?;
    Ok((lineage, last_epoch(folder)?))
}

/// What tells this replica from all others, made at its first start: it stays what it is as long
/// as its folder, so that one that was started again finds that the Lease is its own.
pub fn replica(data_folder: &Path) -> Result<String, IdentityError> {
    let path = data_folder.join("replica");
    if let Some(known) = read(&path)?.filter(|known| !known.is_empty()) {
        return Ok(known);
    }
    let drawn = random()?;
    write(&path, &drawn)?;
    Ok(drawn)
}

/// An id for a new installation.
pub fn new_lineage() -> Result<String, IdentityError> {
    random()
}

/// Begins a term: no later one will be lower. It is on disk when this returns.
pub fn claim(folder: &Path, epoch: Epoch) -> Result<(), IdentityError> {
    write(&epoch_file(folder), &epoch.to_string())
}

fn last_epoch(folder: &Path) -> Result<Epoch, IdentityError> {
    let path = epoch_file(folder);
    match read(&path)? {
        Some(text) => match text.parse() {
            Ok(epoch) => Ok(Epoch(epoch)),
            Err(_) => Err(IdentityError::Epoch { path, found: text }),
        },
        None => Ok(Epoch(0)),
    }
}

fn epoch_file(folder: &Path) -> PathBuf {
    folder.join("epoch")
}

fn lineage(path: &Path, of_log: &str) -> Result<Arc<str>, IdentityError> {
    match read(path)? {
        Some(keys) if of_log.is_empty() || keys == of_log => Ok(keys.into()),
        Some(keys) => Err(IdentityError::Strangers {
            log: of_log.into(),
            keys: keys.into(),
        }),
        None => {
            let lineage = if of_log.is_empty() {
                random()?
            } else {
                of_log.to_owned()
            };
            write(path, &lineage)?;
            Ok(lineage.into())
        }
    }
}

fn random() -> Result<String, IdentityError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(IdentityError::Random)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

fn read(path: &Path) -> Result<Option<String>, IdentityError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed("read", path, source)),
    }
}

/// Replaces the file: after a power cut there is the old content or the new.
fn write(path: &Path, text: &str) -> Result<(), IdentityError> {
    let aside = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let write = || {
        let mut file = options.open(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, path)?;
        path.parent()
            .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(|source| failed("write", path, source))
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> IdentityError {
    IdentityError::File {
        doing,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(folder: &Path, lineage: &str, epoch: u64) -> Result<(String, u64), IdentityError> {
        let identity = Identity::find(folder, lineage, Epoch(epoch))?;
        claim(folder, identity.epoch)?;
        Ok((identity.lineage.to_string(), identity.epoch.0))
    }

    #[test]
    fn a_term_that_was_not_claimed_did_not_begin() {
        let folder = tempfile::tempdir().unwrap();
        let find = || Identity::find(folder.path(), "", Epoch(0)).unwrap().epoch;
        assert_eq!((find(), find()), (Epoch(1), Epoch(1)));
        claim(folder.path(), Epoch(7)).unwrap();
        assert_eq!(find(), Epoch(8));
    }

    #[test]
    fn the_epoch_rises_above_what_the_folder_and_the_log_know() {
        let folder = tempfile::tempdir().unwrap();
        let (lineage, epoch) = begin(folder.path(), "", 0).unwrap();
        assert_eq!(epoch, 1);
        assert_eq!(
            begin(folder.path(), &lineage, 1).unwrap(),
            (lineage.clone(), 2)
        );
        // The log was lost.
        assert_eq!(begin(folder.path(), "", 0).unwrap(), (lineage.clone(), 3));
        // The log comes from elsewhere, and is ahead.
        assert_eq!(begin(folder.path(), &lineage, 9).unwrap(), (lineage, 10));
    }

    #[test]
    fn a_log_without_its_folder_keeps_its_lineage() {
        let folder = tempfile::tempdir().unwrap();
        let expected = ("abc".to_owned(), 8);
        assert_eq!(begin(folder.path(), "abc", 7).unwrap(), expected);
    }

    #[test]
    fn a_log_of_another_installation_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        begin(folder.path(), "", 0).unwrap();
        let error = begin(folder.path(), "abc", 7).unwrap_err();
        assert!(error.to_string().contains("move away the one"), "{error}");
    }

    #[test]
    fn a_spoilt_epoch_names_its_file_and_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("epoch"), "many").unwrap();
        let error = begin(folder.path(), "", 0).unwrap_err().to_string();
        assert!(error.contains("epoch") && error.contains("many"), "{error}");
    }
}
