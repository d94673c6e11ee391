use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::*;
use crate::review::{Review, Right};

const NOW: Timestamp = Timestamp(1_760_000_000_000);
const DAY: i64 = 24 * 3_600_000;
const USER: &str = "system:serviceaccount:roadstead:roadstead-data-plane";

/// Says the same of every token.
#[derive(Debug)]
struct Says(Result<Account, ReviewError>);

impl Review for Says {
    fn authenticate<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Account, ReviewError>> {
        std::future::ready(self.0.clone()).boxed()
    }

    fn allows<'a>(&'a self, _: &'a Account, _: Right) -> BoxFuture<'a, Result<bool, ReviewError>> {
        std::future::ready(Ok(false)).boxed()
    }
}

fn issuing(says: Result<Account, ReviewError>) -> Issuing {
    Issuing {
        authorities: watch::channel(None).1,
        reviewer: Arc::new(Says(says)),
        users: vec![USER.to_owned()],
        life: DAY,
    }
}

/// The account of a proxy's pod.
fn bound() -> Account {
    let extra = [
        (NODE_NAME, "node-1"),
        (POD_NAME, "proxy-x"),
        (POD_UID, "0-1-2"),
    ];
    let extra = extra.map(|(key, value)| (key.to_owned(), vec![value.to_owned()]));
    Account {
        name: USER.to_owned(),
        extra: extra.into(),
        ..Account::default()
    }
}

fn credential(subject: Option<Subject>, proven: i64) -> Credential {
    Credential {
        subject: subject.unwrap(),
        proven: Timestamp(NOW.0 + proven),
        expires: Timestamp(NOW.0 + DAY),
    }
}

fn away() -> ReviewError {
    ReviewError::Unavailable("away".to_owned())
}

#[tokio::test]
async fn a_bound_token_proves_its_node() {
    let proof = Proof::find(&issuing(Ok(bound())), Some("t"), None, NOW).await;
    let expected = Proof {
        subject: Subject::proxy("node-1").unwrap(),
        proven: NOW,
    };
    assert_eq!(proof, Ok(expected));
}

#[tokio::test]
async fn a_token_that_is_not_a_proxys_or_not_bound_proves_nothing() {
    let other = Account {
        name: "system:serviceaccount:default:default".to_owned(),
        ..bound()
    };
    let error = Proof::find(&issuing(Ok(other)), Some("t"), None, NOW).await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("default:default") && error.contains("proxyAccounts"),
        "{error}"
    );
    for key in [NODE_NAME, POD_NAME, POD_UID] {
        for values in [
            None,
            Some(vec![]),
            Some(vec![String::new()]),
            Some(vec!["a".into(); 2]),
        ] {
            let mut account = bound();
            account.extra.remove(key);
            account
                .extra
                .extend(values.map(|values| (key.to_owned(), values)));
            let proof = Proof::find(&issuing(Ok(account)), Some("t"), None, NOW).await;
            assert_eq!(proof, Err(Unproven::Unbound(key)));
        }
    }
    let mut odd = bound();
    odd.extra
        .insert(NODE_NAME.to_owned(), vec!["node-1/proxy/node-2".to_owned()]);
    let proof = Proof::find(&issuing(Ok(odd)), Some("t"), None, NOW).await;
    assert_eq!(proof, Err(Unproven::Unbound(NODE_NAME)));
}

#[tokio::test]
async fn a_certificate_counts_beside_a_token_only_while_nobody_knows_the_token() {
    let mine = credential(Subject::proxy("node-1"), -DAY);
    let unknown = ReviewError::NotAuthentic("ended".to_owned());
    let refused = Proof::find(&issuing(Err(unknown)), Some("t"), Some(&mine), NOW).await;
    assert!(matches!(refused, Err(Unproven::Token(_))), "{refused:?}");
    let proof = Proof::find(&issuing(Err(away())), Some("t"), Some(&mine), NOW).await;
    let full = Proof::find(
        &issuing(Err(ReviewError::Full)),
        Some("t"),
        Some(&mine),
        NOW,
    )
    .await;
    assert!(matches!(full, Err(Unproven::Full(_))), "{full:?}");
    // What was proven is not proven anew.
    assert_eq!(proof.unwrap().proven, mine.proven);
    let nothing = Proof::find(&issuing(Err(away())), Some("t"), None, NOW).await;
    assert!(
        matches!(nothing, Err(Unproven::Unavailable(_))),
        "{nothing:?}"
    );
}

#[tokio::test]
async fn a_certificate_begets_the_next_within_bounds() {
    let of = |proven| credential(Subject::proxy("node-1"), proven);
    let replica = credential(Subject::replica("roadstead-0"), -DAY);
    for (shown, expected) in [
        (Some(of(-7 * DAY)), None),
        (Some(of(-7 * DAY - 1)), Some(Unproven::Stale)),
        (Some(replica), Some(Unproven::Nothing)),
        (None, Some(Unproven::Nothing)),
    ] {
        let issuing = issuing(Err(away()));
        let proof = Proof::find(&issuing, None, shown.as_ref(), NOW).await;
        assert_eq!(proof.as_ref().err(), expected.as_ref(), "{shown:?}");
    }
}
