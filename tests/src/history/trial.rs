//! What a history is played on: a cluster, a control plane behind a wire, its proxy, and traffic;
//! what befalls them, and the comparison with a control plane that begins afresh.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::Write as _,
    time::Duration,
};

use anyhow::{Context, ensure};
use serde_json::json;

use super::{History, NAMESPACES, Next, Operation, records::Records};
use crate::{
    echo::Echo,
    installation::{
        ControlPlane, HTTP, SOON,
        barrier::Barrier,
        wired::{Wired, bare},
    },
    operator::Snapshot,
    planes::{load::Load, objects::Site},
    sandbox::Sandbox,
    wait,
};

/// What happens to the parts, each while operations go on or in between.
#[derive(Clone, Copy, Debug)]
pub enum Disaster {
    /// The connections to the API server break.
    Cut,
    /// Nothing passes for a while; then all of it does, late.
    Held,
    /// The connections stand, and what was on its way is lost.
    HeldAndCut,
    /// The API server is killed.
    ApiServer,
    /// The API server is killed while nothing passes, and etcd forgets what was before.
    Forgotten,
    /// The control plane is killed, and starts again at once.
    ControlPlane,
    /// The same, with operations while it is away.
    ControlPlaneAway,
    /// It is asked to end, and is away.
    ControlPlaneStopped,
    /// Both are killed, and the control plane begins with what it has.
    Both,
}

impl Disaster {
    pub const ALL: [Self; 9] = [
        Self::Cut,
        Self::Held,
        Self::HeldAndCut,
        Self::ApiServer,
        Self::Forgotten,
        Self::ControlPlane,
        Self::ControlPlaneAway,
        Self::ControlPlaneStopped,
        Self::Both,
    ];
}

/// Everything that runs.
#[derive(Debug)]
pub struct Trial<'a> {
    sandbox: &'a Sandbox,
    parts: Wired,
    barrier: Barrier,
    records: Records,
    history: History,
    untouched: Load,
    /// Shown when the test fails.
    diary: File,
    /// Control planes that began afresh.
    fresh: u8,
    refused: u64,
    _backend: Echo,
}

impl<'a> Trial<'a> {
    /// Starts everything.
    pub async fn start(sandbox: &'a Sandbox, seed: u64) -> anyhow::Result<Self> {
        let keys = json!({"watchSeconds": 20});
        let mut parts = Wired::start_as_admin(sandbox, &bare(&[]), &keys).await?;
        for name in NAMESPACES {
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name},
            });
            parts.objects.apply(&namespace.to_string()).await?;
        }
        let backend = Echo::start("untouched", "10.1.0.1:8080".parse()?).await?;
        let site = Site {
            name: "untouched",
            host: UNTOUCHED,
            path: "/",
            backends: &[backend.address()],
        };
        parts.serve(&site).await?;
        let mut barrier = Barrier::new(parts.cluster.objects()).await?;
        barrier.pass(&mut [&mut parts.control_plane]).await?;
        let mut untouched = Load::paced(HTTP, UNTOUCHED, "/", PACE);
        untouched.goes_on(1).await?;
        let diary = OpenOptions::new()
            .create(true)
            .append(true)
            .open(sandbox.logs().join("history.log"))?;
        Ok(Self {
            sandbox,
            records: Records::new(&parts.cluster),
            parts,
            barrier,
            history: History::new(seed),
            untouched,
            diary,
            fresh: 0,
            refused: 0,
            _backend: backend,
        })
    }

    /// Plays so many operations, with a disaster now and then, and compares now and then. Returns
    /// what was done, in words.
    pub async fn play(&mut self, operations: u64) -> anyhow::Result<String> {
        let mut disasters = Vec::new();
        let (mut befallen, mut compared) = (0, 0);
        while self.history.made() < operations {
            for _ in 0..COMPARE_EVERY {
                let calm = self.history.random().below(CALM);
                self.operate(calm).await?;
                if disasters.is_empty() {
                    disasters.extend(Disaster::ALL);
                    self.history.random().shuffle(&mut disasters);
                }
                if let Some(disaster) = disasters.pop() {
                    self.befall(disaster)
                        .await
                        .with_context(|| format!("{disaster:?}"))?;
                    befallen += 1;
                }
                // It may not have held.
                self.untouched.goes_on(1).await?;
            }
            self.compare().await?;
            compared += 1;
        }
        Ok(format!(
            "{} operations (the API server refused {}), {befallen} disasters, {compared} \
             comparisons with a fresh start, {} requests to an untouched route",
            self.history.made(),
            self.refused,
            self.untouched.answered()
        ))
    }

    /// How far the history has come.
    pub fn made(&self) -> u64 {
        self.history.made()
    }

    async fn operate(&mut self, operations: u64) -> anyhow::Result<()> {
        for _ in 0..operations {
            let next = self.history.draw();
            self.take(next).await?;
        }
        Ok(())
    }

    async fn take(&mut self, next: Next) -> anyhow::Result<()> {
        let number = self.history.made();
        let taken = match &next.operation {
            Operation::Apply(object) => self.apply(object.to_string()).await,
            Operation::Delete(object) => self.delete(object.to_string()).await,
            Operation::Recreate(object) => {
                self.delete(object.to_string()).await?;
                self.apply(object.to_string()).await
            }
            Operation::Touch { object, status } => {
                let (part, patch) = if *status {
                    let address = format!("192.0.2.{}", number % 200);
                    let balancer = json!({"ingress": [{"ip": address}]});
                    ("status", json!({"status": {"loadBalancer": balancer}}))
                } else {
                    let labels = json!({"touched": number.to_string()});
                    ("", json!({"metadata": {"labels": labels}}))
                };
                let text = object.to_string();
                let objects = self.parts.objects.clone();
                until_taken(async || {
                    objects.patch(&text, part, &patch).await?;
                    Ok(())
                })
                .await
            }
        };
        let taken = taken.with_context(|| format!("{:?}", next.operation))?;
        writeln!(self.diary, "{number} {taken} {:?}", next.operation)?;
        if taken {
            self.history.took(next);
        } else {
            self.refused += 1;
            self.history.lost(&next);
        }
        Ok(())
    }

    async fn apply(&self, object: String) -> anyhow::Result<bool> {
        until_taken(async || {
            self.parts.objects.apply(&object).await?;
            Ok(())
        })
        .await
    }

    async fn delete(&self, object: String) -> anyhow::Result<bool> {
        until_taken(async || self.parts.objects.delete(&object).await).await
    }

    async fn befall(&mut self, disaster: Disaster) -> anyhow::Result<()> {
        writeln!(self.diary, "{disaster:?}")?;
        let meanwhile = 1 + self.history.random().below(MEANWHILE);
        match disaster {
            Disaster::Cut => self.parts.wire.cut(),
            Disaster::Held => {
                self.parts.wire.block();
                self.operate(meanwhile).await?;
                self.parts.wire.unblock();
            }
            Disaster::HeldAndCut => {
                self.parts.wire.block();
                self.operate(meanwhile).await?;
                self.parts.wire.cut();
                self.parts.wire.unblock();
            }
            Disaster::ApiServer => {
                self.parts.cluster.api_server().restart().await?;
            }
            Disaster::Forgotten => {
                self.parts.wire.block();
                self.operate(meanwhile).await?;
                self.parts.cluster.compact().await?;
                self.parts.cluster.api_server().restart().await?;
                self.parts.wire.cut();
                self.parts.wire.unblock();
            }
            Disaster::ControlPlane => {
                self.parts.control_plane.program().kill()?;
                self.parts.control_plane.program().start_again()?;
            }
            Disaster::ControlPlaneAway => {
                self.parts.control_plane.program().kill()?;
                self.operate(meanwhile).await?;
                self.parts.control_plane.program().start_again()?;
            }
            Disaster::ControlPlaneStopped => {
                self.parts.control_plane.program().stop(SOON).await?;
                self.operate(meanwhile).await?;
                self.parts.control_plane.program().start_again()?;
            }
            Disaster::Both => {
                self.operate(meanwhile).await?;
                self.parts.cluster.api_server().hold_down()?;
                self.parts.control_plane.program().kill()?;
                self.parts.control_plane.program().start_again()?;
                self.parts.control_plane.serves_what_it_has().await?;
                self.parts.cluster.api_server().release()?;
                self.parts.cluster.api_server().serves().await?;
            }
        }
        Ok(())
    }

    /// Whether what is served is what a control plane would serve that begins now, and whether
    /// the proxy holds it.
    async fn compare(&mut self) -> anyhow::Result<()> {
        self.fresh += 1;
        let name = format!("fresh-{}", self.fresh);
        writeln!(self.diary, "compared with {name}")?;
        self.parts.control_plane.is_ready().await?;
        self.barrier
            .pass(&mut [&mut self.parts.control_plane])
            .await?;
        self.records.settle().await?;
        self.records.copy(&name).await?;
        let source = json!({
            "kubeconfig": self.parts.cluster.kubeconfig(), "ownNamespace": name,
        });
        let mut fresh = ControlPlane::start(self.sandbox, &name, 1 + self.fresh, &source)?;
        fresh.is_ready().await?;
        let both = &mut [&mut self.parts.control_plane, &mut fresh];
        self.barrier.pass(both).await?;

        let ours = self.parts.control_plane.operator()?.snapshot().await?;
        let theirs = fresh.operator()?.snapshot().await?;
        let differences = differences(&ours, &theirs)?;
        ensure!(
            differences.is_empty(),
            "not as after a fresh start ({name}):\n{differences}"
        );
        let digest = theirs.digest()?;
        wait::until_ok("the proxy holds the same", SOON, async || {
            let held = self.parts.control_plane.held_by_proxy().await?;
            ensure!(
                held.get("digest") == Some(&json!(digest)),
                "not {digest}, but {held}"
            );
            ensure!(held.get("faults") == Some(&json!([])), "{held}");
            Ok(())
        })
        .await?;
        fresh.program().stop(SOON).await?;
        self.untouched.goes_on(50).await
    }
}

/// Tries until the API server has an answer; `false` if it refuses, for good.
async fn until_taken(mut ask: impl AsyncFnMut() -> anyhow::Result<()>) -> anyhow::Result<bool> {
    wait::until_ok("the API server takes an operation", SOON, async || {
        let Err(error) = ask().await else {
            return Ok(true);
        };
        match error.downcast_ref() {
            Some(kube::Error::Api(status)) if matches!(status.code, 400 | 409 | 422) => Ok(false),
            Some(_) | None => Err(error),
        }
    })
    .await
}

/// Resources that are not in both, or not the same.
fn differences(ours: &Snapshot, theirs: &Snapshot) -> anyhow::Result<String> {
    let (our_hashes, their_hashes) = (ours.hashes(), theirs.hashes());
    let mut text = String::new();
    let mut all = our_hashes.clone();
    all.extend(their_hashes.clone());
    for id in all.keys() {
        if our_hashes.get(id) != their_hashes.get(id) {
            let (kind, name) = id;
            let body = |of: &Snapshot| of.get(kind, name).map(|resource| resource.body.clone());
            writeln!(
                text,
                "{kind} {name}\n  it serves {:?}\n  afresh {:?}",
                body(ours),
                body(theirs)
            )?;
        }
    }
    Ok(text)
}

const UNTOUCHED: &str = "untouched.example";
/// Between the requests of each of two clients.
const PACE: Duration = Duration::from_millis(10);
/// Operations between two disasters, and while one lasts, are fewer than these.
const CALM: u64 = 20;
const MEANWHILE: u64 = 8;
/// Disasters from one comparison to the next.
const COMPARE_EVERY: u32 = 6;
