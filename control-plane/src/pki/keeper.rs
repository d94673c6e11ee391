//! The authorities of a cluster: in a Secret of our own namespace, and without keys in a
//! ConfigMap beside it, which proxies mount.
//!
//! All replicas do this alike, whichever leads: the Secret's resourceVersion decides who was
//! first. What they have read they keep, whatever becomes of the Secret.

mod failure;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::backoff;
use crate::model::time::Timestamp;
use crate::pki::keeper::failure::{Failure, KeepError, answered};
use crate::pki::rotation::{Step, Stored, Times};
use crate::pki::{CERTIFICATE, Known, failed};
use crate::private_file;

/// Where the authorities lie.
#[derive(Clone, Debug)]
pub struct Place {
    /// Our own namespace.
    pub namespace: String,
    /// The name of the Secret.
    pub secret: String,
    /// The name of the ConfigMap with the certificates.
    pub bundle: String,
    /// A folder that is given the certificates, too, for a proxy beside us.
    pub folder: PathBuf,
    /// How long the API server lets a watch live.
    pub watch_seconds: u32,
}

/// Keeps the authorities known and in order.
#[derive(Debug)]
pub struct AuthorityKeeper {
    secrets: Api<Secret>,
    bundles: Api<ConfigMap>,
    place: Place,
    now: fn() -> Timestamp,
    times: Times,
    held: Option<Stored>,
    known: watch::Sender<Option<Arc<super::Authorities>>>,
}

impl AuthorityKeeper {
    /// A keeper that knows nothing yet, and where what it knows is found.
    pub fn new(client: Client, place: Place, now: fn() -> Timestamp) -> (Self, Known) {
        let (known, knows) = watch::channel(None);
        let keeper = Self {
            secrets: Api::namespaced(client.clone(), &place.namespace),
            bundles: Api::namespaced(client, &place.namespace),
            place,
            now,
            times: Times::default(),
            held: None,
            known,
        };
        (keeper, knows)
    }

    /// Keeps for as long as it runs: at each change of the Secret, and once a minute.
    pub async fn run(mut self) {
        let ours = watcher::Config::default()
            .fields(&format!("metadata.name={}", self.place.secret))
            .timeout(self.place.watch_seconds);
        let changes = watcher(self.secrets.clone(), ours).default_backoff();
        let mut changes = pin!(changes.filter(|item| std::future::ready(item.is_ok())));
        let mut in_a_row = 0;
        let mut said = String::new();
        loop {
            let wait = match self.attempt().await {
                Ok(Some(done)) => {
                    tracing::info!(secret = self.secret(), "the authority: {done}");
                    continue;
                }
                Ok(None) => {
                    if !std::mem::take(&mut said).is_empty() {
                        tracing::info!(secret = self.secret(), "the authorities are in order");
                    }
                    in_a_row = 0;
                    LOOK_EVERY
                }
                Err(KeepError::Conflict(object)) => {
                    in_a_row += 1;
                    tracing::debug!(object, "another replica was first");
                    backoff::delay(in_a_row)
                }
                Err(error) => {
                    in_a_row += 1;
                    let error = error.to_string();
                    if error != said {
                        tracing::error!(error, "the certificate authority is not in order");
                        said = error;
                    }
                    backoff::delay(in_a_row)
                }
            };
            tokio::select! {
                _ = changes.next() => {}
                () = sleep(wait) => {}
            }
        }
    }

    /// Looks once, and does at most one thing that is due: which.
    async fn attempt(&mut self) -> Result<Option<&'static str>, KeepError> {
        let found = self.find().await?;
        let Some((stored, secret)) = found else {
            return self.write_anew().await.map(|()| None);
        };
        let now = (self.now)();
        let held = self.held.as_ref();
        if let Some(kept) = held.and_then(|held| stored.keeping(held, now)) {
            self.replace(secret, &kept).await?;
            return Ok(Some(
                "another was put in its place, and what it signed is believed until it ends",
            ));
        }
        self.know(&stored)?;
        self.publish(&stored).await?;
        let Some(step) = stored.due(now, &self.times) else {
            return self.write_beside(&stored).map(|()| None);
        };
        self.replace(secret, &stored.after(step, now)?).await?;
        Ok(Some(told(step)))
    }

    /// Writes the Secret, if nobody has meanwhile.
    async fn replace(&self, mut secret: Secret, stored: &Stored) -> Result<(), KeepError> {
        // The rest of it may be of whoever put a copy back.
        secret.data = Some(entry(stored)?);
        let parameters = PostParams::default();
        let writing = self
            .secrets
            .replace(&self.place.secret, &parameters, &secret);
        let written = answered(Box::pin(writing)).await;
        written.map(drop).map_err(|error| self.secret_error(error))
    }

    /// What is stored, and the Secret of that revision.
    async fn find(&self) -> Result<Option<(Stored, Secret)>, KeepError> {
        let found = answered(Box::pin(self.secrets.get_opt(&self.place.secret))).await;
        let Some(secret) = found.map_err(|error| self.secret_error(error))? else {
            return Ok(None);
        };
        let text = secret.data.as_ref().and_then(|data| data.get(ENTRY));
        let stored = Stored::parse(text.map_or(&[], |text| &text.0));
        let stored = stored.map_err(|broken| KeepError::Broken(self.secret(), broken))?;
        Ok(Some((stored, secret)))
    }

    /// There is no Secret: it was deleted, or this is the first start.
    async fn write_anew(&mut self) -> Result<(), KeepError> {
        let stored = match &self.held {
            Some(held) => held.clone(),
            None => Stored::first((self.now)())?,
        };
        let secret = Secret {
            metadata: self.metadata(&self.place.secret),
            type_: Some(TYPE.to_owned()),
            data: Some(entry(&stored)?),
            ..Secret::default()
        };
        let parameters = PostParams::default();
        let writing = self.secrets.create(&parameters, &secret);
        let written = answered(Box::pin(writing)).await;
        written.map_err(|error| self.secret_error(error))?;
        let secret = self.secret();
        match &self.held {
            Some(_) => tracing::warn!(secret, "the authority was deleted: it is put back"),
            None => tracing::info!(secret, "a certificate authority was made"),
        }
        self.know(&stored)?;
        self.publish(&stored).await?;
        self.write_beside(&stored)
    }

    fn know(&mut self, stored: &Stored) -> Result<(), KeepError> {
        if self.held.as_ref() == Some(stored) {
            return Ok(());
        }
        let broken = |broken| KeepError::Broken(self.secret(), broken);
        let authorities = stored.authorities().map_err(broken)?;
        self.known.send_replace(Some(Arc::new(authorities)));
        self.held = Some(stored.clone());
        Ok(())
    }

    /// Sees that the folder has the certificates. Last of all: a disk that is full keeps the
    /// cluster from nothing.
    fn write_beside(&self, stored: &Stored) -> Result<(), KeepError> {
        let bundle = self.bundle_of(stored)?;
        let path = self.place.folder.join(CERTIFICATE);
        let written = private_file::write_public(&path, &bundle);
        Ok(written.map_err(failed("write", &path))?)
    }

    fn bundle_of(&self, stored: &Stored) -> Result<String, KeepError> {
        let broken = |broken| KeepError::Broken(self.secret(), broken);
        Ok(stored.authorities().map_err(broken)?.bundle().to_owned())
    }

    /// Sees that the ConfigMap has the certificates.
    async fn publish(&self, stored: &Stored) -> Result<(), KeepError> {
        let bundle = self.bundle_of(stored)?;
        let name = &self.place.bundle;
        let found = answered(Box::pin(self.bundles.get_opt(name))).await;
        let found = found.map_err(|error| self.bundle_error(error))?;
        let data = BTreeMap::from([(CERTIFICATE.to_owned(), bundle)]);
        let parameters = PostParams::default();
        let written = match found {
            Some(found) if found.data.as_ref() == Some(&data) => return Ok(()),
            Some(mut found) => {
                found.data = Some(data);
                found.binary_data = None;
                answered(Box::pin(self.bundles.replace(name, &parameters, &found))).await
            }
            None => {
                let draft = ConfigMap {
                    metadata: self.metadata(name),
                    data: Some(data),
                    ..ConfigMap::default()
                };
                answered(Box::pin(self.bundles.create(&parameters, &draft))).await
            }
        };
        written.map_err(|error| self.bundle_error(error))?;
        tracing::info!(config_map = self.bundle(), "the authorities are published");
        Ok(())
    }

    fn metadata(&self, name: &str) -> ObjectMeta {
        let label = ("app.kubernetes.io/managed-by", "roadstead");
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.place.namespace.clone()),
            labels: Some(
                [label]
                    .map(|(key, value)| (key.into(), value.into()))
                    .into(),
            ),
            ..ObjectMeta::default()
        }
    }

    fn secret(&self) -> String {
        format!("{}/{}", self.place.namespace, self.place.secret)
    }

    fn bundle(&self) -> String {
        format!("{}/{}", self.place.namespace, self.place.bundle)
    }

    fn secret_error(&self, failure: Failure) -> KeepError {
        let object = format!("Secret {}", self.secret());
        let verbs = "get, list, watch, create, update";
        failure.told(object, &self.place.namespace, "secrets", verbs)
    }

    fn bundle_error(&self, failure: Failure) -> KeepError {
        let object = format!("ConfigMap {}", self.bundle());
        let verbs = "get, create, update";
        failure.told(object, &self.place.namespace, "configmaps", verbs)
    }
}

fn entry(stored: &Stored) -> Result<BTreeMap<String, ByteString>, KeepError> {
    let text = ByteString(stored.text()?);
    Ok(BTreeMap::from([(ENTRY.to_owned(), text)]))
}

fn told(step: Step) -> &'static str {
    match step {
        Step::Prepare => "the next one was made",
        Step::Publish => "the next one is published",
        Step::Promote => "the next one signs from now on",
        Step::Forget => "one that signed before is no longer believed",
    }
}

/// The entry of `data`.
const ENTRY: &str = "authorities.json";
const TYPE: &str = "roadstead.dev/authorities";
const LOOK_EVERY: Duration = Duration::from_secs(60);
