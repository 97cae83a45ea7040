//! The sources that `convert` writes compile without a warning, and hold the file at a multiple of 16.

mod support;

use std::process::Command;

use support::{Peft, Room};

fn run(room: &Room, program: &str, arguments: &[&str]) {
    let output = Command::new(program).current_dir(room.path("")).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{program} {arguments:?}: {errors}");
}

fn packed() -> (Room, usize) {
    let room = Room::new();
    Peft::new().write(&room.path("in"));
    let report = room.json(&["convert", "in", "file", "--c-array", "a.c", "--rust", "a.rs", "--symbol", "my_adapter"]);
    (room, usize::try_from(report["bytes"].as_u64().unwrap()).unwrap())
}

/// A C compiler is there wherever Rust links programs.
#[test]
fn the_c_array_is_the_file() {
    let (room, len) = packed();
    let source = std::fs::read_to_string(room.path("a.c")).unwrap();
    assert!(source.lines().all(|line| line.len() <= 100), "{source}");
    let main = format!(
        "#include <stdint.h>\n#include <stdio.h>\n{}\nint main(void) {{\n  \
         if ((uintptr_t)my_adapter % 16 != 0) return 2;\n  \
         return fwrite(my_adapter, 1, sizeof my_adapter, stdout) == {len} ? 0 : 1;\n}}\n",
        format_args!("#ifdef __cplusplus\nextern \"C\"\n#else\nextern\n#endif\nconst unsigned char my_adapter[{len}];")
    );
    std::fs::write(room.path("main.c"), &main).unwrap();
    let strict = ["-Wall", "-Wextra", "-Wpedantic", "-Wmissing-declarations", "-Werror", "-o", "program"];
    for standard in [&["-std=c99"][..], &["-std=c11"], &["-std=c17"], &["-x", "c++", "-std=c++11"]] {
        run(&room, "cc", &[standard, &strict, &["a.c", "main.c"]].concat());
        let output = Command::new(room.path("program")).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{standard:?}");
        assert_eq!(output.stdout, std::fs::read(room.path("file")).unwrap());
    }
}

#[test]
fn the_rust_static_is_the_file() {
    let (room, len) = packed();
    let main = format!(
        "//! A program.
use std::io::Write;
include!(\"a.rs\");
fn main() {{
    let file: &'static [u8; {len}] = MY_ADAPTER;
    assert_eq!(file.as_ptr().addr() % 16, 0);
    std::io::stdout().write_all(file).unwrap();
}}
"
    );
    std::fs::write(room.path("main.rs"), main).unwrap();
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    run(&room, &rustc, &["--edition=2024", "-Dwarnings", "-Wmissing_docs", "-o", "program", "main.rs"]);
    let output = Command::new(room.path("program")).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, std::fs::read(room.path("file")).unwrap());
}

/// Words that somebody owns: a keyword, a macro of the file itself or of a compiler, the C library, a prefix.
const TAKEN: &str = "
    int static aligned alignas _Alignas LOWRANK_ALIGN LOWRANK_LINKAGE lowrank_align lowrank_merge Lowrank_x _x __x x__y
    auto class new delete template typename this namespace operator and or not xor compl bitand true false bool nullptr
    restrict inline register volatile signed typeof constexpr thread_local alignof static_assert noexcept char8_t co_await
    concept requires export import module asm goto fn impl trait crate self Self super type match mut ref move dyn async
    await gen become box priv unsized virtual yield try macro abstract final override do loop where use mod pub enum
    linux unix main malloc free printf memcpy exit read write open close index y0 sin signal time errno stdin assert
    environ abort strlen longjmp INT Linux MAIN";

/// Words that are free, among them what looks like a keyword and the names inside of the files that are made.
const FREE: &str = "adapter Adapter ADAPTER fw my_adapter model_2 a A x1 weights data Some None Ok usize u8 String
    core alloc Vec integer classes lowrank lowrankadapter numbers repr derive";

/// Each name is refused, or compiles in every language, all of them side by side.
#[test]
fn a_symbol_is_refused_or_compiles() {
    let room = Room::new();
    Peft::new().write(&room.path("in"));
    let macros = Command::new("cc").args(["-dM", "-E", "-x", "c", "/dev/null"]).output().unwrap();
    let macros = String::from_utf8(macros.stdout).unwrap();
    let macros = macros.lines().filter_map(|line| line.split_whitespace().nth(1)).filter(|name| !name.contains('('));
    for word in TAKEN.split_whitespace().chain(macros) {
        let output = room.lowrank(&["convert", "in", "out", "--symbol", word]);
        assert_eq!(output.status.code(), Some(2), "{word} is taken");
        assert!(!room.path("out").exists());
    }
    let (mut c, mut rust) = (String::from("int main(void) { return 0; }\n"), String::from("//! All.\n"));
    let c_only = |name: &str| std::fs::read_to_string(room.path(name)).unwrap();
    for word in FREE.split_whitespace() {
        room.good(&[
            "convert",
            "in",
            "out",
            "--strip",
            "--force",
            "--c-array",
            "a.c",
            "--rust",
            "a.rs",
            "--symbol",
            word,
        ]);
        c += &c_only("a.c");
        // The names of the modules are not those of the statics, which differ in more than case in one place only.
        rust +=
            &format!("/// One.\npub mod m_{} {{\n{}}}\n", word.len() + rust.len(), c_only("a.rs").replace("//!", "//"));
    }
    rust += "fn main() {}\n";
    std::fs::write(room.path("all.c"), c).unwrap();
    std::fs::write(room.path("all.rs"), rust).unwrap();
    for standard in [&["-std=c99"][..], &["-std=gnu17"], &["-x", "c++", "-std=c++20"]] {
        run(&room, "cc", &[standard, &["-Wall", "-Wextra", "-Werror", "-o", "program", "all.c"]].concat());
    }
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    run(&room, &rustc, &["--edition=2024", "-Dwarnings", "-o", "program", "all.rs"]);
}
