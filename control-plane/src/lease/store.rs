//! Where the Lease lies.
//!
//! A seam, so that a simulation can have thousands of schedules of it, and for what the
//! Kubernetes API calls things.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff;
use kube::api::PostParams;
use kube::{Api, Client, Error};

use crate::clock;
use crate::event::Epoch;
use crate::lease::sight::{Found, Holder};
use crate::model::time::Timestamp;

/// Reads and writes one Lease. A write succeeds only over what was read.
pub trait Store: Clone + Send + Sync + 'static {
    /// The Lease; `None` if there is none.
    fn read(&self) -> impl Future<Output = Result<Option<Found>, LeaseError>> + Send;

    /// Makes this holder hold it, in this term, from now on.
    fn take(
        &self,
        over: Option<&Found>,
        holder: &Holder,
        epoch: Epoch,
        duration: Duration,
    ) -> impl Future<Output = Result<Found, LeaseError>> + Send;

    /// Makes nobody hold it. The epoch stays.
    fn give_back(&self, held: &Found) -> impl Future<Output = Result<(), LeaseError>> + Send;
}

/// The Lease cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// It is not what was read before.
    #[error("somebody else wrote it")]
    Conflict,
    /// It is as it was before this replica wrote it last.
    #[error("what was written is undone: the cluster was restored from a backup")]
    Restored,
    #[error(
        "the API server forbids it ({message}); give the control plane's ServiceAccount a Role in \
         the namespace {namespace} with {{apiGroups: [coordination.k8s.io], resources: [leases], \
         verbs: [get, create, update]}}"
    )]
    Forbidden { namespace: String, message: String },
    #[error("the API server says {code}: {message}")]
    Refused { code: u16, message: String },
    #[error("the API server cannot be reached: {0}")]
    Unreachable(#[source] Error),
    #[error("the API server did not answer within {after:?}")]
    Silent { after: Duration },
}

/// A Lease of the Kubernetes API.
#[derive(Clone, Debug)]
pub struct Leases {
    api: Api<Lease>,
    namespace: String,
    name: String,
}

impl Leases {
    /// The one of this name.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    fn error(&self, error: Error) -> LeaseError {
        let Error::Api(status) = error else {
            return LeaseError::Unreachable(error);
        };
        let message = status.message.clone();
        match status.code {
            404 | 409 => LeaseError::Conflict,
            403 => LeaseError::Forbidden {
                namespace: self.namespace.clone(),
                message,
            },
            code => LeaseError::Refused { code, message },
        }
    }

    async fn write(&self, over: Option<&Found>, lease: &Lease) -> Result<Found, LeaseError> {
        let parameters = PostParams::default();
        let written = match over {
            Some(_) => self.api.replace(&self.name, &parameters, lease).await,
            None => self.api.create(&parameters, lease).await,
        };
        Ok(found(written.map_err(|error| self.error(error))?))
    }

    fn lease(&self, over: Option<&Found>, epoch: Epoch, address: Option<&str>) -> Lease {
        let mut metadata = over.map_or_else(ObjectMeta::default, |over| {
            ObjectMeta::clone(&over.metadata)
        });
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(EPOCH.to_owned(), epoch.to_string());
        annotations.remove(ADDRESS);
        annotations.extend(address.map(|address| (ADDRESS.to_owned(), address.to_owned())));
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                resource_version: over.map(|found| found.revision.to_string()),
                ..metadata
            },
            spec: None,
        }
    }
}

impl Store for Leases {
    async fn read(&self) -> Result<Option<Found>, LeaseError> {
        let lease = self.api.get_opt(&self.name).await;
        Ok(lease.map_err(|error| self.error(error))?.map(found))
    }

    async fn take(
        &self,
        over: Option<&Found>,
        holder: &Holder,
        epoch: Epoch,
        duration: Duration,
    ) -> Result<Found, LeaseError> {
        let now = clock::now();
        let held = over.filter(|over| over.holder.as_ref() == Some(holder));
        let transitions = over.map_or(0, |over| over.transitions);
        let mut lease = self.lease(over, epoch, Some(&holder.address));
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(holder.identity.to_string()),
            lease_duration_seconds: i32::try_from(duration.as_secs()).ok(),
            renew_time: micro_time(now),
            acquire_time: micro_time(held.and_then(|held| held.acquired).unwrap_or(now)),
            lease_transitions: Some(transitions.saturating_add(i32::from(held.is_none()))),
            ..LeaseSpec::default()
        });
        self.write(over, &lease).await
    }

    async fn give_back(&self, held: &Found) -> Result<(), LeaseError> {
        let mut lease = self.lease(Some(held), held.epoch, None);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            lease_transitions: Some(held.transitions),
            ..LeaseSpec::default()
        });
        self.write(Some(held), &lease).await.map(drop)
    }
}

/// What a Lease says. One that was edited into nonsense counts for a while, like any other.
fn found(lease: Lease) -> Found {
    let spec = lease.spec.unwrap_or_default();
    let metadata = ObjectMeta {
        // Not ours to send.
        managed_fields: None,
        ..lease.metadata
    };
    let annotation = |name: &str| metadata.annotations.as_ref()?.get(name);
    let identity = spec.holder_identity.filter(|holder| !holder.is_empty());
    let seconds = spec.lease_duration_seconds.unwrap_or_default();
    let seconds = u64::try_from(seconds).unwrap_or(0).clamp(1, LONGEST);
    let address = annotation(ADDRESS);
    let epoch = annotation(EPOCH).and_then(|epoch| epoch.parse().ok());
    Found {
        holder: identity.map(|identity| Holder {
            identity: identity.into(),
            address: address.map(String::as_str).unwrap_or_default().into(),
        }),
        epoch: Epoch(epoch.unwrap_or(0)),
        duration: Duration::from_secs(seconds),
        transitions: spec.lease_transitions.unwrap_or(0),
        acquired: spec
            .acquire_time
            .map(|time| Timestamp(time.0.as_millisecond())),
        revision: metadata.resource_version.clone().unwrap_or_default().into(),
        metadata: Arc::new(metadata),
    }
}

fn micro_time(time: Timestamp) -> Option<MicroTime> {
    jiff::Timestamp::from_millisecond(time.0)
        .ok()
        .map(MicroTime)
}

const EPOCH: &str = "roadstead.dev/epoch";
const ADDRESS: &str = "roadstead.dev/address";
/// Seconds. Longer than any that is sensible: an edit must not keep everyone from leading.
const LONGEST: u64 = 300;
