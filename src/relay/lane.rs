//! In which lane a client is, and what follows from that when more comes than can be done.
//!
//! The lane is looked for whenever something new is known of the client, last at MAIL. While the bar of the
//! worker ([`overload`](crate::traffic::overload)) is lowered, whoever is just above it waits for the greeting, and
//! whoever is beyond it hears 450 at MAIL: nothing was accepted then, and nothing of the message has been sent.
//!
//! What must always hold: who has a transaction is never shed; who is shed hears so.

use std::net::IpAddr;
use std::time::Duration;

use super::session::Session;
use super::{Context, Relay, Shared, Stage};
use crate::policy::condition::Phase;
use crate::policy::facts::{self, Facts, Known};
use crate::policy::settings::Config;
use crate::smtp::parameter::Declared;
use crate::smtp::reply::Reply;
use crate::traffic::lane::{Lane, Standing};
use crate::traffic::overload::Treatment;

/// How long those wait for the greeting who are just above the bar, and those beyond it.
const SLOWED: Duration = Duration::from_secs(1);
const DEFERRED: Duration = Duration::from_secs(3);

/// The priority of a message among those of its lane (RFC 6710).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Priority {
    /// None: none was asked for.
    pub(super) granted: Option<i8>,
    /// It is not what was asked for.
    pub(super) is_changed: bool,
}

impl Priority {
    fn effective(self) -> i8 {
        self.granted.unwrap_or(0)
    }
}

impl Session {
    /// Who is connected, as rules see it.
    pub(super) fn tell_client(&self, config: &Config, client: &mut facts::Client) {
        *client = facts::Client::at(self.client);
        client.helo = self.helo.as_deref().map(facts::text).unwrap_or_default();
        let tls = self.secured.as_ref().map_or("off", |secured| secured.version.name());
        client.tls = Known::new(tls);
        client.auth_user = Known::new(self.user.as_deref().unwrap_or_default().to_owned());
        for test in self.manners.failed().iter() {
            client.tests.insert(test.name().into());
        }
        client.listener = Known::new(config.listeners[self.listener].name.clone());
        client.conduct = Known::new(self.conduct.name());
    }

    /// Looks for the lane, by what is known at `phase` of the client alone.
    pub(super) fn find_lane(&mut self, config: &Config, phase: Phase) {
        if config.policy.lanes.is_one() {
            return;
        }
        let mut facts = Facts::default();
        self.tell_client(config, &mut facts.client);
        self.lane = config.policy.lane(&facts, phase);
    }
}

impl Relay {
    /// What the client asks for, and what it gets: only users and listed networks may raise their mail.
    pub(super) fn priority(&self, config: &Config, declared: &Declared) -> Priority {
        let listener = &config.listeners[self.session.listener];
        let may_raise = self.session.user.is_some() || listener.may_raise(self.session.client.ip());
        let granted = declared.priority.map(|asked| if may_raise { asked } else { asked.min(0) });
        Priority { granted, is_changed: granted != declared.priority }
    }

    /// Where the client is at the moment.
    pub const fn lane(&self) -> Lane {
        self.session.lane
    }

    /// The same with all that is known at MAIL.
    pub(super) fn find_lane_of_sender(&mut self, cx: &Context<'_>) {
        let config = &cx.shared.config;
        if config.policy.lanes.is_one() {
            return;
        }
        let mut facts = Facts::default();
        self.tell_envelope(config, &mut facts);
        self.session.lane = config.policy.lane(&facts, Phase::Mail);
    }

    pub(super) fn standing(&self) -> Standing {
        let priority = self.transaction.as_deref().map_or(0, |transaction| transaction.priority.effective());
        Standing { lane: self.session.lane, priority, client: client_number(self.session.client_ip()) }
    }

    /// How long the client is to wait for the greeting because others come first.
    pub(super) fn slowness(&self, shared: &mut Shared) -> Option<Duration> {
        match shared.treatment(self.session.lane) {
            Treatment::Serve => None,
            Treatment::Slow => Some(SLOWED),
            Treatment::Defer => Some(DEFERRED),
        }
    }

    /// Whether the client has to come again with this message, for others come first.
    pub(super) fn is_deferred(&self, shared: &mut Shared) -> bool {
        shared.treatment(self.session.lane) == Treatment::Defer
    }

    /// Its place is needed: a client that is in the middle of nothing has to go.
    pub(super) fn on_shed(&mut self, cx: &mut Context<'_>) {
        if self.is_idle() {
            self.refuse_connection(cx, "shed: its place is needed for others");
            self.say_and_close(cx, &Reply::new(421, "4.3.2", "busy with others, come again later"));
        }
    }

    /// Whether it may go without harm: nothing of it is under way.
    pub const fn is_idle(&self) -> bool {
        self.transaction.is_none() && matches!(self.stage, Stage::Greeting | Stage::Command)
    }
}

/// Who shares a turn: an address, or of IPv6 a network, for nobody has one address only there.
fn client_number(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => u64::from(ip.to_bits()) | 1 << 32,
        IpAddr::V6(ip) => u64::try_from(ip.to_bits() >> 64).unwrap_or(u64::MAX),
    }
}

impl Shared {
    /// What becomes of one of this lane now.
    pub fn treatment(&mut self, lane: Lane) -> Treatment {
        if !self.bar.is_lowered() {
            return Treatment::Serve;
        }
        self.bar.treatment(lane, self.random.u8(..))
    }

    /// Bytes of window that a message of this lane may take, with the bytes that it wants at most.
    pub(super) fn take_window(&mut self, lane: Lane, wanted: usize) -> usize {
        let budget = self.config.workers.window_budget;
        let taken = wanted.min(self.config.policy.lanes.shares().available(lane, &self.windows, budget));
        self.windows.add(lane, taken);
        taken
    }

    pub(super) const fn give_window_back(&mut self, (lane, bytes): (Lane, usize)) {
        self.windows.remove(lane, bytes);
    }
}
