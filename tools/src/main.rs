//! The command `lowrank`.

fn main() -> std::process::ExitCode {
    lowrank_tools::run()
}
