//! What a row costs when it passes: the header walk over a read of 64 KiB.
//!
//!     cargo bench -p pgsplit-wire
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pgsplit_wire::{Header, build};

fn walk(mut bytes: &[u8]) -> usize {
    let mut frames = 0;
    while let Ok(Some(header)) = Header::read(bytes) {
        let Some(rest) = bytes.get(header.total()..) else { break };
        bytes = rest;
        frames += 1;
    }
    frames
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("walk 64 KiB of rows");
    for size in [16, 100, 1000] {
        let mut rows = BytesMut::new();
        while rows.len() < 64 * 1024 {
            build::message(&mut rows, b'D', |out| out.extend_from_slice(&vec![b'x'; size]));
        }
        group.throughput(Throughput::Elements(walk(&rows) as u64));
        group.bench_function(format!("{size} B"), |b| b.iter(|| walk(black_box(&rows))));
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
