//! Power cuts, if only fsync is a barrier: nothing acknowledged is lost, everything opens.

#![cfg(test)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use roadstead_tests::{
    campaign::{self, first_seed, random::Random, rounds},
    event_log::{
        Acknowledged,
        disk::Disk,
        image, scratch,
        trace::{self, Call, What},
    },
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_event-log-session");

/// Sessions that are killed now and then, and the disk is cut off at any moment of theirs:
/// while they append, write checkpoints, compact, open, recover.
#[test]
fn a_power_cut_at_any_moment_loses_nothing_acknowledged() {
    let traces = rounds(3, 40) as u64;
    let first = first_seed().unwrap();
    let mut images = 0;
    for seed in first..first + traces {
        images += cut_sessions(seed)
            .with_context(|| format!("seed {seed}"))
            .unwrap();
    }
    campaign::report(&format!(
        "{images} images, nothing acknowledged was lost, everything opened"
    ));
    assert!(images >= 200);
}

fn cut_sessions(seed: u64) -> anyhow::Result<u64> {
    let segment: usize = if seed.is_multiple_of(3) {
        4 << 20
    } else {
        512 << 10
    };
    let mut campaign = Campaign {
        segment: segment.to_string(),
        scratch: scratch(Path::new(PROGRAM))?,
    };
    let images = campaign.cut_sessions(seed);
    if images.is_err() {
        // Threads take turns as they like, so that a seed alone does not bring it back.
        campaign.scratch.disable_cleanup(true);
    }
    images.with_context(|| format!("kept in {}", campaign.scratch.path().display()))
}

fn name(folder: &Path) -> anyhow::Result<&str> {
    folder.to_str().context("a name in UTF-8")
}

/// One after the other on one log.
const SESSIONS: usize = 5;
/// Of each trace, beside those of recoveries.
const IMAGES: u64 = 90;
const LONG_WRITE: usize = 64 << 10;

struct Campaign {
    segment: String,
    scratch: tempfile::TempDir,
}

/// What happened to a disk, and what was acknowledged when.
struct History {
    disk: Disk,
    /// Ends of calls: moments between which nothing changes.
    moments: Vec<u64>,
    /// Those of long writes: much is under way then, and there are few of them.
    busy_moments: Vec<u64>,
    acknowledged: Vec<(u64, Acknowledged)>,
}

impl Campaign {
    fn cut_sessions(&self, seed: u64) -> anyhow::Result<u64> {
        let folder = self.folder("log")?;
        let mut random = Random::new(seed);
        let mut history = History::of(&folder, Acknowledged::default())?;
        for _ in 0..SESSIONS {
            let seed = random.number().to_string();
            self.watch(
                &mut history,
                &["crash", name(&folder)?, &seed, &self.segment],
            )?;
        }
        let mut images = 0;
        for number in 0..IMAGES {
            let (cut, acknowledged) = history.moment(&mut random);
            let image = self.image(&history, cut, &mut random, acknowledged);
            let image = image.with_context(|| format!("image {number}"))?;
            images += 1;
            // What recovers from a cut may be cut off in turn.
            if number % 15 == 0 {
                images += self.cut_recovery(&image, acknowledged, &mut random)?;
            }
            fs::remove_dir_all(image)?;
        }
        Ok(images)
    }

    fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.scratch.path().join(name);
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// Runs the helper, and follows what it does.
    fn watch(&self, history: &mut History, arguments: &[&str]) -> anyhow::Result<()> {
        let accounts = self.folder("accounts")?;
        let calls = trace::watch(Path::new(PROGRAM), arguments, &accounts)?;
        history.follow(calls)?;
        Ok(fs::remove_dir_all(accounts)?)
    }

    /// Makes an image and checks a copy of it; returns the image.
    fn image(
        &self,
        history: &History,
        cut: u64,
        random: &mut Random,
        acknowledged: Acknowledged,
    ) -> anyhow::Result<PathBuf> {
        let (image, copy) = (self.folder("image")?, self.folder("copy")?);
        let mut again = random.clone();
        image::write(&history.disk, cut, random, &image)?;
        image::write(&history.disk, cut, &mut again, &copy)?;
        let arguments = self.check(&copy, acknowledged)?;
        let checked = Command::new("timeout")
            .args(["300", PROGRAM])
            .args(&arguments)
            .output()?;
        if !checked.status.success() {
            let said = String::from_utf8_lossy(&checked.stderr);
            bail!("{}: {said} (of {arguments:?})", checked.status);
        }
        fs::remove_dir_all(copy)?;
        Ok(image)
    }

    fn check(&self, folder: &Path, acknowledged: Acknowledged) -> anyhow::Result<[String; 5]> {
        let Acknowledged { last, checkpoint } = acknowledged;
        let folder = name(folder)?.to_owned();
        let segment = self.segment.clone();
        Ok([
            "check".into(),
            folder,
            segment,
            last.to_string(),
            checkpoint.to_string(),
        ])
    }

    /// Watches the recovery of an image and cuts that off.
    fn cut_recovery(
        &self,
        image: &Path,
        acknowledged: Acknowledged,
        random: &mut Random,
    ) -> anyhow::Result<u64> {
        let recovered = self.scratch.path().join("recovered");
        fs::rename(image, &recovered)?;
        let arguments = self.check(&recovered, acknowledged)?;
        let arguments = arguments.each_ref().map(String::as_str);
        let mut history = History::of(&recovered, acknowledged)?;
        self.watch(&mut history, &arguments)?;
        let images = 6;
        for number in 0..images {
            let (cut, _) = history.moment(random);
            let image = self.image(&history, cut, random, acknowledged);
            fs::remove_dir_all(image.with_context(|| format!("recovery {number}"))?)?;
        }
        fs::rename(recovered, image)?;
        Ok(images)
    }
}

impl History {
    /// What has not begun: a folder as it lies there, and what was acknowledged of it.
    fn of(folder: &Path, acknowledged: Acknowledged) -> anyhow::Result<Self> {
        Ok(Self {
            disk: Disk::of(folder)?,
            moments: Vec::new(),
            busy_moments: Vec::new(),
            acknowledged: vec![(0, acknowledged)],
        })
    }

    fn follow(&mut self, calls: Vec<Call>) -> anyhow::Result<()> {
        for call in &calls {
            let Some(ended) = call.ended else { continue };
            self.moments.push(ended);
            if matches!(&call.what, What::Write { bytes, .. } if bytes.len() >= LONG_WRITE) {
                self.busy_moments.push(ended);
            }
        }
        for (at, line) in self.disk.follow(calls)? {
            let mut acknowledged = self.acknowledged.last().context("a beginning")?.1;
            acknowledged.hear(line.trim_end());
            self.acknowledged.push((at, acknowledged));
        }
        Ok(())
    }

    /// A moment for a cut, and what was acknowledged before it.
    fn moment(&self, random: &mut Random) -> (u64, Acknowledged) {
        let moments = if random.one_in(2) && !self.busy_moments.is_empty() {
            &self.busy_moments
        } else {
            &self.moments
        };
        let cut = moments[random.below(moments.len() as u64) as usize];
        let before = self.acknowledged.partition_point(|(said, _)| *said < cut);
        let acknowledged = self.acknowledged[..before].last();
        (
            cut,
            acknowledged.map_or_else(Acknowledged::default, |(_, acknowledged)| *acknowledged),
        )
    }
}
