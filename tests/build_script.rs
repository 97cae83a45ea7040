//! What the build script takes from the name of a target.

#[path = "../build.rs"]
#[allow(dead_code, reason = "the script has a `main` too")]
mod build;

#[test]
fn the_build_script_reads_the_name_of_a_target() {
    let with =
        ["riscv32imafc-unknown-none-elf", "riscv32imafc-esp-espidf", "riscv64gc-unknown-linux-gnu", "riscv32imfc-a-b"];
    let without = [
        "riscv32i-unknown-none-elf",
        "riscv32imac-unknown-none-elf",
        "riscv32emc-unknown-none-elf",
        "riscv64imac-unknown-none-elf",
        "riscv32imac_zfinx-unknown-none-elf",
        "riscv64a23-unknown-linux-gnu",
        "riscv64-linux-android",
        "thumbv7em-none-eabihf",
        "x86_64-unknown-freebsd",
        "",
    ];
    assert_eq!(with.map(build::has_single_precision), [true; 4]);
    assert_eq!(without.map(build::has_single_precision), [false; 10]);
}
