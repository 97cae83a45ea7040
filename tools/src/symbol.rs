//! Names that both C and Rust take.

/// Whether the name of an array in C and C++, and in capitals that of a static in Rust, can be this one.
pub(crate) fn check_symbol(symbol: &str) -> Result<String, String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts_well = symbol.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    if !starts_well || !symbol.chars().all(word) {
        return Err("expected an ASCII letter, then letters, digits and `_`".to_owned());
    }
    if symbol.contains("__") {
        return Err("C++ keeps every name with `__` to itself".to_owned());
    }
    if symbol.len() > LONGEST {
        return Err(format!("expected at most {LONGEST} characters, which are what C promises to tell apart"));
    }
    // `lowrank_` are the names of the C library, `LOWRANK_` its macros and those of the array's own file.
    let small = symbol.to_ascii_lowercase();
    if small.starts_with("lowrank_") {
        return Err("names that start with `lowrank_` are those of this library".to_owned());
    }
    for (words, owner) in [
        (KEYWORDS, "is a word that C, C++ or Rust has for itself"),
        (MACROS, "is a macro of some C compilers"),
        (LIBRARY, "is a name of the C library, which the array would take the place of"),
    ] {
        // A file system or a tool that does not see the case of letters takes `Int` for `int`.
        if words.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case(&small)) {
            return Err(format!("`{symbol}` {owner}"));
        }
    }
    Ok(symbol.to_owned())
}

const LONGEST: usize = 63;

/// Of C23, of C++26 with the alternative tokens and the words that have a meaning in some places, of Rust 2024 with those
/// that it has reserved, and words that compilers have added.
const KEYWORDS: &str = "
    abstract alignas aligned alignof and and_eq as asm async atomic_cancel atomic_commit atomic_noexcept auto await become
    bitand bitor bool box break case catch char char16_t char32_t char8_t class co_await co_return co_yield compl concept
    const const_cast consteval constexpr constinit continue contract_assert crate decltype default delete do double dyn
    dynamic_cast else enum explicit export extern false far final float fn for fortran friend gen goto huge if impl import in
    inline int interrupt let long loop macro macro_rules match mod module move mut mutable namespace near new noexcept not
    not_eq nullptr operator or or_eq override post pre priv private protected pub raw ref reflexpr register reinterpret_cast
    replaceable_if_eligible requires restrict return safe self short signed sizeof static std static_assert static_cast struct
    super switch synchronized template this thread_local throw trait trivially_relocatable_if_eligible true try type typedef
    typeid typename typeof typeof_unqual union unsafe unsized unsigned use using virtual void volatile wchar_t where while
    xor xor_eq yield
";

/// Macros whose names have no `_` in front, of compilers for systems that firmware and programs are built on.
const MACROS: &str = "
    arm avr hpux i386 i486 i586 i686 linux m68k mc68000 mips mipseb mipsel msp430 ppc r3000 r4000 riscv sparc sun svr3 svr4
    unix vax vms win32 win64 winnt xtensa
    assert bool complex eof errno false imaginary i main math_errhandling noreturn null offsetof setjmp stderr stdin stdout
    true va_arg va_copy va_end va_start
";

/// External names of C23's library and of what POSIX systems add to the headers that programs include most: functions
/// that the linker would find the array for.
const LIBRARY: &str = include_str!("symbol_library.txt");
