use client_rust::fib;
use divan::{black_box, Bencher};

fn main() {
    divan::main();
}

#[divan::bench(args = [5, 10], sample_count = 10, max_time = 0.2)]
fn fib_of(bencher: Bencher, n: u64) {
    bencher.bench(|| fib(black_box(n)));
}
