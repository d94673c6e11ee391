//! Programs that a test starts: their log is kept, and they end with the test.
//!
//! One place, because each must end however the test ends (a failed assertion, a kill of the test
//! process), must leave its log to whoever reads the failure, and must be waited for by what it
//! does, not by the clock.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use rustix::process::{Pid, kill_process};

use crate::sandbox::Sandbox;
use crate::wait;

pub mod built;
mod cost;

pub use rustix::process::Signal;

/// A running (or ended) child process of the test.
#[derive(Debug)]
pub struct Program {
    name: String,
    command: Vec<OsString>,
    log: PathBuf,
    child: Child,
}

impl Program {
    /// Starts one of the workspace's binaries with `--config FILE`; the file holds `config`.
    ///
    /// `name` tells apart what is started more than once: it names the log and the file.
    pub fn start_ours(
        sandbox: &Sandbox,
        name: &str,
        binary: &str,
        config: &str,
    ) -> anyhow::Result<Self> {
        let file = sandbox.write(&format!("{name}.yaml"), config)?;
        let binary = built::binary(binary)?;
        Self::start(
            sandbox,
            name,
            &binary,
            [OsString::from("--config"), file.into()],
        )
    }

    /// Starts any program; it ends when the `Program` is dropped or the test process dies.
    pub fn start(
        sandbox: &Sandbox,
        name: &str,
        executable: &Path,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> anyhow::Result<Self> {
        let mut command = vec![executable.into()];
        command.extend(arguments.into_iter().map(Into::into));
        let log = sandbox.logs().join(format!("{name}.log"));
        let child = spawn(&command, &log)?;
        Ok(Self {
            name: name.to_owned(),
            command,
            log,
            child,
        })
    }

    /// Starts the program again with the same arguments, after it ended; its log goes on.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        if self.ended()?.is_none() {
            bail!("{} is still running", self.name);
        }
        self.child = spawn(&self.command, &self.log)?;
        Ok(())
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, or `None` while it runs.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("ask whether {} has ended", self.name))
    }

    /// Sends a signal: `STOP` freezes the program, `CONT` lets it go on.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a process id")?, signal)
            .with_context(|| format!("signal {}", self.name))
    }

    /// Ends the program at once, as a crash would.
    pub fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        self.child
            .kill()
            .with_context(|| format!("kill {}", self.name))?;
        Ok(self.child.wait()?)
    }

    /// Asks the program to end (SIGTERM) and waits until it has.
    pub async fn stop(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.end(limit).await
    }

    /// Waits until the program has ended by itself.
    pub async fn end(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        wait::until(&what, limit, async || self.ended().ok().flatten()).await
    }

    /// Waits for a condition that this program is to bring about; its end is the end of waiting.
    pub async fn until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut ask: impl AsyncFnMut() -> Option<T>,
    ) -> anyhow::Result<T> {
        let what = format!("{}: {what}", self.name);
        wait::until(&what, limit, async || {
            if let Some(answer) = ask().await {
                return Some(Ok(answer));
            }
            let status = self.ended().transpose()?;
            Some(status.and_then(|status| bail!("{}: ended ({status})", self.name)))
        })
        .await?
    }

    /// The file of its standard output and error.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// All that it has written to its standard output and error.
    pub fn log(&self) -> anyhow::Result<String> {
        let bytes = fs::read(&self.log).with_context(|| format!("read {}", self.log.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits for a line of its log that holds `text`, and returns the line.
    pub async fn logged(&mut self, text: &str, limit: Duration) -> anyhow::Result<String> {
        let log = self.log.clone();
        self.until(&format!("a line with {text:?}"), limit, async || {
            let log = fs::read(&log).ok()?;
            let log = String::from_utf8_lossy(&log);
            log.lines()
                .find(|line| line.contains(text))
                .map(str::to_owned)
        })
        .await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended; there is nobody to tell if it cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `setpriv` has the kernel kill the program when the thread that started it dies, so that a test
/// process that is killed leaves nothing behind. It becomes the program: the pid is the program's.
fn spawn(command: &[OsString], log: &Path) -> anyhow::Result<Child> {
    let what = || format!("start {command:?} by setpriv (of util-linux)");
    let out = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("open {}", log.display()))?;
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .args(command)
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .spawn()
        .with_context(what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(sandbox: &Sandbox, script: &str) -> Program {
        Program::start(sandbox, "shell", Path::new("sh"), ["-c", script]).unwrap()
    }

    #[test]
    fn a_program_is_heard_stopped_and_started_again() {
        sandbox::run(async |sandbox| {
            let script = "trap 'echo bye; exit 3' TERM; echo hello; while :; do sleep 0.01; done";
            let mut program = shell(sandbox, script);
            assert_eq!(program.logged("hell", SOON).await?, "hello");
            assert!(program.start_again().is_err());
            assert_eq!(program.stop(SOON).await?.code(), Some(3));
            program.start_again()?;
            wait::until("a second hello", SOON, async || {
                (program.log().ok()? == "hello\nbye\nhello\n").then_some(())
            })
            .await?;
            assert_eq!(program.kill()?.code(), None);
            Ok(())
        });
    }

    #[test]
    fn waiting_for_a_program_that_has_ended_fails_at_once() {
        sandbox::run(async |sandbox| {
            let mut program = shell(sandbox, "echo no; exit 7");
            let error = program.logged("yes", SOON).await.unwrap_err();
            assert_eq!(error.to_string(), "shell: ended (exit status: 7)");
            Ok(())
        });
    }

    #[test]
    fn a_program_ends_with_its_owner() {
        sandbox::run(async |sandbox| {
            let program = shell(sandbox, "exec sleep 1000");
            let process = PathBuf::from(format!("/proc/{}", program.pid()));
            assert!(process.exists());
            drop(program);
            assert!(!process.exists());
            Ok(())
        });
    }
}
