//! Asks a running proxy how it is, as the kubelet does: by the admin port's Unix socket.
//!
//! Apart from the admin port, because it is another process that asks, and ends with the answer.
//! Two proxies on a node's network, one of which takes the other's place, cannot both have a port.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

/// The proxy is not as it should be, or does not say.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("cannot ask {}: {source}; name the file of the proxy's admin.socket", path.display())]
    Ask { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Answer(String),
}

/// Asks `/livez`, `/readyz` or what else the admin port knows; an answer other than 200 is an error.
pub fn ask(socket: &Path, about: &str) -> Result<(), ProbeError> {
    let answer = exchange(socket, about).map_err(|source| ProbeError::Ask {
        path: socket.to_owned(),
        source,
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(ProbeError::Answer(format!("{status}: {}", body.trim_end())))
}

fn exchange(socket: &Path, about: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET /{about} HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer)?;
    Ok(answer)
}

/// Less than the kubelet waits, so that it hears why.
const PATIENCE: Duration = Duration::from_secs(3);
const LONGEST: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixListener, thread};

    use super::*;

    fn told(answer: &'static str) -> Result<(), ProbeError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 64];
            let _ = stream.read(&mut request).unwrap();
            assert!(request.starts_with(b"GET /readyz HTTP/1.1\r\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let told = ask(&path, "readyz");
        server.join().unwrap();
        told
    }

    #[test]
    fn only_200_is_well_and_what_is_not_is_said() {
        told("HTTP/1.1 200 OK\r\n\r\nready\n").unwrap();
        let waiting = told("HTTP/1.1 503 Service Unavailable\r\n\r\nwaiting for snapshot\n");
        let said = waiting.unwrap_err().to_string();
        assert_eq!(
            said,
            "HTTP/1.1 503 Service Unavailable: waiting for snapshot"
        );
        told("").unwrap_err();
        let nobody = ask(Path::new("/nonexistent/admin.sock"), "livez").unwrap_err();
        assert!(
            nobody.to_string().contains("/nonexistent/admin.sock"),
            "{nobody}"
        );
    }
}
