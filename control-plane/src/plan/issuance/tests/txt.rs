//! A CA is told to look when everybody finds its record, and no record outlives its order.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::model::managed::{Place, Sight, Txt, TxtRecord};

fn by_dns(number: u32) -> Challenge {
    Challenge {
        challenge_type: ChallengeType::Dns01,
        ..challenge(number)
    }
}

fn text(number: u32) -> Box<str> {
    TxtRecord::of(&by_dns(number), NOW).unwrap().text
}

fn place() -> Place {
    Place {
        name: "_acme-challenge.a.example".into(),
        zone: "a.example".into(),
    }
}

fn txt(number: u32, step: TxtStep) -> Call {
    Call::Txt {
        text: text(number),
        step,
    }
}

fn came(number: u32, came: Txt) -> Outcome {
    Outcome::Txt {
        text: text(number),
        came,
    }
}

fn sight(showing: usize, lacking: &[&str], silent: &[&str]) -> Txt {
    let texts = |of: &[&str]| of.iter().map(|text| Box::from(*text)).collect();
    Txt::Seen(Sight {
        showing,
        lacking: texts(lacking),
        silent: texts(silent),
    })
}

/// An order whose CA wants one record.
fn proving() -> Managed {
    let mut managed = begin(&wanted(), CA, NOW);
    let answers = vec![
        Outcome::Placed("order".into()),
        proofs(vec![("one", Progress::Open(by_dns(1)))]),
    ];
    go(&mut managed, answers);
    managed
}

/// The same, with its record added at that time.
fn added(now: Timestamp) -> Managed {
    let mut managed = proving();
    for outcome in [Txt::Located(place()), Txt::Added] {
        managed = after(&managed, came(1, outcome), now, 0);
    }
    managed
}

#[test]
fn a_record_is_located_added_and_seen_before_the_ca_looks_and_removed_after() {
    let mut managed = proving();
    let answers = vec![
        came(1, Txt::Located(place())),
        came(1, Txt::Added),
        came(1, sight(2, &[], &[])),
        Outcome::Validating,
        Outcome::Proofs {
            answer: answer(Status::Ready),
            proofs: vec![],
        },
        // Nobody looks for it any more; the order goes on.
        Outcome::Order(answer(Status::Processing)),
        Outcome::Order(answer(Status::Valid)),
        Outcome::Certificate {
            certificate: certificate(90),
            id: "id".into(),
        },
        Outcome::Renewal {
            window: Window {
                start: NOW.later(60 * DAY),
                end: NOW.later(61 * DAY),
            },
            ask: NOW.later(DAY),
        },
        came(1, Txt::Removed),
    ];
    let calls: Vec<&str> = go(&mut managed, answers).iter().map(Call::as_str).collect();
    assert_eq!(
        calls,
        [
            "dns_locate",
            "dns_add",
            "dns_look",
            "validate",
            "prove",
            "finalize",
            "look",
            "fetch",
            "renewal_info",
            "dns_remove"
        ]
    );
    assert!(managed.leftovers.is_empty() && managed.issued.is_some());
}

#[test]
fn proxies_are_not_waited_for_where_the_ca_does_not_ask_them() {
    let managed = after(&added(NOW), came(1, sight(1, &[], &[])), NOW, 0);
    let nobody_answers = Circumstances {
        answered: false,
        ..circumstances(NOW.later(MINUTE))
    };
    let validates = next(&managed, &nobody_answers);
    assert!(matches!(validates, Next::Call(Call::Validate { .. })));
}

#[test]
fn a_server_that_says_otherwise_is_waited_for_and_one_that_is_silent_for_minutes() {
    let look = |managed: &Managed, seconds: i64, seen: Txt| {
        after(managed, came(1, seen), NOW.later(seconds * 1_000), 0)
    };
    let is_shown = |managed: &Managed| managed.unshown().next().is_none();
    let behind = look(&added(NOW), 0, sight(1, &["ns2 has no such record"], &[]));
    assert_eq!(
        behind.to_string(),
        "the servers of a.example are to show the CA's challenge, _acme-challenge.a.example: ns2 has no such record"
    );
    assert_eq!(
        next(&behind, &circumstances(NOW)),
        Next::Wait(NOW.later(2_000))
    );
    assert_eq!(
        call(&behind, NOW.later(2_000)).as_str(),
        txt(1, TxtStep::Look).as_str()
    );
    assert!(!is_shown(&look(
        &behind,
        600,
        sight(1, &["ns2 has no such record"], &[])
    )));
    assert!(is_shown(&look(&behind, 3, sight(2, &[], &[]))));
    let silent = || sight(1, &[], &["ns2 does not answer"]);
    assert!(!is_shown(&look(&added(NOW), 299, silent())));
    assert!(is_shown(&look(&added(NOW), 300, silent())));
    // Of nobody who shows it a CA learns nothing.
    assert!(!is_shown(&look(
        &added(NOW),
        300,
        sight(0, &[], &["ns1 does not answer"])
    )));
}

#[test]
fn what_the_dns_does_not_take_fails_by_its_way_within_an_hour_and_says_why() {
    let refused = || came(1, Txt::Failed("ns1:53 does not know the key".into()));
    let located = after(&proving(), came(1, Txt::Located(place())), NOW, 0);
    let soon = after(&located, refused(), NOW, 0);
    assert_eq!(
        next(&soon, &circumstances(NOW)),
        Next::Wait(NOW.later(10_000))
    );
    assert!(
        soon.to_string().ends_with("ns1:53 does not know the key"),
        "{soon}"
    );
    let again = after(&soon, refused(), NOW.later(10_000), 0);
    assert_eq!(
        next(&again, &circumstances(NOW.later(10_000))),
        Next::Wait(NOW.later(30_000))
    );
    let late = after(&again, refused(), NOW.later(70 * MINUTE), 0);
    let trouble = late.trouble.as_ref().unwrap();
    assert_eq!(trouble.way, Some(ChallengeType::Dns01));
    assert!(trouble.message.contains("does not know the key"));
    // It may be there all the same.
    let removal = next(&late, &circumstances(NOW.later(70 * MINUTE)));
    assert_eq!(removal, Next::Call(txt(1, TxtStep::Remove)));
}

#[test]
fn a_record_that_cannot_be_removed_is_left_after_a_week_and_holds_up_no_order() {
    let mut managed = abandon(&added(NOW), NOW.later(MINUTE));
    let mut now = NOW.later(MINUTE);
    let mut attempts = 0;
    while !managed.leftovers.is_empty() {
        assert_eq!(call(&managed, now), txt(1, TxtStep::Remove));
        attempts += 1;
        managed = after(&managed, came(1, Txt::NotRemoved("no".into())), now, 0);
        assert_eq!(next(&managed, &circumstances(now)), Next::Begin);
        let left = managed.leftovers.first();
        now = left.map_or(now, |leftover| leftover.not_before);
    }
    assert_eq!(attempts, 180);
    assert!(
        now > NOW.later(7 * DAY) && now < NOW.later(8 * DAY),
        "{now}"
    );
}

#[test]
fn of_two_that_say_the_same_in_different_places_neither_holds_up_the_other() {
    let mut managed = abandon(&added(NOW), NOW.later(MINUTE));
    let failed = came(1, Txt::NotRemoved("no".into()));
    managed = after(&managed, failed, NOW.later(MINUTE), 0);
    let mut elsewhere = managed.leftovers[0].clone();
    elsewhere.place.name = "a.acme.test".into();
    elsewhere.not_before = Timestamp(0);
    managed.leftovers.push(elsewhere);
    assert_eq!(call(&managed, NOW.later(MINUTE)), txt(1, TxtStep::Remove));
    let removed = after(&managed, came(1, Txt::Removed), NOW.later(MINUTE), 0);
    assert_eq!(removed.leftovers.len(), 1);
    assert_eq!(removed.leftovers[0].place, place());
    // It waits for its time.
    let again = next(&removed, &circumstances(NOW.later(MINUTE)));
    assert_eq!(again, Next::Begin);
}

#[test]
fn what_a_ca_asks_for_once_more_is_located_anew_and_not_removed_where_it_is_needed() {
    let again = |managed: &Managed| {
        let mut managed = begin(managed, CA, NOW);
        let answers = vec![
            Outcome::Placed("order".into()),
            proofs(vec![("one", Progress::Open(by_dns(1)))]),
        ];
        for answer in answers {
            managed = after(&managed, answer, NOW, 0);
        }
        managed
    };
    let before = abandon(&added(NOW), NOW.later(MINUTE));
    let managed = again(&before);
    assert_eq!(managed.leftovers.len(), 1);
    let record = managed.records.first().unwrap();
    assert!(record.place.is_none() && !record.shown);
    let there = after(&managed, came(1, Txt::Located(place())), NOW, 0);
    assert!(there.leftovers.is_empty());
    let elsewhere = Place {
        name: "a.acme.test".into(),
        zone: "acme.test".into(),
    };
    let elsewhere = after(&managed, came(1, Txt::Located(elsewhere)), NOW, 0);
    assert_eq!(elsewhere.leftovers, before.leftovers);
}

/// What befalls a step.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Done,
    /// It is done, and whoever did it ends before that is kept.
    DoneAndForgotten,
    Fails,
    /// Nobody wants the certificate any more, or somebody does again.
    Wanted(bool),
    Late,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        8 => Just(Fate::Done),
        2 => Just(Fate::DoneAndForgotten),
        2 => Just(Fate::Fails),
        1 => any::<bool>().prop_map(Fate::Wanted),
        1 => Just(Fate::Late),
    ]
}

/// A CA, a DNS, and what is kept.
struct World {
    managed: Managed,
    dns: BTreeSet<Box<str>>,
    now: Timestamp,
    orders: u32,
    wanted: bool,
}

impl World {
    /// One step; false when there is nothing left to be done.
    fn step(&mut self, fate: Fate) -> bool {
        match fate {
            Fate::Wanted(wanted) => self.wanted = wanted,
            Fate::Late => self.now = self.now.later(2 * 60 * MINUTE),
            Fate::Done | Fate::DoneAndForgotten | Fate::Fails => {}
        }
        let circumstances = Circumstances {
            wanted: self.wanted,
            ..circumstances(self.now)
        };
        let called = match next(&self.managed, &circumstances) {
            Next::Wait(time) => {
                self.now = time;
                return true;
            }
            Next::Barrier => panic!("no proxy is asked"),
            Next::Forget => return false,
            Next::Begin => {
                self.orders += 1;
                self.managed = begin(&self.managed, CA, self.now);
                return true;
            }
            Next::Abandon => {
                self.managed = abandon(&self.managed, self.now);
                return true;
            }
            Next::Call(call) => call,
        };
        let outcome = match (fate, &called) {
            (Fate::Fails, Call::Txt { text, step }) => Outcome::Txt {
                text: text.clone(),
                came: match step {
                    TxtStep::Remove => Txt::NotRemoved("no".into()),
                    TxtStep::Locate | TxtStep::Add | TxtStep::Look => Txt::Failed("no".into()),
                },
            },
            (Fate::Fails, _) => failed(FailureKind::Refused, None),
            (_, call) => self.answer(call),
        };
        self.managed = if matches!(fate, Fate::DoneAndForgotten) {
            adopted(&self.managed, self.now)
        } else {
            after(&self.managed, outcome, self.now, 0)
        };
        true
    }

    fn answer(&mut self, call: &Call) -> Outcome {
        match call {
            Call::Place { .. } => Outcome::Placed("order".into()),
            Call::Prove { .. } => {
                let order = self.managed.order.as_ref().unwrap();
                if let Step::Proving { .. } = &order.step {
                    Outcome::Proofs {
                        answer: answer(Status::Ready),
                        proofs: vec![],
                    }
                } else {
                    // Of orders that came to nothing CAs take up what they wanted.
                    proofs(vec![("one", Progress::Open(by_dns(self.orders / 2)))])
                }
            }
            Call::Validate { .. } => {
                let mut challenges = self.managed.challenges();
                let text = challenges
                    .find_map(|found| TxtRecord::of(found, self.now))
                    .unwrap()
                    .text;
                assert!(self.dns.contains(&text), "the CA finds nothing");
                Outcome::Validating
            }
            Call::Txt { text, step } => {
                let text = text.clone();
                let came = match step {
                    TxtStep::Locate => Txt::Located(place()),
                    TxtStep::Add => {
                        self.dns.insert(text.clone());
                        Txt::Added
                    }
                    TxtStep::Look => match self.dns.contains(&text) {
                        true => sight(1, &[], &[]),
                        false => sight(0, &["ns1 has no such record"], &[]),
                    },
                    TxtStep::Remove => {
                        self.dns.remove(&text);
                        Txt::Removed
                    }
                };
                Outcome::Txt { text, came }
            }
            Call::Look { .. } | Call::Finalize { .. } => Outcome::Order(answer(Status::Valid)),
            Call::Fetch { .. } => Outcome::Certificate {
                certificate: certificate(90),
                id: Box::default(),
            },
            Call::AskRenewal | Call::Revoke { .. } => panic!("{call:?}"),
        }
    }
}

proptest! {
    #[test]
    fn what_is_added_to_the_dns_is_removed_whatever_becomes_of_its_order(
        fates in prop::collection::vec(fate(), 1..60),
    ) {
        let mut world = World {
            managed: wanted(),
            dns: BTreeSet::new(),
            now: NOW,
            orders: 0,
            wanted: true,
        };
        for fate in fates {
            world.step(fate);
        }
        world.wanted = false;
        let mut steps = 0;
        while world.step(Fate::Done) {
            steps += 1;
            prop_assert!(steps < 100, "{:?}", world.managed);
        }
        prop_assert!(world.dns.is_empty(), "{:?}", world.dns);
    }
}
