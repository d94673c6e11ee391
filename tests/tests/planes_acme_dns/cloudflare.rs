//! Cloudflare, as its API is documented.

use std::{collections::BTreeMap, sync::Mutex};

use anyhow::ensure;
use http::StatusCode;
use roadstead_tests::{
    bind::{self, Bind},
    dns_api::{self, Asked, DnsApi},
    echo::Echo,
    planes::obtained::save,
    sandbox,
};
use serde_json::{Value, json};

use crate::{HOST, is_obtained_by};

#[test]
fn cloudflare_is_told_by_its_api_and_keeps_what_is_not_ours() {
    sandbox::run(async |sandbox| {
        let echo = Echo::start("apple", "10.1.0.1:80".parse()?).await?;
        save(sandbox, HOST, echo.address(), "")?;
        let bind = Bind::start(sandbox, &[("fruit.example", "")]).await?;
        let known = Mutex::new(BTreeMap::from([(
            "7".to_owned(),
            "\"not ours\"".to_owned(),
        )]));
        let api = DnsApi::start(sandbox, move |asked| {
            let mut known = known.lock().unwrap();
            cloudflare(asked, &mut known)
        })
        .await?;
        let token = sandbox.write("token", "canary-of-a-token\n")?;
        let provider = format!(
            "cloudflare: {{url: {}, roots: {}, tokenFile: {}}}",
            dns_api::URL,
            api.roots().display(),
            token.display()
        );
        Box::pin(is_obtained_by(sandbox, &bind, &provider)).await?;
        let asked = api.asked();
        let ours = |asked: &Asked| asked.authorization == "Bearer canary-of-a-token";
        ensure!(asked.iter().all(ours), "{asked:?}");
        let removed = asked.iter().filter(|asked| asked.method == "DELETE");
        let removed: Vec<&str> = removed.map(|asked| &*asked.path).collect();
        assert_eq!(removed, ["/zones/2f0c/dns_records/8"]);
        Ok(())
    });
}

/// For one zone, whose records are in BIND as well.
fn cloudflare(asked: &Asked, known: &mut BTreeMap<String, String>) -> (StatusCode, String) {
    let good = |result: Value| {
        let answer = json!({"success": true, "errors": [], "messages": [], "result": result});
        (StatusCode::OK, answer.to_string())
    };
    let bad = |code: u32, message: &str| {
        let errors = json!([{"code": code, "message": message}]);
        let answer = json!({"success": false, "errors": errors, "messages": [], "result": null});
        (StatusCode::BAD_REQUEST, answer.to_string())
    };
    let name = format!("_acme-challenge.{HOST}");
    let records = "/zones/2f0c/dns_records";
    let listed = format!("{records}?type=TXT&name={name}&per_page=100");
    match (&*asked.method, &*asked.path) {
        ("GET", "/zones?name=fruit.example&status=active") => good(
            json!([{"id": "1", "name": "other.example"}, {"id": "2f0c", "name": "fruit.example"}]),
        ),
        ("POST", path) if path == records && asked.body["name"] == *name => {
            let content = asked.body["content"].as_str().unwrap_or_default();
            bind::update(&format!("add {name} 60 TXT {content}")).unwrap();
            known.insert("8".to_owned(), content.to_owned());
            good(json!({"id": "8"}))
        }
        ("GET", path) if path == listed => {
            let records = known.iter();
            let records = records.map(|(id, content)| json!({"id": id, "content": content}));
            good(records.collect())
        }
        ("DELETE", path) => {
            let id = path.rsplit('/').next().unwrap_or_default();
            let Some(content) = known.remove(id) else {
                return bad(81044, "Record does not exist.");
            };
            bind::update(&format!("delete {name} TXT {content}")).unwrap();
            good(json!({"id": id}))
        }
        _ => bad(7003, "No route for that URI"),
    }
}
