//! What a CA wants to be shown that hosts are ours, and by which of the ways that it offers.
//!
//! Apart from the calls, because it is a choice and nothing else.

use roadstead_matcher::host::HostPattern;

use crate::acme::client::{AuthorizationSeen, AuthorizationStatus, ChallengeSeen, ChallengeStatus};
use crate::model::managed::{Challenge, ChallengeType, Managed, Progress, Proof};

/// How the authorizations of an order stand.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Proofs {
    pub(super) proofs: Vec<Proof>,
    /// Why one cannot be had.
    pub(super) failed: Option<Box<str>>,
}

/// The ways in which a CA may find out, the first choice first: that by which it found out last, or
/// the one after that by which it did not, for a port may be closed to it. `by_dns`: we can tell the
/// DNS about these hosts. Of wildcards a CA finds out in no other way (RFC 8555, section 7.1.3).
pub(super) fn ways(
    configured: &[ChallengeType],
    managed: &Managed,
    by_dns: bool,
) -> Vec<ChallengeType> {
    let is_wildcard = |host: &HostPattern| matches!(host, HostPattern::OneLabel(_));
    let only_by_dns = managed.names.iter().any(is_wildcard);
    let mut ways = configured.to_vec();
    ways.retain(|way| match way {
        ChallengeType::Dns01 => by_dns,
        ChallengeType::Http01 | ChallengeType::TlsAlpn01 => !only_by_dns,
    });
    let place = |ways: &[ChallengeType], way: Option<ChallengeType>| {
        ways.iter().position(|known| Some(*known) == way)
    };
    let worked = managed.issued.as_ref().and_then(|issued| issued.way);
    if let Some(worked) = place(&ways, worked) {
        let first = ways.remove(worked);
        ways.insert(0, first);
    }
    let failed = managed.trouble.as_ref().and_then(|trouble| trouble.way);
    if let Some(failed) = place(&ways, failed) {
        ways.rotate_left(failed + 1);
    }
    ways
}

/// An order is for our names, each once: what a CA says beside that is no such order.
pub(super) fn read(
    names: Vec<String>,
    ways: &[ChallengeType],
    seen: Vec<AuthorizationSeen>,
) -> Result<Proofs, String> {
    let mut left = names;
    let mut read = Proofs::default();
    for authorization in seen {
        let Some(place) = left
            .iter()
            .position(|name| name.eq_ignore_ascii_case(&authorization.name))
        else {
            return Err(format!("the CA wants proof for {:?}", authorization.name));
        };
        let host = left.swap_remove(place);
        let url = authorization.url.as_str().into();
        match progress(host, ways, authorization) {
            Ok(progress) => read.proofs.push(Proof { url, progress }),
            Err(why) => read.failed = Some(why),
        }
    }
    Ok(read)
}

fn progress(
    host: String,
    ways: &[ChallengeType],
    seen: AuthorizationSeen,
) -> Result<Progress, Box<str>> {
    let AuthorizationSeen {
        status, challenges, ..
    } = seen;
    let found = choose(ways, challenges);
    match (status, found) {
        (AuthorizationStatus::Valid, _) => Ok(Progress::Proved),
        (AuthorizationStatus::Pending, Some(found)) => {
            let challenge = Challenge {
                challenge_type: found.challenge_type,
                host: host.into(),
                token: found.token.into(),
                key_authorization: found.key_authorization.into(),
            };
            Ok(match found.status {
                ChallengeStatus::Pending => Progress::Open(challenge),
                ChallengeStatus::Processing | ChallengeStatus::Valid | ChallengeStatus::Invalid => {
                    Progress::Asked(challenge)
                }
            })
        }
        (AuthorizationStatus::Pending, None) => {
            let names: Vec<String> = ways.iter().map(ToString::to_string).collect();
            Err(match names.join(" or ") {
                ways if ways.is_empty() => format!(
                    "there is no way to show the CA that {host} is ours: see acme.challenges, acme.dns01"
                ),
                ways => format!("the CA offers no challenge of type {ways} for {host}"),
            }
            .into())
        }
        (
            AuthorizationStatus::Invalid
            | AuthorizationStatus::Revoked
            | AuthorizationStatus::Expired
            | AuthorizationStatus::Deactivated,
            found,
        ) => {
            let why = found.and_then(|found| {
                let problem = found.problem?;
                Some(format!(" by {}: {}", found.challenge_type, problem.text))
            });
            let why = why.unwrap_or_default();
            Err(format!("the CA did not find {host} to be ours{why}").into())
        }
    }
}

/// The challenge that the CA was told of, or else that of the first choice.
fn choose(ways: &[ChallengeType], offered: Vec<ChallengeSeen>) -> Option<ChallengeSeen> {
    let rank = |challenge: &ChallengeSeen| match challenge.status {
        ChallengeStatus::Pending => {
            let place = ways.iter().position(|way| *way == challenge.challenge_type);
            place.map(|place| place + 1)
        }
        ChallengeStatus::Processing | ChallengeStatus::Valid | ChallengeStatus::Invalid => Some(0),
    };
    let ranked = offered.into_iter();
    let ranked = ranked.filter_map(|challenge| Some((rank(&challenge)?, challenge)));
    let chosen = ranked.min_by_key(|(rank, _)| *rank);
    chosen.map(|(_, challenge)| challenge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::client::Problem;
    use crate::model::managed::Trouble;
    use crate::model::time::Timestamp;

    const HTTP: ChallengeType = ChallengeType::Http01;
    const TLS: ChallengeType = ChallengeType::TlsAlpn01;
    const DNS: ChallengeType = ChallengeType::Dns01;

    fn offered(challenge_type: ChallengeType, status: ChallengeStatus) -> ChallengeSeen {
        ChallengeSeen {
            challenge_type,
            token: challenge_type.to_string(),
            key_authorization: "any".to_owned(),
            status,
            problem: None,
        }
    }

    fn seen(status: AuthorizationStatus, challenges: Vec<ChallengeSeen>) -> AuthorizationSeen {
        AuthorizationSeen {
            url: "url".to_owned(),
            name: "A.example".to_owned(),
            status,
            challenges,
        }
    }

    fn read_one(
        ways: &[ChallengeType],
        status: AuthorizationStatus,
        challenges: Vec<ChallengeSeen>,
    ) -> Result<Progress, String> {
        let Proofs { mut proofs, failed } = read(
            vec!["a.example".to_owned()],
            ways,
            vec![seen(status, challenges)],
        )?;
        match failed {
            Some(why) => Err(why.into()),
            None => Ok(proofs.remove(0).progress),
        }
    }

    #[test]
    fn the_first_way_that_is_offered_is_gone_and_one_that_was_begun_is_gone_on() {
        let pending = || {
            [HTTP, TLS]
                .map(|way| offered(way, ChallengeStatus::Pending))
                .to_vec()
        };
        let open = |ways: &[ChallengeType], challenges| match read_one(
            ways,
            AuthorizationStatus::Pending,
            challenges,
        )
        .unwrap()
        {
            Progress::Open(challenge) => challenge.challenge_type,
            other @ (Progress::Asked(_) | Progress::Proved) => panic!("{other:?}"),
        };
        assert_eq!(open(&[HTTP, TLS], pending()), HTTP);
        assert_eq!(open(&[TLS, HTTP], pending()), TLS);
        assert_eq!(open(&[TLS, HTTP], pending()[..1].to_vec()), HTTP);
        let begun = vec![
            offered(HTTP, ChallengeStatus::Pending),
            offered(TLS, ChallengeStatus::Processing),
        ];
        let asked = read_one(&[HTTP], AuthorizationStatus::Pending, begun).unwrap();
        assert!(matches!(asked, Progress::Asked(challenge) if challenge.challenge_type == TLS));
        let nothing = read_one(
            &[TLS],
            AuthorizationStatus::Pending,
            pending()[..1].to_vec(),
        );
        let said = "the CA offers no challenge of type tls-alpn-01 for a.example";
        assert_eq!(nothing.unwrap_err(), said);
    }

    #[test]
    fn a_refusal_says_by_which_way_and_why() {
        let mut refused = offered(TLS, ChallengeStatus::Invalid);
        refused.problem = Some(Problem {
            kind: None,
            text: "connection refused".to_owned(),
        });
        let challenges = vec![offered(HTTP, ChallengeStatus::Pending), refused];
        let why = read_one(&[HTTP, TLS], AuthorizationStatus::Invalid, challenges);
        let said = "the CA did not find a.example to be ours by tls-alpn-01: connection refused";
        assert_eq!(why.unwrap_err(), said);
        let why = read_one(&[HTTP, TLS], AuthorizationStatus::Expired, vec![]);
        assert_eq!(why.unwrap_err(), "the CA did not find a.example to be ours");
    }

    #[test]
    fn proof_is_given_for_our_names_alone() {
        let one = || seen(AuthorizationStatus::Valid, vec![]);
        let names = || vec!["a.example".to_owned()];
        let twice = read(names(), &[HTTP], vec![one(), one()]);
        assert_eq!(twice.unwrap_err(), "the CA wants proof for \"A.example\"");
        let read = read(names(), &[HTTP], vec![one()]).unwrap();
        assert_eq!(read.proofs[0].progress, Progress::Proved);
    }

    #[test]
    fn after_a_way_by_which_the_ca_did_not_find_out_another_is_the_first_choice() {
        let mut managed = Managed::new(vec![]);
        assert_eq!(ways(&[HTTP, TLS], &managed, false), [HTTP, TLS]);
        let mut trouble = |way| {
            managed.trouble = Some(Trouble {
                late: false,
                failures: 7,
                message: "".into(),
                not_before: Timestamp(0),
                asked: None,
                way,
            });
            ways(&[HTTP, TLS], &managed, false)
        };
        // Nothing was wrong with any way.
        assert_eq!(trouble(None), [HTTP, TLS]);
        assert_eq!(trouble(Some(HTTP)), [TLS, HTTP]);
        assert_eq!(trouble(Some(TLS)), [HTTP, TLS]);
        assert_eq!(ways(&[HTTP], &managed, false), [HTTP]);
        assert_eq!(ways(&[], &managed, false), []);
    }

    #[test]
    fn the_dns_is_a_way_where_it_can_be_told_and_the_only_one_for_a_wildcard() {
        let of = |host: &str, by_dns| {
            let host = HostPattern::parse(host).unwrap();
            ways(&[HTTP, DNS, TLS], &Managed::new(vec![host]), by_dns)
        };
        assert_eq!(of("a.example", true), [HTTP, DNS, TLS]);
        assert_eq!(of("a.example", false), [HTTP, TLS]);
        assert_eq!(of("*.a.example", true), [DNS]);
        assert_eq!(of("*.a.example", false), []);
        let none = read_one(&[], AuthorizationStatus::Pending, vec![]).unwrap_err();
        assert!(none.contains("acme.dns01"), "{none}");
    }
}
