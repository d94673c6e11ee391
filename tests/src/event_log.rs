//! The event log under kills, power cuts and full disks: what its campaigns share.
//!
//! A session ([`session`]) writes a log whose every record and checkpoint is known from its
//! number alone ([`workload`]), and says what was acknowledged; whatever then happens to the
//! process or its disk, [`check`] can tell whether anything acknowledged is missing. For power
//! cuts a session's system calls are read ([`trace`]) and images are made of what a disk may
//! hold if only fsync is a barrier ([`disk`], [`image`]).

pub mod check;
pub mod disk;
pub mod image;
pub mod session;
pub mod trace;
pub mod workload;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::Context;
use rustix::fs::statvfs;

/// What a session has said to be durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged {
    /// The last record.
    pub last: u64,
    /// The newest checkpoint.
    pub checkpoint: u64,
}

impl Acknowledged {
    /// Takes in a line of a session.
    pub fn hear(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("appended", seq)) => self.last = seq.parse().unwrap_or(self.last),
            Some(("checkpoint", seq)) => self.checkpoint = seq.parse().unwrap_or(self.checkpoint),
            _ => {}
        }
    }
}

/// A session in a process of its own.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    /// Starts the helper program `event-log-session`, which lies at `program`.
    pub fn start(program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let out = child.stdout.take().context("the session's output")?;
        Ok(Self {
            child,
            lines: BufReader::new(out),
        })
    }

    /// The next line, or `None` when it has ended.
    pub fn line(&mut self) -> anyhow::Result<Option<String>> {
        let mut line = String::new();
        let read = self.lines.read_line(&mut line)?;
        Ok((read > 0).then(|| line.trim_end().to_owned()))
    }

    /// Kills it and hears what it had said by then.
    pub fn kill(mut self, acknowledged: &mut Acknowledged) -> anyhow::Result<()> {
        self.child.kill()?;
        while let Some(line) = self.line()? {
            acknowledged.hear(&line);
        }
        self.child.wait()?;
        Ok(())
    }

    /// Waits for its end; it must have ended well.
    pub fn end(mut self) -> anyhow::Result<()> {
        while self.line()?.is_some() {}
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the session ended with {status}");
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended; there is nobody to tell if it cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder for a campaign: in memory if there is much of it, for a kill and an image of a disk
/// need no disk, and theirs are slow; else where the build is.
pub fn scratch(program: &Path) -> anyhow::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let free = statvfs(memory).map_or(0, |memory| memory.f_bavail * memory.f_frsize);
    if free >= ENOUGH {
        folder_in(memory)
    } else {
        folder_beside(program)
    }
}

/// A folder on the disk that the build is on.
pub fn folder_beside(program: &Path) -> anyhow::Result<tempfile::TempDir> {
    folder_in(program.parent().context("the folder of the program")?)
}

fn folder_in(folder: &Path) -> anyhow::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("event-log-")
        .tempdir_in(folder)
        .with_context(|| format!("make a folder in {}", folder.display()))
}

/// For several images of a disk at once.
const ENOUGH: u64 = 512 << 20;
