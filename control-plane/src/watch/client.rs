//! A client of the API server that does not wait for ever.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// There is no way to the API server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("cannot use the kubeconfig {}: {source}", path.display())]
    Kubeconfig {
        path: PathBuf,
        source: kube::config::KubeconfigError,
    },
    #[error(
        "cannot find the API server from inside a pod: {0}; outside of a cluster name a file in sources.kubernetes.kubeconfig"
    )]
    InCluster(#[source] kube::config::InClusterError),
    #[error("cannot make a client of the API server: {0}")]
    Client(#[source] kube::Error),
}

/// A client by this kubeconfig, or by the pod's own service account, for watches of this many
/// seconds. Connects to nothing yet.
pub async fn connect(
    kubeconfig: Option<&Path>,
    watch_seconds: u32,
) -> Result<Client, ConnectError> {
    let mut config = match kubeconfig {
        Some(path) => {
            let unusable = |source| ConnectError::Kubeconfig {
                path: path.to_owned(),
                source,
            };
            let file = Kubeconfig::read_from(path).map_err(unusable)?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(file, &options)
                .await
                .map_err(unusable)?
        }
        None => Config::incluster().map_err(ConnectError::InCluster)?,
    };
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(silence(watch_seconds));
    Client::try_from(config).map_err(ConnectError::Client)
}

const CONNECT: Duration = Duration::from_secs(10);

/// Longer than the server lets a watch live: a connection that brings nothing for this long,
/// be it a change, a bookmark or the end of the watch, is dead.
fn silence(watch_seconds: u32) -> Duration {
    Duration::from_secs(watch_seconds.into()) * 7 / 6
}
