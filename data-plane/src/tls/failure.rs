//! Why there is no connection, and how a client is told before anything is encrypted.
//!
//! Apart from the handshake, of which each step can end so.

use std::io;

use rustls::Error;

use crate::metrics::Handshake;

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) end: Handshake,
    pub(super) error: Option<Error>,
}

impl Failure {
    pub(super) fn of_socket(error: &io::Error) -> Self {
        // A message that is too long, if it is not the socket's.
        match error.kind() == io::ErrorKind::InvalidData {
            true => Handshake::Malformed.into(),
            false => Handshake::ClientGone.into(),
        }
    }
}

impl From<Handshake> for Failure {
    fn from(end: Handshake) -> Self {
        Self { end, error: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "a list of rustls' that grows; what it does not tell apart is the client's doing"
        )]
        let end = match &error {
            Error::AlertReceived(_) => Handshake::Refused,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Handshake::NothingInCommon,
            Error::General(_) | Error::FailedToGetRandomBytes | Error::EncryptError => {
                Handshake::Failed
            }
            _ => Handshake::Malformed,
        };
        Self {
            end,
            error: Some(error),
        }
    }
}

/// Alerts that end a connection before anything is encrypted (RFC 8446, 6): their record's type,
/// version and length, the level, and what they say.
pub(super) const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];
pub(super) const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];
/// RFC 7301, 3.2.
pub(super) const NO_APPLICATION_PROTOCOL: [u8; 7] = [21, 3, 3, 0, 2, 2, 120];
