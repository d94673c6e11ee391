//! A source file as the rules see it: tokens with their lines, paths that it names.
//!
//! Comments and literals are blanked first, so that a rule never trips over prose; so is, for the
//! rules about the product, what is compiled for tests only.

/// A file, read once.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) raw: String,
    /// All code.
    pub(super) code: Vec<Token>,
    /// Code without items under `#[cfg(test)]`.
    pub(super) product: Vec<Token>,
}

/// An identifier, `::`, or any other single character that is not blank.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

/// A path that the code names; one leaf of a `use` tree is one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Named {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
    pub(super) imported: bool,
}

impl Source {
    pub(super) fn new(raw: &str) -> Self {
        let code = tokens(&blank(raw));
        let product = without_tests(&code);
        Self {
            raw: raw.to_owned(),
            code,
            product,
        }
    }

    /// The paths of two segments and more that the product's code names, and all its imports.
    pub(super) fn named(&self) -> Vec<Named> {
        let mut named = Vec::new();
        let mut rest = self.product.as_slice();
        let mut before = "";
        while let Some((token, after)) = rest.split_first() {
            if token.text == "use" {
                rest = use_tree(after, &[], &mut named);
                before = ";";
            } else if is_name(&token.text) && before != "::" && before != "." {
                let (path, after) = path(rest);
                if path.segments.len() > 1 {
                    named.push(path);
                }
                rest = after;
                before = "";
            } else {
                before = &token.text;
                rest = after;
            }
        }
        named
    }
}

impl Named {
    pub(super) fn text(&self) -> String {
        self.segments.join("::")
    }

    pub(super) fn starts_with(&self, segments: &[&str]) -> bool {
        self.segments.len() >= segments.len()
            && self.segments.iter().zip(segments).all(|(a, b)| a == b)
    }
}

/// The texts of tokens compared with a pattern; `""` stands for any.
pub(super) fn begins(tokens: &[Token], pattern: &[&str]) -> bool {
    tokens.len() >= pattern.len()
        && tokens
            .iter()
            .zip(pattern)
            .all(|(token, text)| text.is_empty() || token.text == *text)
}

/// How many tokens a group has that begins with an opening bracket, both brackets included.
pub(super) fn group(tokens: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Leaves out each `#[cfg(test)]` with the item that follows it.
fn without_tests(code: &[Token]) -> Vec<Token> {
    let mut product = Vec::new();
    let mut rest = code;
    while let Some((token, after)) = rest.split_first() {
        if !begins(rest, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            product.push(token.clone());
            rest = after;
            continue;
        }
        // To the end of the item: a `;`, or a block in braces.
        rest = rest.get(7..).unwrap_or_default();
        while let Some((token, after)) = rest.split_first() {
            let length = match token.text.as_str() {
                "(" | "[" | "{" => group(rest),
                _ => 1,
            };
            let ends = token.text == "{" || token.text == ";";
            rest = if length > 1 {
                rest.get(length..).unwrap_or_default()
            } else {
                after
            };
            if ends {
                break;
            }
        }
    }
    product
}

/// The longest path at the start of the tokens.
fn path(tokens: &[Token]) -> (Named, &[Token]) {
    let mut segments = Vec::new();
    let line = tokens.first().map_or(0, |token| token.line);
    let mut rest = tokens;
    while let Some((token, after)) = rest.split_first() {
        if !is_name(&token.text) {
            break;
        }
        segments.push(token.text.clone());
        rest = after;
        match after.split_first() {
            Some((colons, next))
                if colons.text == "::" && next.first().is_some_and(|t| is_name(&t.text)) =>
            {
                rest = next;
            }
            _ => break,
        }
    }
    (
        Named {
            segments,
            line,
            imported: false,
        },
        rest,
    )
}

/// Reads one branch of a `use` tree and returns what follows it. A group is noted as a path that
/// ends in `{`, beside its leaves.
fn use_tree<'t>(tokens: &'t [Token], prefix: &[String], named: &mut Vec<Named>) -> &'t [Token] {
    let mut segments = prefix.to_vec();
    let mut rest = tokens;
    let note = |segments: &[String], last: Option<&str>, line| {
        let mut segments = segments.to_vec();
        segments.extend(last.map(str::to_owned));
        Named {
            segments,
            line,
            imported: true,
        }
    };
    while let Some((token, after)) = rest.split_first() {
        match token.text.as_str() {
            "::" => rest = after,
            "{" => {
                named.push(note(&segments, Some("{"), token.line));
                rest = after;
                while rest
                    .first()
                    .is_some_and(|token| token.text != "}" && token.text != ";")
                {
                    rest = use_tree(rest, &segments, named);
                    if rest.first().is_some_and(|token| token.text == ",") {
                        rest = rest.get(1..).unwrap_or_default();
                    }
                }
                return rest.get(1..).unwrap_or_default();
            }
            "as" => {
                named.push(note(&segments, None, token.line));
                return rest.get(2..).unwrap_or_default();
            }
            "*" => {
                named.push(note(&segments, Some("*"), token.line));
                return after;
            }
            text if is_name(text) => {
                segments.push(text.to_owned());
                rest = after;
                if after
                    .first()
                    .is_none_or(|next| next.text != "::" && next.text != "as")
                {
                    named.push(note(&segments, None, token.line));
                    return rest;
                }
            }
            _ => return after,
        }
    }
    rest
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while !rest.is_empty() {
            let in_name = |c: char| c.is_alphanumeric() || c == '_';
            let length = match rest.find(|c| !in_name(c)) {
                Some(0) if rest.starts_with("::") => 2,
                Some(0) => rest.chars().next().map_or(1, char::len_utf8),
                Some(length) => length,
                None => rest.len(),
            };
            let (text, after) = rest.split_at(length);
            tokens.push(Token {
                text: text.to_owned(),
                line: index + 1,
            });
            rest = after.trim_start();
        }
    }
    tokens
}

/// The text with comments and literals replaced by blanks, line by line the same.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let length = opaque(rest, before);
        if length == 0 {
            out.push(c);
            before = c;
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
        } else {
            let (blanked, after) = rest.split_at(length);
            out.extend(blanked.chars().map(|c| if c == '\n' { c } else { ' ' }));
            before = ' ';
            rest = after;
        }
    }
    out
}

/// The length of the comment or literal at the start of `rest`; 0 if there is none.
fn opaque(rest: &str, before: char) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if !before.is_alphanumeric() && before != '_' {
        let literal = rest.strip_prefix(['b', 'c']).unwrap_or(rest);
        if let Some(raw) = literal.strip_prefix('r') {
            let hashes = raw.len() - raw.trim_start_matches('#').len();
            if raw.get(hashes..).is_some_and(|raw| raw.starts_with('"')) {
                let end = format!("\"{}", "#".repeat(hashes));
                let start = rest.len() - raw.len() + hashes + 1;
                let body = rest.get(start..).unwrap_or_default();
                return body
                    .find(&end)
                    .map_or(rest.len(), |at| start + at + end.len());
            }
        }
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    if let Some(inner) = rest.strip_prefix('\'') {
        let mut chars = inner.chars();
        let (first, second) = (chars.next(), chars.next());
        // Else it is a lifetime or a label.
        if first == Some('\\') || second == Some('\'') {
            return quoted(rest, '\'');
        }
    }
    0
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (index, c) in rest.char_indices().skip(1) {
        if c == quote && !escaped {
            return index + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(here) = rest.get(at..) {
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            match here.chars().next() {
                Some(c) => at += c.len_utf8(),
                None => break,
            }
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(code: &str) -> Vec<String> {
        Source::new(code).named().iter().map(Named::text).collect()
    }

    #[test]
    fn prose_is_not_code() {
        let code = "/* a::b /* c::d */ e::f */ // g::h\n\
                    let s = \"i::j \\\" k::l\"; let r = r#\"m::n \" o::p\"#; let b = b\"q::r\";\n\
                    let c = '\"'; let d = '\\''; fn f<'a>(x: &'a s::T) -> u::V {}\n";
        assert_eq!(named(code), ["s::T", "u::V"]);
    }

    #[test]
    fn each_leaf_of_a_use_tree_is_a_path() {
        let code = "pub(crate) use a::{b, c::{self, d as e}, f::*};\nuse g;\nuse ::h::i as _;";
        let expected = [
            "a::{",
            "a::b",
            "a::c::{",
            "a::c::self",
            "a::c::d",
            "a::f::*",
            "g",
            "h::i",
        ];
        assert_eq!(named(code), expected);
    }

    #[test]
    fn paths_in_code_are_found_where_they_begin() {
        let code = "let x = a::b::<c::D>::e(&$crate::f::g, h.i::<j::K>());";
        assert_eq!(named(code), ["a::b", "c::D", "crate::f::g", "j::K"]);
    }

    #[test]
    fn what_is_compiled_for_tests_only_is_left_out() {
        let code = "use a::b;\n#[cfg(test)]\nuse c::d;\n#[cfg(test)]\n#[allow(x)]\nmod tests { \
                    use e::f; fn g() { h::i() } }\n#[cfg(test)]\nmod laws;\nfn j() { k::l() }";
        assert_eq!(named(code), ["a::b", "k::l"]);
    }

    #[test]
    fn lines_are_those_of_the_file() {
        let source = Source::new("// é\n\n\"\n\n\"; a::b\n");
        assert_eq!(source.named()[0].line, 5);
    }
}
