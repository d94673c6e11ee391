//! A cluster, a control plane behind a wire that can be cut, and its proxy: where tests begin
//! that are about what lies between the API server and an answer.

use std::path::Path;

use serde_json::{Value, json};

use super::{ControlPlane, start_proxy};
use crate::{
    cluster::{Cluster, Objects, Options, kubeconfig_via},
    planes::objects::Site,
    program::{Program, built},
    relay::Relay,
    sandbox::Sandbox,
};

/// All of it, running.
#[derive(Debug)]
pub struct Wired {
    pub cluster: Cluster,
    pub objects: Objects,
    /// Between the control plane and the API server.
    pub wire: Relay,
    pub control_plane: ControlPlane,
    _proxy: Program,
}

/// What to start: a bare API server with these flags more.
pub fn bare(api_server: &[&str]) -> Options {
    Options {
        api_server: api_server.iter().map(ToString::to_string).collect(),
        ..Options::bare()
    }
}

impl Wired {
    /// Starts it in a cluster, after what `prepare` does there. The control plane's sources are
    /// what `prepare` says of a kubeconfig by the wire.
    pub async fn start(
        sandbox: &Sandbox,
        options: &Options,
        prepare: impl AsyncFnOnce(&Cluster, Wire<'_>) -> anyhow::Result<Value>,
    ) -> anyhow::Result<Self> {
        let cluster = Cluster::start(sandbox, options).await?;
        let objects = cluster.objects();
        let wire = Relay::start("127.0.0.1:0".parse()?, Cluster::address()).await?;
        let sources = prepare(&cluster, Wire(&wire)).await?;
        let mut control_plane = ControlPlane::start_on(sandbox, "control-plane", 1, &sources)?;
        control_plane.is_ready().await?;
        let proxy = start_proxy(sandbox, &control_plane, |config| {
            let executable = built::binary("roadstead-data-plane")?;
            let arguments = ["--config".into(), config.to_owned().into_os_string()];
            Program::start(sandbox, "proxy", &executable, arguments)
        });
        Ok(Self {
            _proxy: proxy.await?,
            cluster,
            objects,
            wire,
            control_plane,
        })
    }

    /// The same for an administrator's kubeconfig, and these keys more of `sources.kubernetes`.
    pub async fn start_as_admin(
        sandbox: &Sandbox,
        options: &Options,
        keys: &Value,
    ) -> anyhow::Result<Self> {
        Self::start(sandbox, options, async |cluster, wire| {
            Ok(json!({"kubernetes": wire.source(&cluster.kubeconfig(), keys)?}))
        })
        .await
    }

    /// Makes a site be as it says.
    pub async fn serve(&self, site: &Site<'_>) -> anyhow::Result<()> {
        self.objects.apply(&ours(&site.yaml())).await?;
        Ok(())
    }

    /// Deletes a site's Ingress, and leaves the rest of it.
    pub async fn withdraw(&self, site: &Site<'_>) -> anyhow::Result<()> {
        let name = site.name;
        let ingress = format!(
            "{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: {name}}}}}"
        );
        self.objects.delete(&ingress).await
    }

    /// The control plane is killed, and starts again when this was done.
    pub async fn while_it_is_away(
        &mut self,
        what: impl AsyncFnOnce(&Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.control_plane.program().kill()?;
        what(self).await?;
        self.control_plane.program().start_again()
    }
}

/// The way to the API server that can be cut.
#[derive(Debug)]
pub struct Wire<'a>(&'a Relay);

impl Wire<'_> {
    /// `sources.kubernetes` by this way, as whoever the kubeconfig names, and these keys more.
    pub fn source(&self, kubeconfig: &Path, keys: &Value) -> anyhow::Result<Value> {
        let mut source = json!({"kubeconfig": kubeconfig_via(kubeconfig, self.0.address())?});
        if let (Some(source), Some(keys)) = (source.as_object_mut(), keys.as_object()) {
            source.extend(keys.clone());
        }
        Ok(source)
    }
}

/// The objects of a site with our class named in its Ingress, as a cluster needs it.
pub fn ours(yaml: &str) -> String {
    yaml.replacen("spec:\n", "spec:\n  ingressClassName: roadstead\n", 1)
}
