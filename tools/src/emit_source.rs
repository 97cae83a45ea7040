//! An adapter file as source code, for firmware that links it in.

use std::fmt::Write as _;

/// How the sources begin, after the sign of a comment.
pub(crate) const BEGINNING: &str = "An adapter file, made by `lowrank ";

/// Bytes in a line.
const LINE: usize = 16;

/// A C file, also good for C++: `const unsigned char NAME[LEN]` at a multiple of 16.
pub(crate) fn c(symbol: &str, bytes: &[u8]) -> String {
    let len = bytes.len();
    format!(
        "/* {BEGINNING}convert`. Declare it where it is used:\n   \
         extern const unsigned char {symbol}[{len}]; */\n\
         #if defined(__cplusplus)\n\
         #define LOWRANK_LINKAGE extern \"C\"\n\
         #define LOWRANK_ALIGN alignas(16)\n\
         #elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L\n\
         #define LOWRANK_LINKAGE extern\n\
         #define LOWRANK_ALIGN _Alignas(16)\n\
         #else\n\
         #define LOWRANK_LINKAGE extern\n\
         #define LOWRANK_ALIGN __attribute__((aligned(16)))\n\
         #endif\n\
         LOWRANK_LINKAGE LOWRANK_ALIGN const unsigned char {symbol}[{len}];\n\
         LOWRANK_ALIGN const unsigned char {symbol}[{len}] = {{\n{}}};\n",
        numbers(bytes)
    )
}

/// A Rust module: `pub static NAME: &[u8; LEN]` at a multiple of 16.
pub(crate) fn rust(symbol: &str, bytes: &[u8]) -> String {
    let (len, symbol) = (bytes.len(), symbol.to_uppercase());
    format!(
        "// {BEGINNING}convert`.\n\
         \n\
         /// For `lowrank::format::AdapterFile::parse`. It starts at a multiple of 16.\n\
         pub static {symbol}: &[u8; {len}] = {{\n    \
             #[repr(C, align(16))]\n    \
             struct Aligned([u8; {len}]);\n    \
             static ALIGNED: Aligned = Aligned([\n{}    ]);\n    \
             &ALIGNED.0\n\
         }};\n",
        numbers(bytes)
    )
}

fn numbers(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(LINE) {
        text.push_str("   ");
        line.iter().for_each(|byte| {
            let _ = write!(text, " {byte},");
        });
        text.push('\n');
    }
    text
}
