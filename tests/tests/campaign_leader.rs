//! Whatever befalls the leader, in any order: somebody leads again in time, no proxy goes back to
//! an older version or loses a route, and all replicas end with one history.

#![cfg(test)]

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use anyhow::{Context, bail, ensure};
use roadstead_tests::{
    campaign::{random::Random, report, rounds, seeds},
    echo::Echo,
    installation::{
        HTTP,
        replicas::{Replicas, Terms},
    },
    planes::{answers, load::Load, objects::Site},
    program::Signal,
    sandbox::{self, Sandbox},
};
use serde_json::json;
use tokio::time::{Instant, sleep};

#[test]
fn whatever_befalls_the_leader_somebody_leads_and_traffic_does_not_care() {
    let faults = rounds(22, 120);
    // The short form has a short Lease, so that it has as many faults.
    let terms = if rounds(0, 1) == 0 {
        Terms::SHORT
    } else {
        Terms::DEFAULT
    };
    for seed in seeds(1).unwrap() {
        sandbox::run_within(LIMIT, async move |sandbox| {
            let begun = Instant::now();
            let mut trial = Box::pin(Trial::start(sandbox, seed, terms)).await?;
            for number in 0..faults {
                let fault = trial.next();
                let befallen = Box::pin(trial.befall(fault)).await;
                befallen.with_context(|| {
                    format!(
                        "fault {number}, {fault:?}; ROADSTEAD_CAMPAIGN_SEED={seed} plays it again"
                    )
                })?;
            }
            trial.end().await?;
            report(&format!(
                "seed {seed}: {faults} faults of a leader with a Lease of {:?}, {} requests to an \
                 untouched route, {} versions at the proxy, the longest time without a leader's \
                 change {:.1?}, in {:.0?}",
                terms.duration,
                trial.untouched.answered(),
                trial.versions,
                trial.longest,
                begun.elapsed()
            ));
            Ok(())
        });
    }
}

/// What happens to whoever leads.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Killed,
    /// Killed, and there again before anybody notices.
    Restarted,
    /// Asked to end.
    Ended,
    /// Stopped for longer than its term, and then it goes on.
    Frozen,
    LeaseDeleted,
    LeaseEdited,
    /// The API server closes its connections.
    Refused,
    /// Nothing passes to the API server and back.
    Silenced,
    /// What it sends to anyone gets lost, or what is sent to it, or both.
    Mute,
    Deaf,
    CutOff,
    /// Its wall clock is set forward, or back.
    ClockForward,
    ClockBack,
    DiskFull,
    /// Its log is gone with the process.
    LogLost,
}

impl Fault {
    const ALL: [Self; 15] = [
        Self::Killed,
        Self::Restarted,
        Self::Ended,
        Self::Frozen,
        Self::LeaseDeleted,
        Self::LeaseEdited,
        Self::Refused,
        Self::Silenced,
        Self::Mute,
        Self::Deaf,
        Self::CutOff,
        Self::ClockForward,
        Self::ClockBack,
        Self::DiskFull,
        Self::LogLost,
    ];
}

struct Trial {
    replicas: Replicas,
    terms: Terms,
    random: Random,
    coming: Vec<Fault>,
    untouched: Load,
    backend: Echo,
    sites: u64,
    versions: usize,
    longest: Duration,
}

impl Trial {
    async fn start(sandbox: &Sandbox, seed: u64, terms: Terms) -> anyhow::Result<Self> {
        let replicas = Box::pin(Replicas::start(sandbox, 3, 1, terms)).await?;
        let backend = Echo::start("backend", "10.1.0.1:8080".parse()?).await?;
        let untouched = Site {
            name: "untouched",
            host: "untouched.example",
            path: "/",
            backends: &[backend.address()],
        };
        replicas.serve(&untouched).await?;
        answers(HTTP, untouched.host, "/", "backend").await?;
        Ok(Self {
            replicas,
            terms,
            random: Random::new(seed),
            coming: Vec::new(),
            untouched: Load::paced(HTTP, untouched.host, "/", PACE),
            backend,
            sites: 0,
            versions: 0,
            longest: Duration::ZERO,
        })
    }

    fn next(&mut self) -> Fault {
        if self.coming.is_empty() {
            self.coming.extend(Fault::ALL);
            self.random.shuffle(&mut self.coming);
        }
        self.coming.pop().unwrap_or(Fault::Killed)
    }

    /// A fault; a change that some leader makes live in spite of it; and the fault is over.
    async fn befall(&mut self, fault: Fault) -> anyhow::Result<()> {
        let leader = self.replicas.leader().await?;
        self.replicas.settled().await?;
        let away = self.terms.duration + self.terms.retry * 2;
        let replica = &mut self.replicas.planes[leader];
        let grpc = replica.plane.address();
        let wire = replica.wire.address();
        let begun = Instant::now();
        match fault {
            Fault::Killed => drop(replica.plane.program().kill()?),
            Fault::Restarted => {
                replica.plane.program().kill()?;
                replica.plane.program().start_again()?;
            }
            Fault::Ended => drop(replica.plane.program().stop(SOON).await?),
            Fault::Frozen => replica.plane.program().signal(Signal::STOP)?,
            Fault::LeaseDeleted => self.replicas.delete_lease().await?,
            Fault::LeaseEdited => {
                let edit = json!({"spec": {"holderIdentity": "somebody"}});
                self.replicas.edit_lease(&edit).await?;
            }
            Fault::Refused => replica.wire.refuse(),
            Fault::Silenced => replica.wire.block(),
            Fault::Mute => firewall(&[from(grpc), to(wire)])?,
            Fault::Deaf => firewall(&[to(grpc), from(wire)])?,
            Fault::CutOff => firewall(&[from(grpc), to(grpc), from(wire), to(wire)])?,
            Fault::ClockForward => replica.set_clock(20 * 60)?,
            Fault::ClockBack => replica.set_clock(-20 * 60)?,
            Fault::DiskFull => drop(replica.disk.fill()?),
            Fault::LogLost => {
                replica.plane.program().kill()?;
                replica.disk.clear()?;
                replica.plane.program().start_again()?;
            }
        }
        // Large, so that a full disk has no room for it.
        let large = matches!(fault, Fault::DiskFull);
        self.change(large).await?;
        self.longest = self.longest.max(begun.elapsed());
        if matches!(fault, Fault::Frozen) {
            // For longer than its term lasts.
            sleep(away.saturating_sub(begun.elapsed())).await;
        }
        let replica = &mut self.replicas.planes[leader];
        match fault {
            Fault::Killed | Fault::Ended => replica.plane.program().start_again()?,
            Fault::Frozen => replica.plane.program().signal(Signal::CONT)?,
            Fault::Refused => replica.wire.accept(),
            Fault::Silenced => replica.wire.unblock(),
            Fault::Mute | Fault::Deaf | Fault::CutOff => firewall(&[])?,
            Fault::ClockForward | Fault::ClockBack => replica.set_clock(0)?,
            Fault::DiskFull => replica.disk.empty()?,
            Fault::Restarted | Fault::LeaseDeleted | Fault::LeaseEdited | Fault::LogLost => {}
        }
        self.replicas.settled().await?;
        self.untouched.goes_on(20).await
    }

    /// A site more, which answers in time: a takeover, and what a busy machine takes.
    async fn change(&mut self, large: bool) -> anyhow::Result<()> {
        self.sites += 1;
        let name = format!("site-{}", self.sites);
        let host = format!("{name}.example");
        let backends = [self.backend.address()];
        let site = Site {
            name: &name,
            host: &host,
            path: "/",
            backends: &backends,
        };
        if large {
            self.replicas.serve_with_many_paths(&site).await?;
        } else {
            self.replicas.serve(&site).await?;
        }
        let path = if large { long_path() } else { "/".to_owned() };
        let limit = self.terms.takeover() + SOON;
        let begun = Instant::now();
        loop {
            for proxy in &mut self.replicas.proxies {
                proxy.look().await?;
            }
            match answers_now(HTTP, &host, &path).await {
                Ok(()) => return Ok(()),
                Err(error) if begun.elapsed() > limit => return Err(error),
                Err(_) => sleep(LOOK).await,
            }
        }
    }

    /// All replicas have one history, in which terms only rise, and every proxy holds its end.
    async fn end(&mut self) -> anyhow::Result<()> {
        self.replicas.settled().await?;
        let history = self.replicas.same_history().await?;
        ensure!(
            history.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1),
            "{history:?}"
        );
        self.versions = self
            .replicas
            .proxies
            .iter()
            .map(|proxy| proxy.versions())
            .sum();
        for number in 1..=self.sites {
            let host = format!("site-{number}.example");
            // Large ones have other paths.
            let small = answers_now(HTTP, &host, "/").await;
            small.or(answers_now(HTTP, &host, &long_path()).await)?;
        }
        Ok(())
    }
}

async fn answers_now(address: SocketAddr, host: &str, path: &str) -> anyhow::Result<()> {
    let reply = roadstead_tests::http::get(address, host, path).await?;
    ensure!(reply.status.is_success(), "{host}: {}", reply.status);
    Ok(())
}

/// One of those of a large site.
fn long_path() -> String {
    format!("/7/{}", "x".repeat(300))
}

fn to(address: SocketAddr) -> String {
    format!(
        "ip daddr {} tcp dport {} drop",
        address.ip(),
        address.port()
    )
}

fn from(address: SocketAddr) -> String {
    format!(
        "ip saddr {} tcp sport {} drop",
        address.ip(),
        address.port()
    )
}

/// These rules and no others.
fn firewall(rules: &[String]) -> anyhow::Result<()> {
    let mut script = "table inet faults {}\ndelete table inet faults\n".to_owned();
    if !rules.is_empty() {
        let rules = rules.join("\n");
        script += &format!(
            "table inet faults {{\nchain output {{\ntype filter hook output priority 0;\n\
             {rules}\n}}\n}}\n"
        );
    }
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), script)?;
    let status = Command::new("nft")
        .arg("-f")
        .arg::<&Path>(file.path())
        .status();
    let status = status.context("start `nft` (of nftables)")?;
    if !status.success() {
        bail!("nft: {status}");
    }
    Ok(())
}

const PACE: Duration = Duration::from_millis(10);
const LOOK: Duration = Duration::from_millis(50);
const SOON: Duration = Duration::from_secs(20);
/// Of one seed.
const LIMIT: Duration = Duration::from_secs(7200);
