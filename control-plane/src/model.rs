//! The nouns: what of the outside world Roadstead routes on, reduced and valid.
//!
//! Apart from the Kubernetes types, because those change with the API and hold
//! much that no decision needs; what is stored for years must be small and ours.

pub mod address;
pub mod bundle;
pub mod certificate;
pub mod endpoints;
pub mod guard;
mod hosts;
pub mod ingress;
pub mod key;
pub mod managed;
pub mod network;
pub mod object;
pub mod refusal;
pub mod service;
pub mod settings;
pub mod time;
pub mod tls_policy;
