//! Which route a request takes: hosts, paths and precedence; and where none may lead.
//!
//! A crate of its own, pure and without I/O, because both planes need it: the
//! control plane reads objects into these patterns and explains requests, and
//! must come to the same result as the proxies that serve them.
//!
//! ```text
//! what users write   HostPattern, PathPattern ─▶ Rule ─▶ Matcher
//!                                                          │ lookup, candidates
//! what clients send  canonical_host, canonical_path ───────┘
//! ```

pub mod address;
pub mod authority;
mod candidates;
pub mod canonical;
pub mod host;
pub mod matcher;
pub mod path;
mod paths;
pub mod score;
mod tree;
