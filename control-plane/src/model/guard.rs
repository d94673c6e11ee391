//! From which size on a disappearance is held back instead of followed.

use serde::{Deserialize, Serialize};

/// When objects that nobody saw deleted are held back: both bounds have to be reached.
///
/// Half, because what takes more than that away at once is hardly ever meant: a backup that was
/// put back, a folder that was not mounted, a server that answers for another. A least number,
/// because where there are few routes one deletion is a large share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeletionGuard {
    /// More than this share of the routes, in percent. 100: nothing is ever held back.
    pub percent: u8,
    /// At least this many routes.
    pub at_least: u32,
}

impl Default for DeletionGuard {
    fn default() -> Self {
        Self {
            percent: 50,
            at_least: 10,
        }
    }
}

impl DeletionGuard {
    /// Whether nothing is ever held back.
    pub fn is_off(&self) -> bool {
        self.percent >= 100
    }

    /// Whether so many of all routes are few enough to be followed.
    pub fn follows(&self, routes: usize, of: usize) -> bool {
        let few = usize::try_from(self.at_least).is_ok_and(|least| routes < least);
        few || self.is_off() || routes.saturating_mul(100) <= of.saturating_mul(self.percent.into())
    }

    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_held_from_the_least_number_and_above_the_share() {
        let guard = DeletionGuard::default();
        for (routes, of, follows) in [
            (9, 9, true),
            (10, 20, true),
            (10, 19, false),
            (500, 1000, true),
            (501, 1000, false),
        ] {
            assert_eq!(guard.follows(routes, of), follows, "{routes} of {of}");
        }
        let off = DeletionGuard {
            percent: 100,
            at_least: 0,
        };
        assert!(off.follows(1000, 1000));
    }
}
