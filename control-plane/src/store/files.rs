//! Files in the folder of keys: what the folder mode has of its own beside the log.
//!
//! No revisions, because one process has this folder: it holds the log's lock.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use crate::model::key::Origin;
use crate::private_file;
use crate::store::{Body, Draft, MAX_BYTES, Store, StoreError};

/// The files of one folder that end in `.json`.
#[derive(Clone, Debug)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// Those of this folder, which is made if it does not exist.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.{EXTENSION}"))
    }
}

impl Store for Files {
    fn origin(&self) -> Origin {
        Origin::Folder
    }

    async fn all(&self) -> Result<Vec<Body>, StoreError> {
        let folder = self.folder.clone();
        blocking("read", &self.folder, move || all(&folder)).await
    }

    async fn one(&self, name: &str) -> Result<Option<Body>, StoreError> {
        let path = self.path(name);
        blocking("read", &self.path(name), move || read(&path)).await
    }

    async fn put(&self, draft: Draft<'_>, over: Option<&str>) -> Result<Box<str>, StoreError> {
        if over.is_none() && self.path(draft.name).exists() {
            return Err(StoreError::Conflict);
        }
        let path = self.path(draft.name);
        let folder = self.folder.clone();
        blocking("write", &self.path(draft.name), move || {
            private_file::make_folder(&folder)?;
            private_file::write(&path, &draft.bytes)
        })
        .await?;
        Ok(Box::default())
    }

    async fn remove(&self, name: &str, _revision: &str) -> Result<(), StoreError> {
        let path = self.path(name);
        blocking("remove", &self.path(name), move || remove(&path)).await
    }

    fn whereabouts(&self) -> String {
        format!("in {}", self.folder.display())
    }

    fn place(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

fn all(folder: &Path) -> io::Result<Vec<Body>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut bodies = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == EXTENSION) {
            bodies.extend(read(&path)?);
        }
        if bodies.len() > MAX_LISTED {
            let most = format!("there are more than {MAX_LISTED} files");
            return Err(io::Error::other(most));
        }
    }
    Ok(bodies)
}

fn read(path: &Path) -> io::Result<Option<Body>> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    // One that is longer is cut, and then is no record.
    let bytes = private_file::read_bytes(path, MAX_BYTES as u64)?;
    Ok(bytes.map(|bytes| Body {
        name: name.into(),
        bytes,
        revision: Box::default(),
    }))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => path
            .parent()
            .map_or(Ok(()), |folder| File::open(folder)?.sync_all()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Files block, so this is done on a thread that may.
async fn blocking<T: Send + 'static>(
    doing: &str,
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let done = spawn_blocking(work).await;
    let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| {
        let path = path.display();
        StoreError::Unavailable(format!("cannot {doing} {path}: {error}"))
    })
}

const EXTENSION: &str = "json";
/// Far more than there are.
const MAX_LISTED: usize = 100_000;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn draft<'a>(name: &'a str, bytes: &str) -> Draft<'a> {
        Draft {
            name,
            about: "an object".into(),
            bytes: bytes.into(),
        }
    }

    #[tokio::test]
    async fn files_are_their_owners_alone_and_listed_as_they_were_written() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("keys/recovery");
        let store = Files::new(folder.clone());
        assert_eq!(store.all().await.unwrap(), []);
        store.put(draft("a", "one"), None).await.unwrap();
        // What nobody knew of is not written over.
        let again = store.put(draft("a", "two"), None).await;
        assert!(matches!(again, Err(StoreError::Conflict)), "{again:?}");
        store.put(draft("a", "two"), Some("")).await.unwrap();
        // What a crash leaves behind.
        fs::write(folder.join("b.draft"), "half").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join("a.json")), 0o600);
        let body = Body {
            name: "a".into(),
            bytes: b"two".to_vec(),
            revision: Box::default(),
        };
        assert_eq!(store.all().await.unwrap(), std::slice::from_ref(&body));
        assert_eq!(store.one("a").await.unwrap(), Some(body));
        for _ in 0..2 {
            store.remove("a", "").await.unwrap();
            assert_eq!(store.one("a").await.unwrap(), None);
        }
        assert_eq!(store.all().await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_used_is_named() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("recovery");
        fs::write(&folder, "no folder").unwrap();
        let store = Files::new(folder.clone());
        let path = folder.display().to_string();
        for error in [
            store.all().await.unwrap_err(),
            store.put(draft("a", "one"), None).await.unwrap_err(),
        ] {
            assert_eq!(error.cause(), "unavailable");
            assert!(error.to_string().contains(&path), "{error}");
        }
    }
}
