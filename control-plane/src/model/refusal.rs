//! Why an object, or a part of one, is not used.
//!
//! Reasons are a closed list, because people alert on them and machines count them;
//! the message names the field and the remedy.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::ingress::ClassRef;

/// Why an object is refused as a whole. Its last good version, if any, keeps serving.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    pub reason: Reason,
    /// Path of the offending field, for example `spec.rules[0].host`; empty for the object.
    pub field: Box<str>,
    /// What is wrong and what to do, in one sentence.
    pub message: Box<str>,
    /// The class that a refused Ingress names, where that much can be read: other
    /// controllers' Ingresses may say what this one refuses, and that is none of our business.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<ClassRef>,
}

impl Refusal {
    /// A refusal of the field at this path.
    pub fn new(reason: Reason, field: impl Into<Box<str>>, message: impl Into<Box<str>>) -> Self {
        Self {
            reason,
            field: field.into(),
            message: message.into(),
            class: None,
        }
    }

    /// The refusal of an Ingress that names this class.
    #[must_use]
    pub fn of_class(self, class: ClassRef) -> Self {
        Self {
            class: Some(class),
            ..self
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// The closed list of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// The value of one of our own annotations.
    InvalidAnnotation,
    InvalidBackend,
    /// Of a Secret: a chain or a key that cannot be served.
    InvalidCertificate,
    InvalidEndpoint,
    InvalidExternalName,
    InvalidHost,
    InvalidPath,
    /// The object does not have the shape of its kind.
    Malformed,
    /// A part of the API that Roadstead does not serve.
    Unsupported,
}

impl Reason {
    /// The reason as it stands in Kubernetes Events and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidAnnotation => "InvalidAnnotation",
            Self::InvalidBackend => "InvalidBackend",
            Self::InvalidCertificate => "InvalidCertificate",
            Self::InvalidEndpoint => "InvalidEndpoint",
            Self::InvalidExternalName => "InvalidExternalName",
            Self::InvalidHost => "InvalidHost",
            Self::InvalidPath => "InvalidPath",
            Self::Malformed => "Malformed",
            Self::Unsupported => "Unsupported",
        }
    }
}
