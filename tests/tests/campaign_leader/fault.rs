//! What happens to whoever leads.

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Killed,
    /// Killed, and there again before anybody notices.
    Restarted,
    /// Its pod is deleted by force, and the next of its name is there before anybody notices: at
    /// the address that the Lease names, under another identity.
    Replaced,
    /// The same, and the volume is gone with it.
    ReplacedWithoutVolume,
    /// Asked to end.
    Ended,
    /// Stopped for longer than its term, and then it goes on.
    Frozen,
    /// Stopped until another leads, and then it goes on: proxies that noticed nothing stream from
    /// it, and newcomers from its successor.
    Paused,
    LeaseDeleted,
    LeaseEdited,
    /// The API server refuses its renewals, and nothing else.
    Forbidden,
    /// The API server closes its connections.
    Refused,
    /// Nothing passes to the API server and back.
    Silenced,
    /// What it sends to anyone gets lost, or what is sent to it, or both.
    Mute,
    Deaf,
    CutOff,
    /// Its wall clock is set forward, or back.
    ClockForward,
    ClockBack,
    DiskFull,
    /// Its log is gone with the process.
    LogLost,
}

impl Fault {
    pub(crate) const ALL: [Self; 19] = [
        Self::Killed,
        Self::Restarted,
        Self::Replaced,
        Self::ReplacedWithoutVolume,
        Self::Ended,
        Self::Frozen,
        Self::Paused,
        Self::LeaseDeleted,
        Self::LeaseEdited,
        Self::Forbidden,
        Self::Refused,
        Self::Silenced,
        Self::Mute,
        Self::Deaf,
        Self::CutOff,
        Self::ClockForward,
        Self::ClockBack,
        Self::DiskFull,
        Self::LogLost,
    ];

    /// Whether its term is over with it. A term is not counted by what clocks on walls read.
    pub(crate) fn ends_term(self) -> bool {
        !matches!(self, Self::ClockForward | Self::ClockBack)
    }

    /// Whether it is there and says nothing.
    pub(crate) fn stops(self) -> bool {
        matches!(self, Self::Frozen | Self::Paused)
    }
}
