//! The API of Cloudflare (version 4), by a token that may read zones and edit their records.

use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::acme::dns::Change;
use crate::acme::dns::api::{Api, Reply, is_plain};
use crate::model::managed::Place;

#[derive(Deserialize)]
struct Answer<T> {
    success: bool,
    #[serde(default)]
    errors: Vec<Fault>,
    result: Option<T>,
}

#[derive(Deserialize)]
struct Fault {
    code: u32,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Zone {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Record {
    id: String,
    #[serde(default)]
    content: String,
}

/// What it refuses.
enum Failed {
    /// It has the very record already.
    Identical,
    Other(String),
}

/// Changes the record that says this.
pub(super) async fn change(
    api: &Api,
    place: &Place,
    text: &str,
    change: Change,
) -> Result<(), String> {
    let Place { name, zone } = place;
    if let Some(name) = [name, zone].into_iter().find(|name| !is_plain(name)) {
        return Err(format!("Cloudflare has no zone for {name:?}"));
    }
    let records = format!("/zones/{}/dns_records", zone_id(api, zone).await?);
    match change {
        Change::Add => {
            let record = json!({"type": "TXT", "name": name, "content": quoted(text), "ttl": TTL});
            match ask::<Value>(api, Method::POST, &records, Some(&record)).await {
                Ok(_) | Err(Failed::Identical) => Ok(()),
                Err(Failed::Other(why)) => Err(why),
            }
        }
        Change::Remove => {
            let path = format!("{records}?type=TXT&name={name}&per_page=100");
            let found: Vec<Record> = read(api, &path).await?;
            let says = |record: &Record| record.content.trim_matches('"') == text;
            for record in found.into_iter().filter(says) {
                let path = format!("{records}/{}", api.id(&record.id)?);
                let removed = ask::<Value>(api, Method::DELETE, &path, None).await;
                removed.map_err(Failed::text)?;
            }
            Ok(())
        }
    }
}

async fn zone_id(api: &Api, zone: &str) -> Result<String, String> {
    let found: Vec<Zone> = read(api, &format!("/zones?name={zone}&status=active")).await?;
    let host = api.host();
    let mut those = found.into_iter();
    let first = those.find(|found| found.name.eq_ignore_ascii_case(zone));
    let first = first.ok_or_else(|| format!("{host} shows no zone {zone} to the token"))?;
    api.id(&first.id).map(str::to_owned)
}

async fn read<T: DeserializeOwned>(api: &Api, path: &str) -> Result<T, String> {
    ask(api, Method::GET, path, None)
        .await
        .map_err(Failed::text)
}

async fn ask<T: DeserializeOwned>(
    api: &Api,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<T, Failed> {
    let reply = api.call(method, path, body).await;
    let Reply { status, body } = reply.map_err(Failed::Other)?;
    let host = api.host();
    let Ok(answer) = serde_json::from_slice::<Answer<T>>(&body) else {
        let what = format!("{host} answers with {status} and nothing that can be read");
        return Err(Failed::Other(what));
    };
    match answer {
        Answer {
            success: true,
            result: Some(result),
            ..
        } => Ok(result),
        Answer { errors, .. } if errors.iter().any(|fault| fault.code == IDENTICAL) => {
            Err(Failed::Identical)
        }
        Answer { errors, .. } => {
            let said = errors.iter();
            let said = said.map(|fault| format!("{} ({})", fault.message, fault.code));
            let said: Vec<String> = said.collect();
            let what = format!("{host} answers with {status}: {}", said.join("; "));
            Err(Failed::Other(what))
        }
    }
}

/// As zone files have it.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

impl Failed {
    fn text(self) -> String {
        match self {
            Self::Identical => "it has the record already".to_owned(),
            Self::Other(why) => why,
        }
    }
}

/// In seconds; the least that it takes.
const TTL: u32 = 60;
/// "An identical record already exists."
const IDENTICAL: u32 = 81058;
