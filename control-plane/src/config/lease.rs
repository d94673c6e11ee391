//! What a Lease must be like so that no two replicas lead at once.

use std::time::Duration;

use crate::config::{ConfigError, Lease};

impl Lease {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let invalid = |key: &str, problem: String, remedy| {
            Err(ConfigError::Invalid {
                key: format!("lease.{key}"),
                problem,
                remedy,
            })
        };
        let (duration, renew_within, retry) = (self.duration, self.renew_within, self.retry);
        let whole = duration.subsec_nanos() == 0;
        if !whole || duration < SHORTEST || duration > LONGEST {
            let problem = format!("{duration:?} is not whole seconds, or too short or too long");
            return invalid("duration", problem, "use 1s to 5m");
        }
        if renew_within >= duration || renew_within.is_zero() {
            let problem = format!("{renew_within:?} is not between 0 and the duration");
            return invalid("renewWithin", problem, "use two thirds of the duration");
        }
        if retry.saturating_mul(2) > renew_within || retry < RETRY {
            let problem = format!("{retry:?} is too long for renewWithin, or too short");
            return invalid(
                "retry",
                problem,
                "use a fifth of renewWithin, and 100ms at least",
            );
        }
        if let Some(address) = &self.address
            && !address.starts_with("https://")
        {
            let problem = format!("{address:?} is no address of gRPC by TLS");
            return invalid("address", problem, "write https://HOST:PORT");
        }
        let unfit = |peer: &&String| {
            let parts = peer.rsplit_once(':');
            parts.is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
        };
        if let Some(peer) = self.peers.iter().find(unfit) {
            let problem = format!("{peer:?} is no host with a port");
            return invalid("peers", problem, "write HOST:PORT");
        }
        Ok(())
    }
}

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(5);
const RETRY: Duration = Duration::from_millis(100);
