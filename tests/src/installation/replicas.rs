//! Several control planes of one installation, each behind a wire of its own, and proxies of
//! theirs: where tests begin that are about who leads.

mod proxy;
mod replica;

use std::{collections::BTreeMap, ffi::OsString, net::Ipv4Addr, path::Path, time::Duration};

use anyhow::{Context, Error, bail, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, api::DeleteParams, api::Patch, api::PatchParams};
use roadstead_data_plane::config;
use serde_json::{Value, json};

use super::{ControlPlane, at};
use crate::{
    cluster::{Cluster, Objects},
    http,
    installation::wired::{bare, ours},
    planes::objects::Site,
    program::{Program, built},
    sandbox::Sandbox,
    wait,
};

use replica::{NAMESPACE, Seat};

pub use proxy::Proxy;
pub use replica::Replica;

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

    /// Within which somebody leads again, however its predecessor ended: until the Lease is free
    /// as others see it, who look from time to time, and three seconds.
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
            let seat = Seat {
                number,
                of: planes,
                terms,
            };
            let first = replicas.planes.first();
            let replica = Replica::start(sandbox, &replicas.cluster, seat, first);
            let replica = Box::pin(replica).await?;
            replicas.planes.push(replica);
        }
        for number in 1..=proxies {
            replicas.add_proxy(sandbox, number)?;
        }
        for proxy in &mut replicas.proxies {
            proxy.is_ready().await?;
        }
        Ok(replicas)
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
        let program = program(sandbox, &name, "roadstead-data-plane", &config)?;
        self.proxies.push(Proxy::new(program, admin));
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

    /// Whether one of them leads in a term above this one. One that is silent is not asked.
    pub async fn leads_above(&self, epoch: u64, silent: Option<usize>) -> bool {
        for (index, replica) in self.planes.iter().enumerate() {
            if Some(index) != silent
                && replica.leads().await
                && published(&replica.plane)
                    .await
                    .is_ok_and(|(now, _)| now > epoch)
            {
                return true;
            }
        }
        false
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
        Api::namespaced(self.cluster.client(), NAMESPACE)
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

fn program(sandbox: &Sandbox, name: &str, binary: &str, config: &Path) -> anyhow::Result<Program> {
    let executable = built::binary(binary)?;
    let arguments: [OsString; 2] = ["--config".into(), config.to_owned().into_os_string()];
    Program::start(sandbox, name, &executable, arguments)
}

const LEASE: &str = "roadstead-control-plane";
