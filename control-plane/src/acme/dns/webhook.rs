//! A server of the user's own, which tells whatever DNS there is. It is asked as `httpreq` of lego
//! asks, so that what was written for that will do.

use http::Method;
use serde_json::json;

use crate::acme::dns::Change;
use crate::acme::dns::api::{Api, Reply};
use crate::acme::words::printable;
use crate::model::managed::Place;

/// Has the record changed that says this.
pub(super) async fn change(
    api: &Api,
    place: &Place,
    text: &str,
    change: Change,
) -> Result<(), String> {
    let path = match change {
        Change::Add => "/present",
        Change::Remove => "/cleanup",
    };
    let body = json!({"fqdn": format!("{}.", place.name), "value": text});
    let Reply { status, body } = api.call(Method::POST, path, Some(&body)).await?;
    if status.is_success() {
        return Ok(());
    }
    // Owners of Ingresses are told no more than that.
    let said = printable(&String::from_utf8_lossy(&body));
    tracing::warn!(%status, said, "the webhook of acme.dns01 refuses {}", place.name);
    Err(format!("{} answers with {status}", api.host()))
}
