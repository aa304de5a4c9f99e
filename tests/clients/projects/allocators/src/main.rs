//! Takes memory in every way that Rust's allocator interface has.

use std::hint::black_box;

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[repr(align(64))]
#[derive(Clone)]
struct Aligned([u8; 4096]);

fn main() {
    drop(black_box(vec![1u8; 777_777]));
    drop(black_box(vec![0u8; 55_555]));
    let mut grown: Vec<u8> = black_box(Vec::with_capacity(1000));
    grown.reserve_exact(5000);
    drop(black_box(grown));
    let aligned = Box::new(Aligned([1; 4096]));
    println!("{}", black_box(&aligned).0.len());
}
