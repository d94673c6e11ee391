//! The calls to a CA, made of a real one: what another process can go on with, and what a CA says
//! of what it will not do.

#![cfg(test)]

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use roadstead_control_plane::acme::{
    client::{
        AuthorizationSeen, AuthorizationStatus, Ca, ChallengeSeen, Client, Failure, FailureKind,
        OrderStatus, RevocationReason, certificate_id,
    },
    key::Key,
};
use roadstead_control_plane::model::managed::ChallengeType;
use roadstead_tests::{
    pebble::{Behaviour, Pebble},
    sandbox::{self, Sandbox},
    wait,
};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

const SOON: Duration = Duration::from_secs(20);

/// A CA and an account there.
struct Account {
    pebble: Pebble,
    ca: Ca,
    key: Key,
    url: String,
}

impl Account {
    async fn new(sandbox: &Sandbox, behaviour: &Behaviour) -> anyhow::Result<Self> {
        let pebble = Pebble::start(sandbox, behaviour).await?;
        let ca = Ca {
            directory: pebble.directory().to_owned(),
            roots: Some(vec![pebble.root()?]),
            external: None,
        };
        let key = Key::generate()?;
        let opened = insisting(async || Client::open(&ca, &key, None).await);
        let url = opened.await?.account().to_owned();
        Ok(Self {
            pebble,
            ca,
            key,
            url,
        })
    }

    /// As another process that knows no more than the account.
    async fn client(&self) -> anyhow::Result<Client> {
        let key = Key::from_der(self.key.der())?;
        Ok(Client::open(&self.ca, &key, Some(&self.url)).await?)
    }

    async fn place(&self, names: &[&str], replaces: Option<&str>) -> anyhow::Result<String> {
        let names = owned(names);
        let client = self.client().await?;
        let placed = insisting(async || client.place(&names, replaces, None).await);
        Ok(placed.await?.url)
    }

    async fn becomes(&self, order: &str, status: OrderStatus) -> anyhow::Result<()> {
        let what = format!("{order} to be {status:?}");
        wait::until_ok(&what, SOON, async || {
            let seen = self.client().await?.order(order).await?;
            ensure!(seen.status == status, "{seen:?}");
            Ok(())
        })
        .await
    }

    /// A certificate for names that the CA takes for valid.
    async fn certificate(
        &self,
        names: &[&str],
        replaces: Option<&str>,
    ) -> anyhow::Result<(Key, String)> {
        let order = self.place(names, replaces).await?;
        let client = self.client().await?;
        let looked = insisting(async || client.authorizations(&order).await);
        let (seen, _) = looked.await?;
        let all = by_http(&seen.authorizations);
        insisting(async || client.validate(&order, &all).await).await?;
        self.becomes(&order, OrderStatus::Ready).await?;
        let key = Key::generate()?;
        let request = key.request(&owned(names))?;
        insisting(async || client.finalize(&order, &request).await).await?;
        self.becomes(&order, OrderStatus::Valid).await?;
        let chain = insisting(async || client.certificate(&order).await).await?;
        Ok((key, chain.context("a valid order without a certificate")?))
    }

    /// Holds what a browser does: the chain leads to the CA and is for the name.
    async fn holds_for(&self, chain: &str, key: &Key, name: &str) -> anyhow::Result<()> {
        let mut chain = certificates(chain)?;
        let leaf = chain.remove(0);
        let public = key.public();
        ensure!(
            leaf.windows(public.len())
                .any(|part| part == public.as_ref())
        );
        let mut roots = RootCertStore::empty();
        roots.add(self.pebble.issuing_root().await?)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        let name = ServerName::try_from(name)?;
        verifier.verify_server_cert(&leaf, &chain, &name, &[], UnixTime::now())?;
        Ok(())
    }
}

/// Makes a call again as long as the CA refuses its nonces.
async fn insisting<T>(mut call: impl AsyncFnMut() -> Result<T, Failure>) -> anyhow::Result<T> {
    for _ in 0..20 {
        match call().await {
            Err(failure) if failure.kind == FailureKind::BadNonce => {}
            done => return Ok(done?),
        }
    }
    bail!("refused twenty times");
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn certificates(chain: &str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    Ok(CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>()?)
}

fn refusal<T>(done: Result<T, Failure>) -> anyhow::Result<String> {
    match done {
        Err(Failure {
            kind: FailureKind::Refused {
                problem: Some(problem),
            },
            ..
        }) => Ok(problem.replace("urn:ietf:params:acme:error:", "")),
        Err(failure) => bail!("{failure:?}"),
        Ok(_) => bail!("not refused"),
    }
}

/// It answers itself; the test tells it what.
fn answering() -> Behaviour {
    Behaviour {
        answers: true,
        ..Behaviour::default()
    }
}

fn believing() -> Behaviour {
    Behaviour {
        always_valid: true,
        ..Behaviour::default()
    }
}

#[test]
fn a_key_has_one_account_however_often_it_is_registered() {
    sandbox::run(async |sandbox| {
        let account = Account::new(sandbox, &believing()).await?;
        let again = Client::open(&account.ca, &account.key, None).await?;
        assert_eq!(again.account(), account.url);
        let other = Client::open(&account.ca, &Key::generate()?, None).await?;
        assert_ne!(other.account(), account.url);
        assert!(other.offers_renewal_info());
        assert!(other.profiles().any(|(name, _)| name == "shortlived"));
        assert!(other.terms().is_some());
        Ok(())
    });
}

/// To be validated by HTTP.
fn by_http(urls: impl IntoIterator<Item: AsRef<str>>) -> Vec<(Box<str>, ChallengeType)> {
    let urls = urls.into_iter();
    urls.map(|url| (url.as_ref().into(), ChallengeType::Http01))
        .collect()
}

fn http01(authorization: &AuthorizationSeen) -> anyhow::Result<&ChallengeSeen> {
    let mut challenges = authorization.challenges.iter();
    let found = challenges.find(|one| one.challenge_type == ChallengeType::Http01);
    found.context("http-01")
}

#[test]
fn an_order_is_gone_on_with_at_every_step_by_who_knows_its_url() {
    sandbox::run(async |sandbox| {
        let account = Account::new(sandbox, &answering()).await?;
        let names = ["a.test", "b.test"];
        let order = account.place(&names, None).await?;

        let (seen, authorizations) = account.client().await?.authorizations(&order).await?;
        assert_eq!(seen.status, OrderStatus::Pending);
        assert!(seen.expires.is_some());
        let mut found: Vec<&str> = authorizations.iter().map(|one| one.name.as_str()).collect();
        found.sort_unstable();
        assert_eq!(found, names);
        for authorization in &authorizations {
            assert_eq!(authorization.status, AuthorizationStatus::Pending);
            let challenge = http01(authorization)?;
            let (token, answer) = (&challenge.token, &challenge.key_authorization);
            account.pebble.answer(token, answer).await?;
        }

        // What is not ready is left as it is.
        let key = Key::generate()?;
        let request = key.request(&owned(&names))?;
        let seen = account.client().await?.finalize(&order, &request).await?;
        assert_eq!(seen.status, OrderStatus::Pending);
        assert_eq!(account.client().await?.certificate(&order).await?, None);

        for url in &seen.authorizations {
            let one = by_http([url]);
            account.client().await?.validate(&order, &one).await?;
        }
        account.becomes(&order, OrderStatus::Ready).await?;
        // Told of what has been told of, the CA is not asked.
        let client = account.client().await?;
        let all = by_http(&seen.authorizations);
        client.validate(&order, &all).await?;

        account.client().await?.finalize(&order, &request).await?;
        account.becomes(&order, OrderStatus::Valid).await?;
        let seen = account.client().await?.finalize(&order, &request).await?;
        assert_eq!(seen.status, OrderStatus::Valid);

        let chain = account.client().await?.certificate(&order).await?;
        let chain = chain.context("a chain")?;
        for name in names {
            account.holds_for(&chain, &key, name).await?;
        }
        assert!(account.holds_for(&chain, &key, "c.test").await.is_err());
        Ok(())
    });
}

#[test]
fn a_name_that_does_not_answer_is_said_with_its_reason() {
    sandbox::run(async |sandbox| {
        let account = Account::new(sandbox, &answering()).await?;
        let order = account.place(&["a.test", "b.test"], None).await?;
        let client = account.client().await?;
        let (_, authorizations) = client.authorizations(&order).await?;
        let one = authorizations.iter().find(|one| one.name == "b.test");
        let one = one.context("an authorization for b.test")?;
        client.validate(&order, &by_http([&one.url])).await?;
        account.becomes(&order, OrderStatus::Invalid).await?;

        let (_, authorizations) = client.authorizations(&order).await?;
        for authorization in authorizations {
            let problem = http01(&authorization)?.problem.clone();
            match authorization.name.as_str() {
                "a.test" => assert_eq!(problem, None),
                _ => {
                    assert_eq!(authorization.status, AuthorizationStatus::Invalid);
                    let problem = problem.context("a problem")?;
                    let kind = problem.kind.context("its kind")?;
                    assert_eq!(kind, "urn:ietf:params:acme:error:unauthorized");
                    assert!(problem.text.contains("did not match"), "{}", problem.text);
                }
            }
        }
        assert!(refusal(client.certificate(&order).await).is_ok());
        let elsewhere = by_http(["https://127.0.0.1:14000/authZ/none"]);
        let failure = client.validate(&order, &elsewhere).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Gone);
        Ok(())
    });
}

#[test]
fn what_a_ca_refuses_is_said_in_its_words() {
    sandbox::run(async |sandbox| {
        let behaviour = Behaviour {
            refused: owned(&["refused.test"]),
            ..believing()
        };
        let account = Account::new(sandbox, &behaviour).await?;
        let client = account.client().await?;
        for (name, problem) in [
            ("www.refused.test", "rejectedIdentifier"),
            ("not a name", "malformed"),
        ] {
            let placed = client.place(&owned(&[name]), None, None).await;
            assert_eq!(refusal(placed)?, problem, "{name}");
        }
        let placed = client.place(&owned(&["a.test"]), None, Some("none")).await;
        assert_eq!(refusal(placed)?, "invalidProfile");

        let gone = client.order("https://127.0.0.1:14000/my-order/none").await;
        assert_eq!(gone.unwrap_err().kind, FailureKind::Gone);
        let stranger = Some("https://127.0.0.1:14000/my-account/none");
        let stranger = Client::open(&account.ca, &account.key, stranger).await?;
        let placed = stranger.place(&owned(&["a.test"]), None, None).await;
        assert_eq!(placed.unwrap_err().kind, FailureKind::UnknownAccount);
        Ok(())
    });
}

#[test]
fn nonces_that_are_refused_delay_and_no_more() {
    sandbox::run(async |sandbox| {
        let behaviour = Behaviour {
            bad_nonces: 30,
            ..believing()
        };
        let account = Account::new(sandbox, &behaviour).await?;
        for number in 0..10 {
            let name = format!("host-{number}.test");
            let (key, chain) = account.certificate(&[&name], None).await?;
            account.holds_for(&chain, &key, &name).await?;
        }
        let log = account.pebble.program.log()?;
        assert!(log.contains("reject 30% of good nonces"));
        Ok(())
    });
}

#[test]
fn a_ca_says_when_to_renew_and_what_was_renewed() {
    sandbox::run(async |sandbox| {
        let account = Account::new(sandbox, &believing()).await?;
        let (_, chain) = account.certificate(&["a.test"], None).await?;
        let id = certificate_id(&certificates(&chain)?[0]).map_err(anyhow::Error::msg)?;
        let client = account.client().await?;
        let window = client.renewal_info(&id).await?;
        assert!(window.start < window.end);
        assert_eq!(window.poll_after, Duration::from_secs(6 * 3600));

        let answer = r#"{"suggestedWindow": {"start": "2020-01-02T03:04:05Z",
            "end": "2020-01-03T03:04:05Z"}, "explanationURL": "https://ca.test/why"}"#;
        account.pebble.want_renewed(&chain, answer).await?;
        let window = client.renewal_info(&id).await?;
        assert_eq!(window.start.to_string(), "2020-01-02T03:04:05.000Z");
        assert_eq!(window.explanation.as_deref(), Some("https://ca.test/why"));
        account.pebble.want_renewed(&chain, "not JSON").await?;
        let failure = client.renewal_info(&id).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable);

        account.certificate(&["a.test"], Some(&id)).await?;
        let again = client.place(&owned(&["a.test"]), Some(&id), None).await;
        assert_eq!(again.unwrap_err().kind, FailureKind::AlreadyReplaced);
        Ok(())
    });
}

#[test]
fn a_certificate_is_revoked_once() {
    sandbox::run(async |sandbox| {
        let account = Account::new(sandbox, &believing()).await?;
        let (_, chain) = account.certificate(&["a.test"], None).await?;
        let leaf = certificates(&chain)?.remove(0);
        let client = account.client().await?;
        for _ in 0..2 {
            client.revoke(&leaf, RevocationReason::Superseded).await?;
        }
        let other = Client::open(&account.ca, &Key::generate()?, None).await?;
        let (_, chain) = account.certificate(&["b.test"], None).await?;
        let leaf = certificates(&chain)?.remove(0);
        let revoked = other.revoke(&leaf, RevocationReason::Superseded).await;
        assert_eq!(refusal(revoked)?, "unauthorized");
        Ok(())
    });
}

#[test]
fn a_ca_that_has_gone_took_nothing_in() {
    sandbox::run(async |sandbox| {
        let mut account = Account::new(sandbox, &believing()).await?;
        let client = account.client().await?;
        account.pebble.program.kill()?;
        let placed = client.place(&owned(&["a.test"]), None, None).await;
        assert_eq!(placed.unwrap_err().kind, FailureKind::Unavailable);
        Ok(())
    });
}
