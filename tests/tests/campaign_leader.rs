//! Whatever befalls the leader, in any order: somebody leads again in time, no proxy of many goes
//! back to an older version or loses a route, and all replicas end with one history.

#![cfg(test)]

#[path = "campaign_leader/fault.rs"]
mod fault;
#[path = "campaign_leader/firewall.rs"]
mod firewall;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, ensure};
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
    swarm::{Mark, Swarm},
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use fault::Fault;
use firewall::{from, to};

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
                 untouched route, {} versions at the proxy, at most {:.1?} until another leads and \
                 {:.1?} until its change is live, in {:.0?}",
                terms.duration,
                trial.untouched.answered(),
                trial.versions,
                trial.takeover,
                trial.longest,
                begun.elapsed()
            ));
            Ok(())
        });
    }
}

struct Trial {
    replicas: Replicas,
    terms: Terms,
    random: Random,
    coming: Vec<Fault>,
    untouched: Load,
    /// Many proxies, and what all of them hold. Nothing of it is ever taken back.
    swarm: Swarm,
    mark: Mark,
    backend: Echo,
    sites: u64,
    versions: usize,
    /// The longest time from a fault until another led, and until a change was live.
    takeover: Duration,
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
        let swarm = Swarm::join("swarm", PROXIES, &replicas.way()?)?;
        let mut swarm = swarm.keeping_all();
        let (mark, _) = swarm.beyond(Mark::default(), SOON).await?;
        Ok(Self {
            replicas,
            terms,
            random: Random::new(seed),
            coming: Vec::new(),
            untouched: Load::paced(HTTP, untouched.host, "/", PACE),
            swarm,
            mark,
            backend,
            sites: 0,
            versions: 0,
            takeover: Duration::ZERO,
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

    /// A fault; another that leads in time; a change that it makes live; and the fault is over.
    async fn befall(&mut self, fault: Fault) -> anyhow::Result<()> {
        let leader = self.replicas.leader().await?;
        self.replicas.settled().await?;
        let (term, _) = self.replicas.proxies[0].look().await?;
        let mut begun = Instant::now();
        self.begin(fault, leader).await?;
        let large = matches!(fault, Fault::DiskFull);
        if large {
            begun = self.use_reserve_up(leader).await?;
        } else {
            self.apply(large).await?;
        }
        if fault.ends_term() {
            self.another_leads(term, begun, fault.stops().then_some(leader))
                .await?;
        }
        self.serves(large).await?;
        self.longest = self.longest.max(begun.elapsed());
        if matches!(fault, Fault::Paused) {
            let mut newcomers = Swarm::join("newcomer", NEWCOMERS, &self.replicas.way()?)?;
            newcomers.beyond(Mark::end_of(term), SOON).await?;
        }
        if matches!(fault, Fault::Frozen) {
            sleep(FROZEN.saturating_sub(begun.elapsed())).await;
        }
        self.end_of(fault, leader).await?;
        self.replicas.settled().await?;
        // Wherever each of them was meanwhile.
        let beyond = if fault.ends_term() {
            Mark::end_of(term)
        } else {
            self.mark
        };
        (self.mark, _) = self.swarm.beyond(beyond, SOON).await?;
        self.untouched.goes_on(20).await
    }

    async fn begin(&mut self, fault: Fault, leader: usize) -> anyhow::Result<()> {
        let replica = &mut self.replicas.planes[leader];
        let grpc = replica.plane.address();
        let wire = replica.wire.address();
        match fault {
            Fault::Killed => drop(replica.plane.program().kill()?),
            Fault::Restarted => {
                replica.plane.program().kill()?;
                replica.plane.program().start_again()?;
            }
            Fault::Replaced => replica.replace(true)?,
            Fault::ReplacedWithoutVolume => replica.replace(false)?,
            Fault::Ended => drop(replica.plane.program().stop(SOON).await?),
            Fault::Frozen | Fault::Paused => replica.plane.program().signal(Signal::STOP)?,
            Fault::LeaseDeleted => self.replicas.delete_lease().await?,
            Fault::LeaseEdited => {
                let edit = json!({"spec": {"holderIdentity": "somebody"}});
                self.replicas.edit_lease(&edit).await?;
            }
            Fault::Forbidden => replica.may_write_lease(false).await?,
            Fault::Refused => replica.wire.refuse(),
            Fault::Silenced => replica.wire.block(),
            Fault::Mute => firewall::only(&[from(grpc), to(wire)])?,
            Fault::Deaf => firewall::only(&[to(grpc), from(wire)])?,
            Fault::CutOff => firewall::only(&[from(grpc), to(grpc), from(wire), to(wire)])?,
            Fault::ClockForward => replica.set_clock(20 * 60)?,
            Fault::ClockBack => replica.set_clock(-20 * 60)?,
            Fault::DiskFull => drop(replica.disk.fill()?),
            Fault::LogLost => {
                replica.plane.program().kill()?;
                replica.disk.clear()?;
                replica.plane.program().start_again()?;
            }
        }
        Ok(())
    }

    async fn end_of(&mut self, fault: Fault, leader: usize) -> anyhow::Result<()> {
        let replica = &mut self.replicas.planes[leader];
        match fault {
            Fault::Killed | Fault::Ended => replica.plane.program().start_again()?,
            Fault::Frozen | Fault::Paused => replica.plane.program().signal(Signal::CONT)?,
            Fault::Forbidden => replica.may_write_lease(true).await?,
            Fault::Refused => replica.wire.accept(),
            Fault::Silenced => replica.wire.unblock(),
            Fault::Mute | Fault::Deaf | Fault::CutOff => firewall::only(&[])?,
            Fault::ClockForward | Fault::ClockBack => replica.set_clock(0)?,
            Fault::DiskFull => replica.disk.empty()?,
            Fault::Restarted
            | Fault::Replaced
            | Fault::ReplacedWithoutVolume
            | Fault::LeaseDeleted
            | Fault::LeaseEdited
            | Fault::LogLost => {}
        }
        Ok(())
    }

    /// Sites of which the records are large, until the log has nothing left of what it had
    /// reserved before its disk was full; when the last of them was applied.
    async fn use_reserve_up(&mut self, leader: usize) -> anyhow::Result<Instant> {
        loop {
            let begun = Instant::now();
            self.apply(true).await?;
            loop {
                let plane = &self.replicas.planes[leader].plane;
                if plane.metric("roadstead_log_writable", &[]).await? < 1.0 {
                    return Ok(begun);
                }
                if answers_now(HTTP, &self.newest(), &long_path())
                    .await
                    .is_ok()
                {
                    break;
                }
                ensure!(begun.elapsed() < SOON, "{} is not served", self.newest());
                sleep(LOOK).await;
            }
        }
    }

    /// The host of the newest site.
    fn newest(&self) -> String {
        format!("site-{}.example", self.sites)
    }

    /// A site more.
    async fn apply(&mut self, large: bool) -> anyhow::Result<()> {
        self.sites += 1;
        let name = format!("site-{}", self.sites);
        let host = self.newest();
        let backends = [self.backend.address()];
        let site = Site {
            name: &name,
            host: &host,
            path: "/",
            backends: &backends,
        };
        if large {
            self.replicas.serve_with_many_paths(&site).await
        } else {
            self.replicas.serve(&site).await
        }
    }

    /// Somebody leads in a term above this one, as soon as the Lease allows.
    async fn another_leads(
        &mut self,
        term: u64,
        begun: Instant,
        silent: Option<usize>,
    ) -> anyhow::Result<()> {
        let limit = self.terms.takeover();
        while !self.replicas.leads_above(term, silent).await {
            self.look().await?;
            let took = begun.elapsed();
            ensure!(took <= limit, "nobody leads {took:?} after the fault");
            sleep(LOOK).await;
        }
        let took = begun.elapsed();
        ensure!(took <= limit, "it took {took:?} until somebody led");
        self.takeover = self.takeover.max(took);
        Ok(())
    }

    /// The newest site answers.
    async fn serves(&mut self, large: bool) -> anyhow::Result<()> {
        let host = self.newest();
        let path = if large { long_path() } else { "/".to_owned() };
        let begun = Instant::now();
        loop {
            self.look().await?;
            match answers_now(HTTP, &host, &path).await {
                Ok(()) => return Ok(()),
                Err(error) if begun.elapsed() > SOON => return Err(error),
                Err(_) => sleep(LOOK).await,
            }
        }
    }

    /// No proxy holds less than it did.
    async fn look(&mut self) -> anyhow::Result<()> {
        for proxy in &mut self.replicas.proxies {
            proxy.look().await?;
        }
        Ok(())
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

const PACE: Duration = Duration::from_millis(10);
const LOOK: Duration = Duration::from_millis(50);
const SOON: Duration = Duration::from_secs(20);
/// Longer than any term, and than a proxy waits for a word.
const FROZEN: Duration = Duration::from_secs(25);
/// Beside the one that has traffic.
const PROXIES: usize = 10;
const NEWCOMERS: usize = 3;
/// Of one seed.
const LIMIT: Duration = Duration::from_secs(7200);
