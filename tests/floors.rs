//! The house rules, read off the sources: imports go down only and lead nowhere back, `std`, `alloc` and `unsafe` stay in their rooms, every file
//! says what it is and stays short.

use std::collections::BTreeSet;
use std::path::Path;

/// The floors, low to high. A module may import what is on its own floor and below.
const FLOORS: [&str; 14] = [
    "dtype",
    "optimizer",
    "error",
    "view",
    "arena",
    "simd",
    "kernel",
    "weight",
    "lora",
    "train",
    "format",
    "store",
    "reference",
    "lib",
];

/// Where the standard library is named: `(file, what may be said there)`. All of it needs feature `std` or a test.
const STD_ALLOWED: [(&str, &str); 2] =
    [("lib.rs", "extern crate std;"), ("simd/backend.rs", "std::is_x86_feature_detected!")];

/// Files and directories that may contain `unsafe`.
const UNSAFE_ALLOWED: [&str; 2] = ["simd/", "kernel/raw/"];

/// Where a choice between size and speed may be made. The search in `vector.rs` is no kernel.
const SWITCH_ALLOWED: [&str; 3] = ["simd/", "kernel/product.rs", "kernel/vector.rs"];

const MOST_LINES: usize = 600;

/// A source file without comments, texts and tests.
struct Source {
    /// Relative to `src/`, with `/`.
    path: String,
    text: String,
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        // A file of this name is nothing but tests.
        let code = if path.ends_with("/tests.rs") { String::new() } else { without_tests(&without_comments(text)) };
        Self { path: path.to_owned(), text: text.to_owned(), code }
    }

    /// The names of the modules around the code, outermost first: `lora`, `merge`.
    fn module(&self) -> Vec<&str> {
        let path = self.path.trim_end_matches(".rs");
        path.split('/').filter(|part| !["mod", "lib"].contains(part)).collect()
    }

    fn floor(&self) -> &str {
        self.module().first().copied().unwrap_or("lib")
    }
}

/// Replaces comments, and the inside of string and character literals, by nothing.
fn without_comments(text: &str) -> String {
    let (mut code, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if first == '"' {
            code.push_str("\"\"");
            1 + end_of_string(&rest[1..])
        } else if let Some(len) = character_literal(rest) {
            code.push_str("' '");
            len
        } else {
            code.push(first);
            first.len_utf8()
        };
        rest = &rest[skipped..];
    }
    code
}

/// Length of a string's inside and its closing quote.
fn end_of_string(inside: &str) -> usize {
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    inside.len()
}

/// Length of the character literal at the start of `text`, if it is one and no lifetime.
fn character_literal(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    let skip = if inside.starts_with('\\') { 2 } else { inside.chars().next()?.len_utf8() };
    let end = inside.get(skip..)?.find('\'')?;
    (end == 0 || inside.starts_with('\\')).then_some(1 + skip + end + 1)
}

/// Leaves out every `#[cfg(test)] mod … { … }` and `#[cfg(test)] mod …;`.
fn without_tests(code: &str) -> String {
    let (mut kept, mut rest) = (String::new(), code);
    while let Some(at) = rest.find("#[cfg(test)]") {
        let item = &rest[at..];
        let open = item.find(['{', ';']).unwrap_or(item.len());
        let mut depth = 0;
        let end = item[open..].char_indices().find_map(|(offset, c)| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            (depth == 0).then_some(open + offset + 1)
        });
        kept.push_str(&rest[..at]);
        rest = &item[end.unwrap_or(item.len())..];
    }
    kept + rest
}

/// The identifiers of the code with their positions.
fn identifiers(code: &str) -> Vec<(usize, &str)> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let mut found: Vec<(usize, &str)> = Vec::new();
    let mut start = None;
    for (at, c) in code.char_indices().chain([(code.len(), ' ')]) {
        match (start, part(c)) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                found.push((from, &code[from..at]));
                start = None;
            }
            _ => {}
        }
    }
    found
}

/// The paths that follow: of `::a::b` the names `a`, `b`; of `::{a::b, c}` both paths.
fn paths(rest: &str) -> Vec<Vec<String>> {
    let Some(path) = rest.trim_start().strip_prefix("::") else { return vec![vec![]] };
    let path = path.trim_start();
    if let Some(group) = path.strip_prefix('{') {
        return parts(group).iter().flat_map(|part| paths(&format!("::{part}"))).collect();
    }
    let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(path.len());
    let name = if end == 0 { "*" } else { &path[..end] };
    paths(&path[end..]).into_iter().map(|rest| [vec![name.to_owned()], rest].concat()).collect()
}

/// What stands between the commas of a group, up to its end.
fn parts(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (1, 0, vec![]);
    for (at, c) in group.char_indices() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 || (depth == 1 && c == ',') {
            parts.push(group[from..at].trim());
            from = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// What follows `::super`.
fn after_super(path: &str) -> Option<&str> {
    path.trim_start().strip_prefix("::")?.trim_start().strip_prefix("super")
}

/// What a file imports, by `crate::…` and by `super::…`: the names from the outermost module on.
fn imports(source: &Source) -> Vec<Vec<String>> {
    let (code, mut found) = (&source.code, Vec::new());
    for (at, word) in identifiers(code) {
        let (mut module, mut rest) = (source.module(), &code[at + word.len()..]);
        let starts_a_path = rest.trim_start().starts_with("::") && !code[..at].trim_end().ends_with("::");
        match word {
            "crate" if starts_a_path => module.clear(),
            "super" if starts_a_path => {
                module.pop();
                while let Some(after) = after_super(rest) {
                    module.pop();
                    rest = after;
                }
            }
            _ => continue,
        }
        let module: Vec<String> = module.into_iter().map(str::to_owned).collect();
        found.extend(paths(rest).into_iter().map(|path| [module.clone(), path].concat()));
    }
    found
}

fn upward_imports(source: &Source) -> Vec<String> {
    let height = |floor: &str| FLOORS.iter().position(|&f| f == floor);
    let Some(own) = height(source.floor()) else { return vec![format!("{}: on no floor", source.path)] };
    let wrong = |name: &&String| height(name).is_none_or(|floor| floor > own || floor == FLOORS.len() - 1);
    let imports = imports(source);
    let named: BTreeSet<_> = imports.iter().filter_map(|path| path.first()).filter(wrong).collect();
    let complaint = |name| format!("{}: imports `{name}`, which is not below `{}`", source.path, source.floor());
    named.into_iter().map(complaint).collect()
}

/// The files that a file imports from. A `mod.rs` imports from the files that it declares.
fn neighbours<'a>(source: &Source, all: &'a [Source]) -> Vec<&'a Source> {
    let file = |path: &[String]| {
        let path = path.join("/");
        let is_it = |other: &&Source| {
            let other = other.path.trim_end_matches(".rs");
            other.strip_suffix("/mod").unwrap_or(other) == path
        };
        all.iter().find(is_it)
    };
    let longest = |path: Vec<String>| (1..=path.len()).rev().find_map(|len| file(&path[..len]));
    let mut named = imports(source);
    if source.path.ends_with("/mod.rs") {
        named.extend(declared(source));
    }
    named.into_iter().filter_map(longest).filter(|other| other.path != source.path).collect()
}

/// The modules that a file declares.
fn declared(source: &Source) -> Vec<Vec<String>> {
    let words: Vec<&str> = identifiers(&source.code).into_iter().map(|(_, word)| word).collect();
    let declared = words.windows(2).filter(|pair| pair[0] == "mod").map(|pair| pair[1]);
    declared.map(|name| source.module().into_iter().chain([name]).map(str::to_owned).collect()).collect()
}

/// Files from which imports lead back to themselves.
fn circles(all: &[Source]) -> Vec<String> {
    let leads_back = |source: &&Source| {
        let (mut seen, mut open) = (vec![], neighbours(source, all));
        while let Some(next) = open.pop() {
            if !seen.contains(&&next.path) {
                seen.push(&next.path);
                open.extend(neighbours(next, all));
            }
        }
        seen.contains(&&source.path)
    };
    all.iter().filter(leads_back).map(|source| format!("{}: its imports lead back to it", source.path)).collect()
}

fn standard_library(source: &Source) -> Vec<String> {
    let allowed = STD_ALLOWED.iter().filter(|(path, _)| *path == source.path);
    let code = allowed.fold(source.code.clone(), |code, (_, phrase)| code.replace(phrase, ""));
    let found = identifiers(&code).into_iter().filter(|(_, word)| ["std", "alloc"].contains(word));
    found.map(|(_, word)| format!("{}: `{word}`", source.path)).collect()
}

fn unsafe_code(source: &Source) -> Vec<String> {
    if UNSAFE_ALLOWED.iter().any(|room| source.path.starts_with(room)) {
        return vec![];
    }
    let found = identifiers(&source.code).into_iter().filter(|&(_, word)| word == "unsafe");
    found.map(|_| format!("{}: `unsafe`", source.path)).collect()
}

fn switches(source: &Source) -> Vec<String> {
    if SWITCH_ALLOWED.iter().any(|room| source.path.starts_with(room)) {
        return vec![];
    }
    let found = identifiers(&source.code).into_iter().filter(|&(_, word)| word == "COMPACT");
    found.map(|_| format!("{}: `COMPACT`", source.path)).collect()
}

/// Facts about the build target, and the settings that stand for some.
fn target_facts(source: &Source) -> Vec<String> {
    if source.path.starts_with("simd/") {
        return vec![];
    }
    let is_fact = |word: &str| word.starts_with("target_") || word.starts_with("lowrank_");
    let found = identifiers(&source.code).into_iter().filter(|&(_, word)| is_fact(word));
    found.map(|(_, word)| format!("{}: `{word}`", source.path)).collect()
}

fn length(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines > MOST_LINES { vec![format!("{}: {lines} lines", source.path)] } else { vec![] }
}

fn page(source: &Source) -> Vec<String> {
    if source.text.starts_with("//! ") { vec![] } else { vec![format!("{}: no page at its top", source.path)] }
}

/// What a file does wrong.
type Rule = fn(&Source) -> Vec<String>;

const RULES: [(&str, Rule); 7] = [
    ("imports go down", upward_imports),
    ("no standard library", standard_library),
    ("unsafe stays in its rooms", unsafe_code),
    ("one switch between size and speed", switches),
    ("facts about targets are in simd", target_facts),
    ("files are short", length),
    ("files say what they are", page),
];

/// Every `.rs` file below a directory.
fn sources(directory: &Path, prefix: &str, all: &mut Vec<Source>) {
    let mut entries: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap()).collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            sources(&entry.path(), &format!("{prefix}{name}/"), all);
        } else if name.ends_with(".rs") {
            all.push(Source::new(&format!("{prefix}{name}"), &std::fs::read_to_string(entry.path()).unwrap()));
        }
    }
}

#[test]
fn the_house_is_in_order() {
    // WASI programs see the working directory only, which is that of the crate.
    let root = Path::new(if cfg!(target_family = "wasm") { "" } else { env!("CARGO_MANIFEST_DIR") });
    let (mut all, mut c_door) = (Vec::new(), Vec::new());
    sources(&root.join("src"), "", &mut all);
    sources(&root.join("bindings/abi/src"), "", &mut c_door);
    let complaints = RULES.iter().flat_map(|(_, rule)| all.iter().flat_map(rule));
    let complaints: Vec<_> = complaints.chain([&all, &c_door].into_iter().flat_map(|files| circles(files))).collect();
    let imports: usize = all.iter().map(|source| imports(source).len()).sum();
    println!("floors: {} files, {imports} imports, {} rules", all.len(), RULES.len() + 1);
    assert!(complaints.is_empty(), "{complaints:#?}");
    // Nothing checked is nothing proved.
    assert!(c_door.iter().filter(|source| !neighbours(source, &c_door).is_empty()).count() >= 15);
    assert!(all.len() >= 30 && imports >= 100, "only {} files and {imports} imports", all.len());
    for floor in FLOORS {
        assert!(all.iter().any(|source| source.floor() == floor), "nobody lives on floor `{floor}`");
    }
    for (path, phrase) in STD_ALLOWED {
        let said = all.iter().any(|source| source.path == path && source.code.contains(phrase));
        assert!(said, "{path} does not need its permission for `{phrase}`");
    }
}

/// Samples with one complaint each, and samples with none: every rule can fail.
#[test]
fn every_rule_can_fail() {
    let complaints = |path: &str, text: &str| -> Vec<&str> {
        let source = Source::new(path, text);
        RULES.iter().flat_map(|(name, rule)| rule(&source).into_iter().map(move |_| *name)).collect()
    };
    let long = "//! x\n".repeat(MOST_LINES + 1);
    let bad = [
        ("view.rs", "//! x\nuse crate::arena::Piece;", "imports go down"),
        ("error.rs", "//! x\nuse super::view::MatRef;", "imports go down"),
        ("kernel/blocked.rs", "//! x\nuse crate::{simd::Simd, lora::{self, Adapter}};", "imports go down"),
        ("kernel/blocked.rs", "//! x\nuse super::super::weight::Base;", "imports go down"),
        ("weight/mod.rs", "//! x\nfn f() { crate::lora::finite() }", "imports go down"),
        ("lora/mod.rs", "//! x\nuse super::{train, view};", "imports go down"),
        ("lora/merge.rs", "//! x\nuse crate::Backend;", "imports go down"),
        ("train/sgd.rs", "//! x\nuse crate::*;", "imports go down"),
        ("train/plan.rs", "//! x\nuse crate::format::Entry;", "imports go down"),
        ("format/parse.rs", "//! x\nuse crate::store::Flash;", "imports go down"),
        ("door/mod.rs", "//! x\n", "imports go down"),
        ("lora/mod.rs", "//! x\nfn f() -> std::vec::Vec<u8> {}", "no standard library"),
        ("lora/mod.rs", "//! x\nextern crate alloc;", "no standard library"),
        ("simd/backend.rs", "//! x\nuse std::collections;", "no standard library"),
        ("lora/mod.rs", "//! x\nfn f<'a>(x: &'a str) { let c = '\"'; unsafe { g() } }", "unsafe stays in its rooms"),
        ("kernel/pack.rs", "//! x\npub unsafe fn f() {}", "unsafe stays in its rooms"),
        ("weight/products.rs", "//! x\nfn f() { if S::COMPACT {} }", "one switch between size and speed"),
        ("kernel/blocked.rs", "//! x\nuse crate::simd::target::COMPACT;", "one switch between size and speed"),
        (
            "kernel/raw/room.rs",
            "//! x\nconst C: bool = cfg!(target_arch = \"arm\");",
            "facts about targets are in simd",
        ),
        ("lora/mod.rs", "//! x\n#[cfg(lowrank_small)]\nfn f() {}", "facts about targets are in simd"),
        ("view.rs", "//! x\n#[cfg(test)]\nmod tests;\nfn f() { unsafe { g() } }", "unsafe stays in its rooms"),
        ("view.rs", &long, "files are short"),
        ("view.rs", "// x\nfn f() {}", "files say what they are"),
        ("view.rs", "", "files say what they are"),
    ];
    for (path, text, rule) in bad {
        assert_eq!(complaints(path, text), [rule], "{path}: {text}");
    }
    let good = [
        ("arena.rs", "//! x\nuse crate::view::span; use super::error::Error;"),
        ("lora/merge.rs", "//! std, unsafe\nuse super::forward::BLOCK; use crate::{lora, kernel::{self, raw}};"),
        (
            "view.rs",
            "//! x\n#![deny(unsafe_code)]\npub(crate) fn f() { g(\"unsafe std \\\" crate::lora\") } // crate::lora",
        ),
        ("view.rs", "//! x\n#[cfg(test)]\nmod tests { use super::*; fn f() { unsafe { std::x() } } }\nfn g() {}"),
        ("kernel/tests.rs", "//! x\nuse std::vec::Vec; use crate::lora::forward; fn f() { unsafe { g() } }"),
        ("simd/avx2.rs", "//! x\nunsafe fn f() {}"),
        ("simd/target.rs", "//! x\nconst COMPACT: bool = cfg!(target_arch = \"arm\");"),
        ("kernel/product.rs", "//! target_arch\nfn f() { if S::COMPACT {} }"),
        ("lib.rs", "//! x\nextern crate std;\nfn f() { crate::lora::f() }"),
    ];
    for (path, text) in good {
        assert_eq!(complaints(path, text), [""; 0], "{path}: {text}");
    }
}

#[test]
fn a_circle_is_found() {
    let circles = |files: &[(&str, &str)]| -> Vec<String> {
        circles(&files.iter().map(|(path, text)| Source::new(path, text)).collect::<Vec<_>>())
    };
    let back = |path: &str| format!("{path}: its imports lead back to it");
    let (blocked, pack) =
        (("kernel/blocked.rs", "use super::pack::Operand;"), ("kernel/pack.rs", "use crate::view::{MatRef};"));
    let view = ("view.rs", "use super::error;");
    assert_eq!(circles(&[blocked, pack, view]), [""; 0]);
    let two = ("kernel/pack.rs", "fn f() { super::blocked::g::<u8>() }");
    assert_eq!(circles(&[blocked, two, view]), [back("kernel/blocked.rs"), back("kernel/pack.rs")]);
    let three = ("view.rs", "use crate::{error, kernel::{self, blocked::{Product, More}}};");
    assert_eq!(circles(&[blocked, pack, three]), [back("kernel/blocked.rs"), back("kernel/pack.rs"), back("view.rs")]);
    // What a `mod.rs` declares, it imports; a name that no file has is one of the `mod.rs`.
    let (page, shape) = (("lora/mod.rs", "mod adapter;\nmod shape;"), ("lora/shape.rs", "use crate::view::MatRef;"));
    assert_eq!(circles(&[page, shape, ("lora/adapter.rs", "use super::shape::Shape;"), view]), [""; 0]);
    let child = ("lora/adapter.rs", "use super::Shape;");
    assert_eq!(circles(&[page, shape, child, view]), [back("lora/mod.rs"), back("lora/adapter.rs")]);
}
