//! The sockets that a successor would get.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
};

/// The listening sockets of this process, for whoever takes its place. A clone is the same.
///
/// They are kept beside those that the threads accept from: an address is free only when it is
/// withdrawn here, too.
#[derive(Clone, Debug)]
pub struct Offer(Rc<RefCell<Option<Sockets>>>);

type Sockets = BTreeMap<Arc<str>, Vec<TcpListener>>;

impl Offer {
    /// One without sockets yet.
    pub fn open() -> Self {
        Self(Rc::new(RefCell::new(Some(Sockets::new()))))
    }

    /// From now on these, too, unless it has ended.
    pub fn add(&self, name: &Arc<str>, sockets: &[TcpListener]) {
        let mut offered = self.0.borrow_mut();
        let Some(offered) = offered.as_mut() else {
            return;
        };
        let copies: io::Result<Vec<_>> = sockets.iter().map(TcpListener::try_clone).collect();
        match copies {
            Ok(copies) => {
                offered.insert(Arc::clone(name), copies);
            }
            Err(error) => {
                tracing::warn!(listener = &**name, "cannot be handed over: {error}");
            }
        }
    }

    /// No longer these.
    pub fn withdraw(&self, name: &str) {
        if let Some(offered) = self.0.borrow_mut().as_mut() {
            offered.remove(name);
        }
    }

    /// Nothing any more, whatever is opened yet.
    pub fn end(&self) {
        self.0.take();
    }

    /// Where these accept.
    pub(super) fn addresses(&self) -> BTreeSet<SocketAddr> {
        let offered = self.0.borrow();
        let all = offered.iter().flat_map(BTreeMap::values).flatten();
        all.filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Copies of all, for one successor.
    pub(super) fn copies(&self) -> io::Result<Vec<TcpListener>> {
        let offered = self.0.borrow();
        let all = offered.iter().flat_map(BTreeMap::values).flatten();
        all.map(TcpListener::try_clone).collect()
    }
}
