//! Why a request did not get an upstream's whole answer: a closed list.
//!
//! Apart from the code that finds the reasons, because metrics, access log and the
//! `x-roadstead-reason` header of a response all use the same words.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// One word for each way to fail.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

reasons! {
    /// The host is missing, doubled or not one host.
    BadHost = "bad-host",
    /// The path has no canonical form.
    BadPath = "bad-path",
    /// The request breaks the protocol's rules.
    BadRequest = "bad-request",
    /// The client went away before the whole answer.
    ClientGone = "client-gone",
    /// The client took or sent nothing for too long.
    ClientTimeout = "client-timeout",
    /// No connection to the upstream could be made.
    ConnectFailed = "connect-failed",
    /// Nobody listens at the upstream's address.
    ConnectRefused = "connect-refused",
    ConnectTimeout = "connect-timeout",
    /// The proxy ended, and its grace period with it, before the answer did.
    Drain = "drain",
    /// Something other than `100-continue` was expected of us.
    ExpectationUnknown = "expectation-unknown",
    /// The address of an external upstream lies in a range that is not allowed.
    ForbiddenAddress = "forbidden-address",
    HeadersTooLarge = "headers-too-large",
    /// CONNECT or TRACE.
    MethodNotAllowed = "method-not-allowed",
    NoEndpoints = "no-endpoints",
    NoRoute = "no-route",
    /// The route names a Service that does not exist, or none at all.
    NoService = "no-service",
    /// The upstream's connections are all in use.
    Overloaded = "overloaded",
    TargetTooLong = "target-too-long",
    /// The name of an external upstream has no address.
    Unresolved = "unresolved",
    /// The upstream closed the connection before the end of its answer.
    UpstreamClosed = "upstream-closed",
    /// The upstream's answer breaks the protocol's rules.
    UpstreamMalformed = "upstream-malformed",
    UpstreamTimeout = "upstream-timeout",
    VersionNotSupported = "version-not-supported",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_place_of_its_own() {
        for (place, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place, "{reason}");
        }
    }
}
