//! Two threads for as long as a measurement takes: this one and a worker, which start two closures at the same moment.
//!
//! On Linux each is held on a core of its own. Left to the scheduler, a worker that wakes up often starts on the core of the
//! thread that has woken it, and both take turns there for milliseconds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The worker looks for a job.
const IDLE: u32 = 0;
/// The worker sleeps.
const PARKED: u32 = 1;
/// There is a job.
const READY: u32 = 2;
/// The worker is to end.
const STOP: u32 = 3;

/// How long the worker looks for a job before it sleeps. A thread that is woken starts some 50 µs late.
const PATIENCE: Duration = Duration::from_micros(50);

/// What the worker is to run.
type Job = *mut (dyn FnMut() + Send);

/// A job on its way to the worker.
struct Sent(Job);

// SAFETY: the closure behind the pointer is `Send`, and `Pair::join` does not touch it until the worker is done.
unsafe impl Send for Sent {}

#[derive(Default)]
struct Shared {
    state: AtomicU32,
    job: Mutex<Option<Sent>>,
    panicked: AtomicU32,
}

/// A worker beside this thread.
pub struct Pair {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

impl Default for Pair {
    fn default() -> Self {
        Self::new()
    }
}

impl Pair {
    /// Starts the worker.
    #[must_use]
    pub fn new() -> Self {
        let shared = Arc::<Shared>::default();
        let cores = first_and_last_core();
        let worker = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                cores.into_iter().for_each(|(_, last)| stay_on(last));
                shared.work();
            }
        });
        cores.into_iter().for_each(|(first, _)| stay_on(first));
        Self { shared, worker: Some(worker) }
    }

    /// Runs `left` here and `right` on the worker, and returns when both are done.
    ///
    /// # Panics
    /// When one of them does.
    pub fn join(&mut self, left: impl FnOnce(), right: impl FnOnce() + Send) {
        let mut right = Some(right);
        let mut job = || right.take().into_iter().for_each(|right| right());
        let job: *mut (dyn FnMut() + Send + '_) = &mut job;
        // SAFETY: only the lifetime changes. The worker lets go of the closure before `wait` returns, and nothing leaves
        // this function before that: a panic of `left` is caught.
        let job: Job = unsafe { std::mem::transmute(job) };
        self.shared.start(job, self.worker.as_ref());
        let left = catch_unwind(AssertUnwindSafe(left));
        self.shared.wait();
        assert!(left.is_ok() && self.shared.panicked.load(Ordering::Relaxed) == 0, "a thread has panicked");
    }

    /// Wakes the worker, so that the next [`join`](Self::join) does not wait for it.
    pub fn wake(&mut self) {
        self.join(|| (), || ());
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.shared.state.store(STOP, Ordering::Release);
        if let Some(worker) = self.worker.take() {
            worker.thread().unpark();
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn start(&self, job: Job, worker: Option<&JoinHandle<()>>) {
        *self.job.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(Sent(job));
        if self.state.swap(READY, Ordering::Release) == PARKED {
            worker.into_iter().for_each(|worker| worker.thread().unpark());
        }
    }

    fn wait(&self) {
        let mut spins = 0_u32;
        while self.state.load(Ordering::Acquire) == READY {
            spins += 1;
            if spins < 1 << 16 { std::hint::spin_loop() } else { thread::yield_now() }
        }
    }

    fn work(&self) {
        loop {
            match self.look() {
                STOP => return,
                READY => {
                    let job = self.job.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
                    if let Some(Sent(job)) = job {
                        // SAFETY: `Pair::join` keeps the closure where it is, and to this thread, until the state changes.
                        let done = catch_unwind(AssertUnwindSafe(|| unsafe { (*job)() }));
                        self.panicked.fetch_or(u32::from(done.is_err()), Ordering::Relaxed);
                    }
                    // Not where it is to stop by now.
                    let _ = self.state.compare_exchange(READY, IDLE, Ordering::Release, Ordering::Relaxed);
                }
                _ => {
                    let parked = self.state.compare_exchange(IDLE, PARKED, Ordering::Relaxed, Ordering::Relaxed);
                    while parked.is_ok() && self.state.load(Ordering::Acquire) == PARKED {
                        thread::park();
                    }
                }
            }
        }
    }

    /// What there is to do; [`IDLE`] after some time without anything.
    fn look(&self) -> u32 {
        let since = Instant::now();
        loop {
            let state = self.state.load(Ordering::Acquire);
            if state != IDLE || since.elapsed() > PATIENCE {
                return state;
            }
            std::hint::spin_loop();
        }
    }
}

/// The first and the last core that this program may use: neighbours are often two threads of one core.
#[cfg(target_os = "linux")]
fn first_and_last_core() -> Option<(usize, usize)> {
    // SAFETY: a set of cores is a plain array of bits.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is as long as is said, and lives until the call returns.
    let failed = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) } != 0;
    // SAFETY: only cores that the set has room for are asked for.
    let mut cores = (0..libc::CPU_SETSIZE as usize).filter(|&core| unsafe { libc::CPU_ISSET(core, &set) });
    let (first, last) = (cores.next()?, cores.next_back()?);
    (!failed).then_some((first, last))
}

/// Holds this thread on a core. Where that fails it is measured all the same.
#[cfg(target_os = "linux")]
fn stay_on(core: usize) {
    // SAFETY: a set of cores is a plain array of bits.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the core comes from such a set, which has room for it.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: the set is as long as is said, and lives until the call returns.
    unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) };
}

#[cfg(not(target_os = "linux"))]
fn first_and_last_core() -> Option<(usize, usize)> {
    None
}

#[cfg(not(target_os = "linux"))]
fn stay_on(_: usize) {}
