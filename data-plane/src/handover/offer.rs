//! The sockets that a successor would get.

use std::{cell::RefCell, collections::BTreeMap, io, net::TcpListener, rc::Rc, sync::Arc};

/// The listening sockets of this process, for whoever takes its place. A clone is the same.
///
/// They are kept beside those that the threads accept from: an address is free only when it is
/// withdrawn here, too.
#[derive(Clone, Debug, Default)]
pub struct Offer(Rc<RefCell<BTreeMap<Arc<str>, Vec<TcpListener>>>>);

impl Offer {
    /// From now on these, too.
    pub fn add(&self, name: &Arc<str>, sockets: &[TcpListener]) {
        let copies: io::Result<Vec<_>> = sockets.iter().map(TcpListener::try_clone).collect();
        match copies {
            Ok(copies) => {
                self.0.borrow_mut().insert(Arc::clone(name), copies);
            }
            Err(error) => {
                tracing::warn!(listener = &**name, "cannot be handed over: {error}");
            }
        }
    }

    /// No longer these.
    pub fn withdraw(&self, name: &str) {
        self.0.borrow_mut().remove(name);
    }

    /// Nothing any more.
    pub fn end(&self) {
        self.0.borrow_mut().clear();
    }

    /// Copies of all, for one successor.
    pub(super) fn copies(&self) -> io::Result<Vec<TcpListener>> {
        let offered = self.0.borrow();
        offered
            .values()
            .flatten()
            .map(TcpListener::try_clone)
            .collect()
    }
}
