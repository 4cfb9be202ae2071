//! What does it cost to lend a connection out and take it back, and does that depend on how many
//! are parked?

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use postern::base::slab::{Key, Slab};
use postern::base::time::Instant;
use postern::policy::settings::{Congestion, PoolLimits, Server};
use postern::relay::action::Heard;
use postern::traffic::breaker::Word;
use postern::traffic::lane::{Lane, Shares, Standing};
use postern::worker::pool::{Claim, Loan, Member, Order, Pool};

const NOW: Instant = Instant::from_nanos(1_000_000_000);

const fn member(conn: Key) -> Member {
    Member { conn, server: 0, expires: Instant::from_nanos(u64::MAX), messages: 1, messages_max: u32::MAX }
}

const fn claim(relay: Key) -> Claim {
    let standing = Standing { lane: Lane(0), priority: 0, client: 0 };
    Claim { relay, standing, fresh: false, bound: false, own: None }
}

const LOAN: Option<Loan> = Some(Loan { lane: Lane(0), since: NOW });

/// What a message that passed says of the server.
const HEARD: Heard =
    Heard { word: Word::Well, content: Some(Duration::from_millis(1)), passed: true, retried: false };

/// A pool in which each of `keys` is parked.
fn pool(keys: &[Key]) -> Pool {
    let limits = PoolLimits {
        warm: keys.len(),
        max: keys.len(),
        messages: u32::MAX,
        age: Duration::from_secs(900),
        idle: Duration::from_secs(60),
        wait: Duration::from_secs(20),
    };
    let servers = [Server { address: ([127, 0, 0, 1], 25).into(), weight: 1, rank: 0 }];
    let (mut pool, mut orders) =
        (Pool::new(limits, Congestion::default(), Shares::default(), &servers, 1), Vec::new());
    pool.tick(NOW, &mut orders);
    for key in keys {
        pool.on_opened(NOW, member(*key), &mut orders);
    }
    assert_eq!(pool.parked(), keys.len());
    pool
}

fn keys(count: usize) -> Vec<Key> {
    let mut slab = Slab::new();
    (0..count).map(|_| slab.insert(())).collect()
}

/// Lends to `relay`, and gives back the connection that was granted.
fn lend(pool: &mut Pool, relay: Key, orders: &mut Vec<Order>) -> Option<Key> {
    pool.check_out(NOW, claim(relay), orders);
    match orders.pop() {
        Some(Order::Grant { conn, .. }) => Some(conn),
        _ => None,
    }
}

fn turns(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool");
    for count in [1, 32, 1000] {
        let keys = keys(count);
        let (mut pool, mut orders) = (pool(&keys), Vec::new());
        group.bench_function(format!("check out and in, {count} parked"), |bencher| {
            bencher.iter(|| {
                if let Some(conn) = lend(&mut pool, black_box(keys[0]), &mut orders) {
                    pool.check_in(NOW, member(conn), LOAN, &mut orders);
                }
            });
        });
        assert_eq!(pool.parked(), count);
    }
    group.finish();
}

/// The pool is empty: who asks waits, and gets what is checked in.
fn waiting(criterion: &mut Criterion) {
    let keys = keys(1);
    let (mut pool, mut orders) = (pool(&keys), Vec::new());
    assert!(lend(&mut pool, keys[0], &mut orders).is_some());
    criterion.bench_function("pool/wait for the one connection", |bencher| {
        bencher.iter(|| {
            pool.check_out(NOW, claim(black_box(keys[0])), &mut orders);
            pool.check_in(NOW, member(keys[0]), LOAN, &mut orders);
            orders.clear();
        });
    });
    assert_eq!(pool.parked(), 0);
}

/// All that is done for one message: lent, both debts paid, given back.
fn message(criterion: &mut Criterion) {
    let keys = keys(32);
    let (mut pool, mut orders) = (pool(&keys), Vec::new());
    criterion.bench_function("pool/a message that passes", |bencher| {
        bencher.iter(|| {
            if let Some(conn) = lend(&mut pool, black_box(keys[0]), &mut orders) {
                pool.on_paid(NOW, 0, Duration::from_millis(1), &mut orders);
                pool.on_heard(NOW, 0, HEARD, &mut orders);
                pool.check_in(NOW, member(conn), LOAN, &mut orders);
            }
        });
    });
}

criterion_group!(benches, turns, waiting, message);
criterion_main!(benches);
