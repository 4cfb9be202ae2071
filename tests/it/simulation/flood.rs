//! A flood: many times the clients that there is room for, and a few whose lane has a share.
//!
//! Servers are well, though they may be slow, and the worker is told that its turns take long. Whoever has a share
//! has to be served as if nobody else were there: its clients are no more than what is kept for them.

use std::net::SocketAddr;

use postern::policy::lane::{Lanes, Settings};

use super::client::Client;
use super::network::{SECONDS, Weather};
use super::scenario::{Mood, Scenario, Scripter, condition, config, manner, servers, weather};

/// Clients that have a share, by the last octet of their address.
const PARTNERS: u8 = 2;
/// Places, half of them the partners': a quarter of these is kept.
const PLACES: usize = 16;

pub(super) fn scenario(random: &mut fastrand::Rng) -> Scenario {
    let mood = Mood::Flood;
    let servers = servers(random, Mood::Calm, 1);
    let mut config = config(random, Mood::Calm, &servers, 1);
    config.workers.connections = PLACES;
    config.policy.lanes = lanes(random);
    // Of as many the partners have two, one of which is kept for them.
    config.upstreams[0].pool.max = random.usize(4..7);
    let mut transactions = Vec::new();
    let count = random.u8(20..60);
    let over = random.u64(1..=5) * SECONDS;
    let mut script = Scripter {
        mood,
        config: &config,
        servers: &servers,
        transactions: &mut transactions,
        pace: random.u8(..3),
    };
    let mut clients = Vec::new();
    for index in 0..count {
        let is_partner = index < PARTNERS;
        let begin = script.transactions.len();
        let steps = script.session(random, index.into());
        for transaction in &mut script.transactions[begin..] {
            // The others' mail may have to come again.
            transaction.refusable |= !is_partner;
        }
        let address = SocketAddr::from(([203, 0, 113, index], 40_000 + u16::from(index)));
        let manner = manner(random, if is_partner { Mood::Calm } else { Mood::Clients });
        clients.push((random.u64(..over), Client::new(address, steps, manner)));
    }
    Scenario {
        mood,
        weather: Weather { late_send_one_in: 0, ..weather(random, Mood::Calm) },
        servers,
        clients,
        transactions,
        kernel_fails_one_in: 0,
        drain_at: None,
        config,
        hosts: Vec::new(),
        is_slow: random.bool(),
    }
}

/// Partners first; of the others some may be worse than the rest.
fn lanes(random: &mut fastrand::Rng) -> Lanes {
    let lane = |name: &str, share, when: Option<&str>| Settings {
        name: name.to_owned(),
        when: when.map(condition),
        share,
    };
    let partners = "client.ip in [\"203.0.113.0\", \"203.0.113.1\"]";
    let mut lanes = vec![lane("partners", 50, Some(partners)), lane("others", random.u32(..30), None)];
    if random.bool() {
        lanes.push(lane("worse", random.u32(..20), Some("client.port > 40020")));
    }
    Lanes::new(lanes)
}
