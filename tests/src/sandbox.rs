//! A network and a folder for one test, gone when the test ends.
//!
//! The test's thread enters a network namespace that nobody else has: every port is free, tests
//! run side by side, and a Kubernetes API server has a fixed address. Threads and processes that
//! are started from it are born there, so that nothing has to be said to be inside; the namespace
//! has no name and ends with the last of them, however the test ends.
//!
//! It needs the right to make namespaces: root, or `unshare --user --map-root-user` around the
//! test (`tests/run` does that by itself). Without it a test fails; it is not skipped.
//! To look inside while a test runs: `nsenter --net=/proc/PID/ns/net` with any pid of it.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

/// The address of the Kubernetes API server and of its nodes, if a test starts them.
pub const NODE_ADDRESS: &str = "10.0.0.1";

/// What a test has for itself.
#[derive(Debug)]
pub struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    /// A folder for whatever the test and its programs write.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder whose files are shown when the test fails.
    pub fn logs(&self) -> PathBuf {
        self.folder().join("logs")
    }

    /// Writes a file of the test's folder, with the folders above it, and returns its path.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder().join(name);
        if let Some(above) = path.parent() {
            fs::create_dir_all(above).with_context(|| format!("make {}", above.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }
}

/// Runs a test in a sandbox of its own; a failure shows what its programs logged.
///
/// Addresses to bind there: all of 127.0.0.0/8 and 10.1.0.0/16, [`NODE_ADDRESS`], and fd00:1::1
/// to fd00:1::4.
pub fn run(test: impl AsyncFnOnce(&Sandbox) -> anyhow::Result<()> + Send) {
    run_within(LIMIT, test);
}

/// Like [`run`], for a test that may take longer (or must not take as long).
#[expect(clippy::panic, reason = "this is where a failed test fails")]
pub fn run_within(limit: Duration, test: impl AsyncFnOnce(&Sandbox) -> anyhow::Result<()> + Send) {
    let sandbox = match Sandbox::make() {
        Ok(sandbox) => sandbox,
        Err(error) => panic!("{error:?}"),
    };
    let outcome = thread::scope(|scope| {
        let enter_and_run = || {
            enter_new_network()?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                tokio::time::timeout(limit, test(&sandbox))
                    .await
                    .with_context(|| format!("the test had not ended after {limit:?}"))?
            })
        };
        let thread =
            thread::Builder::new().name(thread::current().name().unwrap_or("test").to_owned());
        match thread.spawn_scoped(scope, enter_and_run) {
            Ok(running) => running.join(),
            Err(error) => Ok(Err(error.into())),
        }
    });
    match outcome {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            sandbox.show_logs();
            panic!("{error:?}");
        }
        Err(panic) => {
            sandbox.show_logs();
            std::panic::resume_unwind(panic);
        }
    }
}

impl Sandbox {
    fn make() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("roadstead-")
            .tempdir()
            .context("make a folder for the test")?;
        let sandbox = Self { folder };
        fs::create_dir(sandbox.logs()).context("make a folder for logs")?;
        Ok(sandbox)
    }

    #[expect(
        clippy::print_stderr,
        reason = "shown by the test harness on failure only"
    )]
    fn show_logs(&self) {
        let Ok(files) = fs::read_dir(self.logs()) else {
            return;
        };
        let mut files: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
        files.sort();
        for file in files {
            let text = fs::read(&file).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            let hidden = lines.len().saturating_sub(SHOWN_LINES);
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            eprintln!("---- {name} ({hidden} earlier lines not shown)");
            for line in lines.into_iter().skip(hidden) {
                eprintln!("{line}");
            }
        }
    }
}

/// Moves this thread into a network namespace that a short-lived helper made.
///
/// A helper, because a thread cannot make one without `unsafe`, and because the addresses are
/// `ip`'s business in any case. It is told to end by the end of its standard input.
fn enter_new_network() -> anyhow::Result<()> {
    let mut helper = Command::new("unshare")
        .args(["--net", "sh", "-c", NETWORK])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start `unshare` (of util-linux)")?;
    let mut line = String::new();
    if let Some(out) = helper.stdout.take() {
        BufReader::new(out).read_line(&mut line)?;
    }
    let entered = if line.trim() == READY {
        let path = format!("/proc/{}/ns/net", helper.id());
        File::open(&path)
            .map_err(anyhow::Error::from)
            .and_then(|ns| {
                let kind = Some(LinkNameSpaceType::Network);
                Ok(move_into_link_name_space(ns.as_fd(), kind)?)
            })
            .context("enter a network namespace")
    } else {
        Ok(())
    };
    drop(helper.stdin.take());
    let status = helper.wait()?;
    if line.trim() != READY {
        bail!(
            "cannot make a network namespace ({status}): run as root, or in `unshare --user \
             --map-root-user`, with iproute2 installed"
        );
    }
    entered
}

const READY: &str = "ready";

/// A `local` route makes a whole range bindable without an address for each; not so for IPv6.
const NETWORK: &str = "set -e
ip link set lo up
ip addr add 10.0.0.1/32 dev lo
ip route add local 10.1.0.0/16 dev lo
for i in 1 2 3 4; do ip addr add fd00:1::$i/128 dev lo nodad; done
echo ready
exec cat >/dev/null";

/// Far above what any short test takes on a busy machine of two cores.
const LIMIT: Duration = Duration::from_secs(300);

const SHOWN_LINES: usize = 150;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn two_tests_can_bind_the_same_port_of_any_address() {
        let bind_all = || {
            [
                "10.0.0.1:80",
                "10.1.77.5:80",
                "127.0.0.9:80",
                "[fd00:1::3]:80",
                "[::1]:80",
            ]
            .map(|address| TcpListener::bind(address).expect(address))
        };
        run(async |_| {
            let _ours = bind_all();
            thread::scope(|scope| {
                scope.spawn(|| {
                    run(async |_| {
                        bind_all();
                        Ok(())
                    });
                });
            });
            Ok(())
        });
    }

    #[test]
    fn what_a_test_starts_is_born_in_its_network() {
        run(async |sandbox| {
            let listener = TcpListener::bind("10.1.0.9:4321")?;
            let script = "exec 3<>/dev/tcp/10.1.0.9/4321";
            let status = Command::new("bash").args(["-c", script]).status()?;
            assert!(status.success());
            drop(listener);
            assert!(sandbox.write("a/b", "text")?.starts_with(sandbox.folder()));
            Ok(())
        });
    }

    #[test]
    #[should_panic(expected = "planted")]
    fn an_error_fails_the_test() {
        run(async |_| bail!("planted"));
    }

    #[test]
    #[should_panic(expected = "had not ended after 50ms")]
    fn a_test_that_hangs_fails() {
        run_within(Duration::from_millis(50), async |_| {
            std::future::pending().await
        });
    }
}
