//! Which installation this is, in a cluster, and the last term that was begun in it: a Secret of
//! our own namespace.
//!
//! Apart from the folder of keys, which each replica has for itself, and from the Lease, which
//! anybody may delete: a term that was begun twice would give two records one version. Beside
//! them stands the UID of the cluster's `kube-system`: a Secret that was copied into another
//! cluster begins another installation there, whose proxies must not be told of versions of the
//! first. And the name of the Lease by which its replicas find one another: a namespace has one
//! installation, because a second would take the id, the epochs and the recovery records of the
//! first for its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client, Error};
use tokio::time::timeout;

use crate::event::Epoch;

/// The id cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    #[error(
        "the Secret {namespace}/{NAME} holds no id of an installation: put back its `lineage`, or \
         delete it; then proxies have to be told to accept another (`acceptLineage`)"
    )]
    Unreadable { namespace: String },
    #[error(
        "the namespace {namespace} is another installation's, that of the Lease {lease}: install this \
         one in a namespace of its own (sources.kubernetes.ownNamespace); if it is that one and its \
         Lease has another name now, delete `{LEASE}` from the Secret {namespace}/{NAME}"
    )]
    Taken { namespace: String, lease: String },
    #[error("cannot {doing} ({source}); {remedy}")]
    Api {
        doing: String,
        source: Error,
        remedy: String,
    },
    #[error("the API server did not answer within {} s", PATIENCE.as_secs())]
    Silent,
}

/// What became of a term that was to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It may, in the installation of this id, and no other of the same epoch ever will.
    Term { lineage: Arc<str> },
    /// One of this epoch was begun before: the next must be above it.
    Outbid { epoch: Epoch },
}

/// Where the Secret is, and whose it is to be.
#[derive(Clone, Copy, Debug)]
pub struct Home<'a> {
    /// Our own.
    pub namespace: &'a str,
    /// The name of the Lease whose holder leads.
    pub lease: &'a str,
}

/// Notes that a term begins. At the first start the installation's id is the one that the own log
/// or folder knows, or a fresh one, and the Secret keeps it from then on.
pub async fn begin(
    client: &Client,
    home: Home<'_>,
    known: Option<&str>,
    fresh: &str,
    epoch: Epoch,
) -> Result<Begun, InstallationError> {
    let Home { namespace, lease } = home;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let cluster = in_time(cluster_uid(client)).await?;
    let failed = |doing: &str| {
        let doing = format!("{doing} the Secret {namespace}/{NAME}");
        let remedy = format!(
            "give the control plane's ServiceAccount a Role in the namespace {namespace} with \
             {{apiGroups: [\"\"], resources: [\"secrets\"], verbs: [get, list, create, update, \
             delete]}}"
        );
        move |source| InstallationError::Api {
            doing,
            source,
            remedy,
        }
    };
    let kept;
    let mut known = known.unwrap_or(fresh);
    let found = in_time(async { secrets.get_opt(NAME).await.map_err(failed("read")) }).await?;
    if let Some(found) = &found {
        let data = found.data.as_ref();
        let text = |key: &str| {
            let bytes = &data?.get(key)?.0;
            String::from_utf8(bytes.clone())
                .ok()
                .filter(|text| !text.is_empty())
        };
        let lineage = text(LINEAGE).filter(|lineage| lineage.len() <= LONGEST);
        let unreadable = || InstallationError::Unreadable {
            namespace: namespace.to_owned(),
        };
        let lineage = lineage.ok_or_else(unreadable)?;
        if text(CLUSTER).is_none_or(|of| of == cluster) {
            // Older releases did not say whose it is.
            if let Some(other) = text(LEASE).filter(|of| of != lease) {
                return Err(InstallationError::Taken {
                    namespace: namespace.to_owned(),
                    lease: other.chars().take(LONGEST).collect(),
                });
            }
            // One that somebody spoilt says nothing; the Lease and the logs do.
            let last = text(EPOCH).and_then(|epoch| epoch.parse().ok());
            let last = Epoch(last.unwrap_or(0));
            let credible = last.0 <= epoch.0.saturating_add(MOST_ABOVE);
            if last >= epoch && credible {
                return Ok(Begun::Outbid { epoch: last });
            }
            kept = lineage;
            known = &kept;
        } else {
            if lineage == known {
                known = fresh;
            }
            tracing::warn!(
                %lineage, new = known,
                "the Secret {namespace}/{NAME} is of another cluster: this is a new installation"
            );
        }
    }
    let over = found.and_then(|found| found.metadata.resource_version);
    let secret = secret(known, &cluster, lease, epoch, over.clone());
    let parameters = PostParams::default();
    let written = async {
        match over {
            Some(_) => secrets.replace(NAME, &parameters, &secret).await,
            None => secrets.create(&parameters, &secret).await,
        }
        .map_err(failed("write"))
    };
    // Over what was read, or not at all: of two that begin one term one fails.
    in_time(written).await?;
    Ok(Begun::Term {
        lineage: known.into(),
    })
}

async fn cluster_uid(client: &Client) -> Result<String, InstallationError> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let found = namespaces.get(CLUSTER).await;
    let found = found.map_err(|source| InstallationError::Api {
        doing: format!("read the namespace {CLUSTER}"),
        source,
        remedy: format!(
            "give the control plane's ServiceAccount a ClusterRole with {{apiGroups: [\"\"], \
             resources: [namespaces], resourceNames: [{CLUSTER}], verbs: [get]}}"
        ),
    })?;
    Ok(found.metadata.uid.unwrap_or_default())
}

fn secret(lineage: &str, cluster: &str, lease: &str, epoch: Epoch, over: Option<String>) -> Secret {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    Secret {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            resource_version: over,
            labels: Some(BTreeMap::from([(
                "app.kubernetes.io/managed-by".to_owned(),
                "roadstead".to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        type_: Some("roadstead.dev/installation".to_owned()),
        data: Some(BTreeMap::from([
            (LINEAGE.to_owned(), bytes(lineage)),
            (CLUSTER.to_owned(), bytes(cluster)),
            (LEASE.to_owned(), bytes(lease)),
            (EPOCH.to_owned(), bytes(&epoch.to_string())),
        ])),
        ..Secret::default()
    }
}

async fn in_time<T>(
    answer: impl Future<Output = Result<T, InstallationError>>,
) -> Result<T, InstallationError> {
    let answer = timeout(PATIENCE, answer).await;
    answer.unwrap_or(Err(InstallationError::Silent))
}

const NAME: &str = "roadstead-installation";
const LINEAGE: &str = "lineage";
const LEASE: &str = "lease";
const EPOCH: &str = "epoch";
/// The entry that holds the UID of this namespace, and its name.
const CLUSTER: &str = "kube-system";
const LONGEST: usize = 128;
/// An epoch that is farther above was not reached, but written by hand.
const MOST_ABOVE: u64 = 1_000_000;
const PATIENCE: Duration = Duration::from_secs(10);
