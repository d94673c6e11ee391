//! Secret (core `v1`) with a certificate: `tls.crt` and `tls.key`.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;

use crate::model::bundle::Bundle;
use crate::model::key::{Kind, Origin};
use crate::model::object::Spec;
use crate::model::refusal::Refusal;
use crate::observe::certificate::{self, Problem};
use crate::observe::convert::{Convert, types};

impl Convert for types::Secret {
    const MODEL_KIND: Kind = Kind::Secret;

    fn spec(&self, origin: Origin) -> Result<Spec, Refusal> {
        self.spec_and_bundle(origin).map(|(spec, _)| spec)
    }

    /// Of any type: what matters is that both are there.
    fn spec_and_bundle(&self, origin: Origin) -> Result<(Spec, Option<Bundle>), Refusal> {
        let refused = |problem: Problem| problem.refusal(origin);
        let chain = field(self, CHAIN).ok_or_else(|| refused(Problem::Chain(missing())))?;
        let key = field(self, KEY).ok_or_else(|| refused(Problem::Key(missing())))?;
        let (certificate, bundle) = certificate::read(chain, key).map_err(refused)?;
        Ok((Spec::Certificate(certificate), Some(bundle)))
    }
}

/// What a Secret has under this name. What a file says in `stringData` stands above `data`, as the
/// API server would have it.
fn field<'a>(secret: &'a types::Secret, name: &'static str) -> Option<&'a [u8]> {
    let plain = secret.string_data.as_ref().and_then(|data| data.get(name));
    let encoded = |data: &'a BTreeMap<String, ByteString>| data.get(name);
    let encoded = secret.data.as_ref().and_then(encoded);
    let plain = plain.map(|text| text.as_bytes());
    plain.or_else(|| encoded.map(|bytes| bytes.0.as_slice()))
}

fn missing() -> String {
    format!("is missing; a Secret with a certificate has {CHAIN} and {KEY}")
}

const CHAIN: &str = "tls.crt";
const KEY: &str = "tls.key";
