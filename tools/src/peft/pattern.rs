//! Patterns of `rank_pattern` and `alpha_pattern`.
//!
//! PEFT takes the first key for which Python's `re.match(rf"(.*\.)?({key})$", name)` holds. Keys are regular
//! expressions of Python; those that mean the same here are taken, all others are refused.

use regex_lite::{Regex, RegexBuilder};

/// The compiled expression must not take more than this many bytes.
const SIZE_LIMIT: usize = 1 << 20;

/// A key, ready to be matched.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    key: String,
    regex: Regex,
}

impl Pattern {
    /// What is wrong with the key, otherwise.
    pub(super) fn new(key: &str) -> Result<Self, String> {
        Scan { rest: key.chars().peekable() }.run()?;
        let regex = RegexBuilder::new(&format!(r"\A(?:.*\.)?(?:{key})\z"))
            .size_limit(SIZE_LIMIT)
            .build()
            .map_err(|error| error.to_string().lines().last().unwrap_or("an error").to_owned())?;
        Ok(Self { key: key.to_owned(), regex })
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Whether the key matches an ASCII name of a layer: all of it, or what follows a dot.
    pub(super) fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }
}

/// A key that matches this name and no other.
pub(super) fn exactly(name: &str) -> String {
    // Without the `^`, names that end in this one behind a dot would match as well.
    format!("^{}", regex_lite::escape(name))
}

/// Goes through a key, and finds what Python and `regex-lite` read in different ways.
struct Scan<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
}

impl Scan<'_> {
    fn run(mut self) -> Result<(), String> {
        let mut depth = 0usize;
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => {
                    depth += 1;
                    self.group()?;
                }
                ')' => depth = depth.checked_sub(1).ok_or("a `)` without `(`")?,
                '*' | '+' | '?' => self.after_quantifier()?,
                '{' => {
                    self.count()?;
                    self.after_quantifier()?;
                }
                ']' | '}' => return Err(format!("a `{c}` alone")),
                c if c.is_ascii_graphic() => {}
                c => return Err(format!("the character {c:?}")),
            }
        }
        if depth == 0 { Ok(()) } else { Err("a `(` without `)`".into()) }
    }

    fn escape(&mut self) -> Result<(), String> {
        match self.rest.next() {
            Some('d' | 'w') => Ok(()),
            // Python and `regex-lite` agree that escaped punctuation is itself, except for these.
            Some(c) if c.is_ascii_punctuation() && !matches!(c, '<' | '>') => Ok(()),
            Some(c) => Err(format!("the escape `\\{c}`")),
            None => Err("a `\\` at its end".into()),
        }
    }

    /// `(` was there.
    fn group(&mut self) -> Result<(), String> {
        if self.rest.next_if_eq(&'?').is_some() && self.rest.next_if_eq(&':').is_none() {
            return Err("a group `(?…` other than `(?:…`".into());
        }
        Ok(())
    }

    /// `[` was there. Nested and combined sets are sets in regular expressions of Rust and plain characters in Python.
    fn class(&mut self) -> Result<(), String> {
        self.rest.next_if_eq(&'^');
        let (mut empty, mut last) = (true, None);
        loop {
            let c = self.rest.next().ok_or("a `[` without `]`")?;
            match c {
                ']' if empty => return Err("an empty `[]`".into()),
                ']' => return Ok(()),
                '[' => return Err("a `[` inside of `[…]`".into()),
                '&' | '-' | '~' if last == Some(c) => return Err(format!("`{c}{c}` inside of `[…]`")),
                '\\' => self.escape()?,
                c if c.is_ascii_graphic() => {}
                c => return Err(format!("the character {c:?}")),
            }
            (empty, last) = (false, Some(c));
        }
    }

    /// `{` was there.
    fn count(&mut self) -> Result<(), String> {
        let flaw = "a `{` that is not `{m}`, `{m,}` or `{m,n}`";
        let mut text = String::new();
        loop {
            match self.rest.next().ok_or(flaw)? {
                '}' => break,
                c => text.push(c),
            }
        }
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let good = match text.split_once(',') {
            Some((least, most)) => digits(least) && (most.is_empty() || digits(most)),
            None => digits(&text),
        };
        if good { Ok(()) } else { Err(flaw.into()) }
    }

    /// A lazy quantifier matches the same names; a possessive one does not.
    fn after_quantifier(&mut self) -> Result<(), String> {
        self.rest.next_if_eq(&'?');
        match self.rest.peek() {
            Some('*' | '+' | '?' | '{') => Err("two quantifiers in a row".into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_matches_what_pythons_rule_matches() {
        // Each line was checked with re.match(rf"(.*\.)?({key})$", name).
        let cases = [
            ("q_proj", "q_proj", true),
            ("q_proj", "layers.0.q_proj", true),
            ("q_proj", "layers.0.xq_proj", false),
            ("q_proj", "q_proj.x", false),
            ("layers.0.q", "layers.0.q", true),
            ("layers.0.q", "layersX0-q", true),
            (r"layers\.0\.q", "layersX0.q", false),
            (r"layers\.\d+\.q", "model.layers.17.q", true),
            (r"layers\.\d+\.q", "model.layers.17b.q", false),
            (".*q", "layers.0.xq", true),
            ("", "a.", true),
            ("", "a", false),
            ("a|b", "x.b", true),
            ("a|b", "xb", false),
            ("[ab]{2,3}", "x.aba", true),
            ("[^ab]", "x.a", false),
            ("^q", "q", true),
            ("^q", "x.q", false),
            ("q$", "x.q", true),
            ("(?:x.)?q+?", "a.xzqq", true),
        ];
        for (key, name, expected) in cases {
            assert_eq!(Pattern::new(key).unwrap().matches(name), expected, "{key:?} {name:?}");
        }
    }

    #[test]
    fn what_is_read_differently_is_refused() {
        let keys = [
            "a++",
            "a?+",
            "a**",
            "a{2}{3}",
            "a{,3}",
            "a{x}",
            "(?i)a",
            "(?P<x>a)",
            "(?=a)",
            "(?<!a)b",
            r"(a)\1",
            r"\Aa",
            r"\ba",
            r"\Sa",
            r"a\",
            "[[:alpha:]]",
            "[a&&b]",
            "[a--b]",
            "[]a]",
            "[a",
            "a)|(b",
            "(a",
            "a]",
            "a}",
            "é",
            "a b",
            "+a",
            r"\p{L}",
            r"\<a",
            "a{1000000}",
        ];
        for key in keys {
            assert!(Pattern::new(key).is_err(), "{key:?} is taken");
        }
    }

    #[test]
    fn an_exact_key_matches_its_name_only() {
        let pattern = Pattern::new(&exactly("a.b-c[0]")).unwrap();
        assert!(pattern.matches("a.b-c[0]"));
        for other in ["x.a.b-c[0]", "aXb-c[0]", "a.b-c0"] {
            assert!(!pattern.matches(other), "{other}");
        }
    }
}
