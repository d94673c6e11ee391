//! Files with a secret, which are read whenever it is needed: so another applies at once.

use std::io;
use std::path::Path;

use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

/// The first bytes of one, at most [`LONGEST`].
pub(super) async fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path).await?;
    file.take(LONGEST).read_to_string(&mut text).await?;
    Ok(text)
}

const LONGEST: u64 = 8 * 1024;
