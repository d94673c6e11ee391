//! The program itself: real ports, real requests, real signals.

use std::sync::atomic::{AtomicU16, Ordering};
use std::{net::SocketAddr, path::Path, process::Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    task::JoinSet,
    time::{Duration, sleep},
};

/// A running proxy and its folder.
struct Program {
    child: Child,
    admin: SocketAddr,
    folder: TempDir,
}

impl Program {
    async fn start(plane: SocketAddr) -> Self {
        Self::start_with(plane, "").await
    }

    /// With more keys.
    async fn start_with(plane: SocketAddr, keys: &str) -> Self {
        Self::start_to(plane, keys, Stdio::null()).await
    }

    /// With somebody who reads what it writes, or does not.
    async fn start_to(plane: SocketAddr, keys: &str, stdout: Stdio) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "a token").unwrap();
        Self::run(folder, plane, keys, stdout).await
    }

    /// Again, where one was before.
    async fn start_in(folder: TempDir, plane: SocketAddr) -> Self {
        Self::run(folder, plane, "", Stdio::null()).await
    }

    async fn run(folder: TempDir, plane: SocketAddr, keys: &str, stdout: Stdio) -> Self {
        let admin = free_address().await;
        let path = |name| folder.path().join(name);
        let config = format!(
            "proxy: node-1\n\
             controlPlane: {{addresses: ['http://{plane}'], tokenFile: {token}}}\n\
             stateFolder: {state}\n\
             threads: 2\n\
             admin: {{address: '{admin}'}}\n\
             gracePeriod: 5s\n\
             {keys}",
            token = path("token").display(),
            state = path("state").display(),
        );
        std::fs::write(path("config.yaml"), config).unwrap();
        Self {
            child: spawn(&path("config.yaml"), stdout),
            admin,
            folder,
        }
    }

    async fn is_ready(&self) -> bool {
        get(self.admin, "admin", "/readyz")
            .await
            .starts_with("HTTP/1.1 200")
    }

    async fn wait_until_ready(&self) {
        self.wait_until("\r\n\r\nready\n").await;
    }

    /// Waits until this is how the answer to a readiness probe ends.
    async fn wait_until(&self, text: &str) {
        while !get(self.admin, "admin", "/readyz").await.ends_with(text) {
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn says_it_ends(&self) -> bool {
        get(self.admin, "admin", "/readyz")
            .await
            .contains("its end")
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Ends the program by this signal; gives its folder and whether it said that all is well.
    async fn end(mut self, signal: Signal) -> (TempDir, bool) {
        self.signal(signal);
        let status = self.child.wait().await.unwrap();
        (self.folder, status.success())
    }
}

fn spawn(config: &Path, stdout: Stdio) -> Child {
    Command::new(env!("CARGO_BIN_EXE_roadstead-data-plane"))
        .arg("--config")
        .arg(config)
        .stdout(stdout)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// From below the ports that the kernel gives to whoever asks for any: one of those may be given
/// to another test before the proxy has it.
async fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(21_000);
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], NEXT.fetch_add(1, Ordering::Relaxed)));
        if TcpListener::bind(address).await.is_ok() {
            return address;
        }
    }
}

/// A whole answer, head and body; empty if there is none.
async fn get(address: SocketAddr, host: &str, path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return String::new();
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    if stream.write_all(request.as_bytes()).await.is_err()
        || stream.read_to_end(&mut answer).await.is_err()
    {
        return String::new();
    }
    String::from_utf8(answer).unwrap()
}

/// Answers every request by its name.
async fn answer_as(name: &'static str, tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    let length = name.len();
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                    let answer = head + name;
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls;
