//! Several control planes of one installation, each behind a wire of its own, and proxies of
//! theirs: where tests begin that are about who leads.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Error, bail, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::DeleteParams, api::Patch, api::PatchParams};
use roadstead_data_plane::config;
use serde_json::{Value, json};

use super::{ControlPlane, at, is_ready};
use crate::{
    campaign::rounds,
    cluster::{Cluster, Objects, kubeconfig_via},
    http,
    installation::wired::{bare, ours},
    planes::objects::Site,
    program::{Program, built},
    relay::Relay,
    sandbox::Sandbox,
    small_disk::SmallDisk,
    wait,
};

/// How long a term lasts without renewal, until its holder stops, and between attempts.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub duration: Duration,
    pub renew_within: Duration,
    pub retry: Duration,
}

impl Terms {
    /// For tests that wait for many of them.
    pub const SHORT: Self = Self {
        duration: Duration::from_secs(3),
        renew_within: Duration::from_secs(2),
        retry: Duration::from_millis(500),
    };
    /// As shipped.
    pub const DEFAULT: Self = Self {
        duration: Duration::from_secs(15),
        renew_within: Duration::from_secs(10),
        retry: Duration::from_secs(2),
    };

    /// Within which somebody leads again, however its predecessor ended: until the Lease is free,
    /// a look later, and five seconds.
    pub fn takeover(self) -> Duration {
        self.duration + self.retry + Duration::from_secs(3)
    }
}

/// All of them, running.
#[derive(Debug)]
pub struct Replicas {
    pub cluster: Cluster,
    pub objects: Objects,
    pub planes: Vec<Replica>,
    pub proxies: Vec<Proxy>,
    pub terms: Terms,
}

/// One replica, its way to the API server, the disk that its log is on, and its clock.
#[derive(Debug)]
pub struct Replica {
    pub plane: ControlPlane,
    pub wire: Relay,
    pub disk: SmallDisk,
    clock: PathBuf,
}

/// A proxy of all replicas. Its traffic is on an address of its own.
#[derive(Debug)]
pub struct Proxy {
    pub program: Program,
    admin: SocketAddr,
    /// The versions that it was seen to hold, in order.
    seen: Vec<(u64, u64)>,
}

impl Replicas {
    /// Starts so many of each.
    pub async fn start(
        sandbox: &Sandbox,
        planes: u8,
        proxies: u8,
        terms: Terms,
    ) -> anyhow::Result<Self> {
        let cluster = Cluster::start(sandbox, &bare(&[])).await?;
        let objects = cluster.objects();
        let mut replicas = Self {
            cluster,
            objects,
            planes: Vec::new(),
            proxies: Vec::new(),
            terms,
        };
        for number in 1..=planes {
            replicas.add_plane(sandbox, number, planes).await?;
        }
        for number in 1..=proxies {
            replicas.add_proxy(sandbox, number)?;
        }
        for proxy in &mut replicas.proxies {
            is_ready(&mut proxy.program, proxy.admin).await?;
        }
        Ok(replicas)
    }

    async fn add_plane(&mut self, sandbox: &Sandbox, number: u8, of: u8) -> anyhow::Result<()> {
        let name = format!("control-plane-{number}");
        let wire = Relay::start("127.0.0.1:0".parse()?, Cluster::address()).await?;
        let kubeconfig = kubeconfig_via(&self.cluster.kubeconfig(), wire.address())?;
        let sources = json!({"kubernetes": {
            "kubeconfig": kubeconfig, "ownNamespace": "default", "watchSeconds": 20,
        }});
        let others = (1..=of).filter(|other| *other != number);
        let peers: Vec<String> = others.map(|other| grpc(other).to_string()).collect();
        let keys = json!({
            "lease": {
                "duration": format!("{}s", self.terms.duration.as_secs()),
                "renewWithin": format!("{}s", self.terms.renew_within.as_secs()),
                "retry": format!("{}ms", self.terms.retry.as_millis()),
                "identity": name,
                "peers": peers,
            },
        });
        if let Some(first) = self.planes.first() {
            share_keys(&first.plane, &sandbox.folder().join(&name).join("keys")).await?;
        }
        let log = sandbox.folder().join(&name).join("log");
        // The log of a long campaign grows by some hundred kilobytes with each fault.
        let disk = rounds(48, 256);
        let disk = SmallDisk::mount(sandbox, &format!("disk-{number}"), &log, disk).await?;
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
        let plane = ControlPlane::start_by(sandbox, &name, number, &sources, &keys, start)?;
        self.planes.push(Replica {
            plane,
            wire,
            disk,
            clock,
        });
        Ok(())
    }

    fn add_proxy(&mut self, sandbox: &Sandbox, number: u8) -> anyhow::Result<()> {
        let name = format!("proxy-{number}");
        let keys = self.planes.first().context("no replica")?.plane.keys();
        let admin = at(Ipv4Addr::new(127, 0, 3, number), 8446);
        let addresses = self.planes.iter().map(|replica| replica.plane.address());
        let addresses: Vec<String> = addresses.map(|to| format!("https://{to}")).collect();
        let config = json!({
            "proxy": name,
            "controlPlane": {
                "addresses": addresses,
                "caFile": keys.join("ca.pem"),
                "tokenFile": keys.join("proxy.token"),
            },
            "stateFolder": sandbox.folder().join(&name),
            "threads": 1,
            "admin": {"address": admin},
        });
        let config = sandbox.write(&format!("{name}.yaml"), &config.to_string())?;
        self.proxies.push(Proxy {
            program: program(sandbox, &name, "roadstead-data-plane", &config)?,
            admin,
            seen: Vec::new(),
        });
        Ok(())
    }

    /// How proxies of this process's own reach all of them.
    pub fn way(&self) -> anyhow::Result<config::ControlPlane> {
        let keys = self.planes.first().context("no replica")?.plane.keys();
        let addresses = self.planes.iter().map(|replica| {
            let address = format!("https://{}", replica.plane.address());
            address.parse().map_err(Error::msg)
        });
        Ok(config::ControlPlane {
            addresses: addresses.collect::<anyhow::Result<_>>()?,
            ca_file: Some(keys.join("ca.pem")),
            token_file: Some(keys.join("proxy.token")),
            ..config::ControlPlane::default()
        })
    }

    /// Makes a site be as it says.
    pub async fn serve(&self, site: &Site<'_>) -> anyhow::Result<()> {
        self.objects.apply(&ours(&site.yaml())).await?;
        Ok(())
    }

    /// The same with so many paths, and not at the root, that the record of it is large.
    pub async fn serve_with_many_paths(&self, site: &Site<'_>) -> anyhow::Result<()> {
        self.objects
            .apply(&ours(&site.yaml_with_many_paths()))
            .await?;
        Ok(())
    }

    /// Waits until one of the replicas leads, as itself and the Lease say, and says which.
    pub async fn leader(&self) -> anyhow::Result<usize> {
        let limit = self.terms.takeover() + super::SOON;
        wait::until_ok("one replica leads", limit, async || self.leads_now().await).await
    }

    /// The same now.
    pub async fn leads_now(&self) -> anyhow::Result<usize> {
        let mut leading = Vec::new();
        for (index, replica) in self.planes.iter().enumerate() {
            if replica.leads().await {
                leading.push(index);
            }
        }
        let holder = self.holder().await?.unwrap_or_default();
        match leading[..] {
            [index] if holder.starts_with(&format!("control-plane-{}_", index + 1)) => Ok(index),
            _ => bail!("{leading:?} lead, and the Lease names {holder:?}"),
        }
    }

    /// Who holds the Lease.
    pub async fn holder(&self) -> anyhow::Result<Option<String>> {
        let lease = self.lease().get_opt(LEASE).await?;
        let holder = lease.and_then(|lease| lease.spec?.holder_identity);
        Ok(holder.filter(|holder| !holder.is_empty()))
    }

    /// Somebody deletes the Lease.
    pub async fn delete_lease(&self) -> anyhow::Result<()> {
        self.lease().delete(LEASE, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Somebody edits it.
    pub async fn edit_lease(&self, patch: &Value) -> anyhow::Result<()> {
        let parameters = PatchParams::default();
        self.lease()
            .patch(LEASE, &parameters, &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    fn lease(&self) -> Api<Lease> {
        Api::namespaced(self.cluster.client(), "default")
    }

    /// Waits until all proxies hold the version that the leader serves, and none of them went
    /// back meanwhile.
    pub async fn settled(&mut self) -> anyhow::Result<()> {
        let leader = self.leader().await?;
        let plane = &self.planes.get(leader).context("the leader")?.plane;
        plane_serves(plane).await?;
        let limit = super::SOON;
        for proxy in &mut self.proxies {
            let (epoch, seq) = published(plane).await?;
            wait::until_ok("a proxy holds what the leader serves", limit, async || {
                let held = proxy.look().await?;
                ensure!(held >= (epoch, seq), "{held:?}, and not {:?}", (epoch, seq));
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    /// Waits until all replicas have the same history, and says what it holds: of each record its
    /// epoch, in order.
    pub async fn same_history(&self) -> anyhow::Result<Vec<(u64, u64)>> {
        wait::until_ok(
            "all replicas have the same history",
            super::SOON,
            async || {
                let mut histories = BTreeMap::new();
                for replica in &self.planes {
                    let history = replica.plane.operator()?.history().await?;
                    histories.insert(history, replica.plane.address());
                }
                ensure!(histories.len() == 1, "{} different ones", histories.len());
                let (history, _) = histories.into_iter().next().context("no replica")?;
                Ok(history
                    .into_iter()
                    .map(|(seq, epoch, _)| (seq, epoch))
                    .collect())
            },
        )
        .await
    }
}

impl Replica {
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

impl Proxy {
    /// How many versions it was seen to hold.
    pub fn versions(&self) -> usize {
        self.seen.len()
    }

    /// The version that it holds now, which is no lower than before.
    pub async fn look(&mut self) -> anyhow::Result<(u64, u64)> {
        let reply = http::get(self.admin, "localhost", "/snapshot").await?;
        let held: Value = serde_json::from_slice(&reply.body)?;
        let number = |key: &str| {
            held.pointer(&format!("/version/{key}"))
                .and_then(Value::as_u64)
        };
        let (Some(epoch), Some(seq)) = (number("epoch"), number("seq")) else {
            bail!("{held}");
        };
        let held = (epoch, seq);
        if let Some(before) = self.seen.last() {
            ensure!(held >= *before, "it went back from {before:?} to {held:?}");
        }
        if self.seen.last() != Some(&held) {
            self.seen.push(held);
        }
        Ok(held)
    }
}

async fn published(plane: &ControlPlane) -> anyhow::Result<(u64, u64)> {
    let number = async |name: &str| -> anyhow::Result<u64> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a counter"
        )]
        Ok(plane.metric(name, &[]).await? as u64)
    };
    Ok((
        number("roadstead_published_epoch").await?,
        number("roadstead_published_seq").await?,
    ))
}

async fn plane_serves(plane: &ControlPlane) -> anyhow::Result<()> {
    let admin = plane.admin();
    wait::until_ok("the leader is ready", super::SOON, async || {
        let reply = http::get(admin, "localhost", "/readyz").await?;
        ensure!(reply.status.is_success(), "{}", reply.text());
        Ok(())
    })
    .await
}

/// Whoever has a token of one replica has it of all.
async fn share_keys(from: &ControlPlane, to: &Path) -> anyhow::Result<()> {
    let keys = from.keys();
    wait::until("the first replica has its keys", super::SOON, async || {
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

fn program(sandbox: &Sandbox, name: &str, binary: &str, config: &Path) -> anyhow::Result<Program> {
    let executable = built::binary(binary)?;
    let arguments: [OsString; 2] = ["--config".into(), config.to_owned().into_os_string()];
    Program::start(sandbox, name, &executable, arguments)
}

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
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 1, number)), super::GRPC)
}

/// Of Debian's package `faketime`; the loader knows where.
const FAKE_TIME: &str = "/usr/$LIB/faketime/libfaketimeMT.so.1";

const LEASE: &str = "roadstead-control-plane";
