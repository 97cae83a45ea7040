//! Every operation on every backend, beside the peak of the machine: `cargo bench -p lowrank-bench`.

mod gigaflops;

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkId, Criterion, Throughput};
use gigaflops::Gigaflops;
use lowrank::{Arithmetic, Backend, Shape};
use lowrank_bench::{Layout, Operation, Workload, measured_backends, peak};

type Bench = Criterion<Gigaflops>;

const RANK: usize = 8;

fn main() {
    let mut criterion = Criterion::default()
        .with_measurement(Gigaflops(WallTime))
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .sample_size(20)
        .configure_from_args();
    let backends = measured_backends();
    machine(&mut criterion, &backends);
    for (size, tokens) in [(64, 1), (64, 8), (384, 128), (1024, 1), (1024, 16), (1024, 128)] {
        compare(&mut criterion, &backends, &Layout::ALL.map(Operation::Base), size, tokens);
    }
    let whole = [Operation::Thin]
        .into_iter()
        .chain(Layout::ALL.map(Operation::Forward))
        .chain(Layout::ALL.map(Operation::Backward))
        .collect::<Vec<_>>();
    compare(&mut criterion, &backends, &whole, 384, 128);
    compare(&mut criterion, &backends, &whole, 64, 8);
    compare(&mut criterion, &backends, &Layout::ALL.map(Operation::Merge), 384, 1);
    compare(&mut criterion, &backends, &[Operation::Sgd, Operation::AdamW], 384, 1);
    criterion.final_summary();
}

/// What the machine can do at best.
fn machine(criterion: &mut Bench, backends: &[Backend]) {
    const ROUNDS: usize = 1000;
    let mut group = criterion.benchmark_group("peak");
    for &backend in backends {
        let Some(flops) = peak::compute(backend, ROUNDS) else { continue };
        group.throughput(Throughput::Elements(flops));
        group.bench_function(format!("{backend:?}"), |b| b.iter(|| peak::compute(backend, black_box(ROUNDS))));
    }
    group.finish();

    let data = vec![1.0; 64 << 20];
    let mut group = criterion.benchmark_group("read 256 MiB");
    group.throughput(Throughput::Bytes(size_of_val(data.as_slice()) as u64)).sample_size(10);
    for &backend in backends.iter().filter(|b| b.arithmetic() == Arithmetic::Separate) {
        group.bench_function(backend.name(), |b| b.iter(|| peak::read(backend, black_box(&data))));
    }
    group.finish();
}

/// Each operation as one group: a line per backend.
fn compare(criterion: &mut Bench, backends: &[Backend], operations: &[Operation], size: usize, tokens: usize) {
    for &operation in operations {
        let mut group = criterion.benchmark_group(operation.to_string());
        for &backend in backends {
            let workload = Workload::new(backend, Shape::new(size, size, RANK), tokens);
            let Ok(workload) = workload else { panic!("{operation}: no such workload") };
            let work = workload.work(operation);
            group.throughput(match operation {
                Operation::Merge(_) | Operation::Sgd | Operation::AdamW => Throughput::Bytes(work.bytes),
                _ => Throughput::Elements(work.flops),
            });
            let id = BenchmarkId::new(format!("{size}x{size}, {tokens} tokens"), format!("{backend:?}"));
            let done = workload.prepare(operation, |run| {
                group.bench_function(id, |b| b.iter(&mut *run));
            });
            assert!(done.is_ok(), "{operation} on {backend:?}: {done:?}");
        }
        group.finish();
    }
}
