//! Kubernetes objects become the model, or a reason why not.
//!
//! The one place that names the Kubernetes types: what is routed on is taken out here, and
//! what does not matter cannot cause a change. An object is refused as a whole if one part of
//! it is bad, because half of what somebody meant is something that nobody meant.

mod document;
mod endpoint_slice;
mod ignored;
mod ingress;
mod ingress_class;
mod name;
mod published;
mod secret;
mod service;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::sync::Arc;

use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::model::address::Published;
use crate::model::bundle::Bundle;
use crate::model::ingress::ClassRef;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::object::{Age, Meta, Spec};
use crate::model::refusal::{Reason, Refusal};
use crate::model::time::Timestamp;
use crate::observe::Seen;

pub use document::{Document, metadata, read, read_as};
pub use name::{is_label, is_subdomain};
pub use published::published;

/// The Kubernetes types that are watched.
pub mod types {
    pub use k8s_openapi::api::core::v1::{Secret, Service};
    pub use k8s_openapi::api::discovery::v1::EndpointSlice;
    pub use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
    pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
}

/// A Kubernetes type that becomes a part of the model.
pub trait Convert: Metadata<Ty = ObjectMeta> + k8s_openapi::Resource {
    const MODEL_KIND: Kind;

    /// What the object asks for, or why it cannot be used.
    fn spec(&self, origin: Origin) -> Result<Spec, Refusal>;

    /// The same, and the bundle of a Secret.
    fn spec_and_bundle(&self, origin: Origin) -> Result<(Spec, Option<Bundle>), Refusal> {
        self.spec(origin).map(|spec| (spec, None))
    }

    /// The class that an Ingress names; other kinds have none.
    fn class(&self) -> Option<ClassRef> {
        None
    }

    /// The status of an Ingress; that of other kinds is never written.
    fn published(&self) -> Option<Published> {
        None
    }
}

/// Where an object was seen, and what makes its identity there.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// The API server, which gives objects their identity and age.
    Kubernetes,
    /// A place in the folder: file and position, and a hash of the content.
    Folder { rank: &'a str, version: &'a str },
}

impl Place<'_> {
    fn origin(self) -> Origin {
        match self {
            Self::Kubernetes => Origin::Kubernetes,
            Self::Folder { .. } => Origin::Folder,
        }
    }
}

/// An object cannot be told from others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("metadata.name is missing")]
    Missing,
    #[error("metadata.{field} {text:?} is no name: use lower-case letters, digits, - and .")]
    Invalid { field: &'static str, text: Box<str> },
}

/// The object as it is seen at this place.
pub fn seen<K: Convert>(place: Place<'_>, object: &K) -> Result<Seen, NameError> {
    let (key, meta) = identity::<K>(place, object.metadata())?;
    let read = object.spec_and_bundle(key.origin);
    let (spec, bundle) = match read {
        Ok((spec, bundle)) => (Ok(spec), bundle),
        Err(refusal) => (
            Err(match object.class() {
                Some(class) => refusal.of_class(class),
                None => refusal,
            }),
            None,
        ),
    };
    Ok(Seen {
        key,
        meta,
        spec,
        bundle,
    })
}

/// An object of which only the metadata can be read.
pub fn malformed<K: Convert>(
    place: Place<'_>,
    metadata: &ObjectMeta,
    error: impl fmt::Display,
) -> Result<Seen, NameError> {
    let (key, meta) = identity::<K>(place, metadata)?;
    // What a Secret's reader says of a value may have the value in it.
    let error = match K::MODEL_KIND {
        Kind::Secret => "a field has another form than it should".to_owned(),
        Kind::Certificate
        | Kind::EndpointSlice
        | Kind::Ingress
        | Kind::IngressClass
        | Kind::Service
        | Kind::TicketSecret => shorten(&error.to_string()),
    };
    let message = format!("is no {} of {}: {error}", K::MODEL_KIND, K::API_VERSION);
    let refusal = Refusal::new(Reason::Malformed, "", message);
    let refusal = match ingress::class_annotation(metadata) {
        Some(class) if K::MODEL_KIND == Kind::Ingress => refusal.of_class(class),
        Some(_) | None => refusal,
    };
    Ok(Seen {
        key,
        meta,
        spec: Err(refusal),
        bundle: None,
    })
}

/// The key of an object that is gone.
pub fn key<K: Convert>(origin: Origin, metadata: &ObjectMeta) -> Result<ObjectKey, NameError> {
    let namespace = match K::MODEL_KIND {
        Kind::Certificate | Kind::IngressClass | Kind::TicketSecret => "",
        Kind::EndpointSlice | Kind::Ingress | Kind::Secret | Kind::Service => {
            metadata.namespace.as_deref().unwrap_or("default")
        }
    };
    let name = metadata.name.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err(NameError::Missing);
    }
    // Names stand in resource names between / and :, so that these must not be in them.
    if !is_subdomain(name) {
        return Err(NameError::Invalid {
            field: "name",
            text: shorten(name).into(),
        });
    }
    if !namespace.is_empty() && !is_label(namespace) {
        return Err(NameError::Invalid {
            field: "namespace",
            text: shorten(namespace).into(),
        });
    }
    Ok(ObjectKey {
        origin,
        kind: K::MODEL_KIND,
        namespace: namespace.into(),
        name: name.into(),
    })
}

fn identity<K: Convert>(
    place: Place<'_>,
    metadata: &ObjectMeta,
) -> Result<(ObjectKey, Meta), NameError> {
    let key = key::<K>(place.origin(), metadata)?;
    let meta = match place {
        Place::Kubernetes => Meta {
            uid: text(metadata.uid.as_ref()),
            resource_version: text(metadata.resource_version.as_ref()),
            age: Age {
                created: metadata
                    .creation_timestamp
                    .as_ref()
                    .map_or(Timestamp(0), |time| Timestamp(time.0.as_millisecond())),
                rank: format!("{}/{}", key.namespace, key.name).into(),
            },
        },
        Place::Folder { rank, version } => {
            let rank: Arc<str> = rank.into();
            Meta {
                uid: rank.clone(),
                resource_version: version.into(),
                age: Age {
                    created: Timestamp(0),
                    rank,
                },
            }
        }
    };
    Ok((key, meta))
}

fn text(field: Option<&String>) -> Arc<str> {
    field.map(String::as_str).unwrap_or_default().into()
}

/// Bounds what is quoted of a user's text.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// What is wrong with a name that has to be a label.
fn bad_label(text: &str) -> String {
    format!(
        "{:?} is no name: use lower-case letters, digits and -, at most 63",
        shorten(text)
    )
}

/// The matcher's reason, without the field, which a refusal names by itself.
fn reason(error: &impl fmt::Display) -> String {
    let text = error.to_string();
    match text.split_once(": ") {
        Some(("host" | "path", reason)) => reason.to_owned(),
        Some(_) | None => text,
    }
}

/// A number, if it is a port.
fn port(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|number| *number != 0)
}

const MAX_QUOTED: usize = 200;
