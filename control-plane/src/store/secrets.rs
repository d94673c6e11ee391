//! Secrets of our own namespace.
//!
//! Secrets and not ConfigMaps, because some of them hold keys. A resourceVersion stands
//! before each write: what somebody else wrote meanwhile is not overwritten unseen.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::{Api, Client, Error};

use crate::model::key::Origin;
use crate::store::{Body, Collection, Draft, Store, StoreError};

/// The Secrets of one namespace that bear our label with the collection's value.
#[derive(Clone, Debug)]
pub struct Secrets {
    api: Api<Secret>,
    namespace: String,
    collection: &'static str,
}

impl Secrets {
    /// Those of this namespace; `None`: the namespace of the pod's service account, or of the
    /// kubeconfig's context.
    pub fn new(client: Client, namespace: Option<String>, collection: Collection) -> Self {
        let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
        Self {
            api: Api::namespaced(client, &namespace),
            namespace,
            collection: match collection {
                Collection::LastGood => "last-good",
                Collection::Certificates => "certificates",
                Collection::Tickets => "tickets",
            },
        }
    }

    fn secret(&self, draft: Draft<'_>, over: Option<&str>) -> Secret {
        let text = |text: &str| text.to_owned();
        Secret {
            metadata: ObjectMeta {
                name: Some(secret_name(draft.name)),
                namespace: Some(self.namespace.clone()),
                resource_version: over.map(text),
                labels: Some(BTreeMap::from([
                    (text(LABEL), text(self.collection)),
                    (text("app.kubernetes.io/managed-by"), text("roadstead")),
                ])),
                annotations: Some(BTreeMap::from([(text(ABOUT), draft.about)])),
                ..ObjectMeta::default()
            },
            type_: Some(text(TYPE)),
            data: Some(BTreeMap::from([(text(RECORD), ByteString(draft.bytes))])),
            ..Secret::default()
        }
    }

    fn error(&self, error: Error) -> StoreError {
        let Error::Api(status) = error else {
            return StoreError::Unavailable(error.to_string());
        };
        let message = &status.message;
        match status.code {
            409 => StoreError::Conflict,
            // A quota that is full is told in the same way.
            403 => StoreError::Forbidden(format!(
                "the API server forbids it ({message}); unless a quota is full, give the control \
                 plane's ServiceAccount a Role in the namespace {} with {{apiGroups: [\"\"], \
                 resources: [\"secrets\"], verbs: [get, list, create, update, delete]}}",
                self.namespace
            )),
            413 | 422 => StoreError::Refused(format!("the API server does not take it: {message}")),
            _ => StoreError::Unavailable(format!("the API server says {}: {message}", status.code)),
        }
    }
}

impl Store for Secrets {
    fn origin(&self) -> Origin {
        Origin::Kubernetes
    }

    async fn all(&self) -> Result<Vec<Body>, StoreError> {
        let mut bodies = Vec::new();
        let mut page = ListParams::default()
            .labels(&format!("{LABEL}={}", self.collection))
            .limit(PAGE);
        loop {
            let list = self.api.list(&page).await;
            let list = list.map_err(|error| self.error(error))?;
            let more = list.metadata.continue_.filter(|token| !token.is_empty());
            bodies.extend(list.items.into_iter().map(body));
            match more {
                Some(_) if bodies.len() >= MAX_LISTED => {
                    return Err(StoreError::Unavailable(format!(
                        "more than {MAX_LISTED} Secrets of namespace {} bear the label \
                         {LABEL}={}",
                        self.namespace, self.collection
                    )));
                }
                Some(token) => page = page.continue_token(&token),
                None => return Ok(bodies),
            }
        }
    }

    async fn one(&self, name: &str) -> Result<Option<Body>, StoreError> {
        let secret = self.api.get_opt(&secret_name(name)).await;
        Ok(secret.map_err(|error| self.error(error))?.map(body))
    }

    async fn put(&self, draft: Draft<'_>, over: Option<&str>) -> Result<Box<str>, StoreError> {
        let name = secret_name(draft.name);
        let secret = self.secret(draft, over);
        let parameters = PostParams::default();
        let written = match over {
            Some(_) => self.api.replace(&name, &parameters, &secret).await,
            None => self.api.create(&parameters, &secret).await,
        };
        match written {
            Ok(secret) => Ok(revision(&secret)),
            // It is gone.
            Err(Error::Api(status)) if status.code == 404 && over.is_some() => {
                Err(StoreError::Conflict)
            }
            Err(Error::Api(status)) if status.code == 404 => Err(StoreError::Unavailable(format!(
                "{}; create the namespace, or name another in sources.kubernetes.ownNamespace",
                status.message
            ))),
            Err(error) => Err(self.error(error)),
        }
    }

    async fn remove(&self, name: &str, revision: &str) -> Result<(), StoreError> {
        let parameters = DeleteParams::default().preconditions(Preconditions {
            resource_version: Some(revision.to_owned()),
            uid: None,
        });
        match self.api.delete(&secret_name(name), &parameters).await {
            Ok(_) => Ok(()),
            Err(Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(self.error(error)),
        }
    }

    fn whereabouts(&self) -> String {
        format!("in namespace {}", self.namespace)
    }

    fn place(&self, name: &str) -> String {
        format!("Secret {}/{}", self.namespace, secret_name(name))
    }
}

fn secret_name(name: &str) -> String {
    format!("{PREFIX}{name}")
}

fn body(secret: Secret) -> Body {
    let revision = revision(&secret);
    let name = secret.metadata.name.unwrap_or_default();
    let record = secret.data.and_then(|mut data| data.remove(RECORD));
    Body {
        name: name.strip_prefix(PREFIX).unwrap_or(&name).into(),
        bytes: record.unwrap_or_default().0,
        revision,
    }
}

fn revision(secret: &Secret) -> Box<str> {
    let revision = secret.metadata.resource_version.as_deref();
    revision.unwrap_or_default().into()
}

const PREFIX: &str = "roadstead-";
const TYPE: &str = "roadstead.dev/recovery";
const LABEL: &str = "roadstead.dev/recovery";
/// The annotation that says which object it is about, for people.
const ABOUT: &str = "roadstead.dev/object";
/// The entry of `data`.
const RECORD: &str = "record";
/// Bodies of a list that are in memory at once as they came.
const PAGE: u32 = 100;
/// Far more than there are.
const MAX_LISTED: usize = 100_000;
