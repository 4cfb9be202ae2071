//! `[conduct]`: whose conduct is remembered, what makes it suspect, and how many may come at a time.
//!
//! Postfix: smtpd_client_connection_count_limit (50), smtpd_hard_error_limit (20, 1 under stress),
//! smtpd_junk_command_limit (100).
//!
//! It is on without being asked for: all that follows from it alone is what every server does (a bound on
//! connections, an end to sessions that only ask for recipients or only make errors). What else a suspect or bad
//! client gets is for rules (`client.conduct`) and lanes to say.
//!
//! What must always hold: own users, listeners of our own mail, and exempt networks are not looked at; whoever may
//! say who the client is, is none itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::settings::contains;
use crate::traffic::conduct::{Conduct, Thresholds};
use crate::traffic::register::Capacity;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Addresses that one worker remembers.
    pub entries: usize,
    /// Connections of one worker at a time.
    pub capacity: Capacity,
    /// Unknown recipients of one session after which it is ended, if they are more than those that were taken, or
    /// five times as many; 0: never.
    pub unknown: u32,
    pub thresholds: Thresholds,
    /// Networks that nothing is remembered of.
    pub exempt: Vec<IpNet>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            entries: 65_536,
            capacity: Capacity { address: 50, network: 200 },
            unknown: 20,
            thresholds: Thresholds::default(),
            exempt: vec![
                // This machine.
                IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
                IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
            ],
        }
    }
}

impl Settings {
    pub fn exempts(&self, client: IpAddr) -> bool {
        contains(&self.exempt, client)
    }

    /// The same bound for a client of whom that is known.
    pub const fn unknown_of(&self, conduct: Conduct) -> u32 {
        match conduct {
            Conduct::Good | Conduct::Unknown => self.unknown,
            Conduct::Suspect => self.unknown.div_ceil(2),
            Conduct::Bad => self.unknown.div_ceil(4),
        }
    }
}

/// Commands that failed before a session is ended.
pub const fn errors_max(conduct: Conduct) -> u32 {
    match conduct {
        Conduct::Good | Conduct::Unknown => 20,
        Conduct::Suspect => 10,
        Conduct::Bad => 3,
    }
}

/// Commands since the last message that lead nowhere (NOOP, RSET, EHLO, …), before each of them is an error, too.
pub const fn idle_commands_max(conduct: Conduct) -> u32 {
    match conduct {
        Conduct::Good | Conduct::Unknown => 100,
        Conduct::Suspect => 50,
        Conduct::Bad => 20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worse_the_less() {
        let settings = Settings::default();
        for pair in Conduct::ALL.windows(2) {
            let [better, worse] = [pair[0], pair[1]];
            assert!(errors_max(worse) <= errors_max(better));
            assert!(idle_commands_max(worse) <= idle_commands_max(better));
            assert!(settings.unknown_of(worse) <= settings.unknown_of(better));
        }
        assert!(settings.unknown_of(Conduct::Bad) > 0);
        let never = Settings { unknown: 0, ..settings };
        assert_eq!(never.unknown_of(Conduct::Bad), 0);
    }

    #[test]
    fn this_machine_is_exempt() {
        let settings = Settings::default();
        for (client, want) in
            [("127.9.9.9", true), ("::1", true), ("::ffff:127.0.0.1", true), ("10.0.0.1", false)]
        {
            assert_eq!(settings.exempts(client.parse().unwrap()), want, "{client}");
        }
    }
}
