//! Replicas, a proxy and its traffic, and what a test does to them.

use std::time::Duration;

use anyhow::ensure;
use roadstead_tests::{
    echo::Echo,
    installation::{
        HTTP, SOON,
        replicas::{Replicas, Terms},
        wired::ours,
    },
    planes::{answers, load::Load, objects::Site},
    sandbox::Sandbox,
    wait,
};

/// Replicas, a proxy, a route that nobody touches, and requests for it that go on.
pub(crate) struct Scene {
    pub(crate) replicas: Replicas,
    untouched: Load,
    backend: Echo,
}

impl Scene {
    pub(crate) async fn start(sandbox: &Sandbox) -> anyhow::Result<Self> {
        Self::with(sandbox, Terms::SHORT).await
    }

    pub(crate) async fn with(sandbox: &Sandbox, terms: Terms) -> anyhow::Result<Self> {
        let replicas = Box::pin(Replicas::start(sandbox, 3, 1, terms)).await?;
        Box::pin(Self::of(replicas)).await
    }

    pub(crate) async fn alone(sandbox: &Sandbox, terms: Terms) -> anyhow::Result<Self> {
        let replicas = Box::pin(Replicas::start(sandbox, 1, 1, terms)).await?;
        Box::pin(Self::of(replicas)).await
    }

    async fn of(replicas: Replicas) -> anyhow::Result<Self> {
        let backend = Echo::start("backend", "10.1.0.1:8080".parse()?).await?;
        let site = Site {
            name: "untouched",
            host: "untouched.example",
            path: "/",
            backends: &[backend.address()],
        };
        replicas.serve(&site).await?;
        answers(HTTP, "untouched.example", "/", "backend").await?;
        let untouched = Load::paced(HTTP, "untouched.example", "/", PACE);
        Ok(Self {
            replicas,
            untouched,
            backend,
        })
    }

    pub(crate) async fn apply(&self, name: &str) -> anyhow::Result<()> {
        self.send(name, &self.backend).await
    }

    /// A site whose pods are elsewhere now.
    pub(crate) async fn send(&self, name: &str, to: &Echo) -> anyhow::Result<()> {
        let host = format!("{name}.example");
        let site = Site {
            name,
            host: &host,
            path: "/",
            backends: &[to.address()],
        };
        self.replicas.serve(&site).await
    }

    /// A site of which the record is so large that a full disk has no room for it.
    pub(crate) async fn apply_large(&self, name: &str) -> anyhow::Result<()> {
        let host = format!("{name}.example");
        let site = Site {
            name,
            host: &host,
            path: "/",
            backends: &[self.backend.address()],
        };
        self.replicas.serve_with_many_paths(&site).await
    }

    /// Edits a site's Ingress into one that is refused, and waits until its last good version is kept
    /// where no volume is.
    pub(crate) async fn spoil(&self, name: &str) -> anyhow::Result<()> {
        let host = format!("{name}.example");
        let site = Site {
            name,
            host: &host,
            path: "/",
            backends: &[self.backend.address()],
        };
        let path = "path: /\n        pathType: Prefix";
        let yaml = ours(&site.yaml());
        ensure!(yaml.contains(path), "{yaml}");
        let bad = "path: /a/../b\n        pathType: ImplementationSpecific";
        let objects = &self.replicas.objects;
        objects.apply(&yaml.replacen(path, bad, 1)).await?;
        let leader = self.replicas.leader().await?;
        wait::until_ok("its recovery record is kept", SOON, async || {
            let name = "roadstead_recovery_records";
            let plane = &self.replicas.planes[leader].plane;
            let stored = plane.metric(name, &["state=\"stored\""]).await?;
            ensure!(stored > 0.0, "{stored}");
            Ok(())
        })
        .await
    }

    /// These replicas lose their volumes, and begin with nothing.
    pub(crate) async fn lose(&mut self, replicas: &[usize]) -> anyhow::Result<()> {
        for index in replicas {
            self.replicas.planes[*index].plane.program().kill()?;
        }
        for index in replicas {
            self.replicas.planes[*index].lose_volume()?;
        }
        for index in replicas {
            let program = self.replicas.planes[*index].plane.program();
            program.start_again()?;
        }
        self.replicas.settled().await?;
        self.calm().await
    }

    /// A route more, which answers.
    pub(crate) async fn add(&self, name: &str) -> anyhow::Result<()> {
        self.apply(name).await?;
        answers(HTTP, &format!("{name}.example"), "/", "backend").await?;
        Ok(())
    }

    /// Waits until so many of the replicas cannot write their log, and says who leads.
    pub(crate) async fn unwritable(&self, wanted: usize) -> anyhow::Result<usize> {
        let limit = SOON + self.replicas.terms.takeover() * 3;
        wait::until_ok("replicas know of their full disks", limit, async || {
            let mut unwritable = 0;
            for replica in &self.replicas.planes {
                let writable = replica.plane.metric("roadstead_log_writable", &[]).await?;
                unwritable += usize::from(writable < 1.0);
            }
            ensure!(unwritable == wanted, "{unwritable}");
            self.replicas.leads_now().await
        })
        .await
    }

    /// No request failed so far, and they go on.
    pub(crate) async fn calm(&mut self) -> anyhow::Result<()> {
        self.untouched.goes_on(20).await
    }
}

const PACE: Duration = Duration::from_millis(10);
