//! The sources that `pack` writes compile without a warning, and hold the file at a multiple of 16.

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
    let report = room.json(&["pack", "in", "file", "--c-array", "a.c", "--rust", "a.rs", "--symbol", "my_adapter"]);
    (room, usize::try_from(report["bytes"].as_u64().unwrap()).unwrap())
}

/// A C compiler is there wherever Rust links programs.
#[test]
fn the_c_array_is_the_file() {
    let (room, len) = packed();
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
    // Included, so that what is private is in reach.
    let main = format!(
        "//! A program.
use std::io::Write;
include!(\"a.rs\");
const _: () = assert!(align_of::<Aligned>() == 16);
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
