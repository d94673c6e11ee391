//! The way to whoever hands over.

use std::{io, path::Path, time::Duration};

use rustix::process::geteuid;
use tokio::{net::UnixStream, time::sleep};

use super::HandoverError;

/// Connects; `None`: nobody listens there, however often it is looked.
pub(super) async fn connect(path: &Path, looks: u32) -> Result<Option<UnixStream>, HandoverError> {
    for look in 1..=looks {
        let failed = match UnixStream::connect(path).await {
            Ok(stream) => {
                is_ours(&stream, path)?;
                return Ok(Some(stream));
            }
            Err(failed) => failed,
        };
        if failed.kind() == io::ErrorKind::NotFound {
            return Ok(None);
        }
        if failed.kind() != io::ErrorKind::ConnectionRefused {
            return Err(HandoverError::Broken {
                path: path.to_owned(),
                source: failed,
            });
        }
        // The one that had it has just ended, and perhaps another is about to take it.
        if look < looks {
            sleep(LOOK).await;
        }
    }
    Ok(None)
}

/// Whether the other side is of this user.
pub(super) fn is_ours(stream: &UnixStream, path: &Path) -> Result<(), HandoverError> {
    let path = || path.to_owned();
    let peer = stream.peer_cred().map_err(|source| HandoverError::Broken {
        path: path(),
        source,
    })?;
    if peer.uid() == geteuid().as_raw() {
        return Ok(());
    }
    Err(HandoverError::Stranger {
        path: path(),
        uid: peer.uid(),
    })
}

const LOOK: Duration = Duration::from_millis(100);
