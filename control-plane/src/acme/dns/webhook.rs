//! A server of the user's own, which tells whatever DNS there is. It is asked as `httpreq` of lego
//! asks, so that what was written for that will do.

use http::Method;
use serde_json::json;

use crate::acme::dns::Change;
use crate::acme::dns::api::{Api, Reply};
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
    let said = String::from_utf8_lossy(&body);
    let url = api.url();
    Err(format!("{url}{path} answers with {status}: {said}"))
}
