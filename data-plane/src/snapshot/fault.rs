//! Why this proxy cannot use a resource, from a closed list.
//!
//! Apart, because faults come from two sides (what was decoded and what the machine
//! permits) and leave by one message.

/// What is wrong with one resource on this proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub reason: Reason,
    pub message: String,
}

impl Fault {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// The closed list; its names go over the wire and into a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A type that this release does not know.
    UnknownType,
    /// The body is not an encoded message of its type.
    Undecodable,
    /// The body does not have the hash that was sent with it.
    HashMismatch,
    /// A field has a value that nothing can be done with.
    InvalidField,
    /// It needs something that this proxy cannot do.
    MissingCapability,
    /// Another process has the listener's port.
    AddressInUse,
    /// The listener's address is not one of this machine.
    AddressNotAvailable,
    /// The operating system forbids the listener's port to this process.
    PermissionDenied,
    /// The listener could not be opened for another reason; the message has it.
    ListenFailed,
    /// The control plane has not given the certificate's chain and key.
    SecretNotFetched,
}

impl Reason {
    pub const ALL: [Self; 10] = [
        Self::UnknownType,
        Self::Undecodable,
        Self::HashMismatch,
        Self::InvalidField,
        Self::MissingCapability,
        Self::AddressInUse,
        Self::AddressNotAvailable,
        Self::PermissionDenied,
        Self::ListenFailed,
        Self::SecretNotFetched,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownType => "UnknownType",
            Self::Undecodable => "Undecodable",
            Self::HashMismatch => "HashMismatch",
            Self::InvalidField => "InvalidField",
            Self::MissingCapability => "MissingCapability",
            Self::AddressInUse => "AddressInUse",
            Self::AddressNotAvailable => "AddressNotAvailable",
            Self::PermissionDenied => "PermissionDenied",
            Self::ListenFailed => "ListenFailed",
            Self::SecretNotFetched => "SecretNotFetched",
        }
    }
}
