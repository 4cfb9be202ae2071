//! What a client does is told to the worker's register, and what is known there tells how much it may do.
//!
//! Postfix STRESS_README, smtpd_junk_command_limit; RFC 5321 §3.8, §4.2.1 (421).
//!
//! Asked when it is known who the client is: at connect, behind a PROXY header, by XCLIENT, after AUTH; and again
//! at each MAIL, for a session may be long. Told at once.
//!
//! What must always hold: nothing is remembered of users, of own listeners, of exempt networks, nor of who may say
//! who the client is and has not said it; a connection is counted until its descriptor is closed.

use std::net::IpAddr;

use super::action::Action;
use super::disposition::Disposition;
use super::{Context, Relay, Shared, Stage};
use crate::base::time::Instant;
use crate::policy::condition::Phase;
use crate::policy::conduct::{errors_max, idle_commands_max};
use crate::policy::settings::Config;
use crate::policy::verdict::Verdict;
use crate::smtp::reply::{Class, Reply};
use crate::traffic::conduct::{Conduct, Deed};
use crate::traffic::register::{Full, Seat};

/// What one session has done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Doings {
    /// Recipients that nobody knows, and those that were taken.
    unknown: u32,
    taken: u32,
    /// Commands that led nowhere, since the last message.
    idle_commands: u32,
}

/// What was awaited of a client when it was too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// A PROXY header.
    Proxy,
    /// A handshake of TLS.
    Handshake,
    /// The rest of a command, or one at all; or that our replies be read.
    Command,
    /// An answer to a challenge of AUTH.
    Auth,
    /// Content: none came, or too little.
    Content,
}

/// What became of clients, counted since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Sessions by the conduct of their clients when it was first known who they are.
    pub conducts: [u64; Conduct::ALL.len()],
    /// Connections refused: too many from that address, or network.
    pub full_address: u64,
    pub full_network: u64,
    /// Sessions ended.
    pub harvests: u64,
    pub junk: u64,
    pub slow: [u64; 5],
    /// Connections to next hops that slow clients gave back for others.
    pub yielded: u64,
}

/// What who is full hears.
pub fn crowded(full: Full) -> Reply {
    let whose = match full {
        Full::Address => "too many connections from your address, come again",
        Full::Network => "too many connections from your network, come again",
    };
    Reply::new(421, "4.7.0", whose)
}

impl Shared {
    /// A place for a client at `ip` that came to a listener; none where nobody is counted.
    ///
    /// # Errors
    /// When too many are here from there.
    pub fn admit(&mut self, now: Instant, listener: usize, ip: IpAddr) -> Result<Option<Seat>, Full> {
        let settings = &self.config.conduct;
        let listener = &self.config.listeners[listener];
        let speaks_for_others = listener.must_speak_proxy(ip) || listener.may_xclient(ip);
        if !listener.has_strangers() || speaks_for_others || settings.exempts(ip) {
            return Ok(None);
        }
        self.seat(now, ip).map(Some)
    }

    /// The place is free again.
    pub fn leave(&mut self, seat: Option<Seat>) {
        seat.into_iter().for_each(|seat| self.register.leave(seat));
    }

    fn seat(&mut self, now: Instant, ip: IpAddr) -> Result<Seat, Full> {
        let seat = self.register.enter(now, ip, self.config.conduct.capacity);
        match seat {
            Ok(_) => {}
            Err(Full::Address) => self.tally.full_address += 1,
            Err(Full::Network) => self.tally.full_network += 1,
        }
        seat
    }
}

impl Relay {
    /// The connection is counted there.
    pub const fn sit(&mut self, seat: Option<Seat>) {
        self.session.seat = seat;
    }

    /// Where the connection is counted: to be given back when it is closed.
    pub const fn seat(&self) -> Option<Seat> {
        self.session.seat
    }

    /// Whose conduct it is that counts; nobody's, if the client is no stranger.
    fn stranger(&self, config: &Config) -> Option<IpAddr> {
        let session = &self.session;
        let is_own = session.user.is_some() || !config.listeners[session.listener].has_strangers();
        let ip = session.client_ip();
        (!is_own && !session.is_unsaid() && !config.conduct.exempts(ip)).then_some(ip)
    }

    /// It is known who the client is: whether it may stay.
    pub(super) fn welcome(&mut self, cx: &mut Context<'_>) -> bool {
        let ip = self.stranger(&cx.shared.config);
        let is_new = self.session.seat.is_none();
        if ip.is_some() {
            cx.shared.tally.conducts[self.session.conduct as usize] += 1;
        }
        let Some(ip) = ip.filter(|_| is_new) else { return true };
        match cx.shared.seat(cx.now.instant, ip) {
            Ok(seat) => self.session.seat = Some(seat),
            Err(full) => self.turn_out(cx, full),
        }
        self.session.seat.is_some()
    }

    /// Says so, where it can be said in clear or under TLS.
    fn turn_out(&mut self, cx: &mut Context<'_>, full: Full) {
        if self.is_mute(cx) {
            self.stage = Stage::Over;
            return cx.actions.push(Action::Abort);
        }
        self.say_and_close(cx, &crowded(full));
    }

    /// Somebody else is the client, or the client is nobody's guest any more.
    pub(super) fn give_seat_back(&mut self, shared: &mut Shared) {
        shared.leave(self.session.seat.take());
    }

    /// What is known of the client's conduct now.
    pub(super) fn recall_conduct(&mut self, now: Instant, shared: &Shared) {
        let known = self.stranger(&shared.config).map(|ip| shared.register.conduct(now, ip));
        self.session.conduct = known.unwrap_or_default();
    }

    /// It is known, or known anew, who the client is: how it behaves, and in which lane it is for all that is known
    /// at `phase`. Before its PROXY header it is nobody.
    pub fn place(&mut self, now: Instant, shared: &Shared, phase: Phase) {
        if self.stage != Stage::ProxyHeader {
            self.recall_conduct(now, shared);
            self.session.find_lane(&shared.config, phase);
        }
    }

    pub(super) fn note_deed(&self, cx: &mut Context<'_>, deed: Deed) {
        self.note_deeds(cx, deed, 1);
    }

    fn note_deeds(&self, cx: &mut Context<'_>, deed: Deed, times: usize) {
        let times = u16::try_from(times).unwrap_or(u16::MAX);
        if let Some(ip) = self.stranger(&cx.shared.config) {
            cx.shared.register.note(cx.now.instant, ip, deed, times);
        }
    }

    /// An error reply was said: an offence, if the command made no sense (RFC 3463 §3.6).
    pub(super) fn note_error(&self, cx: &mut Context<'_>, reply: &Reply) {
        if matches!(reply.code().to_u16(), 500..=504) {
            self.note_deed(cx, Deed::Junk);
        }
    }

    /// Whether a client that made so many errors has to go.
    pub(super) fn errs_too_often(&self) -> bool {
        self.session.errors > errors_max(self.session.conduct)
    }

    /// A command that leads nowhere by itself; some are needed, many are not.
    pub(super) fn note_idle_command(&mut self, cx: &mut Context<'_>) {
        if !self.is_strangers_own(&cx.shared.config) {
            return;
        }
        self.session.doings.idle_commands += 1;
        if self.session.doings.idle_commands > idle_commands_max(self.session.conduct) {
            self.session.errors += 1;
            self.note_deed(cx, Deed::Junk);
            self.end_if_erring(cx);
        }
    }

    pub(super) fn end_if_erring(&mut self, cx: &mut Context<'_>) {
        if self.errs_too_often() {
            cx.shared.tally.junk += 1;
            self.say_and_close(cx, &Reply::new(421, "4.7.0", "too many errors"));
        }
    }

    /// A recipient was answered. Of one whose sender was refused nothing was said.
    pub(super) fn note_recipient(&mut self, cx: &mut Context<'_>, reply: &Reply) {
        let is_of_sender =
            self.transaction.as_ref().is_some_and(|transaction| transaction.mail_refused.is_some());
        if reply.is_positive() {
            self.session.doings.taken += 1;
        } else if is_of_nobody(reply) && !is_of_sender {
            self.session.doings.unknown += 1;
            self.note_deed(cx, Deed::UnknownRecipient);
        }
    }

    /// A session that asks who exists ends here. Whoever knows one who does could name that one again and again:
    /// five times as many are too many, whatever else was taken.
    pub(super) fn end_if_harvesting(&mut self, cx: &mut Context<'_>) {
        let Doings { unknown, taken, .. } = self.session.doings;
        let max = cx.shared.config.conduct.unknown_of(self.session.conduct);
        let is_harvest = unknown >= max && unknown > taken || unknown >= max.saturating_mul(5);
        if max > 0 && is_harvest && self.is_strangers_own(&cx.shared.config) {
            cx.shared.tally.harvests += 1;
            self.say_and_close(cx, &Reply::new(421, "4.7.0", "too many unknown recipients"));
        }
    }

    /// Whether the session is that of a stranger: not one in which somebody tells us of others' (XFORWARD).
    fn is_strangers_own(&self, config: &Config) -> bool {
        self.stranger(config).is_some() && self.session.forwarded.is_none()
    }

    /// The client was too slow, and the session ends for it.
    pub(super) fn note_slow(&self, cx: &mut Context<'_>, awaited: Awaited) {
        cx.shared.tally.slow[awaited as usize] += 1;
        // Who has nothing to say for a while is idle, not slow.
        let is_idle = awaited == Awaited::Command && self.input.is_empty();
        if !is_idle {
            self.note_deed(cx, Deed::Slow);
        }
    }

    /// How the transaction ended speaks for the client, or against it.
    pub(super) fn note_end(&mut self, cx: &mut Context<'_>, disposition: Disposition) {
        let judgement = self.transaction.as_ref().and_then(|transaction| transaction.judgement.as_ref());
        let is_rejected = judgement.is_some_and(|judgement| judgement.verdict == Verdict::Reject);
        match disposition {
            Disposition::Delivered => {
                self.session.doings.idle_commands = 0;
                let reached = self.transaction.as_ref().map_or(0, |it| it.accepted().count());
                self.note_deed(cx, Deed::Delivered);
                self.note_deeds(cx, Deed::Reached, reached);
            }
            Disposition::Refused if is_rejected => self.note_deed(cx, Deed::Refused),
            Disposition::Quarantined | Disposition::Discarded => self.note_deed(cx, Deed::Refused),
            _ => {}
        }
    }
}

/// Whether a reply to RCPT says that there is no such recipient (RFC 3463 §3.2), or that its mail is not ours.
/// Servers that know no enhanced codes say 550 or 551 for it; some say 5.4.1 (directory-based blocking).
fn is_of_nobody(reply: &Reply) -> bool {
    if reply.class() != Class::Permanent {
        return false;
    }
    match reply.enhanced() {
        Some(enhanced) => {
            ["5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.4.1"].contains(&enhanced)
        }
        None => matches!(reply.code().to_u16(), 550 | 551 | 553),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipient_that_nobody_knows_is_told_from_one_that_is_not_to_have_it() {
        for (code, enhanced, want) in [
            (550, "5.1.1", true),
            (550, "5.1.2", true),
            (550, "5.1.10", true),
            (550, "5.4.1", true),
            (550, "", true),
            (551, "", true),
            (550, "5.7.1", false),
            (550, "5.1.8", false),
            (552, "5.2.2", false),
            (554, "", false),
            (450, "4.1.1", false),
            (452, "4.5.3", false),
            (250, "2.1.5", false),
        ] {
            assert_eq!(is_of_nobody(&Reply::new(code, enhanced, "x")), want, "{code} {enhanced}");
        }
    }
}
