//! The questions as the Kubernetes API is asked them.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client, Error};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::review::{Account, GROUP, Review, ReviewError, Right};

/// Asks an API server. Who is not to wait for others' questions needs one of his own.
pub struct Reviewer {
    tokens: Api<TokenReview>,
    accesses: Api<SubjectAccessReview>,
    /// Whom a token must be for.
    audience: String,
    permits: Semaphore,
    /// Questions that wait, or are open.
    places: Semaphore,
}

impl Reviewer {
    /// One that accepts tokens of this audience.
    pub fn new(client: Client, audience: String) -> Self {
        Self {
            tokens: Api::all(client.clone()),
            accesses: Api::all(client),
            audience,
            permits: Semaphore::new(AT_ONCE),
            places: Semaphore::new(AT_ONCE + WAITING),
        }
    }

    async fn whose(&self, token: &str) -> Result<Account, ReviewError> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![self.audience.clone()]),
                token: token.to_owned(),
            },
            ..TokenReview::default()
        };
        let parameters = PostParams::default();
        let review = self.ask(
            "tokenreviews",
            Box::pin(self.tokens.create(&parameters, &review)),
        );
        let status = review.await?.status.unwrap_or_default();
        account(status, &self.audience)
    }

    async fn may(&self, account: &Account, right: Right) -> Result<bool, ReviewError> {
        let text = |text: &str| Some(text.to_owned());
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: text(&account.name),
                uid: text(&account.uid),
                groups: Some(account.groups.clone()),
                extra: Some(account.extra.clone()),
                resource_attributes: Some(ResourceAttributes {
                    group: text(GROUP),
                    resource: text(right.resource),
                    verb: text(right.verb),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let parameters = PostParams::default();
        let asked = Box::pin(self.accesses.create(&parameters, &review));
        let status = self.ask("subjectaccessreviews", asked).await?.status;
        Ok(status.is_some_and(|status| status.allowed && status.denied != Some(true)))
    }

    /// Bounded in number and time: strangers, too, have us ask.
    async fn ask<T>(
        &self,
        resource: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, ReviewError> {
        let _place = self.places.try_acquire().map_err(|_| ReviewError::Full)?;
        let asking = async {
            let _permit = self.permits.acquire().await;
            call.await
        };
        match timeout(PATIENCE, asking).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(ReviewError::Unavailable(problem(resource, error))),
            Err(_) => {
                let problem = format!("no answer within {PATIENCE:?}");
                Err(ReviewError::Unavailable(problem))
            }
        }
    }
}

impl Review for Reviewer {
    fn authenticate<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Account, ReviewError>> {
        self.whose(token).boxed()
    }

    fn allows<'a>(
        &'a self,
        account: &'a Account,
        right: Right,
    ) -> BoxFuture<'a, Result<bool, ReviewError>> {
        self.may(account, right).boxed()
    }
}

impl std::fmt::Debug for Reviewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reviewer")
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// Never with what was sent, which has a token in it.
fn problem(resource: &str, error: Error) -> String {
    let Error::Api(status) = error else {
        return "it is not reached".to_owned();
    };
    if status.code != 403 {
        return format!("it says {}: {}", status.code, status.reason);
    }
    let group = match resource {
        "tokenreviews" => "authentication.k8s.io",
        _ => "authorization.k8s.io",
    };
    let problem = format!(
        "it forbids the control plane to ask: give its ServiceAccount a ClusterRole with \
         {{apiGroups: [{group}], resources: [{resource}], verbs: [create]}}"
    );
    tracing::error!(problem, "tokens cannot be reviewed");
    problem
}

fn account(status: TokenReviewStatus, audience: &str) -> Result<Account, ReviewError> {
    let audiences = status.audiences.unwrap_or_default();
    let user = status.user.filter(|_| status.authenticated == Some(true));
    let Some(user) = user else {
        // Its own words are for its log: they can hold parts of the token.
        return Err(ReviewError::NotAuthentic(format!(
            "the API server does not know it, or it has ended, or it is not for the audience \
             {audience:?}"
        )));
    };
    // An authenticator that knows no audiences accepts tokens of all.
    if !audiences.iter().any(|given| given == audience) {
        return Err(ReviewError::NotAuthentic(format!(
            "it is not for the audience {audience:?}"
        )));
    }
    Ok(Account {
        name: user.username.unwrap_or_default(),
        uid: user.uid.unwrap_or_default(),
        groups: user.groups.unwrap_or_default(),
        extra: user.extra.unwrap_or_default(),
    })
}

/// Questions that are open at the same time; some more wait.
const AT_ONCE: usize = 16;
const WAITING: usize = 64;
/// Less than whoever calls us waits.
const PATIENCE: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use futures::future::{join_all, select_all};
    use k8s_openapi::api::authentication::v1::UserInfo;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn questions_beyond_those_that_may_wait_are_refused_at_once() {
        // It accepts connections by its kernel, and answers nothing.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", silent.local_addr().unwrap());
        let config = kube::Config::new(address.parse().unwrap());
        let client = Client::try_from(config).unwrap();
        let reviewer = Reviewer::new(client.clone(), "roadstead".to_owned());
        let mut asked: Vec<_> = (0..AT_ONCE + WAITING + 1)
            .map(|_| reviewer.authenticate("token"))
            .collect();
        let (first, _, rest) = select_all(asked.drain(..)).await;
        assert_eq!(first, Err(ReviewError::Full));
        for waited in join_all(rest).await {
            assert!(
                matches!(waited, Err(ReviewError::Unavailable(_))),
                "{waited:?}"
            );
        }
        // Their places are free again.
        let again = reviewer.authenticate("token").await;
        assert!(
            matches!(again, Err(ReviewError::Unavailable(_))),
            "{again:?}"
        );
    }

    #[test]
    fn only_what_was_accepted_for_our_audience_is_an_account() {
        let user = UserInfo {
            username: Some("system:serviceaccount:a:b".into()),
            ..UserInfo::default()
        };
        let status = |authenticated, audiences: &[&str]| TokenReviewStatus {
            authenticated: Some(authenticated),
            audiences: Some(audiences.iter().map(ToString::to_string).collect()),
            user: Some(user.clone()),
            error: Some("a secret".into()),
        };
        let accepted = account(status(true, &["roadstead"]), "roadstead").unwrap();
        assert_eq!(accepted.name, "system:serviceaccount:a:b");
        for refused in [
            status(false, &["roadstead"]),
            status(true, &[]),
            status(true, &["https://kubernetes.default.svc"]),
            TokenReviewStatus::default(),
        ] {
            let error = account(refused, "roadstead").unwrap_err().to_string();
            assert!(error.contains("\"roadstead\""), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
