use super::*;
use crate::service::redis::tests::{Fake, run};
use crate::traffic::limit::{By, Count};
use crate::traffic::limiter::Decision;
use crate::traffic::table::Key;

const BURST: u64 = 600;
const MACHINES: u64 = 3;
const BEGIN: Instant = Instant::from_nanos(86_400_000_000_000);
const KEY: Key = Key::from_bits(7);

/// So slow that nothing comes in while a test lasts.
fn limit() -> Limit {
    let amount = Amount::Rate { tokens: 1, per: Duration::from_secs(3600), burst: BURST };
    let (name, by, count) = ("a".to_owned(), By::SenderDomain, Count::Messages);
    Limit { name, by, count, amount, entries: 100, alerts: true }
}

/// The script, for a clock that stands still: the value is what the bucket lacks.
fn claimed(arguments: &[String], value: &mut Option<String>) -> String {
    let number = |place: usize| arguments[place].parse::<f64>().unwrap();
    let [used, wanted, block, cost, full, lacked] = [0, 1, 2, 3, 4, 5].map(number);
    let mut lacks = value.as_ref().map_or(lacked, |text| text.parse().unwrap());
    lacks = (lacks + used * cost).max(0.0);
    let tokens = |lacks: f64| ((full - lacks) / cost + 0.001).floor().max(0.0);
    let lent = tokens(lacks).min(wanted);
    lacks += lent * cost;
    *value = Some(lacks.to_string());
    let after = |count: f64| (lacks + count * cost - full).max(0.0);
    let wait = after(1.0).max(after(block.max(1.0)).min(1e6));
    format!("*4\r\n:{lent:.0}\r\n:{:.0}\r\n:{wait:.0}\r\n:{lacks:.0}\r\n", tokens(lacks))
}

/// A machine with one worker.
struct Machine {
    lender: Lender,
    worker: Limiter,
    stats: Arc<Stats>,
    told: Rc<Cell<usize>>,
}

impl Machine {
    async fn new(fake: &Fake) -> Self {
        let (redis, _) = fake.redis().await;
        let limit = limit();
        let stats = Arc::<Stats>::default();
        let lender = Lender::new(redis, &[&limit], MACHINES, Arc::clone(&stats));
        lender.0.clock.0.set((BEGIN, None));
        let told = Rc::<Cell<usize>>::default();
        let telling = Rc::clone(&told);
        tokio::task::spawn_local(lender.clone().ask(move |_| telling.set(telling.get() + 1)));
        tokio::task::spawn_local(lender.clone().sweep());
        Self { lender, worker: Limiter::new([&limit], MACHINES, Seed::new(0)), stats, told }
    }

    /// What becomes of one message.
    fn offer(&mut self, now: Instant) -> u64 {
        let decision = self.worker.take(now, 0, KEY);
        let (claims, _) = self.worker.claims();
        for claim in claims {
            let grant = self.lender.lend(now, &claim);
            if claim.asked > 0 {
                self.worker.hear(now, &grant);
            }
        }
        u64::from(decision == Decision::Pass)
    }
}

struct World {
    fake: Fake,
    machines: Vec<Machine>,
    /// A millisecond for each round, however long that takes.
    now: Instant,
}

impl World {
    async fn new() -> Self {
        let fake = Fake::start(claimed, None).await;
        let mut machines = Vec::new();
        for _ in 0..MACHINES {
            machines.push(Machine::new(&fake).await);
        }
        Self { fake, machines, now: BEGIN }
    }

    /// Messages that come to all of them: how many pass.
    async fn offer(&mut self, rounds: usize) -> u64 {
        let mut passed = 0;
        for _ in 0..rounds {
            self.now = self.now + Duration::from_millis(1);
            let now = self.now;
            passed += self.machines.iter_mut().map(|machine| machine.offer(now)).sum::<u64>();
            time::sleep(Duration::from_millis(1)).await;
        }
        passed
    }
}

/// Blocks of machines and of their workers.
fn error() -> u64 {
    2 * limit().error(MACHINES)
}

#[test]
fn machines_share_one_bucket() {
    run(async {
        let mut world = World::new().await;
        let passed = world.offer(600).await;
        assert!(passed.abs_diff(BURST) <= error(), "{passed}, and an error of {}", error());
        assert!(world.machines.iter().all(|machine| machine.told.get() > 0 && machine.stats.alone() == 0));
        assert_eq!(world.offer(50).await, 0, "it stays so");
        let asked: u64 = world.machines.iter().map(|machine| machine.stats.claims()).sum();
        assert!(asked < BURST, "{asked} claims for {BURST} messages");
    });
}

#[test]
fn a_store_that_forgot_is_told_how_full_it_was() {
    run(async {
        let mut world = World::new().await;
        let before = world.offer(100).await;
        world.fake.state.values.borrow_mut().clear();
        let passed = before + world.offer(600).await;
        // One machine may know less than all together do: what is under way is missing.
        assert!(passed.abs_diff(BURST) <= 2 * error(), "{passed}, and an error of {}", error());
    });
}

#[test]
fn while_it_is_gone_the_last_lease_goes_on_and_nobody_waits() {
    run(async {
        let mut world = World::new().await;
        let mut passed = world.offer(50).await;
        world.fake.kill().await;
        passed += world.offer(500).await;
        assert!(world.machines.iter().all(|machine| machine.stats.unanswered() > 0));
        world.fake.listen().await;
        for machine in &world.machines {
            machine.lender.0.redis.found().await;
        }
        // A claim that went astray is not waited for longer than a second.
        passed += world.offer(1500).await;
        assert_eq!(world.offer(100).await, 0, "the limit holds again, after {passed}");
        // Each may have had a bucket of its own, and no more.
        assert!((BURST - error()..=MACHINES * BURST).contains(&passed), "{passed}");
    });
}

#[test]
fn what_is_no_answer_is_none() {
    let rate = Rate::new(&limit(), 3, "p:").unwrap();
    assert_eq!(
        (rate.name.as_str(), rate.cost.as_str(), rate.full.as_str()),
        ("p:limit:a:", "3600000000", "2160000000000")
    );
    let claim = Claim { limit: 0, key: KEY, asked: 5, used: 1, wanted: 10 };
    let int = Value::Int;
    for answer in [
        Value::Nil,
        Value::Array(vec![int(1), int(2), int(3)]),
        Value::Array(vec![int(1), int(2), int(3), int(-4)]),
        Value::Array(vec![Value::Nil, int(2), int(3), int(4)]),
    ] {
        assert_eq!(rate.grant(BEGIN, &claim, &answer), None, "{answer:?}");
    }
    let lavish = Value::Array([i64::MAX, i64::MAX, 1, i64::MAX].map(int).to_vec());
    let grant = rate.grant(BEGIN, &claim, &lavish).unwrap();
    assert_eq!((grant.tokens, grant.hope, grant.until), (10, BURST / 3, Instant::default()));
    let nothing = Value::Array([0, 0, 500, 900].map(int).to_vec());
    let grant = rate.grant(BEGIN, &claim, &nothing).unwrap();
    assert_eq!((grant.tokens, grant.until, grant.alerts), (0, BEGIN + Duration::from_micros(500), true));
    assert_eq!(rate.arguments(BEGIN, &claim)[..3], ["1", "10", "12"]);
    assert_eq!(rate.arguments(BEGIN, &claim)[5], "900");
    let held = Limit { amount: Amount::Concurrent { max: 5 }, ..limit() };
    assert!(Rate::new(&held, 3, "p:").is_none());
}
