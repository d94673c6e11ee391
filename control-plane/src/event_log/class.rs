//! The byte that says how long a record is kept.
//!
//! Apart from [`Class`], because a log may hold classes that this binary does not know:
//! they are kept, and compacted only by a binary that does.

use std::fmt;

use crate::event::Class;

/// A record's class as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassCode(pub(super) u8);

impl ClassCode {
    /// The class, if this binary knows it.
    pub fn known(self) -> Option<Class> {
        match self.0 {
            1 => Some(Class::Configuration),
            2 => Some(Class::Lifecycle),
            3 => Some(Class::Presence),
            _ => None,
        }
    }
}

/// These numbers stand in logs on disk: none may change or be used again.
impl From<Class> for ClassCode {
    fn from(class: Class) -> Self {
        Self(match class {
            Class::Configuration => 1,
            Class::Lifecycle => 2,
            Class::Presence => 3,
        })
    }
}

impl fmt::Display for ClassCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some(class) => write!(f, "{class:?}"),
            None => write!(f, "class {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_reads_back_and_strangers_survive() {
        for class in [Class::Configuration, Class::Lifecycle, Class::Presence] {
            assert_eq!(ClassCode::from(class).known(), Some(class));
        }
        assert_eq!(ClassCode(200).known(), None);
        assert_eq!(ClassCode(200).to_string(), "class 200");
    }
}
