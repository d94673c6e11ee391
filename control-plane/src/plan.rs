//! What is to be done in the outside world, from what is known: `State` → what is wanted there.
//!
//! Pure, and apart from whoever does it: what is wanted is compared with what is there, so that
//! an effect that was cut short, or came to nothing, needs no note of its own.

pub mod issuance;
pub mod recovery;
pub mod status;
