//! What a CA is answered by.

use roadstead_data_plane::{
    active::Challenges,
    snapshot::{ChallengeAnswer, ChallengeType, KeyAuthorization, Token},
};
use roadstead_matcher::host::HostPattern;

pub(crate) fn authorization(token: &str) -> KeyAuthorization {
    KeyAuthorization::of_any(&format!("{token}.thumbprint")).unwrap()
}

/// Answers by this way for these hosts and tokens.
pub(crate) fn challenges(challenge_type: ChallengeType, known: &[(&str, &str)]) -> Challenges {
    let mut challenges = Challenges::default();
    for (host, token) in known {
        let HostPattern::Exact(host) = HostPattern::parse(host).unwrap() else {
            panic!("not one host");
        };
        challenges.put(&ChallengeAnswer {
            challenge_type,
            host,
            token: Token::parse(token).unwrap(),
            key_authorization: authorization(token),
        });
    }
    challenges
}
