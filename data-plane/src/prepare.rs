//! Folders of a node for a proxy that is not root.
//!
//! Apart from the proxy, because it is done as root before it begins: the kubelet makes what a
//! hostPath names for root alone, and an image without a shell has nothing else to do it with.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// A folder is not as it has to be.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error("cannot make the folder {}: {source}", path.display())]
    Make { path: PathBuf, source: io::Error },
    #[error("{} is no folder; remove it, or name another", path.display())]
    NoFolder { path: PathBuf },
    #[error(
        "cannot give the folder {} to user {owner}: {source}; run this as root with the \
         capabilities CHOWN and FOWNER", path.display()
    )]
    Give {
        path: PathBuf,
        owner: u32,
        source: io::Error,
    },
}

/// Makes a folder, if there is none, that belongs to this user and group and to nobody else. What
/// lies in it stays as it is.
pub fn folder(path: &Path, owner: u32) -> Result<(), PrepareError> {
    let made = DirBuilder::new().recursive(true).mode(OURS).create(path);
    made.map_err(|source| PrepareError::Make {
        path: path.to_owned(),
        source,
    })?;
    give(path, owner).map_err(|source| PrepareError::Give {
        path: path.to_owned(),
        owner,
        source,
    })?
}

fn give(path: &Path, owner: u32) -> io::Result<Result<(), PrepareError>> {
    // Of a link that someone left there the target is not ours to give away.
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() {
        let path = path.to_owned();
        return Ok(Err(PrepareError::NoFolder { path }));
    }
    // Nothing is asked for that is so already: the second start needs no right.
    if found.mode() & 0o7777 != OURS {
        fs::set_permissions(path, Permissions::from_mode(OURS))?;
    }
    if (found.uid(), found.gid()) != (owner, owner) {
        chown(path, Some(owner), Some(owner))?;
    }
    Ok(Ok(()))
}

const OURS: u32 = 0o700;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_is_made_for_its_owner_alone() {
        let above = tempfile::tempdir().unwrap();
        let me = fs::metadata(above.path()).unwrap().uid();
        let path = above.path().join("run/data-plane");
        folder(&path, me).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid()), (OURS, me));
    }

    #[test]
    fn what_lies_in_a_folder_stays_when_its_rights_are_mended() {
        let above = tempfile::tempdir().unwrap();
        let me = fs::metadata(above.path()).unwrap().uid();
        fs::set_permissions(above.path(), Permissions::from_mode(0o755)).unwrap();
        fs::write(above.path().join("journal"), "kept").unwrap();
        folder(above.path(), me).unwrap();
        assert_eq!(fs::metadata(above.path()).unwrap().mode() & 0o7777, OURS);
        let kept = fs::read_to_string(above.path().join("journal")).unwrap();
        assert_eq!(kept, "kept");
    }

    #[test]
    fn a_link_in_its_place_is_refused() {
        let above = tempfile::tempdir().unwrap();
        let (target, link) = (above.path().join("target"), above.path().join("link"));
        fs::create_dir(&target).unwrap();
        fs::set_permissions(&target, Permissions::from_mode(0o755)).unwrap();
        symlink(&target, &link).unwrap();
        let error = folder(&link, 0).unwrap_err();
        assert!(matches!(error, PrepareError::NoFolder { .. }), "{error}");
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o7777, 0o755);
    }
}
