//! Lanes through the real program: who finds room when it is full, who has to go, and who may not be sent away.

use std::net::SocketAddr;

use super::{Client, PATIENCE, Plan, Proxy, Setup, Upstream, eventually};
use crate::harness::client::Heard;

const RECIPIENT: &str = "b@hop.example";
const PARTNER: &str = "127.88.0.1";
const OTHER: &str = "127.88.0.2";
/// Places: half of them are the partners'.
const PLACES: usize = 16;

const LANES: &str = "[[lane]]\nname = \"partners\"\nwhen = 'client.ip == \"127.88.0.1\"'\nshare = 50\n\
                     [[lane]]\nname = \"others\"\nshare = 30";

fn start() -> (Upstream, Proxy) {
    let upstream = Plan::bdat().start();
    let workers = format!("connections = {PLACES}");
    let proxy = Setup::toward(upstream.address).workers(&workers).section(LANES).start();
    (upstream, proxy)
}

/// The session of a client that was let in, or the code that it heard instead.
fn come(from: &str, address: SocketAddr) -> Result<Client, u16> {
    let mut client = Client::connect_from(from, address);
    match client.hear() {
        Heard::Reply(reply) if reply.code == 220 => match client.command("EHLO client.example").code {
            250 => Ok(client),
            code => Err(code),
        },
        Heard::Reply(reply) => Err(reply.code),
        // It was closed without a word.
        _ => Err(0),
    }
}

/// As many as are let in, up to the first that is not.
fn fill(from: &str, address: SocketAddr) -> Vec<Client> {
    std::iter::from_fn(|| come(from, address).ok()).take(PLACES + 1).collect()
}

fn lane_metric(proxy: &Proxy, name: &str, lane: &str) -> u64 {
    proxy.metric(&format!("lane_{name}{{lane=\"{lane}\"}}"))
}

#[test]
fn a_quarter_of_a_share_is_free_whoever_has_the_rest() {
    let (_upstream, proxy) = start();
    let others = fill(OTHER, proxy.address);
    assert_eq!(others.len(), PLACES - 2, "a quarter of eight places is kept");
    assert_eq!(come(OTHER, proxy.address).err(), Some(421));
    let mut partner = come(PARTNER, proxy.address).expect("a place that is kept");
    assert_eq!(partner.message(RECIPIENT, b"Subject: x\r\n\r\nbody\r\n").code, 250);
    assert_eq!(proxy.await_records(1)[0]["lane"].as_str(), Some("partners"));
    assert!(lane_metric(&proxy, "turned_away_total", "others") >= 2);
}

#[test]
fn whoever_is_idle_in_a_lane_beyond_its_share_goes_for_another_the_newest_first() {
    let (_upstream, proxy) = start();
    let mut others = fill(OTHER, proxy.address);
    // One is in a transaction: the newest, who would go first.
    others.last_mut().unwrap().envelope("a@client.example", RECIPIENT);
    let mut partners = Vec::new();
    // Places come free a moment after they are missed.
    assert!(eventually(PATIENCE, || {
        partners.extend(come(PARTNER, proxy.address).ok());
        partners.len() >= PLACES / 2
    }));
    let heard: Vec<_> = others.iter_mut().rev().map(|client| client.hear_within(PATIENCE / 20)).collect();
    let is_shed = |heard: &Heard| matches!(heard, Heard::Reply(reply) if reply.code == 421);
    let shed: Vec<_> = heard.iter().map(is_shed).collect();
    let gone = shed.iter().filter(|gone| **gone).count();
    assert!(gone >= PLACES / 2 - 2 && !shed[0], "{heard:?}");
    assert!(shed[1..=gone].iter().all(|gone| *gone), "not the newest: {heard:?}");
    // Nothing happened to whoever was in the middle of something.
    let last = others.last_mut().unwrap();
    assert_eq!(last.command("DATA").code, 354);
    last.send(b"Subject: x\r\n\r\nbody\r\n.\r\n");
    assert_eq!(last.reply().code, 250);
    assert!(lane_metric(&proxy, "shed_total", "others") >= gone as u64);
    assert_eq!(lane_metric(&proxy, "shed_total", "partners"), 0);
}

#[test]
fn what_nobody_wants_is_lent_and_comes_back() {
    let (_upstream, proxy) = start();
    let others = fill(OTHER, proxy.address);
    assert!(others.len() > PLACES / 2);
    drop(others);
    assert!(eventually(PATIENCE, || lane_metric(&proxy, "sessions", "others") == 0));
    // The others' share is 4 of 16, of which one is kept.
    assert_eq!(fill(PARTNER, proxy.address).len(), PLACES - 1);
}
