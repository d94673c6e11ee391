//! What operators' calls asked a moment ago.
//!
//! A watch polls, and grpcurl makes three calls of one: the API server is not asked each time.
//! Nothing is remembered by a token itself, and nothing for long: a right that was taken away
//! is gone after as long.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use imbl::OrdMap;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::review::{Account, Review, ReviewError, Right};

/// Remembers the answers of another.
#[derive(Debug)]
pub struct Remembered {
    reviewer: Arc<dyn Review>,
    accounts: Memory<[u8; 32], Account>,
    /// Apart: who shows many tokens that are none takes no account's place.
    refused: Memory<[u8; 32], ReviewError>,
    rights: Memory<([u8; 32], Right), bool>,
}

impl Remembered {
    pub fn new(reviewer: Arc<dyn Review>) -> Self {
        Self {
            reviewer,
            accounts: Memory::default(),
            refused: Memory::default(),
            rights: Memory::default(),
        }
    }

    async fn whose(&self, token: &str) -> Result<Account, ReviewError> {
        let hash = Sha256::digest(token.as_bytes()).into();
        if let Some(known) = self.accounts.get(&hash) {
            return Ok(known);
        }
        if let Some(known) = self.refused.get(&hash) {
            return Err(known);
        }
        let answer = self.reviewer.authenticate(token).await;
        match &answer {
            Ok(account) => self.accounts.put(&hash, account),
            Err(refused @ ReviewError::NotAuthentic(_)) => self.refused.put(&hash, refused),
            // One that could not be asked is asked again.
            Err(ReviewError::Unavailable(_) | ReviewError::Full) => {}
        }
        answer
    }

    async fn may(&self, account: &Account, right: Right) -> Result<bool, ReviewError> {
        let key = (hash_of(account), right);
        if let Some(known) = self.rights.get(&key) {
            return Ok(known);
        }
        let answer = self.reviewer.allows(account, right).await?;
        self.rights.put(&key, &answer);
        Ok(answer)
    }
}

impl Review for Remembered {
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

/// Of everything that the API server judges by.
fn hash_of(account: &Account) -> [u8; 32] {
    let mut hasher = Sha256::new();
    let Account {
        name,
        uid,
        groups,
        extra,
    } = account;
    let mut add = |text: &str| {
        hasher.update(text.len().to_be_bytes());
        hasher.update(text);
    };
    add(name);
    add(uid);
    add(&groups.len().to_string());
    groups.iter().for_each(|group| add(group));
    for (key, values) in extra {
        add(key);
        add(&values.len().to_string());
        values.iter().for_each(|value| add(value));
    }
    hasher.finalize().into()
}

/// Answers of the last moments, bounded in number.
#[derive(Debug)]
struct Memory<K: Ord + Clone, V: Clone>(ArcSwap<OrdMap<K, (Instant, V)>>);

impl<K: Ord + Clone, V: Clone> Default for Memory<K, V> {
    fn default() -> Self {
        Self(ArcSwap::default())
    }
}

impl<K: Ord + Clone, V: Clone> Memory<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let entries = self.0.load();
        let (at, value) = entries.get(key)?;
        (at.elapsed() < REMEMBERED).then(|| value.clone())
    }

    fn put(&self, key: &K, value: &V) {
        self.0.rcu(|entries| {
            let mut entries = OrdMap::clone(entries);
            if entries.len() >= MOST {
                let fresh = |(_, (at, _)): &(K, (Instant, V))| at.elapsed() < REMEMBERED;
                entries = entries.into_iter().filter(fresh).collect();
            }
            // Who makes it full is asked about each time.
            if entries.len() < MOST {
                entries.insert(key.clone(), (Instant::now(), value.clone()));
            }
            entries
        });
    }
}

const REMEMBERED: Duration = Duration::from_secs(10);
const MOST: usize = 1024;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::advance;

    use super::*;

    /// Knows the token `good`, counts questions, and can be out of reach.
    #[derive(Debug, Default)]
    struct Fake {
        asked: AtomicUsize,
    }

    impl Review for Fake {
        fn authenticate<'a>(
            &'a self,
            token: &'a str,
        ) -> BoxFuture<'a, Result<Account, ReviewError>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let answer = match token {
                "good" => Ok(Account::default()),
                "away" => Err(ReviewError::Unavailable(String::new())),
                _ => Err(ReviewError::NotAuthentic(String::new())),
            };
            std::future::ready(answer).boxed()
        }

        fn allows<'a>(
            &'a self,
            account: &'a Account,
            right: Right,
        ) -> BoxFuture<'a, Result<bool, ReviewError>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let allowed = account.name == "jane" && right.verb == "get";
            std::future::ready(Ok(allowed)).boxed()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_remembered_for_a_moment_only() {
        let fake = Arc::new(Fake::default());
        let remembered = Remembered::new(fake.clone());
        for (token, asked) in [("good", 1), ("good", 1), ("bad", 2), ("bad", 2)] {
            let answer = remembered.authenticate(token).await;
            assert_eq!(answer.is_ok(), token == "good");
            assert_eq!(fake.asked.load(Ordering::Relaxed), asked, "{token}");
        }
        advance(REMEMBERED).await;
        remembered.authenticate("good").await.unwrap();
        assert_eq!(fake.asked.load(Ordering::Relaxed), 3);
        // Nothing is known of what could not be asked.
        for asked in [4, 5] {
            remembered.authenticate("away").await.unwrap_err();
            assert_eq!(fake.asked.load(Ordering::Relaxed), asked);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_is_of_the_account_and_the_call() {
        let remembered = Remembered::new(Arc::new(Fake::default()));
        let account = |name: &str| Account {
            name: name.to_owned(),
            ..Account::default()
        };
        let right = |verb| Right {
            verb,
            resource: "snapshots",
        };
        for _ in 0..2 {
            for (name, verb, expected) in [
                ("jane", "get", true),
                ("jane", "list", false),
                ("john", "get", false),
            ] {
                let allowed = remembered.allows(&account(name), right(verb)).await;
                assert_eq!(allowed, Ok(expected), "{name} {verb}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_remembered_than_there_is_room_for() {
        let fake = Arc::new(Fake::default());
        let remembered = Remembered::new(fake.clone());
        for number in 0..2 * MOST {
            let token = number.to_string();
            remembered.authenticate(&token).await.unwrap_err();
        }
        assert_eq!(remembered.refused.0.load().len(), MOST);
        // Who has a good token is not asked about each time for that.
        for _ in 0..2 {
            remembered.authenticate("good").await.unwrap();
        }
        assert_eq!(fake.asked.load(Ordering::Relaxed), 2 * MOST + 1);
    }
}
