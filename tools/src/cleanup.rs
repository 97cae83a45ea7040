//! An interrupted command leaves nothing behind.
//!
//! Files and directories under temporary names are known here. A signal that ends the command removes them first; from the
//! moment when they have got their own names on, the work is done, and the signal is not waited for any more. One lock
//! stands between the two: temporary names come and go under it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// What has a temporary name.
#[derive(Default)]
struct Unfinished {
    paths: Vec<PathBuf>,
    /// All outputs have their names.
    done: bool,
}

static UNFINISHED: Mutex<Unfinished> = Mutex::new(Unfinished { paths: Vec::new(), done: false });

/// Makes something with a temporary name, which `path` tells.
pub(crate) fn create<T>(
    make: impl FnOnce() -> std::io::Result<T>,
    path: impl FnOnce(&T) -> &Path,
) -> std::io::Result<T> {
    static WATCH: Once = Once::new();
    WATCH.call_once(signals::watch);
    let mut unfinished = lock();
    let made = make()?;
    unfinished.paths.push(path(&made).to_owned());
    Ok(made)
}

/// Renames inside of what is unfinished, while no signal removes it.
pub(crate) fn undisturbed<T>(work: impl FnOnce() -> T) -> T {
    let _unfinished = lock();
    work()
}

/// Gives all outputs their names: either before a signal or not at all.
pub(crate) fn commit<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let mut unfinished = lock();
    let result = work();
    unfinished.done = result.is_ok();
    result
}

fn lock() -> MutexGuard<'static, Unfinished> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(unix)]
mod signals {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXCPU, SIGXFSZ};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;

    /// Without a handler, where none can be set: the command works all the same.
    pub(super) fn watch() {
        // With a handler, whatever it does, a write beyond the limit of the file size is an error like that of a full disk.
        let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
        let ignored = ignored();
        let ends = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXCPU].into_iter().filter(|signal| !ignored(*signal));
        let Ok(mut signals) = Signals::new(ends) else { return };
        std::thread::spawn(move || {
            for signal in signals.forever() {
                let unfinished = super::lock();
                if !unfinished.done {
                    for path in &unfinished.paths {
                        let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
                    }
                    let _ = emulate_default_handler(signal);
                }
            }
        });
    }

    /// Which signals were ignored when the command began, as `nohup` and the background of a shell script ask for. Only
    /// Linux says so without a call that is unsafe.
    fn ignored() -> impl Fn(i32) -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        move |signal| mask >> (signal - 1) & 1 == 1
    }
}

#[cfg(not(unix))]
mod signals {
    pub(super) fn watch() {}
}
