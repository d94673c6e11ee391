//! One process of the cluster, to be frozen, killed and held down.
//!
//! The fixture starts a killed component again by itself; what this knows besides is how it is
//! held down meanwhile and when an API server is back.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, ensure};
use http::Request;
use kube::Client;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use crate::wait;

/// A handle on a component.
#[derive(Clone)]
pub struct Component {
    client: Client,
    /// Holds the component's pid, written when it is started.
    pid: PathBuf,
    /// While this file exists, the component is not started again.
    hold: PathBuf,
}

impl Component {
    pub(super) fn new(run: &Path, name: &str, client: Client) -> Self {
        let file = |kind: &str| run.join(format!("{name}.{kind}"));
        Self {
            client,
            pid: file("pid"),
            hold: file("hold"),
        }
    }

    /// Freezes it: connections stand, and nothing is answered. A signal is delivered some time
    /// after it was sent, and to one thread after the other: this waits for the last.
    pub async fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)?;
        wait::until_ok("every thread of the component stands", LIMIT, async || {
            let threads = format!("/proc/{}/task", self.pid()?);
            for thread in fs::read_dir(&threads).context(threads)? {
                let stat = fs::read_to_string(thread?.path().join("stat"))?;
                // The state follows the name, which may have anything in it.
                let state = stat.rsplit_once(')').context("a thread's state")?.1;
                ensure!(state.trim_start().starts_with('T'), "{stat}");
            }
            Ok(())
        })
        .await
    }

    /// Lets a frozen component go on.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Kills it (SIGKILL); the fixture starts it again at once.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.signal(Signal::KILL)
    }

    /// Kills it and keeps it down: connections are refused until [`release`](Self::release).
    pub fn hold_down(&self) -> anyhow::Result<()> {
        fs::write(&self.hold, "").context("hold a component down")?;
        self.kill()
    }

    /// Waits until a component that was killed is no more.
    pub async fn has_ended(&self) -> anyhow::Result<()> {
        let process = PathBuf::from(format!("/proc/{}", self.pid()?));
        let what = "the component has ended";
        wait::until(what, LIMIT, async || (!process.exists()).then_some(())).await
    }

    /// Lets the fixture start a component that was held down.
    pub fn release(&self) -> anyhow::Result<()> {
        fs::remove_file(&self.hold).context("release a component")
    }

    /// Kills the API server and waits until another serves; returns how long that took.
    pub async fn restart(&self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let before = self.pid()?;
        self.kill()?;
        wait::until("the component is started again", LIMIT, async || {
            (self.pid().ok()? != before).then_some(())
        })
        .await?;
        self.serves().await?;
        Ok(begun.elapsed())
    }

    /// Waits until the API server says that it is ready.
    pub async fn serves(&self) -> anyhow::Result<()> {
        wait::until_ok("the API server is ready", LIMIT, async || {
            let ask = Request::get("/readyz").body(Vec::new())?;
            // A connection to a server that has just died may hang.
            let answer = self.client.request_text(ask);
            tokio::time::timeout(Duration::from_secs(5), answer).await??;
            Ok(())
        })
        .await
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_raw(self.pid()?).context("a process id")?;
        kill_process(pid, signal).with_context(|| format!("signal process {pid:?}"))
    }

    fn pid(&self) -> anyhow::Result<i32> {
        let text = fs::read_to_string(&self.pid)
            .with_context(|| format!("read {}", self.pid.display()))?;
        Ok(text.trim().parse()?)
    }
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component")
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

const LIMIT: Duration = Duration::from_secs(60);
