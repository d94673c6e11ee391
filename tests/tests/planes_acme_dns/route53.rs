//! Amazon Route 53, as its API is documented, and who takes a role to use it.

use std::{collections::BTreeSet, sync::Mutex};

use anyhow::ensure;
use http::StatusCode;
use roadstead_tests::{
    bind::{self, Bind},
    dns_api::{self, Asked, DnsApi},
    echo::Echo,
    planes::obtained::save,
    sandbox::{self, Sandbox},
};

use crate::{HOST, is_obtained_by};

#[test]
fn route_53_is_told_with_the_keys_of_a_file_and_keeps_what_others_add() {
    sandbox::run(async |sandbox| {
        let keys =
            format!("[default]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n");
        let keys = sandbox.write("credentials", &keys)?;
        let asked = Box::pin(is_obtained_as(
            sandbox,
            &format!("credentialsFile: {}", keys.display()),
        ))
        .await?;
        ensure!(asked.iter().all(|asked| asked.path != "/"), "{asked:?}");
        Ok(())
    });
}

#[test]
fn route_53_is_told_by_who_takes_the_role_of_a_service_account() {
    sandbox::run(async |sandbox| {
        let token = sandbox.write("token", "canary-of-a-token")?;
        let role = format!(
            "role: '{ROLE}', tokenFile: {}, stsUrl: {}",
            token.display(),
            dns_api::URL
        );
        let asked = Box::pin(is_obtained_as(sandbox, &role)).await?;
        let form = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=roadstead\
                    &RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fdns&WebIdentityToken=canary-of-a-token";
        let mut taken = asked.iter().filter(|asked| asked.path == "/");
        ensure!(taken.all(|asked| asked.body == form), "{asked:?}");
        Ok(())
    });
}

/// A host is given a certificate by who is this for AWS. Returns what was asked.
async fn is_obtained_as(sandbox: &Sandbox, identity: &str) -> anyhow::Result<Vec<Asked>> {
    let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
    save(sandbox, HOST, echo.address(), "")?;
    let bind = Bind::start(sandbox, &[("fruit.example", "")]).await?;
    let route53 = Mutex::new(Route53::default());
    let api = DnsApi::start(sandbox, move |asked| route53.lock().unwrap().answer(asked)).await?;
    let provider = format!(
        "route53: {{url: {}, roots: {}, {identity}}}",
        dns_api::URL,
        api.roots().display()
    );
    Box::pin(is_obtained_by(sandbox, &bind, &provider)).await?;
    let asked = api.asked();
    let signed = format!("AWS4-HMAC-SHA256 Credential={KEY}/");
    for asked in asked.iter().filter(|asked| asked.path != "/") {
        let is_signed = asked.authorization.starts_with(&signed);
        ensure!(
            is_signed
                && asked
                    .authorization
                    .contains("/us-east-1/route53/aws4_request")
        );
        ensure!(!format!("{asked:?}").contains(SECRET));
    }
    let last = asked.last().map(|asked| asked.body.to_string());
    // Of the set all is left that was not ours.
    let last = last.unwrap_or_default();
    ensure!(
        last.contains("not ours") && last.contains("another"),
        "{last}"
    );
    Ok(asked)
}

/// One public zone, with the TXT records of one name.
#[derive(Default)]
struct Route53 {
    values: BTreeSet<String>,
    batches: usize,
}

impl Route53 {
    fn answer(&mut self, asked: &Asked) -> (StatusCode, String) {
        let zone = "/2013-04-01/hostedzone/Z2/rrset";
        let zones = "/2013-04-01/hostedzonesbyname?dnsname=fruit.example&maxitems=100";
        let set = format!("{zone}?name={}&type=TXT&maxitems=1", name());
        match (&*asked.method, &*asked.path) {
            ("POST", "/") => (
                StatusCode::OK,
                format!(
                    "<AssumeRoleWithWebIdentityResponse xmlns=\"x\"><AssumeRoleWithWebIdentityResult>\
                     <Credentials><AccessKeyId>{KEY}</AccessKeyId><SecretAccessKey>{SECRET}\
                     </SecretAccessKey><SessionToken>session</SessionToken><Expiration>2030-01-01T00:00:00Z\
                     </Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
                     </AssumeRoleWithWebIdentityResponse>"
                ),
            ),
            ("GET", path) if path == zones => (
                StatusCode::OK,
                "<ListHostedZonesByNameResponse><HostedZones>\
                 <HostedZone><Id>/hostedzone/Z1</Id><Name>fruit.example.</Name><Config><PrivateZone>true\
                 </PrivateZone></Config></HostedZone>\
                 <HostedZone><Id>/hostedzone/Z2</Id><Name>fruit.example.</Name><Config><PrivateZone>false\
                 </PrivateZone></Config></HostedZone></HostedZones></ListHostedZonesByNameResponse>"
                    .to_owned(),
            ),
            ("GET", path) if path == set => (StatusCode::OK, self.list()),
            ("POST", path) if path == zone => self.change(asked.body.as_str().unwrap_or_default()),
            _ => (StatusCode::NOT_FOUND, String::new()),
        }
    }

    fn list(&self) -> String {
        let values = self.values.iter();
        let values =
            values.map(|value| format!("<ResourceRecord><Value>{value}</Value></ResourceRecord>"));
        let values: String = values.collect();
        let set = match values.is_empty() {
            true => String::new(),
            false => format!(
                "<ResourceRecordSet><Name>{}.</Name><Type>TXT</Type><TTL>300</TTL>\
                 <ResourceRecords>{values}</ResourceRecords></ResourceRecordSet>",
                name()
            ),
        };
        format!(
            "<ListResourceRecordSetsResponse><ResourceRecordSets>{set}</ResourceRecordSets>\
             </ListResourceRecordSetsResponse>"
        )
    }

    /// A batch is taken whole or not at all; somebody is faster than the first.
    fn change(&mut self, batch: &str) -> (StatusCode, String) {
        self.batches += 1;
        if self.batches == 1 {
            self.values = OTHERS.map(|text| format!("\"{text}\"")).into();
        }
        let Some(values) = made_of(&self.values, batch) else {
            let refused = "<InvalidChangeBatch><Messages><Message>it is not as it was</Message>\
                           </Messages></InvalidChangeBatch>";
            return (StatusCode::BAD_REQUEST, refused.to_owned());
        };
        self.values = values;
        bind::update(&format!("delete {} TXT", name())).unwrap();
        let ours = self.values.iter();
        let ours = ours.filter(|value| !OTHERS.iter().any(|other| value.contains(other)));
        for value in ours {
            bind::update(&format!("add {} 60 TXT {value}", name())).unwrap();
        }
        (
            StatusCode::OK,
            "<ChangeResourceRecordSetsResponse/>".to_owned(),
        )
    }
}

/// What a batch makes of a set: only the very set is deleted, and none is created where one is.
fn made_of(before: &BTreeSet<String>, batch: &str) -> Option<BTreeSet<String>> {
    let mut values = before.clone();
    for part in batch.split("<Change>").skip(1) {
        let named = part.split("<Value>").skip(1);
        let named = named.filter_map(|rest| rest.split_once("</Value>"));
        let named: BTreeSet<String> = named
            .map(|(value, _)| value.replace("&quot;", "\""))
            .collect();
        match part.contains("<Action>DELETE") {
            true if named == values => values.clear(),
            false if values.is_empty() => values = named,
            true | false => return None,
        }
    }
    Some(values)
}

fn name() -> String {
    format!("_acme-challenge.{HOST}")
}

const KEY: &str = "AKIATEST";
const SECRET: &str = "canary-of-a-secret-key";
/// What others have there.
const OTHERS: [&str; 2] = ["not ours", "another"];
const ROLE: &str = "arn:aws:iam::1:role/dns";
