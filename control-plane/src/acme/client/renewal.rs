//! When a CA wants a certificate renewed (RFC 9773).
//!
//! Not by instant-acme, which wants another date library for it and fails where the CA does not
//! say when to ask again.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use instant_acme::{BodyWrapper, CertificateIdentifier, Error};
use jiff::Timestamp as Time;
use rustls::pki_types::CertificateDer;
use serde::Deserialize;

use crate::acme::client::BODY;
use crate::acme::client::failure::{Effect, Failure, FailureKind};
use crate::acme::transport::Transport;
use crate::acme::words::printable;
use crate::model::time::Timestamp;

/// Between what times a certificate is to be renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalWindow {
    pub start: Timestamp,
    /// After the start.
    pub end: Timestamp,
    /// When to ask again: the CA's word, from a minute to a day.
    pub poll_after: Duration,
    /// A page that says why; printable, at most 512 bytes.
    pub explanation: Option<String>,
}

/// The name of a certificate in renewal information and in orders that replace it (RFC 9773, 4.1);
/// an error says what of the certificate cannot be read.
pub fn certificate_id(leaf: &CertificateDer<'_>) -> Result<String, String> {
    Ok(CertificateIdentifier::try_from(leaf)?.to_string())
}

/// Asks a CA's resource for such a name.
pub(super) async fn ask(
    transport: &Transport,
    resource: &str,
    id: &str,
) -> Result<RenewalWindow, Failure> {
    let url = format!("{}/{id}", resource.trim_end_matches('/'));
    let request = Request::get(url).body(BodyWrapper::<Bytes>::default());
    let request = request.map_err(|error| Failure::refused(&error.to_string()))?;
    let answer = transport.send(request, BODY).await;
    if answer.trouble.is_some() || !answer.is_success() {
        let error = serde_json::from_slice::<instant_acme::Problem>(&answer.body);
        let error = error.map_or(Error::Str("renewal information"), Error::Api);
        return Err(Failure::of(&error, &answer, Effect::Reads));
    }
    let unfit = |why: &str| {
        let message = format!("the CA's renewal information cannot be read: {why}");
        Failure::new(FailureKind::Unavailable, &message)
    };
    let info: Info =
        serde_json::from_slice(&answer.body).map_err(|error| unfit(&error.to_string()))?;
    let window = info.suggested_window;
    if window.end <= window.start {
        return Err(unfit("its window ends before it starts"));
    }
    Ok(RenewalWindow {
        start: Timestamp(window.start.as_millisecond()),
        end: Timestamp(window.end.as_millisecond()),
        poll_after: answer
            .retry_after()
            .unwrap_or(USUALLY)
            .clamp(SOONEST, LATEST),
        explanation: info.explanation_url.as_deref().map(printable),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    suggested_window: Window,
    #[serde(rename = "explanationURL")]
    explanation_url: Option<String>,
}

#[derive(Deserialize)]
struct Window {
    start: Time,
    end: Time,
}

/// RFC 9773, 4.3.2 and 4.3.3.
const SOONEST: Duration = Duration::from_secs(60);
const USUALLY: Duration = Duration::from_secs(6 * 3600);
const LATEST: Duration = Duration::from_secs(24 * 3600);
