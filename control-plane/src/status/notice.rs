//! What there is to tell when an object stands otherwise than before.
//!
//! Pure, so that the reasons and the words are tested without a cluster.

use crate::project::finding::{self, Finding};
use crate::project::standing::Standing;
use crate::project::standing::tls::{Obtained, Progress};

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    /// From a closed list: those of `model::refusal::Reason`, of `project::finding`, and those below.
    pub(super) reason: &'static str,
    pub(super) note: String,
}

impl Notice {
    /// Whether its owner has to do something.
    pub(super) fn is_warning(&self) -> bool {
        ![
            ACCEPTED,
            RULE_SERVED,
            CERTIFICATE_PENDING,
            CERTIFICATE_ISSUED,
        ]
        .contains(&self.reason)
    }

    /// Whether its owner waits for it: all but what went as it was meant to.
    pub(super) fn is_awaited(&self) -> bool {
        self.reason != ACCEPTED && self.reason != CERTIFICATE_PENDING
    }

    /// Whether a rule is served that was another's.
    pub(super) fn is_regained(&self) -> bool {
        self.reason == RULE_SERVED
    }

    fn new(reason: &'static str, note: impl Into<String>) -> Self {
        Self {
            reason,
            note: note.into(),
        }
    }
}

/// The object is used as it is now.
const ACCEPTED: &str = "Accepted";
/// A rule that another Ingress had is this one's now.
const RULE_SERVED: &str = "RuleServed";

/// Of a certificate that we obtain: what is done next, that it does not go as it should, that it came to
/// nothing, that it is there.
const CERTIFICATE_PENDING: &str = "CertificatePending";
const CERTIFICATE_HINDERED: &str = "CertificateHindered";
const CERTIFICATE_FAILED: &str = "CertificateFailed";
const CERTIFICATE_ISSUED: &str = "CertificateIssued";

/// What changed for the owner of an object.
pub(super) fn notices(before: Option<&Standing>, after: Option<&Standing>) -> Vec<Notice> {
    let Some(after) = after else {
        return Vec::new();
    };
    let mut notices = Vec::new();
    let refused_before = before.and_then(|before| before.refusal.as_ref());
    match &after.refusal {
        Some(refusal) if refused_before != Some(refusal) => {
            notices.push(Finding::of_refusal(refusal, after.served).into());
        }
        None if refused_before.is_some() || before.is_none() => {
            notices.push(Notice::new(ACCEPTED, "accepted; proxies are being told"));
        }
        Some(_) | None => {}
    }
    let lost_before = before.map_or(&[][..], |before| &before.lost);
    let missing_before = before.map_or(&[][..], |before| &before.missing);
    let new_losses = after.lost.iter().filter(|lost| !lost_before.contains(lost));
    notices.extend(new_losses.map(|lost| Finding::of_lost(lost).into()));
    let regained = lost_before
        .iter()
        .filter(|was| !after.lost.iter().any(|lost| lost.position == was.position));
    notices.extend(regained.map(|was| {
        let note = format!("{}: {} is served now", was.position, finding::place(was));
        Notice::new(RULE_SERVED, note)
    }));
    let new_missing = after
        .missing
        .iter()
        .filter(|missing| !missing_before.contains(missing));
    notices.extend(new_missing.map(|missing| Finding::of_missing(missing).into()));
    let lacking_before = before.map_or(&[][..], |before| &before.lacking);
    let lacking = after.lacking.iter();
    let new = lacking.filter(|lacking| !lacking_before.contains(lacking));
    notices.extend(new.map(|lacking| Finding::of_lacking(lacking).into()));
    let obtained_before = before.map_or(&[][..], |before| &before.obtained);
    let obtained = after.obtained.iter();
    let is_known = |now: &&Obtained| {
        // Of the way it is told once.
        let same = |was: &&Obtained| was.host == now.host && was.progress == now.progress;
        let was = obtained_before.iter().find(same);
        was.is_some_and(|was| now.progress == Progress::UnderWay || was == *now)
    };
    let news = obtained.filter(|now| !is_known(now));
    notices.extend(news.map(
        |Obtained {
             host,
             progress,
             text,
         }| {
            let reason = match progress {
                Progress::UnderWay => CERTIFICATE_PENDING,
                Progress::Hindered => CERTIFICATE_HINDERED,
                Progress::Failed => CERTIFICATE_FAILED,
                Progress::Issued => CERTIFICATE_ISSUED,
            };
            Notice::new(reason, format!("the certificate of {host}: {text}"))
        },
    ));
    let ignored_before = before.map_or(&[][..], |before| &before.ignored);
    if after.ignored != ignored_before {
        let ignored = finding::all_ignored(after);
        notices.extend(ignored.map(|note| Notice::new(finding::IGNORED, note)));
    }
    notices
}

impl From<Finding> for Notice {
    fn from(finding: Finding) -> Self {
        Self::new(finding.reason, finding.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::{Kind, ObjectKey, Origin};
    use crate::model::refusal::{Reason, Refusal};
    use crate::project::standing::{Lost, Missing};
    use crate::state::claims::wish::{Position, Slot};
    use roadstead_matcher::host::HostPattern;
    use roadstead_matcher::path::PathPattern;

    fn standing() -> Standing {
        Standing {
            uid: "u".into(),
            served: true,
            refusal: None,
            lost: vec![],
            missing: vec![],
            lacking: vec![],
            obtained: vec![],
            ignored: vec![],
        }
    }

    fn refused() -> Standing {
        let refusal = Refusal::new(Reason::InvalidHost, "spec.rules[0].host", "is bad");
        Standing {
            refusal: Some(refusal),
            ..standing()
        }
    }

    fn lost(winner: Option<&str>) -> Standing {
        let winner = winner.map(|name| ObjectKey {
            origin: Origin::Kubernetes,
            kind: Kind::Ingress,
            namespace: "a".into(),
            name: name.into(),
        });
        Standing {
            lost: vec![Lost {
                position: Position::Path { rule: 0, path: 1 },
                host: HostPattern::parse("x.example").unwrap(),
                slot: Slot::Path(PathPattern::exact("/p").unwrap()),
                winner,
                owner: "a".into(),
            }],
            ..standing()
        }
    }

    #[test]
    fn each_transition_is_told_once_and_in_words() {
        let missing = Standing {
            missing: vec![Missing {
                position: Position::DefaultBackend,
                service: "s".into(),
                port: Some("web".into()),
            }],
            ..standing()
        };
        let ignoring = |fields: &[&str]| Standing {
            ignored: fields.iter().map(|field| Box::from(*field)).collect(),
            ..standing()
        };
        let nothing: &[&str] = &[];
        for (before, after, expected) in [
            (
                None,
                Some(standing()),
                &["Accepted: accepted; proxies are being told"][..],
            ),
            (Some(standing()), None, nothing),
            (Some(refused()), Some(refused()), nothing),
            (
                Some(standing()),
                Some(refused()),
                &["InvalidHost: spec.rules[0].host: is bad; its last good version keeps serving"],
            ),
            (
                Some(refused()),
                Some(standing()),
                &["Accepted: accepted; proxies are being told"],
            ),
            (
                Some(standing()),
                Some(lost(Some("w"))),
                &[
                    "PathTaken: spec.rules[0].http.paths[1]: Ingress a/w is older and has x.example, \
                   exact /p; this rule takes over when it goes",
                ],
            ),
            (
                Some(standing()),
                Some(lost(None)),
                &[
                    "HostOwnedByAnother: spec.rules[0].http.paths[1]: x.example, exact /p is not \
                   served: the host belongs to namespace a, which can share it with the \
                   annotation roadstead.dev/share-hosts-with",
                ],
            ),
            (
                Some(lost(Some("w"))),
                Some(standing()),
                &["RuleServed: spec.rules[0].http.paths[1]: x.example, exact /p is served now"],
            ),
            (
                Some(standing()),
                Some(missing),
                &[
                    "PortNotFound: spec.defaultBackend: Service s has no port web; answered with 503",
                ],
            ),
            (
                Some(standing()),
                Some(ignoring(&["spec.tls"])),
                &["Ignored: spec.tls: means nothing here; the Ingress is served without it"],
            ),
            (
                Some(ignoring(&["spec.tls"])),
                Some(ignoring(&["metadata.annotations[nginx.org/x]", "spec.tls"])),
                &[
                    "Ignored: metadata.annotations[nginx.org/x], spec.tls: mean nothing here; the \
                     Ingress is served without them",
                ],
            ),
            (
                Some(ignoring(&["spec.tls"])),
                Some(ignoring(&["spec.tls"])),
                nothing,
            ),
            (Some(ignoring(&["spec.tls"])), Some(standing()), nothing),
        ] {
            let told = notices(before.as_ref(), after.as_ref());
            let told: Vec<String> = told
                .iter()
                .map(|n| format!("{}: {}", n.reason, n.note))
                .collect();
            assert_eq!(told, expected);
        }
    }
}
