//! A document of YAML or JSON that may be one of the objects that are watched.
//!
//! Apart from the kinds, because what comes from a file first has to say what it is.

use k8s_openapi::Resource;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize as _, Deserializer};
use serde_json::Value;

use crate::model::key::Kind;
use crate::model::refusal::{Reason, Refusal};
use crate::observe::Seen;
use crate::observe::convert::{Convert, NameError, Place, malformed, seen, types};

/// What a document turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// An object of one of the kinds that are watched, good or not.
    Object(Box<Seen>),
    /// An object of another kind.
    Foreign,
    /// Of a watched kind, and nobody can say which object.
    Nameless(NameError),
    /// It does not say what it is.
    Unknown,
}

/// Reads a document.
pub fn read(place: Place<'_>, document: &Value) -> Document {
    let text = |field| document.get(field).and_then(Value::as_str);
    let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else {
        return Document::Unknown;
    };
    let Some(kind) = Kind::ALL.into_iter().find(|known| known.as_str() == kind) else {
        return Document::Foreign;
    };
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let read = match kind {
        // Another's that has the same name.
        Kind::Certificate | Kind::TicketSecret => return Document::Foreign,
        Kind::EndpointSlice => object::<types::EndpointSlice>,
        Kind::Ingress => object::<types::Ingress>,
        Kind::IngressClass => object::<types::IngressClass>,
        Kind::Secret => object::<types::Secret>,
        Kind::Service => object::<types::Service>,
    };
    // Ingresses were of this group before 1.14; Services of other groups are something else.
    let ours = match kind {
        Kind::Certificate | Kind::TicketSecret => false,
        Kind::EndpointSlice => group == "discovery.k8s.io",
        Kind::Ingress => matches!(group, "networking.k8s.io" | "extensions"),
        Kind::IngressClass => group == "networking.k8s.io",
        // Others are for somebody else.
        Kind::Secret => group.is_empty() && has_certificate(document),
        Kind::Service => group.is_empty(),
    };
    if !ours {
        return Document::Foreign;
    }
    match read(place, api_version, document) {
        Ok(seen) => Document::Object(seen.into()),
        Err(error) => Document::Nameless(error),
    }
}

/// Whether a Secret is meant to have a certificate.
fn has_certificate(secret: &Value) -> bool {
    let of_type = secret.get("type").and_then(Value::as_str) == Some(TLS);
    let fields = ["data", "stringData"].into_iter();
    let mut fields = fields.filter_map(|field| secret.get(field));
    of_type || fields.any(|data| data.get("tls.crt").is_some())
}

const TLS: &str = "kubernetes.io/tls";

/// Reads an object of this kind, in the version that is served, straight from its text: an
/// error says only that [`read`] must look at it.
pub fn read_as<'de, D: Deserializer<'de>>(
    place: Place<'_>,
    kind: Kind,
    text: D,
) -> Result<Result<Seen, NameError>, D::Error> {
    Ok(match kind {
        Kind::Certificate | Kind::TicketSecret => {
            return Err(D::Error::custom("no document is one"));
        }
        Kind::EndpointSlice => seen(place, &types::EndpointSlice::deserialize(text)?),
        Kind::Ingress => seen(place, &types::Ingress::deserialize(text)?),
        Kind::IngressClass => seen(place, &types::IngressClass::deserialize(text)?),
        Kind::Secret => seen(place, &types::Secret::deserialize(text)?),
        Kind::Service => seen(place, &types::Service::deserialize(text)?),
    })
}

fn object<K>(place: Place<'_>, api_version: &str, document: &Value) -> Result<Seen, NameError>
where
    K: Convert + DeserializeOwned,
{
    let metadata = || metadata(document.get("metadata").unwrap_or(&Value::Null));
    if api_version != <K as Resource>::API_VERSION {
        let mut seen = malformed::<K>(place, &metadata(), "")?;
        seen.spec = seen.spec.map_err(|refusal| Refusal {
            reason: Reason::Unsupported,
            field: "apiVersion".into(),
            message: format!(
                "{api_version} is not served; rewrite the object as {}",
                <K as Resource>::API_VERSION
            )
            .into(),
            class: refusal.class,
        });
        return Ok(seen);
    }
    match K::deserialize(document) {
        Ok(object) => seen(place, &object),
        Err(error) => malformed::<K>(place, &metadata(), error),
    }
}

/// Name, namespace and annotations, whatever else is wrong with the metadata.
pub fn metadata(metadata: &Value) -> types::ObjectMeta {
    let text = |field| metadata.get(field)?.as_str().map(str::to_owned);
    let annotations = metadata.get("annotations").and_then(Value::as_object);
    types::ObjectMeta {
        name: text("name"),
        namespace: text("namespace"),
        annotations: annotations.map(|annotations| {
            let texts = annotations.iter();
            texts
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect()
        }),
        uid: text("uid"),
        resource_version: text("resourceVersion"),
        ..types::ObjectMeta::default()
    }
}
