//! What a thousand proxies cost one control plane, as it is shipped: how soon the last of them has
//! acknowledged a change, memory and CPU; and how soon all of them are served again after their
//! leader was killed.
//!
//! `cargo bench -p roadstead-tests --bench proxies [-- [folder|failover] [PROXIES [SITES [CHANGES]]]]`;
//! a table of the README comes from here. The proxies are tasks of one thread of this process, each
//! with the data plane's own stream, and share the machine with the control plane. Times grow on a
//! busy machine, CPU hardly does.

#![expect(clippy::print_stdout, reason = "what it is for")]

use std::time::Duration;

use anyhow::{Context, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use roadstead_control_plane::clock;
use roadstead_tests::installation::replicas::{Replicas, Terms};
use roadstead_tests::planes::objects::Site;
use roadstead_tests::planes::{ControlPlane, ONE_LISTENER};
use roadstead_tests::program::Program;
use roadstead_tests::sandbox::{self, Sandbox};
use roadstead_tests::swarm::{Mark, Swarm};
use tokio::time::{Instant, sleep};

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let mut numbers = asked.iter().filter_map(|n| n.parse::<usize>().ok());
    let size = Size {
        proxies: numbers.next().unwrap_or(1_000),
        sites: numbers.next().unwrap_or(1_000),
        changes: numbers.next().unwrap_or(200),
    };
    let only = |name: &str| asked.iter().any(|word| word == name);
    if !only("failover") {
        println!(
            "| proxies | sites | all have joined | CPU of it | memory (RSS) before, and a proxy more \
             | saved → last Ack: p50 / p99 / max | CPU a change | CPU a proxy and change |\n\
             |---|---|---|---|---|---|---|---|"
        );
        sandbox::run_within(LIMIT, async |sandbox| changes(sandbox, &size).await);
    }
    if !only("folder") {
        println!(
            "| proxies | sites | killed → next leads | leads → all served again | its transfers: \
             whole, buckets, delta | streams that replicas ended or sent elsewhere \
             | CPU of the next leader |\n|---|---|---|---|---|---|---|"
        );
        sandbox::run_within(LIMIT, async |sandbox| failover(sandbox, &size).await);
    }
}

struct Size {
    proxies: usize,
    sites: usize,
    changes: usize,
}

/// A folder of one file a site; files are changed one after the other.
async fn changes(sandbox: &Sandbox, size: &Size) -> anyhow::Result<()> {
    for number in 0..size.sites {
        site(number, ONE, async |site| site.save(sandbox)).await?;
    }
    let mut control = ControlPlane::start(sandbox, ONE_LISTENER).await?;
    rests(control.program()).await?;
    let (memory, cpu) = cost(control.program())?;

    let begun = Instant::now();
    let mut swarm = Swarm::join("swarm", size.proxies, &control.way()?)?;
    let (mut mark, last) = swarm.beyond(Mark::default(), PATIENCE).await?;
    let joined = last - begun;
    rests(control.program()).await?;
    let (memory_after, cpu_after) = cost(control.program())?;
    let proxy = memory_after.saturating_sub(memory) / size.proxies as u64;
    let joining = cpu_after - cpu;

    let mut times = Vec::with_capacity(size.changes);
    for turn in 0..size.changes {
        let number = (turn * STRIDE) % size.sites;
        let path = if (turn / size.sites).is_multiple_of(2) {
            TWO
        } else {
            ONE
        };
        let begun = Instant::now();
        site(number, path, async |site| site.save(sandbox)).await?;
        let (now, last) = swarm.beyond(mark, PATIENCE).await?;
        mark = now;
        times.push(last - begun);
    }
    // What is written behind is part of the cost.
    sleep(WRITTEN_BEHIND).await;
    let (_, cpu_end) = cost(control.program())?;
    let proxies = control.operator()?.proxies().await?;
    let current = proxies.iter().filter(|proxy| proxy.current).count();
    ensure!(current == size.proxies, "{current} are current");
    times.sort_unstable();
    let at = |place: usize| times.get(place).map_or(0.0, |time| ms(*time));
    let spent = ms(cpu_end - cpu_after) / size.changes as f64;
    println!(
        "| {} | {} | {:.2} s | {:.2} s | {} MiB + {} kB | {:.1} / {:.1} / {:.1} ms | {spent:.1} ms | {:.1} µs |",
        size.proxies,
        size.sites,
        joined.as_secs_f64(),
        joining.as_secs_f64(),
        memory >> 20,
        proxy / 1000,
        at(size.changes / 2),
        at(size.changes * 99 / 100),
        at(size.changes.saturating_sub(1)),
        spent * 1e3 / size.proxies as f64,
    );
    Ok(())
}

/// Three replicas on a real API server. The one that leads is killed.
async fn failover(sandbox: &Sandbox, size: &Size) -> anyhow::Result<()> {
    let mut replicas = Box::pin(Replicas::start(sandbox, 3, 0, Terms::SHORT)).await?;
    let first = replicas.leader().await?;
    stream::iter(0..size.sites)
        .map(|number| site(number, ONE, async |site| replicas.serve(site).await))
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    replicas.same_history().await?;
    let mut swarm = Swarm::join("swarm", size.proxies, &replicas.way()?)?;
    let (before, _) = swarm.beyond(Mark::default(), PATIENCE).await?;
    for replica in &mut replicas.planes {
        rests(replica.plane.program()).await?;
    }
    let spent = |replicas: &mut Replicas, index: usize| -> anyhow::Result<Duration> {
        let replica = replicas.planes.get_mut(index).context("a replica")?;
        replica.plane.program().cpu()
    };
    let mut cpu = Vec::new();
    for index in 0..replicas.planes.len() {
        cpu.push(spent(&mut replicas, index)?);
    }

    let killed = clock::now();
    let old = replicas.planes.get_mut(first).context("the leader")?;
    old.plane.program().kill()?;
    let served = swarm.beyond(Mark::end_of(before.epoch), PATIENCE).await;
    let (_, last) = served?;
    let ago = i64::try_from(last.elapsed().as_millis())?;
    let served = clock::now().0 - ago;
    let second = replicas.leader().await?;
    let next = replicas.planes.get_mut(second).context("the leader")?;
    let leads = leads_since(next.plane.program())?;
    let mut sent = Vec::new();
    for scope in ["whole", "buckets", "delta"] {
        let label = format!("scope=\"{scope}\"");
        let labels = [label.as_str()];
        let count = next.plane.metric("roadstead_transfers_total", &labels);
        // A sum of nothing is below zero.
        sent.push(format!("{:.0}", count.await?.abs()));
    }
    let mut ended = 0.0;
    for (_, replica) in replicas
        .planes
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != first)
    {
        ended += replica.plane.metric("roadstead_streams_total", &[]).await?;
    }
    let cpu = spent(&mut replicas, second)? - *cpu.get(second).context("the leader")?;
    println!(
        "| {} | {} | {:.2} s | {:.2} s | {} | {ended} | {:.2} s |",
        size.proxies,
        size.sites,
        (leads - killed.0) as f64 / 1e3,
        (served - leads) as f64 / 1e3,
        sent.join(", "),
        cpu.as_secs_f64(),
    );
    Ok(())
}

/// When this replica said last that it leads, in milliseconds of the wall clock.
fn leads_since(program: &Program) -> anyhow::Result<i64> {
    let log = program.log()?;
    let line = log
        .lines()
        .rfind(|line| line.contains("this replica leads"));
    let time = line.and_then(|line| line.split_whitespace().next());
    let time: jiff::Timestamp = time.context("it does not lead")?.parse()?;
    Ok(time.as_millisecond())
}

/// Site of this number, with what lies below this path.
async fn site(
    number: usize,
    path: &str,
    with: impl AsyncFnOnce(&Site<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let name = format!("site-{number}");
    let host = format!("{name}.example");
    let site = Site {
        name: &name,
        host: &host,
        path,
        backends: &["10.1.0.1:80".parse()?],
    };
    with(&site).await
}

/// Waits until a program spends next to nothing for as long as it may put things off.
async fn rests(program: &Program) -> anyhow::Result<()> {
    let mut before = program.cpu()?;
    loop {
        sleep(STORED_WITHIN).await;
        let now = program.cpu()?;
        if now.saturating_sub(before) < NEXT_TO_NOTHING {
            return Ok(());
        }
        before = now;
    }
}

fn cost(program: &Program) -> anyhow::Result<(u64, Duration)> {
    Ok((program.resident()?, program.cpu()?))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

const ONE: &str = "/one";
const TWO: &str = "/two";
/// Neighbours are changed apart. Prime, so that every site has its turn.
const STRIDE: usize = 7919;
/// Objects that are applied to the API server at once.
const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(120);
/// Longer than the second after which endpoints are on the disk.
const WRITTEN_BEHIND: Duration = Duration::from_millis(1500);
const STORED_WITHIN: Duration = Duration::from_secs(3);
/// Of three seconds. A thousand connections have their keep-alives.
const NEXT_TO_NOTHING: Duration = Duration::from_millis(400);
const LIMIT: Duration = Duration::from_secs(1200);
