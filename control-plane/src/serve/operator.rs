//! Who has something done that the event log tells, and why.

use tonic::{Extensions, Status};

use crate::review::Account;
use crate::serve::error;
use crate::serve::listen::Peer;

/// Who calls, as the log shall say it: the account of the token if a review found it, else from
/// where.
pub(super) fn caller(of: &Extensions) -> String {
    if let Some(account) = of.get::<Account>() {
        return account.name.clone();
    }
    match of.get::<Peer>().and_then(Peer::address) {
        Some(peer) => format!("an operator at {peer}"),
        None => "an operator".to_owned(),
    }
}

/// Why, in the caller's words.
pub(super) fn reason(text: &str) -> Result<&str, Status> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > LONGEST {
        return Err(error::argument("reason: say why, in 1 to 1,000 characters"));
    }
    Ok(text)
}

const LONGEST: usize = 1_000;
