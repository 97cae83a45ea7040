//! Regular expressions of Python, in the words of `regex-automata`.
//!
//! The syntax that both read alike is translated, piece by piece, so that no character keeps a meaning that only one of them
//! gives it. What Python refuses is refused, and so is what has no counterpart (look-around, references to groups, flags,
//! possessive quantifiers), what no name needs (other escapes), and what is about to change its meaning in Python (`[[`, `&&`, `--`, `~~` and `||` in a set).

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

/// How deep groups may lie in each other.
const DEPTH: usize = 50;

/// The parts of a key, when its repetitions are written out.
const LARGEST: u64 = 10_000;

/// Python's `$`: the end, or in front of a last line feed. To be followed as such; to `regex-automata` it is the end of any line.
pub(super) const END: &str = "(?m:$)";

/// A key that was translated.
#[derive(Debug, Default)]
pub(super) struct Translated {
    /// For `regex-automata`.
    pub(super) regex: String,
    /// The number of its parts, where a repetition counts as often as it repeats.
    pub(super) size: u64,
    /// It has a `\w` or a `\d`, whose characters beyond ASCII depend on the version of Unicode.
    pub(super) has_classes: bool,
}

/// Translates a key, or says what is wrong with it.
pub(super) fn translate(key: &str) -> Result<Translated, String> {
    let mut parser = Parser { rest: key.chars().peekable(), out: Translated::default() };
    parser.out.size = parser.alternatives(0)?;
    if parser.rest.next().is_some() {
        return Err("a `)` without `(`".into());
    }
    if parser.out.size > LARGEST { Err(too_large()) } else { Ok(parser.out) }
}

/// What a quantifier would repeat.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Last {
    Nothing,
    /// An expression of this size.
    Item(u64),
    Repeated,
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    out: Translated,
}

impl Parser<'_> {
    /// Up to a `)` or the end; returns the size.
    fn alternatives(&mut self, depth: usize) -> Result<u64, String> {
        if depth > DEPTH {
            return Err(format!("more than {DEPTH} groups inside of each other"));
        }
        let (mut size, mut last) = (0u64, Last::Nothing);
        while let Some(c) = self.rest.next_if(|&c| c != ')') {
            if let Some((least, most)) = self.count(c)? {
                let Last::Item(once) = last else { return Err(unrepeatable(last)) };
                let times = u64::from(most.unwrap_or(least.saturating_add(1)));
                size = size.saturating_sub(once).saturating_add(once.saturating_mul(times));
                self.repeat(least, most)?;
                last = Last::Repeated;
                continue;
            }
            last = self.item(c, depth)?;
            size = size.saturating_add(if let Last::Item(once) = last { once } else { 1 });
        }
        Ok(size)
    }

    /// Anything but a quantifier; `c` is its first character.
    fn item(&mut self, c: char, depth: usize) -> Result<Last, String> {
        match c {
            '|' => self.out.regex.push('|'),
            '^' => self.out.regex.push_str(r"\A"),
            '$' => self.out.regex.push_str(END),
            '.' => {
                self.out.regex.push_str(r"[^\n]");
                return Ok(Last::Item(1));
            }
            '(' => return self.group(depth),
            '[' => return self.set(),
            '\\' => {
                let one = self.escape()?;
                let _ = write!(self.out.regex, "[{}]", one.text());
                return Ok(Last::Item(1));
            }
            c => {
                let _ = write!(self.out.regex, "{}", One::Char(c).text());
                return Ok(Last::Item(1));
            }
        }
        Ok(Last::Nothing)
    }

    /// `(` was there.
    fn group(&mut self, depth: usize) -> Result<Last, String> {
        if self.rest.next_if_eq(&'?').is_some() && self.rest.next_if_eq(&':').is_none() {
            return Err("a group `(?…` other than `(?:…`".into());
        }
        self.out.regex.push_str("(?:");
        let size = self.alternatives(depth + 1)?;
        self.out.regex.push(')');
        // An empty group counts as well: it can be repeated.
        self.rest.next().map(|_| Last::Item(size.max(1))).ok_or("a `(` without `)`".into())
    }

    /// `\` was there.
    fn escape(&mut self) -> Result<One, String> {
        let c = self.rest.next().ok_or("a `\\` at its end")?;
        self.out.has_classes |= c == 'd' || c == 'w';
        match c {
            'd' => Ok(One::Class("0-9")),
            'w' => Ok(One::Class("0-9A-Za-z_")),
            c if c.is_ascii_alphanumeric() => Err(format!("the escape `\\{c}`")),
            c => Ok(One::Char(c)),
        }
    }

    /// `[` was there.
    fn set(&mut self) -> Result<Last, String> {
        let open = "a `[` without `]`";
        self.out.regex.push_str(if self.rest.next_if_eq(&'^').is_some() { "[^" } else { "[" });
        let mut empty = true;
        loop {
            let c = self.rest.next().ok_or(open)?;
            if c == ']' && !empty {
                break;
            }
            let first = self.member(c, empty)?;
            empty = false;
            let _ = write!(self.out.regex, "{}", first.text());
            if self.rest.next_if_eq(&'-').is_none() {
                continue;
            }
            match self.rest.next().ok_or(open)? {
                ']' => {
                    self.out.regex.push_str(r"\-");
                    break;
                }
                '-' => return Err(ambiguous('-')),
                c => {
                    let last = self.member(c, true)?;
                    match (first, last) {
                        (One::Char(first), One::Char(last)) if first <= last => {}
                        _ => return Err("a bad range inside of `[…]`".into()),
                    }
                    let _ = write!(self.out.regex, "-{}", last.text());
                }
            }
        }
        self.out.regex.push(']');
        Ok(Last::Item(1))
    }

    /// A character or a class in a set.
    fn member(&mut self, c: char, first: bool) -> Result<One, String> {
        match c {
            '\\' => self.escape(),
            '[' => Err("a `[` inside of `[…]`".into()),
            '-' | '&' | '~' | '|' if !first && self.rest.peek() == Some(&c) => Err(ambiguous(c)),
            c => Ok(One::Char(c)),
        }
    }

    /// How often a quantifier that starts with `c` repeats: at least and, if there is a limit, at most. `None`: it is no
    /// quantifier, like a `{` that Python takes as it is.
    fn count(&mut self, c: char) -> Result<Option<(u32, Option<u32>)>, String> {
        match c {
            '*' => return Ok(Some((0, None))),
            '+' => return Ok(Some((1, None))),
            '?' => return Ok(Some((0, Some(1)))),
            '{' => {}
            _ => return Ok(None),
        }
        let mut ahead = self.rest.clone();
        let number = |ahead: &mut Peekable<Chars<'_>>| {
            std::iter::from_fn(|| ahead.next_if(char::is_ascii_digit)).collect::<String>()
        };
        let least = number(&mut ahead);
        let most = ahead.next_if_eq(&',').map(|_| number(&mut ahead));
        if ahead.next() != Some('}') || (least.is_empty() && most.is_none()) {
            return Ok(None);
        }
        self.rest = ahead;
        let parse = |text: &str| text.parse().ok().filter(|&times| u64::from(times) <= LARGEST).ok_or_else(too_large);
        let at_least = if least.is_empty() { 0 } else { parse(&least)? };
        let at_most = match most.as_deref() {
            None => Some(at_least),
            Some("") => None,
            Some(text) => Some(parse(text)?),
        };
        match at_most {
            Some(most) if most < at_least => Err("a repetition `{m,n}` with m above n".into()),
            _ => Ok(Some((at_least, at_most))),
        }
    }

    /// Writes a quantifier. A lazy one matches the same names; a possessive one does not.
    fn repeat(&mut self, least: u32, most: Option<u32>) -> Result<(), String> {
        let most = most.map_or_else(String::new, |most| most.to_string());
        let _ = write!(self.out.regex, "{{{least},{most}}}");
        if self.rest.next_if_eq(&'?').is_none() && self.rest.peek() == Some(&'+') {
            return Err("a possessive quantifier".into());
        }
        Ok(())
    }
}

fn too_large() -> String {
    format!("more than {LARGEST} characters when its repetitions are written out")
}

fn unrepeatable(last: Last) -> String {
    let flaw = if last == Last::Repeated { "two quantifiers in a row" } else { "a quantifier with nothing to repeat" };
    flaw.into()
}

fn ambiguous(c: char) -> String {
    format!("`{c}{c}` inside of `[…]`")
}

/// What stands for one character of a name.
#[derive(Copy, Clone)]
enum One {
    Char(char),
    /// The inner part of a set.
    Class(&'static str),
}

impl One {
    /// As `regex-automata` reads it, inside of a set and elsewhere.
    fn text(self) -> String {
        match self {
            One::Char(c) if c.is_ascii_alphanumeric() => c.to_string(),
            One::Char(c) => format!(r"\u{{{:x}}}", u32::from(c)),
            One::Class(class) => class.to_owned(),
        }
    }
}
