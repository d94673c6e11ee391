//! Power cuts, if only fsync is a barrier: nothing acknowledged is lost, everything opens.

#![cfg(test)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    slice,
};

use anyhow::{Context, anyhow, ensure};
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

/// A simulation that cannot fail shows nothing: of a log that forgets its fsyncs it must find
/// that something is lost, be it of its data, of its parameters or of its names. They are left
/// out of the account of one that does not.
#[test]
fn a_log_that_forgets_fsyncs_is_found_out() {
    let found = forgotten_fsyncs(first_seed().unwrap()).unwrap();
    let forgotten: Vec<_> = found.iter().map(|(file, _)| *file).collect();
    assert_eq!(forgotten, FORGOTTEN, "{found:?}");
    for (file, images) in found {
        campaign::report(&format!(
            "without fsyncs of `{file}` something was lost in image {images}"
        ));
    }
}

fn forgotten_fsyncs(seed: u64) -> anyhow::Result<Vec<(&'static str, u64)>> {
    let campaign = Campaign::new(512 << 10)?;
    let folder = campaign.folder("log")?;
    let mut random = Random::new(seed);
    let forgetting = FORGOTTEN.map(|file| History::of(&folder, Acknowledged::default(), file));
    let mut histories = forgetting.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    for _ in 0..2 {
        let seed = random.number().to_string();
        campaign.watch(
            &mut histories,
            &["crash", name(&folder)?, &seed, &campaign.segment],
        )?;
    }
    let mut found = Vec::new();
    for history in &histories {
        for number in 1..=IMAGES {
            let (cut, acknowledged) = history.moment(&mut random);
            let (image, checked) = campaign.image(history, cut, &mut random, acknowledged)?;
            fs::remove_dir_all(image)?;
            if let Err(lost) = checked {
                fs::remove_dir_all(campaign.scratch.path().join("copy"))?;
                let lost = format!("{lost:#}");
                ensure!(LOST.iter().any(|words| lost.contains(words)), "{lost}");
                found.push((history.forgotten, number));
                break;
            }
        }
    }
    Ok(found)
}

/// Files and a folder without whose fsyncs something acknowledged can be lost.
const FORGOTTEN: [&str; 3] = ["db", "conf", "log"];
/// What is said then.
const LOST: [&str; 3] = ["does not open", "was acknowledged", "was cut"];

fn cut_sessions(seed: u64) -> anyhow::Result<u64> {
    let segment = if seed.is_multiple_of(3) {
        4 << 20
    } else {
        512 << 10
    };
    let mut campaign = Campaign::new(segment)?;
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
    /// The name whose fsyncs are left out of the account; none if it is empty.
    forgotten: &'static str,
}

impl Campaign {
    fn new(segment: usize) -> anyhow::Result<Self> {
        Ok(Self {
            segment: segment.to_string(),
            scratch: scratch(Path::new(PROGRAM))?,
        })
    }

    fn cut_sessions(&self, seed: u64) -> anyhow::Result<u64> {
        let folder = self.folder("log")?;
        let mut random = Random::new(seed);
        let mut history = History::of(&folder, Acknowledged::default(), "")?;
        for _ in 0..SESSIONS {
            let seed = random.number().to_string();
            self.watch(
                slice::from_mut(&mut history),
                &["crash", name(&folder)?, &seed, &self.segment],
            )?;
        }
        let mut images = 0;
        for number in 0..IMAGES {
            let (cut, acknowledged) = history.moment(&mut random);
            let image = self.whole_image(&history, cut, &mut random, acknowledged);
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
    fn watch(&self, histories: &mut [History], arguments: &[&str]) -> anyhow::Result<()> {
        let accounts = self.folder("accounts")?;
        let calls = trace::watch(Path::new(PROGRAM), arguments, &accounts)?;
        for history in histories {
            history.follow(calls.clone())?;
        }
        Ok(fs::remove_dir_all(accounts)?)
    }

    /// Makes an image of whose copy nothing acknowledged is missing.
    fn whole_image(
        &self,
        history: &History,
        cut: u64,
        random: &mut Random,
        acknowledged: Acknowledged,
    ) -> anyhow::Result<PathBuf> {
        let (image, checked) = self.image(history, cut, random, acknowledged)?;
        checked.map(|()| image)
    }

    /// Makes an image and checks a copy of it; returns the image and what was found.
    fn image(
        &self,
        history: &History,
        cut: u64,
        random: &mut Random,
        acknowledged: Acknowledged,
    ) -> anyhow::Result<(PathBuf, anyhow::Result<()>)> {
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
            let lost = anyhow!("{}: {said} (of {arguments:?})", checked.status);
            return Ok((image, Err(lost)));
        }
        fs::remove_dir_all(copy)?;
        Ok((image, Ok(())))
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
        let mut history = History::of(&recovered, acknowledged, "")?;
        self.watch(slice::from_mut(&mut history), &arguments)?;
        let images = 6;
        for number in 0..images {
            let (cut, _) = history.moment(random);
            let image = self.whole_image(&history, cut, random, acknowledged);
            fs::remove_dir_all(image.with_context(|| format!("recovery {number}"))?)?;
        }
        fs::rename(recovered, image)?;
        Ok(images)
    }
}

impl History {
    /// What has not begun: a folder as it lies there, and what was acknowledged of it.
    fn of(
        folder: &Path,
        acknowledged: Acknowledged,
        forgotten: &'static str,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            forgotten,
            disk: Disk::of(folder)?,
            moments: Vec::new(),
            busy_moments: Vec::new(),
            acknowledged: vec![(0, acknowledged)],
        })
    }

    fn follow(&mut self, mut calls: Vec<Call>) -> anyhow::Result<()> {
        let forgotten = self.forgotten;
        let is_forgotten = |path: &Path| !forgotten.is_empty() && path.ends_with(forgotten);
        calls.retain(|call| !matches!(&call.what, What::Sync { path } if is_forgotten(path)));
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
