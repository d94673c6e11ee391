//! Sockets that have a path.
//!
//! Apart, because whoever listens at one takes the path from a process that is gone, or going.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use tokio::net::UnixListener;

/// Listens at the path, whoever did before, for processes of this user alone.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let draft = path.with_extension("draft");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&draft)?;
    fs::set_permissions(&draft, Permissions::from_mode(0o600))?;
    // Nobody finds it before it can be used, nor a path where nothing is.
    fs::rename(&draft, path)?;
    Ok(listener)
}
