//! Secret (core `v1`) with a certificate: `tls.crt` and `tls.key`.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;

use crate::model::bundle::Bundle;
use crate::model::key::{Kind, Origin};
use crate::model::object::Spec;
use crate::model::refusal::{Reason, Refusal};
use crate::observe::certificate::{self, Problem};
use crate::observe::convert::{Convert, types};

impl Convert for types::Secret {
    const MODEL_KIND: Kind = Kind::Secret;

    fn spec(&self, origin: Origin) -> Result<Spec, Refusal> {
        self.spec_and_bundle(origin).map(|(spec, _)| spec)
    }

    /// Of any type: what matters is that both are there.
    fn spec_and_bundle(&self, _: Origin) -> Result<(Spec, Option<Bundle>), Refusal> {
        let chain = field(self, CHAIN)?;
        let key = field(self, KEY)?;
        let (certificate, bundle) = certificate::read(chain, key).map_err(|problem| {
            let (field, message) = match problem {
                Problem::Chain(message) => (CHAIN, message),
                Problem::Key(message) => (KEY, message),
            };
            refusal(field, message)
        })?;
        Ok((Spec::Certificate(certificate), Some(bundle)))
    }
}

/// What a Secret has under this name. What a file says in `stringData` stands above `data`, as the
/// API server would have it.
fn field<'a>(secret: &'a types::Secret, name: &'static str) -> Result<&'a [u8], Refusal> {
    let plain = secret.string_data.as_ref().and_then(|data| data.get(name));
    let encoded = |data: &'a BTreeMap<String, ByteString>| data.get(name);
    let encoded = secret.data.as_ref().and_then(encoded);
    match (plain, encoded) {
        (Some(text), _) => Ok(text.as_bytes()),
        (None, Some(bytes)) => Ok(&bytes.0),
        (None, None) => Err(refusal(
            name,
            format!("is missing; a Secret with a certificate has {CHAIN} and {KEY}"),
        )),
    }
}

fn refusal(field: &str, message: String) -> Refusal {
    Refusal::new(
        Reason::InvalidCertificate,
        format!("data[{field}]"),
        message,
    )
}

const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";
