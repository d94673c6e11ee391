//! Challenges from the wire.
//!
//! Apart, because each message's rules are an idea of their own.

use roadstead_matcher::host::{HostName, HostPattern};
use roadstead_proto::v1;

use super::Faults;
use crate::snapshot::{ChallengeAnswer, ChallengeType, Fault, Form, KeyAuthorization, Token};

pub(super) fn read(challenge: &v1::Challenge) -> Result<Form, Fault> {
    let mut faults = Faults::default();
    if challenge.answers.len() > MAX_ANSWERS {
        faults.note("answers", &format!("more than {MAX_ANSWERS}"));
        return faults.finish(None);
    }
    let answers: Vec<_> = (0..)
        .zip(&challenge.answers)
        .filter_map(|(index, wire)| answer(index, wire, &mut faults))
        .collect();
    faults.finish(Some(Form::Challenge(answers.into())))
}

fn answer(
    index: usize,
    answer: &v1::ChallengeAnswer,
    faults: &mut Faults,
) -> Option<ChallengeAnswer> {
    faults.at("answers", index);
    let challenge_type = faults.field("type", challenge_type(answer.r#type));
    let host = faults.field("hostname", host(&answer.hostname));
    let token = faults.field("token", Token::parse(&answer.token))?;
    let text = KeyAuthorization::parse(&answer.key_authorization, &token);
    let key_authorization = faults.field("key_authorization", text);
    let (host, key_authorization) = host.zip(key_authorization)?;
    Some(ChallengeAnswer {
        challenge_type: challenge_type?,
        host,
        token,
        key_authorization,
    })
}

fn challenge_type(number: i32) -> Result<ChallengeType, &'static str> {
    match v1::ChallengeType::try_from(number) {
        Ok(v1::ChallengeType::Http01) => Ok(ChallengeType::Http01),
        Ok(v1::ChallengeType::TlsAlpn01) => Ok(ChallengeType::TlsAlpn01),
        Err(_) => Err("not one that this release knows"),
    }
}

/// In the form in which requests' hosts are looked up.
fn host(hostname: &str) -> Result<HostName, String> {
    match HostPattern::parse(hostname) {
        Ok(HostPattern::Exact(host)) if *host == *hostname => Ok(host),
        Ok(HostPattern::Exact(host)) => Err(format!("not canonical, which is {}", &*host)),
        Ok(HostPattern::OneLabel(_)) => Err("a wildcard, of which a CA asks nothing".to_owned()),
        Ok(HostPattern::Any) => Err("not set".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Of one certificate: as many as it has names, which CAs let be 100.
const MAX_ANSWERS: usize = 100;
