//! Sockets that have a path.
//!
//! Apart, because whoever listens at one takes the path from a process that is gone, and may lose
//! it to another.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

/// A socket that listens at a path.
#[derive(Debug)]
pub struct Listening {
    listener: UnixListener,
    path: PathBuf,
    /// Device and number of its file.
    file: (u64, u64),
}

impl Listening {
    /// Listens at the path, whoever did before, for processes of this user alone. `id` tells this
    /// process from those that do the same now.
    pub fn at(path: &Path, id: &str) -> io::Result<Self> {
        let draft = path.with_extension(id);
        let listener = UnixListener::bind(&draft)?;
        fs::set_permissions(&draft, Permissions::from_mode(0o600))?;
        let file = file(&draft)?;
        // Nobody finds it before it can be used, nor a path where nothing is.
        fs::rename(&draft, path)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            file,
        })
    }

    /// Waits for the next who connects.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        Ok(self.listener.accept().await?.0)
    }

    /// Whether it is still what is found at the path.
    pub fn is_there(&self) -> bool {
        file(&self.path).is_ok_and(|there| there == self.file)
    }
}

fn file(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}
