//! The resources that this proxy holds, validated, and the version that they make.
//!
//! Pure, and apart from the router, so that what was told and what is in use can be
//! reasoned about without any thread, clock or file.

mod version;

pub use version::Version;
