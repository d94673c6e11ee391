//! Listeners whose default certificate is not there.
//!
//! A Secret that nobody has made is an object of nobody that could be told: the operator who named it
//! is told here, a moment after it was named, for its source has to look for it first.

use std::collections::BTreeMap;

use crate::model::settings::Listener;
use crate::model::time::Timestamp;
use crate::state::State;

/// Those that lack it.
#[derive(Debug, Default)]
pub(in crate::app) struct Defaults {
    /// Since when, and whether that was told.
    lacking: BTreeMap<Box<str>, (Timestamp, bool)>,
}

impl Defaults {
    /// Takes in what is known.
    pub(in crate::app) fn look(&mut self, state: &State, now: Timestamp) {
        let listeners = state.settings().map(|settings| &settings.listeners);
        let lacks = |listener: &Listener| {
            let mut secrets = listener.tls.default_secrets();
            listener.tls.default_certificate.is_some()
                && !secrets.any(|secret| state.certificate(&secret).is_some())
        };
        let lacking = listeners.into_iter().flatten();
        let lacking = lacking.filter(|(_, listener)| lacks(listener));
        let mut before = std::mem::take(&mut self.lacking);
        self.lacking = lacking
            .map(|(name, _)| {
                let known = before.remove(name).unwrap_or((now, false));
                (name.clone(), known)
            })
            .collect();
    }

    /// Those that are to be told of now, each once.
    pub(in crate::app) fn due(&mut self, now: Timestamp) -> Vec<Box<str>> {
        let mut due = Vec::new();
        for (name, (since, told)) in &mut self.lacking {
            if !*told && since.later(PATIENCE) <= now {
                *told = true;
                due.push(name.clone());
            }
        }
        due
    }
}

/// How long a source may take to find a Secret, in milliseconds.
const PATIENCE: i64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Epoch, Event, Record};
    use crate::model::settings::{Protocol, Settings};
    use crate::model::tls_policy::{DefaultCertificate, TlsPolicy};

    fn configured(default_certificate: Option<DefaultCertificate>) -> State {
        let tls = TlsPolicy {
            default_certificate,
            ..TlsPolicy::default()
        };
        let listener = Listener {
            tls,
            ..Listener::new(443, Protocol::Https)
        };
        let settings = Settings {
            listeners: [("https".into(), listener)].into(),
            ..Settings::default()
        };
        let mut state = State::default();
        state.apply(&Record {
            seq: state.seq().next(),
            epoch: Epoch(1),
            time: Timestamp(0),
            event: Event::Configured { settings },
        });
        state
    }

    #[test]
    fn a_listener_is_told_of_once_each_time_that_its_certificate_is_missing_for_a_while() {
        let lacks = configured(Some(DefaultCertificate::Secret {
            namespace: "a".into(),
            name: "b".into(),
        }));
        let mut defaults = Defaults::default();
        defaults.look(&lacks, Timestamp(0));
        assert!(defaults.due(Timestamp(4_999)).is_empty());
        defaults.look(&lacks, Timestamp(4_999));
        assert_eq!(defaults.due(Timestamp(5_000)), [Box::<str>::from("https")]);
        assert!(defaults.due(Timestamp(60_000)).is_empty());
        defaults.look(&configured(None), Timestamp(60_000));
        defaults.look(&lacks, Timestamp(61_000));
        assert!(defaults.due(Timestamp(65_999)).is_empty());
        assert_eq!(defaults.due(Timestamp(66_000)), [Box::<str>::from("https")]);
    }
}
