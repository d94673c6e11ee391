//! What a program costs while it runs, as the kernel counts it.

use std::{fs, time::Duration};

use anyhow::Context;

use super::Program;

impl Program {
    /// Its user and system time so far, to a hundredth of a second.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = self.told("stat")?;
        let after_name = stat.rsplit_once(')').context("no name")?.1;
        let ticks = after_name.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|field| field.parse().unwrap_or(0)).sum();
        let rate = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_millis(ticks * 1000 / rate))
    }

    /// Its bytes that are in memory.
    pub fn resident(&self) -> anyhow::Result<u64> {
        let statm = self.told("statm")?;
        let pages = statm.split_whitespace().nth(1).context("no size")?;
        Ok(pages.parse::<u64>()? * rustix::param::page_size() as u64)
    }

    fn told(&self, file: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{file}", self.pid());
        fs::read_to_string(&path).with_context(|| format!("read {path}"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{sandbox, wait};

    #[test]
    fn a_program_that_works_spends_time_and_has_memory() {
        sandbox::run(async |sandbox| {
            let busy = ["-c", "while :; do :; done"];
            let program = Program::start(sandbox, "busy", Path::new("sh"), busy)?;
            wait::until("it has spent time", Duration::from_secs(20), async || {
                (program.cpu().ok()? >= Duration::from_millis(50)).then_some(())
            })
            .await?;
            assert!((100_000..100_000_000).contains(&program.resident()?));
            Ok(())
        });
    }
}
