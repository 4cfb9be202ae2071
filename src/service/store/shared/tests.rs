use super::*;
use crate::policy::ledger::{Ledger, Table};
use crate::service::redis::Health;
use crate::service::redis::tests::{Conduct, Fake, run};

const UNTIL: u64 = 9_000_000_000;
const HALF: usize = SHARED_LESSONS_MAX / 2;

fn key(name: usize) -> Key {
    Key::of(Table::ALL[name % 4], &[&name.to_string()])
}

fn good(name: usize) -> Lesson {
    Lesson { key: key(name), about: About::Good, until: UNTIL }
}

/// The ledger's own rule in place of the script.
fn learnt(arguments: &[String], value: &mut Option<String>) -> String {
    let [now, about, until] = arguments else { panic!("{arguments:?}") };
    let about = match about.as_str() {
        "met" => About::Met,
        "good" => About::Good,
        _ => About::Bad,
    };
    let mut ledger = Ledger::new(10);
    let before = value.as_ref().and_then(|text| entry(text.as_bytes()));
    before.into_iter().for_each(|entry| ledger.put(key(0), entry, &mut Vec::new()));
    let lesson = Lesson { key: key(0), about, until: until.parse().unwrap() };
    ledger.learn(now.parse().unwrap(), lesson, &mut Vec::new());
    *value = ledger.raw(key(0)).map(|it| format!("{} {} {} {}", it.since, it.until, it.good, it.bad));
    ":1\r\n".to_owned()
}

struct World {
    fake: Fake,
    shared: Shared,
    stats: Arc<Stats>,
    health: Arc<Health>,
}

impl World {
    async fn new() -> Self {
        let fake = Fake::start(learnt, None).await;
        let (redis, health) = fake.redis().await;
        let stats = Arc::<Stats>::default();
        let shared = Shared::new(redis, Arc::clone(&stats));
        tokio::task::spawn_local(shared.clone().write());
        Self { fake, shared, stats, health }
    }

    fn learn(&self, now: u64, lessons: impl Iterator<Item = Lesson>) {
        self.shared.learn(&Learn { now, lessons: lessons.collect() });
    }

    async fn settled(&self) {
        while self.shared.0.has_work() {
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn goods(&self, names: std::ops::Range<usize>) -> u64 {
        let keys: Vec<_> = names.map(key).collect();
        let asked = Recall { now: 1, keys: keys.clone() };
        let Answer::Recalled(recalled) = self.shared.recall(&asked).await else { panic!("no answer") };
        keys.iter().filter_map(|key| recalled.entry(*key)).map(|entry| u64::from(entry.good)).sum()
    }
}

#[test]
fn what_was_learnt_is_recalled() {
    run(async {
        let world = World::new().await;
        world.learn(5, (0..300).map(good));
        world.learn(7, (0..10).map(|name| Lesson { about: About::Bad, ..good(name) }));
        world.settled().await;
        let asked = Recall { now: 8, keys: vec![key(3), key(30), key(300)] };
        let Answer::Recalled(recalled) = world.shared.recall(&asked).await else { panic!("no answer") };
        let entry = |good, bad| Some(Some(Entry { since: 5, until: UNTIL, good, bad }));
        assert_eq!(recalled.find(key(3)), entry(1, 1));
        assert_eq!(recalled.find(key(30)), entry(1, 0));
        assert_eq!(recalled.find(key(300)), Some(None));
        assert_eq!((world.stats.written(), world.stats.lost()), (310, 0));
        // What has ended is never seen again, though it be there yet.
        let late = Recall { now: UNTIL, keys: vec![key(3)] };
        assert_eq!(world.shared.recall(&late).await, Answer::Recalled(Recalled::new(vec![(key(3), None)])));
    });
}

#[test]
fn what_is_learnt_while_it_is_gone_is_put_later() {
    run(async {
        let mut world = World::new().await;
        world.learn(5, (0..100).map(good));
        world.settled().await;
        world.fake.kill().await;
        world.learn(5, (100..1100).map(good));
        while world.health.is_well() {
            sleep(Duration::from_millis(5)).await;
        }
        let gone = world.shared.recall(&Recall { now: 1, keys: vec![key(1)] }).await;
        assert_eq!(gone, Answer::Unknown(Unknown::Gone));
        world.fake.listen().await;
        world.settled().await;
        // Those on their way when it went may have been heard, or not: here they were not.
        assert_eq!((world.goods(0..1100).await, world.stats.lost()), (1100, 0));
    });
}

#[test]
fn lessons_that_wait_are_bounded_and_those_lost_are_counted() {
    run(async {
        let mut world = World::new().await;
        world.fake.kill().await;
        while world.health.is_well() {
            sleep(Duration::from_millis(5)).await;
        }
        for _ in 0..3 {
            world.learn(5, (0..HALF).map(good));
        }
        assert_eq!(world.shared.0.waiting.borrow().len(), SHARED_LESSONS_MAX);
        assert_eq!(world.stats.lost(), HALF as u64);
        // Nobody waits at the end for a store that is gone.
        world.shared.close().await;
        assert_eq!(world.stats.lost(), 3 * HALF as u64);
    });
}

#[test]
fn what_is_refused_is_put_once_more_and_then_lost() {
    run(async {
        let world = World::new().await;
        world
            .fake
            .is(Conduct::Says(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n".to_vec()));
        world.learn(5, (0..10).map(good));
        world.settled().await;
        assert_eq!((world.stats.written(), world.stats.lost()), (0, 10));
        world.fake.is(Conduct::Well);
        world.learn(5, (0..10).map(good));
        world.settled().await;
        assert_eq!((world.stats.written(), world.stats.lost()), (10, 10));
    });
}

#[test]
fn what_is_left_is_put_before_the_end() {
    run(async {
        let world = World::new().await;
        world.learn(5, (0..500).map(good));
        world.shared.close().await;
        assert_eq!((world.goods(0..100).await, world.stats.written(), world.stats.lost()), (100, 500, 0));
    });
}

#[test]
fn entries_are_read_as_they_are_written() {
    let is = |text: &str| entry(text.as_bytes()).map(|it| (it.since, it.until, it.good, it.bad));
    for (text, want) in [
        ("5 10 1 0", Some((5, 10, 1, 0))),
        ("5 10 99999999999 0", Some((5, 10, u32::MAX, 0))),
        ("5 10 1", None),
        ("5 10 1 0 0", None),
        ("5 10 1 -1", None),
        ("5  10 1 0", None),
        ("", None),
    ] {
        assert_eq!(is(text), want, "{text}");
    }
    assert_eq!(entry(b"\xff"), None);
}

#[test]
fn what_is_no_answer_tells_nothing() {
    let asked = Recall { now: 1, keys: vec![key(1), key(2)] };
    let nil = Value::Nil;
    for answer in [nil.clone(), Value::Int(5), Value::Array(vec![nil.clone()]), Value::Array(vec![nil; 3])] {
        assert_eq!(recalled(&asked, &answer), None, "{answer:?}");
    }
    let strange = Value::Array(vec![Value::Int(1), Value::BulkString(b"x".to_vec())]);
    assert_eq!(recalled(&asked, &strange), Some(Recalled::new(vec![(key(1), None), (key(2), None)])));
}

#[test]
fn names_say_the_table_and_not_the_key() {
    let key = Key { table: Table::History, mark: *b"0123456789abcdef" };
    assert_eq!(name("p:", key), "p:histories:30313233343536373839616263646566");
}
