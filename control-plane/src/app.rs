//! The composition root.

pub mod stored_log;
