//! From a saved file to the first answer by it, and what that costs each plane: both programs as
//! they are shipped, a folder of one file a site, the log on disk.
//!
//! `cargo bench -p roadstead-tests --bench planes [-- SITES...]`; a table of the README comes from
//! here. Times grow on a busy machine, CPU hardly does. That of the proxy holds the requests that
//! ask whether the change is there, about one a millisecond.

#![expect(clippy::print_stdout, reason = "what it is for")]

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, ensure};
use http::Method;
use roadstead_tests::echo::{Echo, Seen};
use roadstead_tests::http::{Connection, Protocol, request};
use roadstead_tests::planes::objects::Site;
use roadstead_tests::planes::{ControlPlane, HTTP, ONE_LISTENER, Proxy};
use roadstead_tests::sandbox::{self, Sandbox};
use tokio::time::{Instant, interval, sleep};

fn main() {
    let asked: Vec<usize> = std::env::args().filter_map(|n| n.parse().ok()).collect();
    let sizes = if asked.is_empty() { &SIZES } else { &*asked };
    println!(
        "| sites | start → all served | a route changed: p50 / p99 | CPU: control plane + proxy \
         | an endpoint changed: p50 / p99 | CPU: control plane + proxy | memory (RSS): control plane + proxy |\n\
         |---|---|---|---|---|---|---|"
    );
    for sites in sizes {
        sandbox::run_within(LIMIT, async |sandbox| measure(sandbox, *sites).await);
    }
}

async fn measure(sandbox: &Sandbox, sites: usize) -> anyhow::Result<()> {
    let _first = Echo::start(FIRST, backend(FIRST)?).await?;
    let _second = Echo::start(SECOND, backend(SECOND)?).await?;
    let content = Content {
        path: ONE,
        backend: FIRST,
    };
    for number in 0..sites {
        content.save(sandbox, number)?;
    }
    let begun = Instant::now();
    let control = ControlPlane::start(sandbox, ONE_LISTENER).await?;
    let proxy = Proxy::start(sandbox, "proxy", ADMIN, "").await?;
    let mut planes = Planes {
        client: Connection::open(HTTP, Protocol::Http1).await?,
        control,
        proxy,
        sites: vec![content; sites],
    };
    for number in (0..sites).step_by(sites.div_ceil(SAMPLE)) {
        planes.serves(number, &content).await?;
    }
    let start = begun.elapsed();
    planes.rests().await?;
    let routes = planes.changes(sandbox, |site| {
        site.path = if site.path == ONE { TWO } else { ONE };
    });
    let routes = routes.await?;
    let endpoints = planes.changes(sandbox, |site| {
        site.backend = if site.backend == FIRST { SECOND } else { FIRST };
    });
    let endpoints = endpoints.await?;
    let control = planes.control.program().resident()? >> 20;
    let proxy = planes.proxy.program().resident()? >> 20;
    println!(
        "| {sites} | {:.2} s | {routes} | {endpoints} | {control} + {proxy} MiB |",
        start.as_secs_f64(),
    );
    Ok(())
}

/// What a site's file says: one path, which one backend answers.
#[derive(Clone, Copy)]
struct Content {
    path: &'static str,
    backend: &'static str,
}

impl Content {
    fn save(&self, sandbox: &Sandbox, number: usize) -> anyhow::Result<()> {
        let site = Site {
            name: &format!("site-{number}"),
            host: &host(number),
            path: self.path,
            backends: &[backend(self.backend)?],
        };
        site.save(sandbox)
    }
}

/// Both planes, a client that asks the proxy, and what each site's file says.
struct Planes {
    client: Connection,
    control: ControlPlane,
    proxy: Proxy,
    sites: Vec<Content>,
}

impl Planes {
    /// Asks until a site is what its file says.
    async fn serves(&mut self, number: usize, content: &Content) -> anyhow::Result<()> {
        let mut pace = interval(PACE);
        let end = Instant::now() + PATIENCE;
        loop {
            let asked = request(Method::GET, &host(number), content.path);
            let reply = self.client.send(asked).await?;
            if reply.status.is_success() && Seen::from_reply(&reply)?.who == content.backend {
                return Ok(());
            }
            ensure!(Instant::now() < end, "site {number}: {}", reply.status);
            pace.tick().await;
        }
    }

    /// Waits until what the start found is stored, too: until the control plane spends next to
    /// nothing for as long as it may put that off.
    async fn rests(&mut self) -> anyhow::Result<()> {
        let (mut before, _) = self.cpu()?;
        loop {
            sleep(STORED_WITHIN).await;
            let (now, _) = self.cpu()?;
            if now.saturating_sub(before) < NEXT_TO_NOTHING {
                return Ok(());
            }
            before = now;
        }
    }

    /// Makes changes, one after the other: every site once before any comes again.
    async fn changes(
        &mut self,
        sandbox: &Sandbox,
        edit: impl Fn(&mut Content),
    ) -> anyhow::Result<Changes> {
        let (control, proxy) = self.cpu()?;
        let mut times = Vec::with_capacity(CHANGES);
        for turn in 0..CHANGES {
            let number = (turn * STRIDE) % self.sites.len();
            let site = self.sites.get_mut(number).context("a site")?;
            edit(site);
            let content = *site;
            let begun = Instant::now();
            content.save(sandbox, number)?;
            self.serves(number, &content).await?;
            times.push(begun.elapsed());
        }
        // What is written behind is part of the cost.
        sleep(WRITTEN_BEHIND).await;
        let (control_after, proxy_after) = self.cpu()?;
        times.sort_unstable();
        let at = |place: usize| times.get(place).copied().unwrap_or_default();
        Ok(Changes {
            p50: at(CHANGES / 2),
            p99: at(CHANGES * 99 / 100),
            control: (control_after - control) / CHANGES as u32,
            proxy: (proxy_after - proxy) / CHANGES as u32,
        })
    }

    /// What the control plane and the proxy have spent so far.
    fn cpu(&mut self) -> anyhow::Result<(Duration, Duration)> {
        Ok((self.control.program().cpu()?, self.proxy.program().cpu()?))
    }
}

/// What a number of changes took, and what one cost.
struct Changes {
    p50: Duration,
    p99: Duration,
    control: Duration,
    proxy: Duration,
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (p50, p99) = (ms(self.p50), ms(self.p99));
        let (control, proxy) = (ms(self.control), ms(self.proxy));
        write!(f, "{p50:.1} / {p99:.1} ms | {control:.2} + {proxy:.2} ms")
    }
}

fn host(number: usize) -> String {
    format!("site-{number}.example")
}

fn backend(name: &str) -> anyhow::Result<SocketAddr> {
    let address = if name == FIRST {
        "10.1.0.1:80"
    } else {
        "10.1.0.2:80"
    };
    Ok(address.parse()?)
}

const SIZES: [usize; 3] = [10, 1_000, 10_000];
const CHANGES: usize = 400;
const SAMPLE: usize = 100;
const ONE: &str = "/one";
const TWO: &str = "/two";
const FIRST: &str = "first";
const SECOND: &str = "second";
/// Neighbours are changed apart. Prime, so that every site has its turn.
const STRIDE: usize = 7919;
const ADMIN: u16 = 8082;
const PATIENCE: Duration = Duration::from_secs(20);
const PACE: Duration = Duration::from_millis(1);
/// Longer than the second after which endpoints and the proxy's journal are on the disk.
const WRITTEN_BEHIND: Duration = Duration::from_millis(1500);
const STORED_WITHIN: Duration = Duration::from_secs(3);
const NEXT_TO_NOTHING: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(600);
