//! What does it cost to ask how an address has behaved, and to note what it did, among 65,536 that are remembered?
//!
//! Each time another address, so that what is looked at is rarely in the processor's cache.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, criterion_group, criterion_main};
use postern::base::time::Instant;
use postern::traffic::conduct::{Deed, Thresholds};
use postern::traffic::register::{Capacity, Register};
use postern::traffic::table::Seed;

const NOW: Instant = Instant::from_nanos(1_000_000_000_000);
const ENTRIES: u32 = 65_536;

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from(number.wrapping_mul(2_654_435_761)).into()
}

fn conduct(criterion: &mut Criterion) {
    let mut register = Register::new(ENTRIES as usize, Thresholds::default(), Seed::new(1));
    (0..ENTRIES).for_each(|number| register.note(NOW, address(number), Deed::Delivered, 1));
    let mut number = 0;
    let mut next = || {
        number = (number + 1) % ENTRIES;
        address(number)
    };
    criterion.bench_function("conduct/ask", |bencher| {
        bencher.iter(|| register.conduct(NOW, black_box(next())));
    });
    criterion.bench_function("conduct/note", |bencher| {
        bencher.iter(|| register.note(NOW, black_box(next()), Deed::Delivered, 1));
    });
    criterion.bench_function("conduct/come and go", |bencher| {
        let capacity = Capacity { address: 50, network: 200 };
        bencher.iter(|| {
            let seat = register.enter(NOW, black_box(next()), capacity);
            seat.into_iter().for_each(|seat| register.leave(seat));
        });
    });
}

criterion_group!(benches, conduct);
criterion_main!(benches);
