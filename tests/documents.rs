//! The pages of the repository name paths, and names that stand in these files. A path or a name that is not there is a fault. The
//! names in the table of words stand in the sources of their language. The pages of the package on crates.io link files; a file
//! that the package does not contain is a fault.

use std::path::Path;

const DOCUMENTS: [&str; 5] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "docs/promises.md"];

/// Pages that the package contains.
const PACKAGED: [&str; 5] = ["README.md", "docs/speed.md", "docs/memory.md", "docs/devices.md", "docs/promises.md"];

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

/// The sources of a directory and of those below it.
fn sources(directory: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(root().join(directory)).unwrap() {
        let path = directory.join(entry.unwrap().file_name());
        if root().join(&path).is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path.to_string_lossy().replace('\\', "/"));
        }
    }
}

#[test]
fn every_source_is_on_the_map() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut found = Vec::new();
    sources(Path::new("src"), &mut found);
    assert!(found.len() >= 40, "only {} sources", found.len());
    found.retain(|path| !map.contains(&format!("`{path}`")));
    assert!(found.is_empty(), "ARCHITECTURE.md does not name {found:#?}");
}

/// Where the names of a column of the table of words have to stand: a file, or the files of a directory.
const DOORS: [(usize, &str); 3] = [(3, "src"), (4, "bindings/c/lowrank.h"), (5, "bindings/js/src")];

/// The words of the files at a path, but for the modules that `bindings/js/build` puts into scripts.
fn words_at(path: &Path, words: &mut std::collections::HashSet<String>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if !path.ends_with("inline") {
                words_at(&path, words);
            }
        }
    } else if let Ok(text) = std::fs::read_to_string(path) {
        words.extend(text.split(|c: char| !(c.is_alphanumeric() || c == '_')).map(str::to_owned));
    }
}

/// The names in the table of words that are not where they have to be, and how many were looked at. `_SUFFIX` is the end of a name.
fn faults_of_words(text: &str, root: &Path) -> (usize, Vec<String>) {
    let rows: Vec<Vec<&str>> =
        text.lines().filter(|line| line.starts_with('|')).map(|line| line.split('|').collect()).collect();
    let (mut count, mut faults) = (0, Vec::new());
    for (column, path) in DOORS {
        let mut words = std::collections::HashSet::new();
        words_at(&root.join(path), &mut words);
        for (_, span) in rows.iter().filter_map(|row| row.get(column)).flat_map(|cell| spans(cell)) {
            for name in span.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|name| !name.is_empty()) {
                count += 1;
                if !(words.contains(name) || name.starts_with('_') && words.iter().any(|word| word.ends_with(name))) {
                    faults.push(format!("there is no `{name}` in `{path}`"));
                }
            }
        }
    }
    (count, faults)
}

#[test]
fn the_words_are_spelled_as_the_table_says() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, table) = text.split_once("\n## One thing, one word\n").unwrap();
    let (count, faults) = faults_of_words(table, root());
    println!("documents: {count} names of words");
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(count >= 100, "only {count} names");
}

#[test]
fn a_word_that_is_spelled_otherwise_is_found() {
    let row = |rust: &str, c: &str, js: &str| format!("| word | thing | {rust} | {c} | {js} | `--nothing` |\n");
    let look = |rust: &str, c: &str, js: &str| faults_of_words(&row(rust, c, js), root());
    assert_eq!(look("`Layer::init`, on views `Plan`", "`lowrank_layer_init`, `_forward`", "`layer.init`"), (7, vec![]));
    let missing = |name: &str, path: &str| vec![format!("there is no `{name}` in `{path}`")];
    assert_eq!(look("`Layer::no_such_name`", "", ""), (2, missing("no_such_name", "src")));
    assert_eq!(look("", "`lowrank_training`", ""), (1, missing("lowrank_training", "bindings/c/lowrank.h")));
    assert_eq!(look("", "", "`toAdapter`"), (1, missing("toAdapter", "bindings/js/src")));
}

/// The targets of links and pictures, outside of code.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for (_, block) in blocks(text) {
        let prose: String = block.split('`').step_by(2).collect();
        for (opening, closing) in [("](", ')'), ("src=\"", '"'), ("href=\"", '"'), ("]: ", '\n')] {
            let targets = prose.split(opening).skip(1).filter_map(|rest| rest.split(closing).next());
            links.extend(targets.map(|target| target.trim().to_owned()));
        }
    }
    links
}

/// Looks at the links that name neither a host nor a heading: `include` of Cargo.toml has to hold each, and the file has to be there.
fn faults_of_links(page: &str, text: &str, manifest: &str, root: &Path) -> (usize, Vec<String>) {
    let list = manifest.lines().find_map(|line| line.strip_prefix("include = [")).unwrap_or_default();
    let included: Vec<&str> =
        list.split('"').skip(1).step_by(2).map(|pattern| pattern.trim_start_matches('/')).collect();
    let contains = |path: &str| {
        included.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path.strip_prefix(pattern).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        })
    };
    let links = links(text);
    let relative = links.iter().filter(|link| !link.contains("://") && !link.starts_with('#'));
    let files = relative.map(|link| {
        let mut path: Vec<&str> = page.split('/').collect();
        path.pop();
        for part in link.split('#').next().unwrap_or_default().split('/') {
            if part == ".." { path.pop().map_or((), drop) } else { path.push(part) }
        }
        path.join("/")
    });
    let missing = files.filter(|path| !(contains(path) && root.join(path).is_file()));
    let faults = missing.map(|path| format!("{page} links {path}, which the package does not contain")).collect();
    (links.len(), faults)
}

#[test]
fn the_package_contains_what_its_pages_link() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (mut links, mut faults) = (0, Vec::new());
    for page in PACKAGED {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let (count, found) = faults_of_links(page, &text, &manifest, root());
        links += count;
        faults.extend(found);
    }
    println!("documents: {links} links of the package");
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(links >= 8, "only {links} links");
}

#[test]
fn a_link_that_the_package_does_not_contain_is_found() {
    let look = |page: &str, text: &str| {
        faults_of_links(page, text, "include = [\"/src\", \"/docs\", \"/README.md\", \"/LICENSE-*\"]\n", root())
    };
    let missing = |page: &str, path: &str| vec![format!("{page} links {path}, which the package does not contain")];
    assert_eq!(look("README.md", "[a](src/lib.rs#x) [b](LICENSE-MIT) [c](https://x.y/z) [d](#e)"), (4, vec![]));
    assert_eq!(look("README.md", "[![p](docs/speed.svg)](docs/speed.md)"), (2, vec![]));
    assert_eq!(look("README.md", "![p](firmware/README.md)"), (1, missing("README.md", "firmware/README.md")));
    assert_eq!(look("README.md", "[a](docs/nothing.md)"), (1, missing("README.md", "docs/nothing.md")));
    assert_eq!(look("README.md", "[a](srcs)"), (1, missing("README.md", "srcs")));
    assert_eq!(look("README.md", "a\n\n[a]: SECURITY.md\n"), (1, missing("README.md", "SECURITY.md")));
    assert_eq!(look("README.md", "<img src=\"tests/floors.rs\">"), (1, missing("README.md", "tests/floors.rs")));
    assert_eq!(look("docs/speed.md", "![p](speed.svg) [b](../README.md)"), (2, vec![]));
    assert_eq!(look("docs/speed.md", "[a](../SECURITY.md)"), (1, missing("docs/speed.md", "SECURITY.md")));
    assert_eq!(look("README.md", "`[a](nothing)`\n\n```\n[b](nothing)\n```"), (0, vec![]));
}
