//! Keys of the guard against mass deletion.

use serde::Deserialize;

use crate::config::ConfigError;
use crate::event::hold::HoldId;
use crate::model::guard::DeletionGuard;
use crate::observe::guard::{Confirmation, Holds};

/// The guard against mass deletion. Objects that nobody saw deleted (they are not in a list of
/// the API server, or in one look not in the folder any more) are held if more than a share of the
/// routes depends on them: they serve on until they come back, or an operator confirms that they
/// shall go. So are those that a narrower `sources.kubernetes` lists no more. A deletion that was seen on the watch is always followed. Applied without a restart.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Guard {
    /// More than this share of the routes, in percent: 1 to 100. Default: 50, because what takes
    /// more than half away at once is hardly ever meant. 100: nothing is ever held, and what is
    /// held now goes.
    pub percent: u8,
    /// And at least this many routes: where there are few, one is a large share. Default: 10.
    pub at_least: u32,
    /// Holds that are confirmed, by the names that the log, `/readyz` and
    /// `GuardService/ListHolds` tell, for example `"3.1204"`: for who has no grpcurl. A name that
    /// no longer stands has no effect. At most 16.
    pub confirm: Vec<String>,
}

impl Default for Guard {
    fn default() -> Self {
        let DeletionGuard { percent, at_least } = DeletionGuard::default();
        Self {
            percent,
            at_least,
            confirm: Vec::new(),
        }
    }
}

impl Guard {
    /// The bounds.
    pub(super) fn bounds(&self) -> DeletionGuard {
        DeletionGuard {
            percent: self.percent,
            at_least: self.at_least,
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let invalid = |key: &str, problem: String, remedy| ConfigError::Invalid {
            key: key.to_owned(),
            problem,
            remedy,
        };
        if !(1..=100).contains(&self.percent) {
            let problem = format!("{} is no share", self.percent);
            return Err(invalid("deletionGuard.percent", problem, "use 1 to 100"));
        }
        let wrong = |name: &&String| name.parse::<HoldId>().is_err();
        let wrong = self.confirm.iter().find(wrong);
        if wrong.is_some() || self.confirm.len() > MOST {
            let problem = wrong.map_or_else(
                || format!("{} are too many", self.confirm.len()),
                |name| format!("no hold has the name {name:?}"),
            );
            let remedy = "name at most 16 as ListHolds does, in quotation marks";
            return Err(invalid("deletionGuard.confirm", problem, remedy));
        }
        Ok(())
    }

    /// What it confirms, if anything.
    pub fn confirmation(&self) -> Option<Confirmation> {
        let ids = self.confirm.iter().filter_map(|name| name.parse().ok());
        let (of, reason) = if self.bounds().is_off() {
            (Holds::All, "deletionGuard.percent is 100")
        } else if self.confirm.is_empty() {
            return None;
        } else {
            (
                Holds::These(ids.collect()),
                "named in deletionGuard.confirm",
            )
        };
        Some(Confirmation {
            of,
            by: "the configuration".into(),
            reason: reason.into(),
        })
    }
}

const MOST: usize = 16;
