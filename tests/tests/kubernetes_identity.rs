//! Who may connect, asked of a real API server: proxies by their pods' tokens and then by
//! certificates of the authority in a Secret, operators by tokens and rights.

#![cfg(test)]

use std::{collections::BTreeSet, fs};

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::DeleteParams};
use roadstead_control_plane::{
    clock,
    pki::{
        keeper::{AuthorityKeeper, Place},
        rotation::Stored,
    },
};
use roadstead_tests::{
    cluster::client_of,
    installation::{
        HTTP, SOON,
        guarded::{Guarded, PROXIES},
    },
    planes::answers,
    sandbox, wait,
};
use serde_json::json;
use tokio::task::JoinSet;
use tonic::Code;

#[test]
fn a_proxy_with_its_nodes_token_gets_a_certificate_and_then_a_snapshot() {
    sandbox::run(async |sandbox| {
        let mut guarded = Box::pin(Guarded::start(sandbox)).await?;
        guarded.serve().await?;
        let mut proxy = guarded.proxy("node-1").await?;
        answers(HTTP, "site.example", "/", "echo").await?;
        let operator = guarded.operator().await?;
        let proxies = operator.proxies().await?;
        let names: Vec<_> = proxies.iter().map(|proxy| &*proxy.name).collect();
        assert_eq!(names, ["node-1"]);

        // It needs neither its token nor the API server to come back, and not for the next
        // certificate either.
        let token = fs::read_to_string(proxy.token())?;
        fs::remove_file(proxy.token())?;
        guarded.cluster.api_server().hold_down()?;
        proxy.program.stop(SOON).await?;
        proxy.program.start_again()?;
        proxy.is_connected().await?;
        let shown = proxy.identity()?;
        let given = guarded.issue(Some(&shown), None).await?;
        assert_eq!(given.proxy, "node-1");
        // A token that nobody can review is as good as none.
        guarded.issue(Some(&shown), Some("token")).await?;
        let status = guarded.issue(None, Some("token")).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        guarded.cluster.api_server().release()?;
        guarded.cluster.api_server().serves().await?;
        // Now it is known to be none.
        let status = guarded.issue(Some(&shown), Some("token")).await;
        assert_eq!(status.unwrap_err().code(), Code::Unauthenticated);

        let authorities = guarded.authorities().await?;
        let authority = authorities["current"]["key"].as_str().context("a key")?;
        let secrets = [
            last_line(&fs::read_to_string(proxy.certificate())?)?,
            last_line(authority)?,
            token.trim().to_owned(),
            "PRIVATE KEY".to_owned(),
        ];
        // Else a log that moved would be a test that cannot fail.
        for (log, word) in [("control-plane", "certificate"), ("node-1", "certificate")] {
            let text = fs::read_to_string(sandbox.logs().join(format!("{log}.log")))?;
            assert!(text.contains("TRACE") && text.contains(word), "{log}");
            for secret in &secrets {
                assert!(!text.contains(secret), "{log} has {secret}");
            }
        }
        Ok(())
    });
}

#[test]
fn a_pod_without_the_right_token_gets_no_snapshot() {
    sandbox::run(async |sandbox| {
        let guarded = Box::pin(Guarded::start(sandbox)).await?;
        guarded.mount_bundle().await?;
        let accounts = guarded.accounts();
        accounts.make(&["other"]).await?;
        accounts.pod("other", "other", "node-1").await?;
        accounts.pod("mine", PROXIES, "node-1").await?;
        let others = accounts.token("other", "roadstead", Some("other")).await?;
        let audience = accounts.token(PROXIES, "elsewhere", Some("mine")).await?;
        let unbound = accounts.token(PROXIES, "roadstead", None).await?;
        for (token, code, word) in [
            (None, Code::Unauthenticated, "controlPlane.tokenFile"),
            (Some("nonsense"), Code::Unauthenticated, "does not know it"),
            (Some(&*others), Code::PermissionDenied, "roadstead:other"),
            (Some(&*audience), Code::Unauthenticated, "\"roadstead\""),
            (
                Some(&*unbound),
                Code::PermissionDenied,
                "not bound to a pod",
            ),
        ] {
            let status = guarded.issue(None, token).await.unwrap_err();
            assert_eq!(status.code(), code, "{status}");
            assert!(status.message().contains(word), "{status}");
            assert!(token.is_none_or(|token| !status.message().contains(token)));
        }

        // Nor does a stream open by anything but a certificate, under the name in it.
        let mine = accounts.token(PROXIES, "roadstead", Some("mine")).await?;
        let status = guarded.stream_as(None, Some(&mine), "node-1").await?;
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        assert!(status.message().contains("CertificateService"), "{status}");
        let given = guarded.issue(None, Some(&mine)).await?;
        assert_eq!(given.proxy, "node-1");
        let status = guarded
            .stream_as(Some(&given.identity), None, "node-2")
            .await?;
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
        assert!(status.message().contains("proxy/node-1"), "{status}");
        let refused = "roadstead_calls_refused_total";
        for (cause, times) in [
            ("no_token", 1.0),
            ("unknown_token", 3.0),
            ("other_role", 1.0),
        ] {
            let counted = guarded.control.metric(refused, &[cause]).await?;
            assert_eq!(counted, times, "{cause}");
        }
        Ok(())
    });
}

#[test]
fn a_rotated_authority_is_followed_by_both_planes_without_a_lost_stream() {
    sandbox::run(async |sandbox| {
        let mut guarded = Box::pin(Guarded::start(sandbox)).await?;
        guarded.serve().await?;
        let mut proxy = guarded.proxy("node-1").await?;
        answers(HTTP, "site.example", "/", "echo").await?;
        let first = guarded.bundle(1).await?;
        let before = guarded.connected_at("node-1").await?;

        // Eleven months and a day later the next one is published.
        guarded
            .edit_authorities(|stored| {
                stored["current"]["signsSince"] = days_ago(336);
            })
            .await?;
        let both = guarded.bundle(2).await?;
        assert!(both.starts_with(first.trim_end()), "{both}");
        // A year later it signs.
        guarded
            .edit_authorities(|stored| {
                stored["current"]["signsSince"] = days_ago(366);
                stored["next"]["publishedSince"] = days_ago(31);
            })
            .await?;
        let both = wait::until_ok("the next authority signs", SOON, async || {
            let bundle = guarded.bundle(2).await?;
            ensure!(!bundle.starts_with(first.trim_end()), "the first does");
            Ok(bundle)
        })
        .await?;
        // What the first one signed is good, on both sides.
        let old = proxy.identity()?;
        guarded.mount(&both.replace(&first, ""))?;
        wait::until_ok(
            "the server's certificate is of the next one",
            SOON,
            async || {
                guarded.issue(Some(&old), None).await?;
                Ok(())
            },
        )
        .await?;
        guarded.mount_bundle().await?;
        assert_eq!(guarded.connected_at("node-1").await?, before);
        proxy.program.stop(SOON).await?;
        proxy.program.start_again()?;
        proxy.is_connected().await?;
        let kept = fs::read_to_string(proxy.certificate())?;

        // Nine days later the first one is forgotten, and with it what it signed, also where it is
        // in use: who has nothing newer shows its token.
        guarded
            .edit_authorities(|stored| {
                stored["previous"][0]["signedUntil"] = days_ago(9);
            })
            .await?;
        let last = guarded.bundle(1).await?;
        assert!(!first.contains(last.trim_end()));
        guarded.mount_bundle().await?;
        guarded.issue(Some(&old), None).await.unwrap_err();
        wait::until_ok("the proxy has another certificate", SOON, async || {
            let now = fs::read_to_string(proxy.certificate())?;
            ensure!(now != kept, "it has the one of the first authority");
            Ok(())
        })
        .await?;
        proxy.is_connected().await?;
        answers(HTTP, "site.example", "/", "echo").await?;
        Ok(())
    });
}

#[test]
fn an_operator_without_the_right_is_told_which_one() {
    sandbox::run(async |sandbox| {
        let guarded = Box::pin(Guarded::start(sandbox)).await?;
        let accounts = guarded.accounts();
        accounts.make(&["jane"]).await?;
        let token = accounts.token("jane", "roadstead", None).await?;
        let jane = guarded.control.operator_by(&token)?;
        let error = format!("{:#}", jane.proxies().await.unwrap_err());
        for words in [
            "system:serviceaccount:roadstead:jane may not list proxies.roadstead.dev",
            "resources: [proxies], verbs: [list]",
            "kubectl create clusterrolebinding roadstead-operators \
             --clusterrole=roadstead-operator-NAMESPACE --serviceaccount=roadstead:jane",
        ] {
            assert!(error.contains(words), "{error}");
        }
        guarded.allow("jane").await?;
        wait::until_ok("she may", SOON, async || jane.proxies().await.map(drop)).await?;

        let whole = accounts
            .token("jane", "https://kubernetes.default.svc", None)
            .await?;
        let error = guarded.control.operator_by(&whole)?.proxies().await;
        let error = format!("{:#}", error.unwrap_err());
        assert!(error.contains("kubectl create token"), "{error}");
        assert!(error.contains("--audience roadstead"), "{error}");
        // The files of the folder mode open nothing here.
        assert!(guarded.control.operator().is_err());
        Ok(())
    });
}

#[test]
fn a_broken_authority_is_told_of_and_never_replaced() {
    sandbox::run(async |sandbox| {
        let mut guarded = Box::pin(Guarded::start(sandbox)).await?;
        let first = guarded.bundle(1).await?;
        guarded.mount_bundle().await?;
        let asked = async |guarded: &Guarded<'_>| guarded.issue(None, Some("token")).await;
        let knows = "TLS, and a token that is none";
        let status = asked(&guarded).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{knows}: {status}");
        guarded
            .edit_authorities(|stored| stored["current"]["key"] = json!("gone"))
            .await?;
        let told = "the certificate authority is not in order";
        let line = guarded.control.program().logged(told, SOON).await?;
        assert!(
            line.contains("roadstead/roadstead-control-plane-ca is broken"),
            "{line}"
        );
        assert!(line.contains("Put a copy back"), "{line}");
        assert_eq!(
            guarded.authorities().await?["current"]["key"],
            json!("gone")
        );
        let status = asked(&guarded).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{knows}: {status}");
        // Whoever starts has none to put in its place.
        guarded.control.program().stop(SOON).await?;
        guarded.control.program().start_again()?;
        wait::until_ok("the new process tells of it, too", SOON, async || {
            let log = guarded.control.program().log()?;
            ensure!(log.matches(told).count() >= 2, "{log}");
            Ok(())
        })
        .await?;
        assert_eq!(
            guarded.authorities().await?["current"]["key"],
            json!("gone")
        );
        let status = asked(&guarded).await.unwrap_err();
        assert_eq!(status.code(), Code::Unknown, "there is no TLS: {status}");
        // The remedy.
        guarded.delete_authorities().await?;
        wait::until_ok("another authority", SOON, async || {
            ensure!(guarded.bundle(1).await? != first, "it is the first");
            Ok(())
        })
        .await?;
        guarded.mount_bundle().await?;
        wait::until_ok("TLS", SOON, async || {
            let status = asked(&guarded).await.unwrap_err();
            ensure!(status.code() == Code::Unauthenticated, "{knows}: {status}");
            Ok(())
        })
        .await
    });
}

#[test]
fn an_authority_that_is_replaced_by_hand_is_believed_on() {
    sandbox::run(async |sandbox| {
        let mut guarded = Box::pin(Guarded::start(sandbox)).await?;
        guarded.serve().await?;
        let mut proxy = guarded.proxy("node-1").await?;
        let first = guarded.bundle(1).await?;
        let before = guarded.connected_at("node-1").await?;
        let other = Stored::first(clock::now())?.text()?;
        let other: serde_json::Value = serde_json::from_slice(&other)?;
        guarded
            .edit_authorities(|stored| *stored = other.clone())
            .await?;
        let both = guarded.bundle(2).await?;
        assert!(both.ends_with(&first), "{both}");
        guarded.mount_bundle().await?;
        assert_eq!(guarded.connected_at("node-1").await?, before);
        proxy.program.stop(SOON).await?;
        proxy.program.start_again()?;
        proxy.is_connected().await
    });
}

#[test]
fn replicas_that_start_together_have_one_authority_and_put_it_back() {
    sandbox::run(async |sandbox| {
        let guarded = Box::pin(Guarded::start(sandbox)).await?;
        let other = Place {
            namespace: "roadstead".to_owned(),
            secret: "another-ca".to_owned(),
            bundle: "another-bundle".to_owned(),
            folder: sandbox.folder().to_owned(),
            watch_seconds: 60,
        };
        let mut keeping = JoinSet::new();
        let mut known = Vec::new();
        for _ in 0..8 {
            let client = client_of(&guarded.cluster.kubeconfig()).await?;
            let (keeper, knows) = AuthorityKeeper::new(client, other.clone(), clock::now);
            keeping.spawn(keeper.run());
            known.push(knows);
        }
        let mut bundles = BTreeSet::new();
        for knows in &mut known {
            let authorities = knows.wait_for(Option::is_some).await?.clone();
            bundles.insert(authorities.context("one")?.bundle().to_owned());
        }
        assert_eq!(bundles.len(), 1, "{bundles:?}");

        let secrets: Api<Secret> = Api::namespaced(guarded.cluster.client(), "roadstead");
        let before = secrets.get(&other.secret).await?.data;
        secrets
            .delete(&other.secret, &DeleteParams::default())
            .await?;
        wait::until_ok("it is put back", SOON, async || {
            ensure!(
                secrets.get(&other.secret).await?.data == before,
                "another one is there"
            );
            Ok(())
        })
        .await
    });
}

/// The last line of a key, PEM. The first begins alike for all keys of a kind.
fn last_line(text: &str) -> anyhow::Result<String> {
    let (_, key) = text.split_once("BEGIN PRIVATE KEY-----").context("a key")?;
    let line = key.trim().lines().rev().nth(1).context("a line of it")?;
    ensure!(
        line.len() > 40,
        "{} bytes are too few to be looked for",
        line.len()
    );
    Ok(line.to_owned())
}

fn days_ago(days: i64) -> serde_json::Value {
    let ago = jiff::SignedDuration::from_hours(24 * days);
    json!(jiff::Timestamp::now() - ago)
}
