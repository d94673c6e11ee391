//! What CAs that ask whether hosts are ours are answered by.
//!
//! Apart from the router: such an answer belongs to no route, and is given before any is looked for.
//! Versions share what did not change.

use imbl::OrdMap;
use roadstead_matcher::host::HostName;
use smallvec::SmallVec;

use crate::snapshot::{ChallengeAnswer, KeyAuthorization, Token};

/// All answers of one version. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Challenges {
    answers: OrdMap<Token, Answers>,
    /// The hosts of all answers, each with their number.
    hosts: OrdMap<HostName, usize>,
}

/// Those of one token: one, unless a CA uses it twice, or while it goes from one challenge to another.
type Answers = SmallVec<[ChallengeAnswer; 1]>;

impl Challenges {
    /// The answer to whoever asks for this token of this host, which is canonical.
    pub fn find(&self, host: &str, token: &str) -> Option<&KeyAuthorization> {
        let answers = self.answers.get(token)?;
        let answer = answers.iter().find(|answer| *answer.host == *host)?;
        Some(&answer.key_authorization)
    }

    /// Whether some token of this host is known.
    pub fn names_host(&self, host: &str) -> bool {
        self.hosts.contains_key(host)
    }

    /// Answers so from now on. What is put twice has to be removed twice.
    pub fn put(&mut self, answer: &ChallengeAnswer) {
        let answers = self.answers.entry(answer.token.clone()).or_default();
        answers.push(answer.clone());
        *self.hosts.entry(answer.host.clone()).or_default() += 1;
    }

    /// Answers so no more.
    pub fn remove(&mut self, answer: &ChallengeAnswer) {
        let Some(answers) = self.answers.get_mut(&answer.token) else {
            return;
        };
        let Some(place) = answers.iter().position(|known| known == answer) else {
            return;
        };
        answers.remove(place);
        if answers.is_empty() {
            self.answers.remove(&answer.token);
        }
        match self.hosts.get_mut(&answer.host) {
            Some(count @ 2..) => *count -= 1,
            Some(_) | None => {
                self.hosts.remove(&answer.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use roadstead_matcher::host::HostPattern;

    use super::*;

    const HOSTS: [&str; 3] = ["a.example", "b.a.example", "b"];
    const TOKENS: [&str; 3] = ["t", "t1", "u"];

    fn answer(host: &str, token: &str, thumbprint: &str) -> ChallengeAnswer {
        let HostPattern::Exact(host) = HostPattern::parse(host).unwrap() else {
            panic!("not one host");
        };
        let token = Token::parse(token).unwrap();
        let text = format!("{}.{thumbprint}", &*token);
        ChallengeAnswer {
            host,
            key_authorization: KeyAuthorization::parse(&text, &token).unwrap(),
            token,
        }
    }

    #[test]
    fn a_token_is_answered_for_its_own_host() {
        let mut challenges = Challenges::default();
        challenges.put(&answer("a.example", "t", "x"));
        challenges.put(&answer("b.example", "t", "y"));
        let found = |host, token| challenges.find(host, token).map(|found| &**found);
        assert_eq!(found("a.example", "t"), Some("t.x"));
        assert_eq!(found("b.example", "t"), Some("t.y"));
        assert_eq!(found("c.example", "t"), None);
        assert_eq!(found("a.example", "t1"), None);
    }

    proptest! {
        #[test]
        fn what_is_put_is_found_until_it_is_removed_and_older_versions_keep_theirs(
            changes in prop::collection::vec((any::<bool>(), 0..3_usize, 0..3_usize), 1..30),
        ) {
            let mut challenges = Challenges::default();
            let mut slow = Vec::new();
            let mut versions = Vec::new();
            for (put, host, token) in changes {
                let place = (HOSTS[host], TOKENS[token]);
                let changed = answer(place.0, place.1, "x");
                if put {
                    challenges.put(&changed);
                    slow.push(place);
                } else {
                    challenges.remove(&changed);
                    if let Some(found) = slow.iter().position(|known| *known == place) {
                        slow.remove(found);
                    }
                }
                versions.push((challenges.clone(), slow.clone()));
            }
            for (challenges, slow) in versions {
                for host in HOSTS {
                    let named = slow.iter().any(|known| known.0 == host);
                    prop_assert_eq!(challenges.names_host(host), named);
                    for token in TOKENS {
                        let found = challenges.find(host, token).is_some();
                        prop_assert_eq!(found, slow.contains(&(host, token)));
                    }
                }
            }
        }
    }
}
