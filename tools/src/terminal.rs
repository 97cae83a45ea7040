//! The only door to the terminal. Names come from files, and a file can hold anything: what a terminal would act on, or
//! show as something else, goes out as an escape.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

/// Prints to the standard output. Line ends stay, since reports have lines: what comes from outside goes through [`line`]
/// first.
pub(crate) fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(escaped(text, |c| c == '\n', unicode).as_bytes())?;
    out.flush()
}

/// Prints JSON to the standard output. The escapes are those of JSON, so that every string stays the same.
pub(crate) fn print_json(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(escaped(text, |c| c == '\n', utf16).as_bytes())?;
    out.flush()
}

/// Prints one line to the error output. Where that is closed, nobody wants to read it.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", line(text));
}

/// Prints several lines to the error output.
pub(crate) fn complain_lines(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", escaped(text.trim_end(), |c| c == '\n', unicode));
}

/// A text on one line.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false, unicode)
}

/// A path on one line. What is not UTF-8 becomes U+FFFD.
pub(crate) fn path(path: &Path) -> String {
    line(&path.to_string_lossy()).into_owned()
}

/// Escapes what is not inert and not kept.
fn escaped(text: &str, keep: impl Fn(char) -> bool, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    let good = |c: char| inert(c) || keep(c);
    if text.chars().all(good) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if good(c) { clean.push(c) } else { escape(&mut clean, c) }
    }
    Cow::Owned(clean)
}

fn unicode(text: &mut String, c: char) {
    let _ = match c {
        '\n' | '\r' | '\t' => write!(text, "{}", c.escape_debug()),
        _ => write!(text, "{}", c.escape_unicode()),
    };
}

fn utf16(text: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        let _ = write!(text, "\\u{unit:04x}");
    }
}

/// Whether a terminal only draws it: no control character, nothing invisible, nothing that changes the direction of what
/// follows. The tables of Unicode are those of the standard library, which escapes such characters in debug output.
fn inert(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // Behind another character, since a combining mark is escaped only where there is nothing to combine with.
    let mut pair = String::from("a");
    pair.push(c);
    pair.escape_debug().eq(pair.chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_escaped() {
        for (text, expected) in [
            ("net.q", "net.q"),
            ("größe 层 e\u{301} \"'\\", "größe 层 e\u{301} \"'\\"),
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("a\nb\rc\td\0", "a\\nb\\rc\\td\\u{0}"),
            ("\u{7f}\u{9b}\u{85}", "\\u{7f}\\u{9b}\\u{85}"),
            ("\u{202e}x\u{2066}\u{200f}\u{61c}", "\\u{202e}x\\u{2066}\\u{200f}\\u{61c}"),
            ("\u{200b}\u{2028}\u{2029}\u{feff}\u{ad}", "\\u{200b}\\u{2028}\\u{2029}\\u{feff}\\u{ad}"),
            ("\u{e0041}\u{e000}", "\\u{e0041}\\u{e000}"),
        ] {
            assert_eq!(line(text), expected);
        }
    }

    #[test]
    fn no_control_character_of_unicode_passes() {
        for c in ('\0'..=char::MAX).filter(|c| c.is_control() || ('\u{2028}'..='\u{202e}').contains(c)) {
            assert!(!line(&c.to_string()).contains(c), "{c:?}");
        }
    }

    #[test]
    fn escaped_json_is_the_same_json() {
        let text: String = ('\0'..='\u{2fff}').chain(['\u{feff}', '\u{e0041}', '\u{10ffff}', '😀']).collect();
        let json = serde_json::to_string_pretty(&[&text]).unwrap();
        let clean = escaped(&json, |c| c == '\n', utf16);
        assert!(clean.chars().all(|c| inert(c) || c == '\n'));
        assert_eq!(serde_json::from_str::<[String; 1]>(&clean).unwrap(), [text]);
    }
}
