//! Promise: no access outside a slice. Every buffer lies directly before an inaccessible page, and in a second run directly
//! behind one; whoever reads or writes one element too far is killed.

#![cfg(unix)]

use std::ptr;

use crate::coded::FORMATS;
use crate::support::placed::Placed;
use crate::support::stage::{How, Layout, Stage};
use crate::support::{Data, Layer, Rng, backends, full, lanes, mat_mut, report};
use lowrank::{Accum, Backend, Base, Dropout, Error, Shape, merge, selftest};

/// Accessible pages between two that are not.
struct Pages {
    start: *mut libc::c_void,
    page: usize,
}

/// Which end of a buffer touches an inaccessible page.
#[derive(Copy, Clone, Debug)]
enum Touching {
    Start,
    End,
}

impl Pages {
    const ACCESSIBLE: usize = 4;

    fn new() -> Self {
        // SAFETY: a question to the system.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap();
        let (all, private) = ((Self::ACCESSIBLE + 2) * page, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: new memory, where the system likes it.
        let start = unsafe { libc::mmap(ptr::null_mut(), all, libc::PROT_NONE, private, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        let inner = start.wrapping_byte_add(page);
        // SAFETY: pages of the mapping above.
        let status = unsafe { libc::mprotect(inner, Self::ACCESSIBLE * page, libc::PROT_READ | libc::PROT_WRITE) };
        assert_eq!(status, 0);
        Self { start, page }
    }

    /// `len` elements at one end.
    fn lend(&mut self, len: usize, touching: Touching) -> &mut [f32] {
        let accessible = Self::ACCESSIBLE * self.page / size_of::<f32>();
        assert!(len <= accessible);
        let first = match touching {
            Touching::Start => 0,
            Touching::End => accessible - len,
        };
        let start = self.start.wrapping_byte_add(self.page).cast::<f32>().wrapping_add(first);
        // SAFETY: accessible, zeroed by the system, aligned to 4 bytes, and borrowed from `self` as long as the slice lives.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }
}

impl Pages {
    /// As [`lend`](Self::lend), of bytes.
    fn lend_bytes(&mut self, len: usize, touching: Touching) -> &mut [u8] {
        let all = Self::ACCESSIBLE * self.page;
        assert!(len <= all);
        let first = if matches!(touching, Touching::End) { all - len } else { 0 };
        let start = self.start.wrapping_byte_add(self.page + first).cast();
        // SAFETY: as there.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`; no slice of it is left.
        unsafe { libc::munmap(self.start, (Self::ACCESSIBLE + 2) * self.page) };
    }
}

/// Whether a child process that reads this address is killed by it.
fn is_killed_by_reading(at: *const f32) -> bool {
    // SAFETY: the child calls nothing but `signal` and `_exit`, which a child of a threaded process may; whether the read
    // is valid is what it finds out.
    #[allow(clippy::multiple_unsafe_ops_per_block, reason = "the life of a child process")]
    let child = unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::signal(libc::SIGSEGV, libc::SIG_DFL);
            libc::signal(libc::SIGBUS, libc::SIG_DFL);
            ptr::read_volatile(at);
            libc::_exit(0);
        }
        child
    };
    assert!(child > 0);
    let mut status = 0;
    // SAFETY: waits for the child, and writes to a local variable.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFSIGNALED(status) || libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0);
    libc::WIFSIGNALED(status)
}

#[test]
fn one_element_too_far_is_death() {
    let mut pages = Pages::new();
    for len in [0, 1, 7, 1024] {
        let start: *const f32 = pages.lend(len, Touching::Start).as_ptr();
        assert!(is_killed_by_reading(start.wrapping_sub(1)));
        assert!(!is_killed_by_reading(start), "the pages behind are accessible");
        let end: *const f32 = pages.lend(len, Touching::End).as_ptr_range().end;
        assert!(is_killed_by_reading(end));
        assert!(!is_killed_by_reading(end.wrapping_sub(1)), "the pages before are accessible");
    }
}

/// Sides of the cube of shapes: 0 to 33, or those at which something changes.
fn sides(backend: Backend) -> Vec<usize> {
    let v = lanes(backend);
    let mut sides: Vec<usize> =
        if full() { (0..=33).collect() } else { vec![0, 1, 2, 4, 9, v - 1, v, v + 1, 2 * v - 1, 2 * v + 1, 33] };
    sides.sort_unstable();
    sides.dedup();
    sides
}

/// Packs, merges, runs forward and backward, in one memory each.
fn run(layer: &Layer, how: How, gap: usize, pool: &mut [Pages], touching: Touching) {
    let old = layer.old_outputs(Data::Finite, 1);
    let mut pages = pool.iter_mut();
    let mut stage = Stage::new(layer, &old, |values, rows, cols| {
        let stride = cols + gap;
        let span = if values.is_empty() { 0 } else { (rows - 1) * stride + cols };
        Placed::within(pages.next().unwrap().lend(span, touching), values, (rows, cols), 0, stride)
    });
    stage.pack(how);
    stage.merge(how).unwrap();
    stage.merge_finite(how).unwrap();
    let expected = if layer.is_dead() { Err(Error::DeadAdapter) } else { Ok(()) };
    assert_eq!(stage.train(how), expected);
    assert!(stage.is_intact(), "written between rows: {how:?}, gap {gap}, {touching:?}, {layer:?}");
}

#[test]
fn nothing_outside_of_a_slice_is_touched() {
    let mut pool: Vec<Pages> = (0..16).map(|_| Pages::new()).collect();
    for backend in backends() {
        assert_eq!(selftest(backend), Ok(()));
        let (mut count, sides, rng) = (0, sides(backend), &mut Rng(2));
        for &tokens in &sides {
            for &inputs in &sides {
                for &outputs in &sides {
                    let rank = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33][rng.below(13)];
                    let mut layer = Layer::new(Shape::new(inputs, outputs, rank), tokens, Data::Finite, rng.next());
                    let dropout = Dropout { probability: 0.25, seed: 1, step: 1, layer_number: 0, first_token: 0 };
                    layer.dropout = (rng.below(3) == 0).then_some(dropout);
                    for touching in [Touching::Start, Touching::End] {
                        let panels = [Layout::Packed(backend.panel_width()), Layout::Packed(1 + rng.below(20))];
                        let layout = [Layout::Rows, panels[0], panels[1]][rng.below(3)];
                        let accum = [Accum::Replace, Accum::Add][rng.below(2)];
                        let how = How { backend, layout, accum, trained_bias: rng.below(2) == 0 };
                        run(&layer, how, rng.below(2), &mut pool, touching);
                        count += 1;
                    }
                }
            }
        }
        let promised = if full() { 2 * 34 * 34 * 34 } else { 2 * 6 * 6 * 6 };
        report("bounds", format!("{backend:?}"), count, "runs between inaccessible pages", promised);
    }
}

/// The bytes of every format, which need not lie at an even address.
#[test]
fn nothing_outside_of_coded_weights_is_touched() {
    let (mut pages, mut numbers) = (Pages::new(), Pages::new());
    for backend in backends() {
        let mut count = 0;
        for format in &FORMATS {
            for (outputs, blocks, tokens) in [(1, 1, 1), (3, 2, 4), (5, 3, 33), (1, 15, 2), (9, 1, 12)] {
                let inputs = blocks * format.block.1;
                let mut layer = Layer::new(Shape::new(inputs, outputs, 1), tokens, Data::Finite, 7);
                for touching in [Touching::Start, Touching::End] {
                    let codes = format.fill(&mut Rng(count), outputs, inputs);
                    let memory = pages.lend_bytes(codes.len(), touching);
                    memory.copy_from_slice(&codes);
                    let base = Base::new((format.make)(memory, outputs, inputs).unwrap(), None);
                    let mut out = layer.old_outputs(Data::Finite, 1);
                    layer.bias = None;
                    layer.run(backend, &base, Accum::Replace, &mut out).unwrap();
                    let merged = mat_mut(numbers.lend(outputs * inputs, touching), outputs, inputs);
                    merge(backend, &base, &layer.adapter(), merged).unwrap();
                    count += 1;
                }
            }
        }
        report("bounds coded", format!("{backend:?}"), count, "runs between inaccessible pages", 60);
    }
}
