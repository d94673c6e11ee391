//! The right to open ports below 1024, as far as the program's file permits it.
//!
//! Apart, because it comes before any thread is begun, each of which has the rights of whoever
//! began it. The file permits the capability and does not demand it (`=p`): one that demands what
//! a container has dropped is not even started, and a proxy on high ports needs none.

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// Takes the right, if it may be had. Without it a listener on such a port says what is wrong.
pub fn take() {
    let Ok(mut sets) = capabilities(None) else {
        return;
    };
    if sets.permitted.contains(CapabilitySet::NET_BIND_SERVICE) {
        sets.effective |= CapabilitySet::NET_BIND_SERVICE;
        // Nothing forbids to use what is permitted but a filter of system calls.
        let _ = set_capabilities(None, sets);
    }
}
