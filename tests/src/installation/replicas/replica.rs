//! One of several control planes: what it may do, its way to the API server, the disk that its log
//! is on, and its clock. All of them can be taken from it.

use std::{
    ffi::OsString,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::bail;
use serde_json::{Value, json};

use super::Terms;
use crate::{
    campaign::rounds,
    cluster::{Cluster, Objects, kubeconfig_via},
    installation::{
        ControlPlane, GRPC, SOON,
        rights::{Account, BUNDLE, CLUSTER, LEASES, REVIEWS, SECRETS, WATCH, join},
    },
    program::{Program, built},
    relay::Relay,
    sandbox::Sandbox,
    small_disk::SmallDisk,
    wait,
};

/// One replica. Its account is its own, so that what it may do can be changed for it alone.
#[derive(Debug)]
pub struct Replica {
    pub plane: ControlPlane,
    pub wire: Relay,
    pub disk: SmallDisk,
    clock: PathBuf,
    objects: Objects,
    seat: Seat,
    /// How many pods of its name there were before.
    replaced: u32,
}

/// What a replica is whichever pod it is.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) number: u8,
    /// How many there are.
    pub(super) of: u8,
    pub(super) terms: Terms,
}

impl Seat {
    fn name(&self) -> String {
        format!("control-plane-{}", self.number)
    }

    /// `lease` of its configuration.
    fn lease(&self, identity: &str) -> Value {
        let others = (1..=self.of).filter(|other| *other != self.number);
        let peers: Vec<String> = others.map(|other| grpc(other).to_string()).collect();
        json!({
            "duration": format!("{}s", self.terms.duration.as_secs()),
            "renewWithin": format!("{}s", self.terms.renew_within.as_secs()),
            "retry": format!("{}ms", self.terms.retry.as_millis()),
            "identity": identity,
            "peers": peers,
        })
    }
}

impl Replica {
    /// Starts one. Whoever has a token of the first has it of all.
    pub(super) async fn start(
        sandbox: &Sandbox,
        cluster: &Cluster,
        seat: Seat,
        first: Option<&Self>,
    ) -> anyhow::Result<Self> {
        let name = seat.name();
        let wire = Relay::start("127.0.0.1:0".parse()?, Cluster::address()).await?;
        let objects = cluster.objects();
        objects.apply(&rights(&name)).await?;
        let kubeconfig = cluster.kubeconfig_of(NAMESPACE, &name)?;
        let kubeconfig = kubeconfig_via(&kubeconfig, wire.address())?;
        let sources = json!({"kubernetes": {
            "kubeconfig": kubeconfig, "ownNamespace": NAMESPACE, "watchSeconds": 20,
        }});
        let keys = json!({"lease": seat.lease(&name)});
        if let Some(first) = first {
            share_keys(&first.plane, &sandbox.folder().join(&name).join("keys")).await?;
        }
        let log = sandbox.folder().join(&name).join("log");
        // The log of a long campaign grows by some hundred kilobytes with each fault.
        let disk = rounds(48, 256);
        let disk = SmallDisk::mount(sandbox, &format!("disk-{}", seat.number), &log, disk).await?;
        let clock = sandbox.write(&format!("{name}.clock"), "+0")?;
        let mut command = disk.seen_by().to_vec();
        command.extend(clocked_by(&clock));
        command.push(built::binary("roadstead-control-plane")?.into());
        let start = |config: &Path| {
            let [executable, arguments @ ..] = &command[..] else {
                bail!("a command");
            };
            let mut arguments = arguments.to_vec();
            arguments.extend(["--config".into(), config.to_owned().into_os_string()]);
            Program::start(sandbox, &name, Path::new(executable), arguments)
        };
        let plane = ControlPlane::start_by(sandbox, &name, seat.number, &sources, &keys, start)?;
        Ok(Self {
            plane,
            wire,
            disk,
            clock,
            objects,
            seat,
            replaced: 0,
        })
    }

    /// Its pod is deleted by force, and the next of its name is there at once: at the same
    /// address and under another identity, with the volume of the one before or without.
    pub fn replace(&mut self, with_volume: bool) -> anyhow::Result<()> {
        self.plane.program().kill()?;
        if !with_volume {
            self.lose_volume()?;
        }
        self.replaced += 1;
        let identity = format!("{}_{}", self.seat.name(), self.replaced);
        let lease = self.seat.lease(&identity);
        self.plane.configure(&json!({"lease": lease}))?;
        self.plane.program().start_again()
    }

    /// The API server lets it read the Lease and not write it, and all else is as ever; or that
    /// is over.
    pub async fn may_write_lease(&self, may: bool) -> anyhow::Result<()> {
        let name = self.seat.name();
        let rule = if may { LEASES } else { LEASES_TO_READ };
        self.objects.apply(&right_on_leases(&name, rule)).await?;
        Ok(())
    }

    /// It has lost its volume, and begins with nothing but what opens it, which a pod has from
    /// elsewhere. It must have ended.
    pub fn lose_volume(&self) -> anyhow::Result<()> {
        let keys = self.plane.keys();
        let kept = TOKENS.map(|name| (name, fs::read(keys.join(name))));
        self.disk.clear()?;
        self.plane.lose("keys")?;
        self.plane.lose("replica")?;
        fs::create_dir(&keys)?;
        for (name, token) in kept {
            fs::write(keys.join(name), token?)?;
        }
        Ok(())
    }

    /// Somebody sets its wall clock: so many seconds from what it should be.
    pub fn set_clock(&self, seconds: i64) -> anyhow::Result<()> {
        // Replaced, because it is read all the time.
        let draft = self.clock.with_extension("draft");
        fs::write(&draft, format!("{seconds:+}"))?;
        Ok(fs::rename(&draft, &self.clock)?)
    }

    /// Whether it says of itself that it leads.
    pub async fn leads(&self) -> bool {
        let leads = self.plane.metric("roadstead_leading", &[]).await;
        leads.is_ok_and(|leads| leads > 0.0)
    }
}

/// All that a control plane needs.
fn rights(name: &str) -> String {
    let account = Account {
        namespace: NAMESPACE,
        name,
    };
    let everywhere = WATCH.into_iter().chain([CLUSTER]).chain(REVIEWS);
    join(&[
        account.yaml(),
        account.may(name, everywhere),
        account.may_at_home(name, [SECRETS].into_iter().chain(BUNDLE)),
        right_on_leases(name, LEASES),
    ])
}

fn right_on_leases(name: &str, rule: &str) -> String {
    let account = Account {
        namespace: NAMESPACE,
        name,
    };
    account.may_at_home(&format!("{name}-leads"), [rule])
}

/// Whoever has a token of one replica has it of all.
async fn share_keys(from: &ControlPlane, to: &Path) -> anyhow::Result<()> {
    let keys = from.keys();
    wait::until("the first replica has its keys", SOON, async || {
        TOKENS
            .iter()
            .all(|name| keys.join(name).exists())
            .then_some(())
    })
    .await?;
    fs::create_dir_all(to)?;
    for name in TOKENS {
        fs::copy(keys.join(name), to.join(name))?;
    }
    Ok(())
}

/// What opens a replica of these tests.
const TOKENS: [&str; 2] = ["operator.token", "proxy.token"];

/// What a command has to begin with so that its wall clock is as a file says.
fn clocked_by(file: &Path) -> [OsString; 5] {
    let mut named = OsString::from("FAKETIME_TIMESTAMP_FILE=");
    named.push(file);
    [
        "env".into(),
        format!("LD_PRELOAD={FAKE_TIME}").into(),
        named,
        "FAKETIME_NO_CACHE=1".into(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".into(),
    ]
}

fn grpc(number: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 1, number)), GRPC)
}

/// Of Debian's package `faketime`; the loader knows where.
const FAKE_TIME: &str = "/usr/$LIB/faketime/libfaketimeMT.so.1";

const LEASES_TO_READ: &str =
    "{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get]}";
/// Where they and their Lease are.
pub(super) const NAMESPACE: &str = "default";
