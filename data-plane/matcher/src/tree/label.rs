//! A short byte string.
//!
//! Apart because of its layout alone: nearly all labels of a tree are a few
//! bytes, and one that stands in its node costs a lookup no further cache line.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
}

const SHORT: usize = 22;

impl Label {
    pub(crate) fn new(text: &[u8]) -> Self {
        let mut bytes = [0; SHORT];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(start), Ok(length)) => {
                start.copy_from_slice(text);
                Self::Short { length, bytes }
            }
            _ => Self::Long(text.into()),
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        }
    }

    /// What follows this label in `text`, if it begins with it.
    pub(crate) fn strip<'k>(&self, text: &'k [u8]) -> Option<&'k [u8]> {
        let label = self.as_bytes();
        let (head, rest) = text.split_at_checked(label.len())?;
        // A loop, since a call to compare a handful of bytes costs more.
        head.iter().zip(label).all(|(a, b)| a == b).then_some(rest)
    }
}
