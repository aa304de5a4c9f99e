use std::hint::black_box;
use std::time::Duration;

use client_rust::fib;
use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion};

fn numbers(criterion: &mut Criterion) {
    criterion.bench_function("fib10", |bencher| bencher.iter(|| fib(black_box(10))));
    let mut group = criterion.benchmark_group("sizes");
    group.bench_function(BenchmarkId::new("fib", "größe 8"), |bencher| {
        bencher.iter(|| fib(black_box(8)))
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(200));
    targets = numbers
}
criterion_main!(benches);
