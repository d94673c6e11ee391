//! Names of upstreams as small numbers, given out as soon as anyone says the name.
//!
//! Apart from the upstreams themselves: a route may come before its upstream, and an
//! upstream may go and come back, without the route being compiled again.

/// Stands for the name of an upstream for as long as a route or an upstream bears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamId {
    /// Place in the table of upstreams; dense, so that run-time state can be kept in arrays.
    pub index: u32,
    /// Rises each time that the index is used for another name.
    pub generation: u32,
}

/// The names in use.
#[derive(Debug, Default)]
pub struct Names {}
