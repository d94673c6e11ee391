//! The answers of what is published, by what is asked.
//!
//! Apart from the calls: it is made when somebody asks, and again only when a challenge has changed
//! meanwhile, so that endpoints, which change all the time, cost nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prost::Message as _;
use roadstead_proto::v1::{self, ResourceType};

use crate::snapshot::ResourceId;
use crate::snapshot::publication::Publication;

/// Of the last publication that was asked about.
#[derive(Debug, Default)]
pub(super) struct Index(ArcSwap<Known>);

#[derive(Debug, Default)]
struct Known {
    /// That of the publication.
    number: u64,
    answers: Arc<Answers>,
}

/// Key authorizations by what is asked.
type Answers = BTreeMap<Asked, String>;

/// The type, the host, and the token, which is not said by TLS-ALPN-01.
type Asked = (i32, String, String);

impl Index {
    pub(super) fn find(
        &self,
        newest: &Publication,
        asked: v1::GetChallengeRequest,
    ) -> Option<String> {
        let v1::GetChallengeRequest {
            hostname,
            token,
            r#type,
        } = asked;
        self.of(newest).get(&(r#type, hostname, token)).cloned()
    }

    fn of(&self, newest: &Publication) -> Arc<Answers> {
        let known = self.0.load();
        let number = newest.number();
        if known.number == number {
            return Arc::clone(&known.answers);
        }
        let is_one = |id: &&ResourceId| id.kind == ResourceType::Challenge;
        let changed = newest.changed_since(known.number);
        let answers = match changed.is_some_and(|changed| !changed.iter().any(is_one)) {
            true => Arc::clone(&known.answers),
            false => Arc::new(read(newest)),
        };
        // Two who ask at once come to the same.
        self.0.store(Arc::new(Known {
            number,
            answers: Arc::clone(&answers),
        }));
        answers
    }
}

fn read(publication: &Publication) -> Answers {
    let first = ResourceId::new(ResourceType::Challenge, "");
    let from_first = publication.snapshot().resources().range(first..);
    let challenges = from_first.take_while(|(id, _)| id.kind == ResourceType::Challenge);
    // The bytes are projection's own, so that there is nothing to refuse.
    let challenges = challenges
        .map(|(_, resource)| v1::Challenge::decode(resource.body.clone()).unwrap_or_default());
    let answers = challenges.flat_map(|challenge| challenge.answers);
    answers
        .map(|answer| {
            let token = match answer.r#type() {
                v1::ChallengeType::Http01 => answer.token,
                v1::ChallengeType::TlsAlpn01 => String::new(),
            };
            let asked = (answer.r#type, answer.hostname, token);
            (asked, answer.key_authorization)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Epoch, Seq};
    use crate::snapshot::{Change, Version};

    /// The next publication, in which this resource changed; one that is not empty says so of its
    /// host.
    fn publish(before: &Publication, kind: ResourceType, token: &str) -> Publication {
        let mut snapshot = before.snapshot().clone();
        let challenge = v1::Challenge {
            answers: vec![v1::ChallengeAnswer {
                hostname: "a.example".to_owned(),
                token: token.to_owned(),
                key_authorization: format!("{token}.x"),
                r#type: v1::ChallengeType::Http01.into(),
            }],
        };
        let change = Change {
            id: ResourceId::new(kind, "certificate//a.example"),
            body: (!token.is_empty()).then(|| (challenge.encode_to_vec(), [].as_slice())),
        };
        let version = Version {
            epoch: Epoch(1),
            seq: Seq(before.number() + 1),
        };
        let changed = snapshot.configure(version, vec![change]);
        before.succeed("lineage".into(), snapshot, changed.into())
    }

    #[test]
    fn answers_are_those_of_what_is_published_and_read_when_a_challenge_changes() {
        let index = Index::default();
        let find = |of: &Publication, host: &str, token: &str| {
            let asked = v1::GetChallengeRequest {
                hostname: host.to_owned(),
                token: token.to_owned(),
                r#type: v1::ChallengeType::Http01.into(),
            };
            index.find(of, asked)
        };
        let nothing = Publication::default();
        assert_eq!(find(&nothing, "a.example", "t"), None);
        let first = publish(&nothing, ResourceType::Challenge, "t");
        assert_eq!(find(&first, "a.example", "t").as_deref(), Some("t.x"));
        assert_eq!(find(&first, "b.example", "t"), None);
        let read = index.of(&first);
        let other = publish(&first, ResourceType::Upstream, "u");
        assert!(Arc::ptr_eq(&index.of(&other), &read));
        let second = publish(&other, ResourceType::Challenge, "u");
        assert_eq!(find(&second, "a.example", "t"), None);
        assert_eq!(find(&second, "a.example", "u").as_deref(), Some("u.x"));
        let gone = publish(&second, ResourceType::Challenge, "");
        assert_eq!(find(&gone, "a.example", "u"), None);
        assert_eq!(find(&second.forgetting(), "a.example", "u"), None);
    }
}
