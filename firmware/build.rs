//! Lays the image out for a board: `LOWRANK_MEMORY` names one of `boards/*.x`; without it, the one that suits the target.

use std::{env, fs, path::Path};

fn main() {
    let is_riscv = env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "riscv32");
    let default = if is_riscv { "virt" } else { "mps2" };
    let layout = env::var("LOWRANK_MEMORY").unwrap_or_else(|_| default.to_owned());
    let (from, out) = (format!("boards/{layout}.x"), env::var("OUT_DIR").expect("cargo sets it"));
    if let Err(error) = fs::copy(&from, Path::new(&out).join("memory.x")) {
        panic!("LOWRANK_MEMORY={layout}: cannot copy {from}: {error}");
    }
    println!("cargo:rustc-link-search={out}");
    if is_riscv {
        println!("cargo:rustc-link-arg-bins=-Tmemory.x");
    }
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    // On stable Rust no `cfg` tells of the FPU of a RISC-V.
    if env::var("TARGET").is_ok_and(|target| target.ends_with("hf") || target.starts_with("riscv32imaf")) {
        println!("cargo:rustc-cfg=has_fpu");
    }
    println!("cargo:rustc-check-cfg=cfg(has_fpu)");
    println!("cargo:rerun-if-changed={from}");
    println!("cargo:rerun-if-env-changed=LOWRANK_MEMORY");
}
