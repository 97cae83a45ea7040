//! Tells the crate whether a RISC-V target has single precision in hardware: `lowrank_riscv_f`. The compiler knows, but what it
//! lets a crate see of a target leaves out the features of RISC-V that are about floats; so it is read off the target's name.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(lowrank_riscv_f)");
    let target = std::env::var("TARGET").unwrap_or_default();
    if has_single_precision(&target) {
        println!("cargo::rustc-cfg=lowrank_riscv_f");
    }
}

/// `riscv32imafc-unknown-none-elf`: the letters behind the width are extensions, up to the first `z`, `s`, `x` or `_`; `g` is `imafd`.
pub(crate) fn has_single_precision(target: &str) -> bool {
    let architecture = target.split('-').next().unwrap_or_default();
    let extensions = architecture.strip_prefix("riscv32").or_else(|| architecture.strip_prefix("riscv64"));
    extensions.is_some_and(|all| all.chars().take_while(|c| !"zsx_".contains(*c)).any(|c| "fdg".contains(c)))
}
