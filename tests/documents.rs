//! ARCHITECTURE.md, CONTRIBUTING.md and SECURITY.md name paths of the repository, and names that stand in these files. A path or a
//! name that is not there is a fault.

use std::path::Path;

const DOCUMENTS: [&str; 3] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"];

/// Directories that builds make: nothing in them is in the repository.
const MADE: [&str; 2] = ["target/", "bindings/js/dist/"];

/// The paragraphs, lists and tables of a text, each with the number of its first line. Blocks of code are left out.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let (mut blocks, mut in_code, mut open) = (Vec::<(usize, String)>::new(), false, false);
    for (number, line) in text.lines().enumerate() {
        let fence = line.trim_start().starts_with("```");
        if fence || in_code || line.trim().is_empty() {
            in_code ^= fence;
            open = false;
            continue;
        }
        if !open {
            blocks.push((number + 1, String::new()));
            open = true;
        }
        if let Some((_, block)) = blocks.last_mut() {
            block.push_str(line);
            block.push('\n');
        }
    }
    blocks
}

/// The texts between backticks, each with the text in front of it.
fn spans(block: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = block.split('`').collect();
    parts.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

fn is_path(span: &str) -> bool {
    let form = span.contains('/') || [".rs", ".md", ".toml"].iter().any(|end| span.ends_with(end));
    let other = |c: char| c.is_whitespace() || "*<{$".contains(c);
    form && !span.contains(other) && !MADE.iter().any(|made| span.starts_with(made))
}

/// Whether a name stands in a text. Of `Type::function` both parts count.
fn has_name(text: &str, name: &str) -> bool {
    let other = |c: char| !(c.is_alphanumeric() || c == '_');
    name.split("::").all(|part| text.split(other).any(|word| word == part))
}

/// What a document names, and what of it is not there.
#[derive(Default)]
struct Named {
    paths: usize,
    names: usize,
    faults: Vec<String>,
}

/// Looks at all paths outside of code. The names that follow a path after a colon, with commas between them, stand in that file.
fn read(document: &str, text: &str, root: &Path, named: &mut Named) {
    for (first, block) in blocks(text) {
        let (mut line, mut file) = (first, None);
        for (before, span) in spans(&block) {
            line += before.matches('\n').count();
            let fault = |what: String| format!("{document}:{line}: {what}");
            let between = before.split_whitespace().collect::<String>();
            if is_path(span) {
                named.paths += 1;
                if !root.join(span).exists() {
                    named.faults.push(fault(format!("there is no `{span}`")));
                }
                file = Some((span, ":"));
            } else if let Some((path, separator)) = file
                && between == separator
            {
                named.names += 1;
                if !std::fs::read_to_string(root.join(path)).is_ok_and(|source| has_name(&source, span)) {
                    named.faults.push(fault(format!("there is no `{span}` in `{path}`")));
                }
                file = Some((path, ","));
            } else {
                file = None;
            }
        }
    }
}

/// WASI programs see the working directory only, which is that of the crate.
fn root() -> &'static Path {
    Path::new(if cfg!(target_family = "wasm") { "" } else { env!("CARGO_MANIFEST_DIR") })
}

#[test]
fn what_the_documents_name_is_there() {
    let mut named = Named::default();
    for document in DOCUMENTS {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        let before = named.paths;
        read(document, &text, root(), &mut named);
        assert!(named.paths > before, "{document} names no path");
    }
    println!("documents: {} paths, {} names", named.paths, named.names);
    assert!(named.faults.is_empty(), "{:#?}", named.faults);
    // Nothing checked is nothing proved.
    assert!(named.paths >= 40 && named.names >= 40, "only {} paths and {} names", named.paths, named.names);
}

#[test]
fn a_path_or_a_name_that_is_not_there_is_found() {
    let look = |text: &str| {
        let mut named = Named::default();
        read("X.md", text, root(), &mut named);
        (named.paths, named.names, named.faults)
    };
    let none = || Vec::<String>::new();
    let missing = |line: usize, what: &str| vec![format!("X.md:{line}: there is no {what}")];
    assert_eq!(look("see `src/lib.rs` and `src/nothing.rs`"), (2, 0, missing(1, "`src/nothing.rs`")));
    assert_eq!(look("x\n\nsee `nothing.toml`"), (1, 0, missing(3, "`nothing.toml`")));
    assert_eq!(look("| `nothing/` | x |"), (1, 0, missing(1, "`nothing/`")));
    assert_eq!(
        look("`tests/floors.rs`: `FLOORS`, `Source::no_such_name`"),
        (1, 2, missing(1, "`Source::no_such_name` in `tests/floors.rs`"))
    );
    assert_eq!(
        look("`tests/floors.rs`: `Source::floor`, `no_such_name`"),
        (1, 2, missing(1, "`no_such_name` in `tests/floors.rs`"))
    );
    assert_eq!(look("`src/`: `nothing`"), (1, 1, missing(1, "`nothing` in `src/`")));
    // Neither a path nor a name of the file in front of it.
    let free =
        "`src/lib.rs` has `nothing`; `cargo run src/nothing.rs`, `src/*.rs`, `src/<name>.rs`, `target/ci`, `nothing`";
    assert_eq!(look(free), (1, 0, none()));
    assert_eq!(look("```\n`src/nothing.rs`\n```\n`src`"), (0, 0, none()));
    // A stray backtick spoils its own paragraph only, and lines may end anywhere between two texts.
    assert_eq!(look("a ` b\n\n- `src/nothing.rs`"), (1, 0, missing(3, "`src/nothing.rs`")));
    let wrapped = "x\n`tests/floors.rs`:\n  `FLOORS`,\n  `no_such_name`";
    assert_eq!(look(wrapped), (1, 2, missing(4, "`no_such_name` in `tests/floors.rs`")));
}
