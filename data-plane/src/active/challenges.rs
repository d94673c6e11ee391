//! What CAs that ask whether hosts are ours are answered by.
//!
//! Apart from the router: such an answer belongs to no route, and is given before any is looked for.
//! Versions share what did not change.

use imbl::OrdMap;
use roadstead_matcher::host::HostName;
use smallvec::SmallVec;

use crate::snapshot::{ChallengeAnswer, ChallengeType, KeyAuthorization, Token};

/// All answers of one version. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Challenges {
    by_http: OrdMap<Token, Answers>,
    by_tls: OrdMap<HostName, Answers>,
    /// The hosts of all answers, each with their number.
    hosts: OrdMap<HostName, usize>,
}

/// Those of one token or host: one, unless a CA uses it twice, or while it goes from one challenge to
/// another.
type Answers = SmallVec<[ChallengeAnswer; 1]>;

impl Challenges {
    /// The answer to whoever asks by HTTP for this token of this host, which is canonical.
    pub fn by_http(&self, host: &str, token: &str) -> Option<&KeyAuthorization> {
        let answers = self.by_http.get(token)?;
        let answer = answers.iter().find(|answer| *answer.host == *host)?;
        Some(&answer.key_authorization)
    }

    /// The answer to whoever asks by TLS for this host, which is canonical: the latest.
    pub fn by_tls(&self, host: &str) -> Option<&KeyAuthorization> {
        let answers = self.by_tls.get(host)?;
        answers.last().map(|answer| &answer.key_authorization)
    }

    /// Whether some answer for this host is known.
    pub fn names_host(&self, host: &str) -> bool {
        self.hosts.contains_key(host)
    }

    /// Answers so from now on. What is put twice has to be removed twice.
    pub fn put(&mut self, answer: &ChallengeAnswer) {
        match answer.challenge_type {
            ChallengeType::Http01 => add(&mut self.by_http, &answer.token, answer),
            ChallengeType::TlsAlpn01 => add(&mut self.by_tls, &answer.host, answer),
        }
        *self.hosts.entry(answer.host.clone()).or_default() += 1;
    }

    /// Answers so no more.
    pub fn remove(&mut self, answer: &ChallengeAnswer) {
        let found = match answer.challenge_type {
            ChallengeType::Http01 => take(&mut self.by_http, &answer.token, answer),
            ChallengeType::TlsAlpn01 => take(&mut self.by_tls, &answer.host, answer),
        };
        if !found {
            return;
        }
        match self.hosts.get_mut(&answer.host) {
            Some(count @ 2..) => *count -= 1,
            Some(_) | None => {
                self.hosts.remove(&answer.host);
            }
        }
    }
}

fn add<K: Ord + Clone>(to: &mut OrdMap<K, Answers>, key: &K, answer: &ChallengeAnswer) {
    to.entry(key.clone()).or_default().push(answer.clone());
}

/// Whether it was there.
fn take<K: Ord + Clone>(from: &mut OrdMap<K, Answers>, key: &K, answer: &ChallengeAnswer) -> bool {
    let Some(answers) = from.get_mut(key) else {
        return false;
    };
    let Some(place) = answers.iter().position(|known| known == answer) else {
        return false;
    };
    answers.remove(place);
    if answers.is_empty() {
        from.remove(key);
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use roadstead_matcher::host::HostPattern;

    use super::*;

    const HOSTS: [&str; 3] = ["a.example", "b.a.example", "b"];
    const TOKENS: [&str; 3] = ["t", "t1", "u"];

    fn answer(
        challenge_type: ChallengeType,
        host: &str,
        token: &str,
        thumbprint: &str,
    ) -> ChallengeAnswer {
        let HostPattern::Exact(host) = HostPattern::parse(host).unwrap() else {
            panic!("not one host");
        };
        let token = Token::parse(token).unwrap();
        let text = format!("{}.{thumbprint}", &*token);
        ChallengeAnswer {
            challenge_type,
            host,
            key_authorization: KeyAuthorization::parse(&text, &token).unwrap(),
            token,
        }
    }

    #[test]
    fn a_token_is_answered_for_its_own_host() {
        let mut challenges = Challenges::default();
        challenges.put(&answer(ChallengeType::Http01, "a.example", "t", "x"));
        challenges.put(&answer(ChallengeType::Http01, "b.example", "t", "y"));
        let found = |host, token| challenges.by_http(host, token).map(|found| &**found);
        assert_eq!(found("a.example", "t"), Some("t.x"));
        assert_eq!(found("b.example", "t"), Some("t.y"));
        assert_eq!(found("c.example", "t"), None);
        assert_eq!(found("a.example", "t1"), None);
    }

    #[test]
    fn each_way_to_ask_has_answers_of_its_own_and_by_tls_the_latest_counts() {
        let mut challenges = Challenges::default();
        let first = answer(ChallengeType::TlsAlpn01, "a.example", "t", "x");
        let second = answer(ChallengeType::TlsAlpn01, "a.example", "u", "x");
        challenges.put(&first);
        let found = |of: &Challenges| of.by_tls("a.example").map(|found| found.to_string());
        assert_eq!(found(&challenges).as_deref(), Some("t.x"));
        assert_eq!(challenges.by_http("a.example", "t"), None);
        assert_eq!(challenges.by_tls("b.a.example"), None);
        challenges.put(&second);
        assert_eq!(found(&challenges).as_deref(), Some("u.x"));
        challenges.remove(&first);
        assert_eq!(found(&challenges).as_deref(), Some("u.x"));
        challenges.remove(&second);
        assert_eq!(found(&challenges), None);
        assert!(!challenges.names_host("a.example"));
    }

    proptest! {
        #[test]
        fn what_is_put_is_found_until_it_is_removed_and_older_versions_keep_theirs(
            changes in prop::collection::vec(
                (any::<bool>(), any::<bool>(), 0..3_usize, 0..3_usize),
                1..30,
            ),
        ) {
            let mut challenges = Challenges::default();
            let mut slow = Vec::new();
            let mut versions = Vec::new();
            for (put, by_tls, host, token) in changes {
                let way = match by_tls {
                    true => ChallengeType::TlsAlpn01,
                    false => ChallengeType::Http01,
                };
                let place = (way, HOSTS[host], TOKENS[token]);
                let changed = answer(way, place.1, place.2, "x");
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
                    let named = slow.iter().any(|known| known.1 == host);
                    prop_assert_eq!(challenges.names_host(host), named);
                    let by_tls = |known: &&(ChallengeType, &str, &str)| {
                        (known.0, known.1) == (ChallengeType::TlsAlpn01, host)
                    };
                    let known = slow.iter().any(|known| by_tls(&known));
                    prop_assert_eq!(challenges.by_tls(host).is_some(), known);
                    for token in TOKENS {
                        let found = challenges.by_http(host, token).is_some();
                        prop_assert_eq!(found, slow.contains(&(ChallengeType::Http01, host, token)));
                    }
                }
            }
        }
    }
}
