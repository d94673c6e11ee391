//! Where a CA has what (RFC 8555, 7.1.1): read once for a client, and not asked for again.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Request, Uri};
use instant_acme::{BodyWrapper, Error};
use serde::Deserialize;

use crate::acme::answer::{Answer, is_url};
use crate::acme::client::BODY;
use crate::acme::client::failure::{Effect, Failure, FailureKind};
use crate::acme::transport::Transport;
use crate::acme::words::printable;

/// A CA's directory.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) url: String,
    pub(super) uri: Uri,
    /// As it came.
    pub(super) body: Bytes,
    pub(super) listed: Listed,
}

/// What of it is used here; the rest is instant-acme's business.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    pub(super) new_nonce: String,
    pub(super) new_account: String,
    new_order: String,
    /// RFC 9773, 4.1.
    pub(super) renewal_info: Option<String>,
    #[serde(default)]
    pub(super) meta: Meta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta {
    pub(super) terms_of_service: Option<String>,
    #[serde(default)]
    pub(super) profiles: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) external_account_required: bool,
}

impl Directory {
    /// Reads it.
    pub(super) async fn read(transport: &Transport, url: &str) -> Result<Self, Failure> {
        let unfit = |why: &str| {
            let message = format!("{url:?} cannot be a CA's directory: {why}");
            Failure::refused(&message)
        };
        if !is_url(url) {
            return Err(unfit("it must begin with https:// and be short"));
        }
        let uri: Uri = url.parse().map_err(|_| unfit("it is no URL"))?;
        let request = Request::get(uri.clone()).body(BodyWrapper::default());
        let request = request.map_err(|_| unfit("it is no URL"))?;
        let answer = transport.send(request, BODY).await;
        if answer.trouble.is_some() || !answer.is_success() {
            return Err(unreachable(url, &answer));
        }
        let listed: Listed = serde_json::from_slice(&answer.body).map_err(|error| {
            let message = format!(
                "{url} does not answer with a CA's directory (RFC 8555, 7.1.1): {error}; check \
                 the URL"
            );
            Failure::new(FailureKind::Unavailable, &message)
        })?;
        let urls = [&listed.new_nonce, &listed.new_account, &listed.new_order];
        let renewal_info = listed.renewal_info.iter();
        if !urls.into_iter().chain(renewal_info).all(|url| is_url(url)) {
            return Err(unfit("what it lists is not at https://"));
        }
        Ok(Self {
            url: url.to_owned(),
            uri,
            body: answer.body,
            listed,
        })
    }
}

fn unreachable(url: &str, answer: &Answer) -> Failure {
    let failure = Failure::of(&Error::Str("no directory"), answer, Effect::Reads);
    Failure {
        message: printable(&format!("cannot read {url}: {}", failure.message)),
        ..failure
    }
}
