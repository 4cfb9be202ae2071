//! What does a decision of a limit cost while a million networks are tracked?

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use postern::base::time::Instant;
use postern::traffic::bank::{Bank, Claim};
use postern::traffic::limit::{Amount, By, Count, Limit};
use postern::traffic::limiter::{Decision, Limiter};
use postern::traffic::table::Seed;

const NETWORKS: usize = 1_000_000;
const BEGIN: Instant = Instant::from_nanos(86_400_000_000_000);
const SEED: Seed = Seed::new(0x0123_4567_89ab_cdef);

fn limit(tokens: u64) -> Limit {
    Limit {
        name: "per-network".to_owned(),
        by: By::ClientNet,
        count: Count::Messages,
        amount: Amount::Rate { tokens, per: Duration::from_secs(86_400), burst: tokens },
        entries: 2 * NETWORKS,
        alerts: false,
    }
}

/// The first octets of an address, a different one for each number.
fn network(number: usize) -> [u8; 3] {
    let bytes = number.to_le_bytes();
    [bytes[0], bytes[1], bytes[2]]
}

/// A worker that has heard of all networks what the bank says.
fn worker(limit: &Limit, takes: usize) -> (Limiter, Bank) {
    let (mut worker, mut bank) = (Limiter::new([limit], 1, SEED), Bank::new([limit], 1));
    for number in 0..NETWORKS {
        let key = SEED.key(&network(number));
        for _ in 0..takes {
            let _ = worker.take(BEGIN, 0, key);
            settle(&mut worker, &mut bank);
        }
    }
    assert_eq!(worker.tracked(0), bank.keys(0).0);
    assert!(bank.keys(0).0 > NETWORKS * 99 / 100);
    (worker, bank)
}

fn settle(worker: &mut Limiter, bank: &mut Bank) {
    let (claims, _) = worker.claims();
    for grant in claims.iter().filter_map(|claim| bank.claim(BEGIN, claim).grant) {
        worker.hear(BEGIN, &grant);
    }
}

fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limit");
    let mut random = fastrand::Rng::with_seed(1);
    let (mut leased, mut bank) = worker(&limit(16_000_000), 1);
    group.bench_function("pass by a token on lease, of a million networks", |bencher| {
        bencher.iter(|| {
            let key = SEED.key(black_box(&network(random.usize(..NETWORKS))));
            leased.take(BEGIN, 0, key)
        });
    });
    settle(&mut leased, &mut bank);
    let (mut spent, _) = worker(&limit(1), 2);
    let key = SEED.key(&network(7));
    assert!(matches!(spent.take(BEGIN, 0, key), Decision::Refuse { .. }));
    group.bench_function("refuse, of a million networks", |bencher| {
        bencher.iter(|| {
            let key = SEED.key(black_box(&network(random.usize(..NETWORKS))));
            spent.take(BEGIN, 0, key)
        });
    });
    group.bench_function("a network that was never seen, in the place of another", |bencher| {
        bencher.iter(|| {
            let decision = leased.take(BEGIN, 0, SEED.key(black_box(&random.u64(..).to_le_bytes())));
            let _ = leased.claims();
            decision
        });
    });
    group.bench_function("a claim at the bank", |bencher| {
        bencher.iter(|| {
            let key = SEED.key(black_box(&network(random.usize(..NETWORKS))));
            bank.claim(BEGIN, &Claim { limit: 0, key, asked: 1, used: 1, wanted: 0 })
        });
    });
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
