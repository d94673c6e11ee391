//! Errors as gRPC statuses: the one place where codes are chosen.
//!
//! Messages say what to do; none has anything in it that the caller may not see.

use tonic::Status;

use crate::event::hold::HoldId;
use crate::history::HistoryError;

/// The past cannot be told.
pub(super) fn history(error: &HistoryError) -> Status {
    let text = error.to_string();
    match error {
        HistoryError::BeforeFirst { .. } | HistoryError::Future { .. } => {
            Status::not_found(format!("{text}; ListVersions has the versions"))
        }
        HistoryError::Forgotten { .. } => Status::out_of_range(format!(
            "{text}; begin there, or with the version served now"
        )),
        HistoryError::Behind { .. } => Status::failed_precondition(text),
        HistoryError::Busy => Status::resource_exhausted(format!("{text}; try again")),
        HistoryError::Unreadable(_) => Status::internal(text),
    }
}

/// What there is at a moment cannot be told: as a rule that of now.
pub(super) fn survey(error: &HistoryError) -> Status {
    if matches!(error, HistoryError::BeforeFirst { .. }) {
        return nothing_published();
    }
    history(error)
}

/// A certificate that is neither a Secret's in use nor obtained.
pub(super) fn no_such_certificate(name: &str) -> Status {
    // What a message of a status may have is bounded, and the longest name is not that long.
    let name: String = name.chars().take(600).collect();
    Status::not_found(format!(
        "there is no certificate {name:?}: names are secret/NAMESPACE/NAME, of a Secret that an \
         Ingress refers to, and certificate//HOST, each with @folder behind it if it is of the \
         folder; ListCertificates has them"
    ))
}

/// A demand of what we do not obtain.
pub(super) fn not_obtained(name: &str) -> Status {
    let name: String = name.chars().take(600).collect();
    Status::not_found(format!(
        "no certificate {name:?} is obtained from a CA: names of such are certificate//HOST, with \
         @folder behind it if it is of the folder; ListCertificates has them"
    ))
}

/// Nobody comes to take demands in.
pub(super) fn too_many_demands() -> Status {
    Status::resource_exhausted("too many demands at once: try again in a moment")
}

/// What came of a demand is not known yet.
pub(super) fn not_kept() -> Status {
    Status::deadline_exceeded(
        "the demand is not kept yet; GetCertificate tells whether it came to be, and the log of the \
         control plane what is wrong",
    )
}

/// Nothing is served yet.
pub(super) fn nothing_published() -> Status {
    Status::unavailable(
        "nothing is published yet: the first lists are not complete; try again in a moment",
    )
}

/// A page token that was not made here, or for another question.
pub(super) fn page_token() -> Status {
    Status::invalid_argument(
        "page_token is not one that an answer to this same question gave: leave it empty to \
         begin with the first page",
    )
}

/// A resource type that does not exist.
pub(super) fn resource_type(number: i32) -> Status {
    Status::invalid_argument(format!(
        "there is no resource type {number}: use RESOURCE_TYPE_LISTENER, _ROUTE, _UPSTREAM, \
         _ENDPOINTS, _CERTIFICATE, _SERVER_NAME, _CHALLENGE or _TICKET_SECRETS, or leave it out for \
         all"
    ))
}

/// A confirmation that says too little.
pub(super) fn argument(what: &str) -> Status {
    Status::invalid_argument(what)
}

/// A hold that ended, or was of other objects.
pub(super) fn no_such_hold(id: HoldId) -> Status {
    Status::failed_precondition(format!(
        "hold {id} does not stand any more, or never did; ListHolds has those that do"
    ))
}

/// A hold ended, or made way for another, before its confirmation was recorded.
pub(super) fn gone_unconfirmed(id: HoldId) -> Status {
    Status::aborted(format!(
        "hold {id} ended meanwhile, or another took its place, and nothing was confirmed of it; \
         ListHolds has what stands now, and tells of any other that was named"
    ))
}

/// The log cannot be written.
pub(super) fn frozen() -> Status {
    Status::unavailable(
        "the event log cannot be written, and so nothing is confirmed: make it writable (a full \
         disk, as a rule; /readyz tells when it is), see ListHolds and confirm again",
    )
}

/// The engine did not come to record it.
pub(super) fn not_recorded() -> Status {
    Status::deadline_exceeded(
        "the confirmation is not in the event log yet; ListHolds tells whether it came to be, \
         /readyz whether the log can be written",
    )
}

/// An answer that no message can hold.
pub(super) fn too_large(what: &str, remedy: &str) -> Status {
    Status::resource_exhausted(format!("{what} does not fit into one message: {remedy}"))
}

/// A task that was to find the answer did not end well.
pub(super) fn lost(error: &tokio::task::JoinError) -> Status {
    Status::internal(format!("the answer was lost: {error}"))
}

/// Only who leads knows.
pub(super) fn not_leading(leader: Option<&str>) -> Status {
    Status::failed_precondition(match leader {
        Some(leader) => format!("this replica does not lead; ask {leader}"),
        None => "this replica does not lead, and nobody else does now: try again".to_owned(),
    })
}

/// Too many calls for secrets at once.
pub(super) fn too_many_secrets() -> Status {
    Status::resource_exhausted("too many calls for secrets at once: try again in a moment")
}

/// A call for secrets that no caller of ours makes.
pub(super) fn names_of_secrets(most: usize) -> Status {
    Status::invalid_argument(format!(
        "names are at most {most}, each the 32 bytes of a SHA-256"
    ))
}

/// Too many calls for challenges at once.
pub(super) fn too_many_challenges() -> Status {
    Status::resource_exhausted("too many calls for challenges: try again in a moment")
}

/// Only who leads knows what a CA may ask.
pub(super) fn challenges_elsewhere(leader: Option<&str>) -> Status {
    Status::unavailable(not_leading(leader).message())
}

/// A token that no CA was promised for this host.
pub(super) fn no_such_challenge() -> Status {
    Status::not_found("no such challenge is under way for this host; ask no more for a while")
}

/// An answer that was not read.
pub(super) fn slow_reader() -> Status {
    Status::deadline_exceeded("this answer was not read in time: ask again")
}

/// Who leads was asked, and the answer is not there.
pub(super) fn leader_unheard(leader: &str, problem: &str) -> Status {
    Status::unavailable(format!(
        "this replica does not lead, and from {leader}, which does, there is no answer ({problem}); \
         try again, or ask there"
    ))
}

/// The control plane stops.
pub(super) fn stopping() -> Status {
    Status::unavailable("the control plane stops: connect again and go on after the last seq")
}
