//! How a TLS handshake ended: a closed list.
//!
//! Apart from the code that finds it, because metrics and the log use the same words.

/// One word for each way to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// With a certificate.
    Full,
    /// By what the client kept of an earlier one.
    Resumed,
    /// The client went away before its end.
    ClientGone,
    TimedOut,
    /// The client said no server name.
    NoName,
    /// There is no certificate for the server name.
    UnknownName,
    /// The certificate for the server name was still to come.
    NotYet,
    /// None of the certificates for the server name can be used.
    NoCertificate,
    /// Client and proxy have no version, cipher or protocol in common.
    NothingInCommon,
    /// The client broke the protocol's rules, or does not speak TLS.
    Malformed,
    /// The client refused; most often it does not trust the certificate.
    Refused,
    /// Too many signatures by RSA were waited for.
    Overloaded,
    /// Something went wrong here.
    Failed,
    /// A CA asked whether a host is ours, and was answered.
    Challenge,
}

impl Handshake {
    pub const ALL: [Self; 14] = [
        Self::Full,
        Self::Resumed,
        Self::ClientGone,
        Self::TimedOut,
        Self::NoName,
        Self::UnknownName,
        Self::NotYet,
        Self::NoCertificate,
        Self::NothingInCommon,
        Self::Malformed,
        Self::Refused,
        Self::Overloaded,
        Self::Failed,
        Self::Challenge,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::ClientGone => "client-gone",
            Self::TimedOut => "timed-out",
            Self::NoName => "no-name",
            Self::UnknownName => "unknown-name",
            Self::NotYet => "not-yet",
            Self::NoCertificate => "no-certificate",
            Self::NothingInCommon => "nothing-in-common",
            Self::Malformed => "malformed",
            Self::Refused => "refused",
            Self::Overloaded => "overloaded",
            Self::Failed => "failed",
            Self::Challenge => "challenge",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_a_place_of_its_own() {
        for (place, end) in Handshake::ALL.into_iter().enumerate() {
            assert_eq!(end as usize, place, "{}", end.as_str());
        }
    }
}
