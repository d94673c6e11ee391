//! Finds where a head ends, looking at each byte once however the bytes come.
//!
//! Apart from the parser, which would begin anew with every byte of a slow client and which
//! lets a bare line feed end a line; two readers of one message may not see different lines.

/// How far a head has been looked at.
#[derive(Debug, Default)]
pub struct HeadScanner {
    seen: usize,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// The head, with its empty line, has this many bytes.
    Complete(usize),
    /// More bytes are needed.
    Partial,
    /// A line feed without a carriage return.
    BareLineFeed,
}

impl HeadScanner {
    /// Looks at what has come since the last call; `input` only ever grows at its end.
    pub fn scan(&mut self, input: &[u8]) -> Scan {
        let fresh = input.get(self.seen..).unwrap_or_default();
        for place in memchr::memchr_iter(b'\n', fresh) {
            let end = self.seen + place;
            let before = input.get(..end).unwrap_or_default();
            let Some((b'\r', line)) = before.split_last() else {
                return Scan::BareLineFeed;
            };
            if line.last() == Some(&b'\n') {
                self.seen = 0;
                return Scan::Complete(end + 1);
            }
        }
        self.seen = input.len();
        Scan::Partial
    }

    /// The head began after this many bytes that are gone now.
    pub fn reset(&mut self) {
        self.seen = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &[(&str, Scan)] = &[
        ("", Scan::Partial),
        ("GET / HTTP/1.1\r\nhost: a\r\n", Scan::Partial),
        ("GET / HTTP/1.1\r\nhost: a\r\n\r", Scan::Partial),
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", Scan::Complete(27)),
        ("GET / HTTP/1.1\r\n\r\nmore\n", Scan::Complete(18)),
        ("GET / HTTP/1.1\nhost: a\r\n\r\n", Scan::BareLineFeed),
        ("GET / HTTP/1.1\r\nhost: a\n\r\n", Scan::BareLineFeed),
        ("GET / HTTP/1.1\r\nhost: a\r\n\n", Scan::BareLineFeed),
        ("\n", Scan::BareLineFeed),
    ];

    #[test]
    fn a_head_ends_at_its_first_empty_line() {
        for (text, found) in CASES {
            assert_eq!(
                HeadScanner::default().scan(text.as_bytes()),
                *found,
                "{text:?}"
            );
        }
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_come() {
        for (text, found) in CASES {
            let mut scanner = HeadScanner::default();
            let last = (1..=text.len())
                .map(|end| scanner.scan(&text.as_bytes()[..end]))
                .find(|found| *found != Scan::Partial);
            assert_eq!(last.unwrap_or(Scan::Partial), *found, "{text:?}");
        }
    }
}
