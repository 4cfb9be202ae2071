//! Congestion toward next hops: servers that die in each way, one that falls silent and comes back. PROTOCOL 1.5.
//!
//! What a client heard as 250 is what servers took, and no more; who passes and who does not is counted, never timed.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{At, Client, Do, Heard, PATIENCE, Plan, Setup, Step, Upstream, eventually, in_parallel};
use crate::harness::free_address;
use std::time::Duration;

/// How a server dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// Nobody listens.
    Refuses,
    /// It takes commands and says nothing more.
    Hangs,
    /// All its messages are refused for a while.
    Transient,
    /// It takes half a second for what took none.
    Slow,
}

/// Longer than the next hop may take for any step.
const SLOW: Duration = Duration::from_millis(500);

impl Death {
    fn at(self, step: Step<'_>) -> Do {
        match (self, step.at) {
            (Self::Hangs, At::Mail) => Do::Silence,
            (Self::Transient, At::Mail) => Do::say("451 4.3.0 try later"),
            (Self::Slow, At::Dot | At::BdatLast) => {
                std::thread::sleep(SLOW);
                Do::Usual
            }
            _ => Do::Usual,
        }
    }
}

/// A server that dies when told.
fn mortal(death: Death) -> (Upstream, Arc<AtomicBool>) {
    let dead = Arc::new(AtomicBool::new(false));
    let held = Arc::clone(&dead);
    let script = move |step: Step<'_>| if held.load(Ordering::Acquire) { death.at(step) } else { Do::Usual };
    (Plan::bdat().script(script).start(), dead)
}

fn recipients(upstreams: &[&Upstream]) -> Vec<String> {
    let messages = upstreams.iter().flat_map(|upstream| upstream.messages());
    messages
        .flat_map(|message| message.recipients().iter().map(ToString::to_string).collect::<Vec<_>>())
        .collect()
}

/// Sends so many messages over some connections at a time; the recipients of those that were acknowledged.
fn send(proxy: &super::Proxy, round: &str, count: usize) -> HashSet<String> {
    let heard = std::sync::Mutex::new(HashSet::new());
    in_parallel(6, count, |number| {
        let recipient = format!("{round}{number}@hop.example");
        let mut client: Client = proxy.session();
        client.patience = PATIENCE;
        match client.attempt(&recipient, b"Subject: x\r\n\r\nbody\r\n") {
            Heard::Reply(reply) if reply.code == 250 => {
                heard.lock().unwrap().insert(format!("RCPT TO:<{recipient}>"));
            }
            Heard::Reply(reply) => assert!(matches!(reply.code, 400..500), "{recipient}: {reply:?}"),
            Heard::Closed => {}
            Heard::Nothing => panic!("{recipient}: a client was left without a word"),
        }
    });
    heard.into_inner().unwrap()
}

/// Of three servers one dies: what it had goes to the others, and nothing is acknowledged that nobody has.
fn check_death(death: Death) {
    let (dying, dead) = mortal(death);
    let others = [Plan::bdat().start(), Plan::bdat().start()];
    let absent = free_address();
    let first = if death == Death::Refuses { absent } else { dying.address };
    let servers = format!("\", \"{}\", \"{}", others[0].address, others[1].address);
    let mut proxy = Setup::toward_all(&format!("{first}{servers}"))
        .upstream("pool = { warm = 3, max = 12, wait = \"4s\" }")
        .upstream("timeout = { connect = \"1s\", reply = \"1s\", end = \"3s\" }")
        .start();
    let all = [&dying, &others[0], &others[1]];
    let mut acknowledged = send(&proxy, "before", 60);
    assert_eq!(acknowledged.len(), 60, "{death:?}: nothing was wrong yet");
    dead.store(true, Ordering::Release);
    // It takes some messages until it is found out.
    acknowledged.extend(send(&proxy, "dying", 60));
    let taken = dying.messages().len();
    let later = send(&proxy, "later", 200);
    // Probes go there, and what ramps up again behind an ejection.
    assert!(later.len() >= 180, "{death:?}: only {} of 200 passed", later.len());
    let share = dying.messages().len() - taken;
    assert!(share <= 40, "{death:?}: {share} of 200 went to the one that is dying");
    acknowledged.extend(later);
    let held: Vec<_> = recipients(&all);
    let unique: HashSet<_> = held.iter().cloned().collect();
    assert_eq!(held.len(), unique.len(), "{death:?}: a duplicate");
    let false_ones: Vec<_> = acknowledged.difference(&unique).collect();
    assert!(false_ones.is_empty(), "{death:?}: nobody has {false_ones:?}");
    proxy.assert_well();
}

#[test]
fn one_of_three_servers_refuses() {
    check_death(Death::Refuses);
}

#[test]
fn one_of_three_servers_hangs() {
    check_death(Death::Hangs);
}

#[test]
fn one_of_three_servers_says_4xx() {
    check_death(Death::Transient);
}

#[test]
fn one_of_three_servers_is_slow() {
    check_death(Death::Slow);
}

/// The only server falls silent: clients hear 4xx, no more connections are made to it than the pool has, and when it
/// speaks again messages pass.
#[test]
fn the_only_server_falls_silent_and_recovers() {
    let open = Arc::new(AtomicUsize::new(0));
    let (upstream, dead) = mortal(Death::Hangs);
    let mut proxy = Setup::toward(upstream.address)
        .upstream("pool = { warm = 1, max = 4, wait = \"3s\" }")
        .upstream("timeout = { connect = \"1s\", reply = \"1s\", end = \"3s\" }")
        .start();
    let mut acknowledged = send(&proxy, "before", 20);
    assert_eq!(acknowledged.len(), 20);
    dead.store(true, Ordering::Release);
    for round in 0..3 {
        acknowledged.extend(send(&proxy, &format!("silent{round}x"), 12));
        open.fetch_max(upstream.seen().open, Ordering::AcqRel);
    }
    // Those that said QUIT may be as many again.
    assert!(open.load(Ordering::Acquire) <= 8, "{open:?} connections");
    dead.store(false, Ordering::Release);
    let mut number = 0;
    let passes = eventually(PATIENCE, || {
        number += 1;
        let again = send(&proxy, &format!("again{number}x"), 1);
        let passed = !again.is_empty();
        acknowledged.extend(again);
        passed
    });
    assert!(passes, "nothing passes though it is back");
    let after = send(&proxy, "after", 60);
    assert_eq!(after.len(), 60, "it did not stay well");
    acknowledged.extend(after);
    let held: HashSet<_> = recipients(&[&upstream]).into_iter().collect();
    assert!(acknowledged.is_subset(&held), "an acknowledgement that is false");
    proxy.assert_well();
}

/// PROTOCOL 1.5: nobody listens.
#[test]
fn an_upstream_that_is_down_is_4_4_1_at_once() {
    let mut proxy = Setup::toward(free_address()).upstream("pool = { warm = 1, max = 4 }").start();
    let mut last = Heard::Nothing;
    let refused = eventually(PATIENCE, || {
        last = proxy.session().attempt("b@hop.example", b"Subject: x\r\n\r\n");
        matches!(&last, Heard::Reply(reply) if reply.text().starts_with("451 4.4.1"))
    });
    assert!(refused, "{last:?}");
    proxy.assert_well();
}

/// PROTOCOL 1.5: there is a connection, and somebody else has it.
#[test]
fn whoever_waits_in_vain_hears_4_3_2() {
    let upstream = Plan::bdat().start();
    let mut proxy =
        Setup::toward(upstream.address).upstream("pool = { warm = 1, max = 1, wait = \"300ms\" }").start();
    let mut first = proxy.session();
    first.envelope("a@client.example", "b@hop.example");
    let second = proxy.session().attempt("c@hop.example", b"Subject: x\r\n\r\n");
    assert!(matches!(&second, Heard::Reply(reply) if reply.text().starts_with("451 4.3.2")), "{second:?}");
    assert_eq!(first.command("RSET").code, 250);
    assert_eq!(proxy.session().message("d@hop.example", b"Subject: x\r\n\r\n").code, 250);
    proxy.assert_well();
}
