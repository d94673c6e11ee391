//! The API of Amazon Route 53 (2013-04-01).
//!
//! It knows all records of a name and a type as one set. That which was read is deleted in the same
//! batch as another is created, so that nobody's change in between is undone: then the batch is
//! refused, and made again.

use std::collections::BTreeSet;

use aws_credential_types::Credentials;
use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::acme::dns::Change;
use crate::acme::dns::api::{Api, Reply, is_plain, xml};
use crate::acme::dns::aws::{Identity, fault, signed};
use crate::clock;
use crate::model::managed::Place;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Zones {
    hosted_zones: ListOfZones,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListOfZones {
    #[serde(default)]
    hosted_zone: Vec<Zone>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Zone {
    id: String,
    name: String,
    #[serde(default)]
    config: ZoneConfig,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ZoneConfig {
    #[serde(default)]
    private_zone: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sets {
    resource_record_sets: ListOfSets,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListOfSets {
    #[serde(default)]
    resource_record_set: Vec<Set>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Set {
    name: String,
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "TTL", default)]
    ttl: u32,
    #[serde(default)]
    resource_records: Records,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Records {
    #[serde(default)]
    resource_record: Vec<Record>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    value: String,
}

/// Changes the record that says this.
pub(super) async fn change(
    api: &Api,
    identity: &Identity,
    place: &Place,
    text: &str,
    change: Change,
) -> Result<(), String> {
    let Place { name, zone } = place;
    if let Some(name) = [name, zone].into_iter().find(|name| !is_plain(name)) {
        return Err(format!("Route 53 has no zone for {name:?}"));
    }
    let credentials = &identity.credentials().await?;
    let id = zone_id(api, credentials, zone).await?;
    let sets = format!("/2013-04-01/hostedzone/{id}/rrset");
    let mut refused = String::new();
    for _ in 0..ROUNDS {
        let listed = format!("{sets}?name={name}&type=TXT&maxitems=1");
        let listed: Sets = read(api, credentials, &listed).await?;
        let mut those = listed.resource_record_sets.resource_record_set.into_iter();
        let before = those.find(|set| is_same(&set.name, name) && set.kind == "TXT");
        let Some(batch) = batch(name, before, text, change) else {
            return Ok(());
        };
        let Reply { status, body } = ask(api, credentials, Method::POST, &sets, batch).await?;
        if status.is_success() {
            return Ok(());
        }
        refused = fault(api, &Reply { status, body });
        if !refused.contains("InvalidChangeBatch") {
            break;
        }
    }
    Err(refused)
}

/// What makes one set of the other; nothing, if that is so already.
fn batch(name: &str, before: Option<Set>, text: &str, change: Change) -> Option<String> {
    let ttl = before.as_ref().map_or(TTL, |set| set.ttl);
    let records = before.map(|set| set.resource_records.resource_record);
    let values = records.into_iter().flatten().map(|record| record.value);
    let before: BTreeSet<String> = values.collect();
    let mut after = before.clone();
    let quoted = format!("\"{text}\"");
    let changes = match change {
        Change::Add => after.insert(quoted),
        Change::Remove => after.remove(&quoted),
    };
    let part = |action: &str, values: &BTreeSet<String>, ttl| {
        let values = values.iter();
        let values = values.map(|value| {
            let value = quick_xml::escape::escape(value.as_str());
            format!("<ResourceRecord><Value>{value}</Value></ResourceRecord>")
        });
        let values: String = values.collect();
        format!(
            "<Change><Action>{action}</Action><ResourceRecordSet><Name>{name}.</Name>\
             <Type>TXT</Type><TTL>{ttl}</TTL><ResourceRecords>{values}</ResourceRecords>\
             </ResourceRecordSet></Change>"
        )
    };
    let parts = [("DELETE", &before, ttl), ("CREATE", &after, ttl)];
    let parts = parts
        .into_iter()
        .filter(|(_, values, _)| !values.is_empty());
    let parts: String = parts
        .map(|(action, values, ttl)| part(action, values, ttl))
        .collect();
    changes.then(|| {
        format!(
            "<ChangeResourceRecordSetsRequest xmlns=\"{NAMESPACE}\"><ChangeBatch><Changes>{parts}\
             </Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
        )
    })
}

/// The public zone of this name.
async fn zone_id(api: &Api, credentials: &Credentials, zone: &str) -> Result<String, String> {
    let path = format!("/2013-04-01/hostedzonesbyname?dnsname={zone}&maxitems=100");
    let found: Zones = read(api, credentials, &path).await?;
    let zones = found.hosted_zones.hosted_zone.into_iter();
    let mut zones = zones.filter(|found| is_same(&found.name, zone) && !found.config.private_zone);
    let (found, other) = (zones.next(), zones.next());
    let host = api.host();
    let found = found.ok_or_else(|| format!("{host} shows us no public zone {zone}"))?;
    if let Some(other) = other {
        let (one, other) = (found.id, other.id);
        return Err(format!(
            "{host} has two public zones {zone}, {one} and {other}: remove one"
        ));
    }
    let id = found.id.trim_start_matches("/hostedzone/");
    api.id(id).map(str::to_owned)
}

async fn read<T: DeserializeOwned>(
    api: &Api,
    credentials: &Credentials,
    path: &str,
) -> Result<T, String> {
    let reply = ask(api, credentials, Method::GET, path, String::new()).await?;
    let host = api.host();
    match reply.status.is_success() {
        true => {
            xml(&reply.body).map_err(|why| format!("{host} answers what cannot be read: {why}"))
        }
        false => Err(fault(api, &reply)),
    }
}

async fn ask(
    api: &Api,
    credentials: &Credentials,
    method: Method,
    path: &str,
    body: String,
) -> Result<Reply, String> {
    let request = api.request(method, path, "application/xml", body)?;
    let request = signed(request, credentials.clone(), "route53", clock::now())?;
    api.send(request).await
}

fn is_same(name: &str, of: &str) -> bool {
    name.trim_end_matches('.').eq_ignore_ascii_case(of)
}

const NAMESPACE: &str = "https://route53.amazonaws.com/doc/2013-04-01/";
/// In seconds.
const TTL: u32 = 60;
/// Whoever changes the same set does not do so all the time.
const ROUNDS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn set(values: &[&str]) -> Set {
        let records = values.iter().map(|value| Record {
            value: format!("\"{value}\""),
        });
        Set {
            name: "n.example.".to_owned(),
            kind: "TXT".to_owned(),
            ttl: 300,
            resource_records: Records {
                resource_record: records.collect(),
            },
        }
    }

    #[test]
    fn a_batch_makes_of_what_was_read_what_is_wanted_and_nothing_of_what_is_so() {
        let of = |before: Option<Set>, change| {
            let batch = batch("n.example", before, "new", change)?;
            let actions = batch.matches("<Action>").count();
            let values: Vec<String> = batch
                .split("&quot;")
                .skip(1)
                .step_by(2)
                .map(str::to_owned)
                .collect();
            Some((actions, values.join(" ")))
        };
        let some = |actions, values: &str| Some((actions, values.to_owned()));
        assert_eq!(of(None, Change::Add), some(1, "new"));
        assert_eq!(of(Some(set(&["old"])), Change::Add), some(2, "old new old"));
        assert_eq!(of(Some(set(&["new"])), Change::Add), None);
        assert_eq!(of(None, Change::Remove), None);
        assert_eq!(of(Some(set(&["new"])), Change::Remove), some(1, "new"));
        assert_eq!(
            of(Some(set(&["new", "old"])), Change::Remove),
            some(2, "new old old")
        );
    }

    #[test]
    fn what_the_api_answers_is_read() {
        let zones: Zones = xml(
            br#"<?xml version="1.0"?><ListHostedZonesByNameResponse xmlns="x"><HostedZones>
            <HostedZone><Id>/hostedzone/Z1</Id><Name>a.example.</Name><CallerReference>r</CallerReference>
            <Config><PrivateZone>true</PrivateZone></Config></HostedZone>
            <HostedZone><Id>/hostedzone/Z2</Id><Name>a.example.</Name></HostedZone>
            </HostedZones><IsTruncated>false</IsTruncated></ListHostedZonesByNameResponse>"#,
        )
        .unwrap();
        let zones = zones.hosted_zones.hosted_zone;
        assert!(zones[0].config.private_zone && !zones[1].config.private_zone);
        let none: Sets = xml(b"<R><ResourceRecordSets></ResourceRecordSets></R>").unwrap();
        assert!(none.resource_record_sets.resource_record_set.is_empty());
    }
}
