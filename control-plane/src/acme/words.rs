//! What others wrote, made fit to be shown: short, and without what a terminal would obey.

use std::error::Error;

/// At most [`LONGEST`] bytes of a text, without control characters and without those that turn
/// the direction of writing.
pub(super) fn printable(text: &str) -> String {
    let mut fit = String::new();
    for character in text.trim().chars() {
        let character = if is_shown(character) { character } else { ' ' };
        if fit.len() + character.len_utf8() > LONGEST {
            break;
        }
        fit.push(character);
    }
    fit
}

/// An error and what caused it.
pub(super) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text = format!("{text}: {deeper}");
        cause = deeper.source();
    }
    printable(&text)
}

fn is_shown(character: char) -> bool {
    let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !character.is_control() && !turns
}

const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_short_and_obeyed_by_no_terminal() {
        assert_eq!(printable(" a\u{1b}[2Jb\r\nc\u{202e}d "), "a [2Jb  c d");
        let long = "ü".repeat(LONGEST);
        assert_eq!(printable(&long), "ü".repeat(LONGEST / 2));
    }
}
