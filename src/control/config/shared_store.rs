//! `backend` of [store], where it names Redis or Valkey, and what belongs to it.
//!
//! `redis://[user@]host[:port][/database]`, `rediss://` with TLS; of a cluster, `redis+cluster://` or
//! `rediss+cluster://` with some of its nodes, separated by commas.
//!
//! What must always hold: no password stands in the configuration, or in a fault of it; none goes in clear beyond
//! this machine, unless the administrator says so.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::{Outside, login, tls};
use crate::base::document::{Item, Section};
use crate::policy::settings::SharedStore;
use crate::tls::client_policy::{Authentication, ClientPolicy, server_name};

const SCHEMES: [(&str, Scheme); 4] = [
    ("redis", Scheme { is_cluster: false, has_tls: false }),
    ("rediss", Scheme { is_cluster: false, has_tls: true }),
    ("redis+cluster", Scheme { is_cluster: true, has_tls: false }),
    ("rediss+cluster", Scheme { is_cluster: true, has_tls: true }),
];
const PORT: u16 = 6379;
/// Of a cluster, to ask for the others.
const NODES_MAX: usize = 32;
const PREFIX: &str = "postern:";
const PREFIX_BYTES_MAX: usize = 64;
/// A message waits so long for it where it does not answer, and a relay no longer than two seconds.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(1);
const TIMEOUT_DEFAULT: Duration = Duration::from_millis(500);
/// Keys that say something of a shared store only.
const KEYS: [&str; 6] = ["password_file", "in_clear", "ca", "prefix", "timeout", "machines"];
const MACHINES: RangeInclusive<u64> = 1..=1000;
const MACHINES_DEFAULT: u64 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scheme {
    is_cluster: bool,
    has_tls: bool,
}

/// What an address says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    scheme: Scheme,
    user: Option<String>,
    nodes: Vec<(String, u16)>,
    database: u16,
}

/// None: it is no address of this kind at all.
pub(super) fn address(text: &str) -> Option<Result<Address, String>> {
    let (name, rest) = text.split_once("://")?;
    let (_, scheme) = SCHEMES.into_iter().find(|(known, _)| *known == name)?;
    Some(read(scheme, rest))
}

fn read(scheme: Scheme, rest: &str) -> Result<Address, String> {
    let (user, place) = match rest.rsplit_once('@') {
        None => (None, rest),
        Some((user, _)) if user.contains(':') => {
            return Err("a password does not stand here: write it into a file, and name that by \
                        `password_file`"
                .to_owned());
        }
        Some((user, place)) => (Some(login::name(user)?), place),
    };
    let (nodes, database) = place.split_once('/').unwrap_or((place, ""));
    let database = if database.is_empty() { "0" } else { database };
    let database = database.parse().map_err(|_| format!("`{}` is no number", database.escape_debug()))?;
    let nodes: Vec<_> = nodes.split(',').map(node).collect::<Result<_, _>>()?;
    match (scheme.is_cluster, nodes.len(), database) {
        (false, 2.., _) => Err("one server, or of a cluster: redis+cluster://".to_owned()),
        (true, _, 1..) => Err("a cluster has no databases but 0".to_owned()),
        (_, count, _) if count > NODES_MAX => Err(format!("more than {NODES_MAX} nodes: a few are enough")),
        _ => Ok(Address { scheme, user, nodes, database }),
    }
}

/// `host`, `host:port`, `[address]` or `[address]:port`.
fn node(text: &str) -> Result<(String, u16), String> {
    let wrong = || format!("`{}` is not host:port", text.escape_debug());
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').or_else(|| port.is_empty().then_some(""))),
        None => text.split_once(':').map_or((text, Some("")), |(host, port)| (host, Some(port))),
    };
    let port = match port.ok_or_else(wrong)? {
        "" => PORT,
        port => port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?,
    };
    server_name(host).ok_or_else(wrong)?;
    Ok((host.to_owned(), port))
}

/// The rest of the section; `item` is where the address stands.
pub(super) fn shared(
    item: Item<'_>,
    address: Address,
    section: &mut Section<'_>,
    outside: &dyn Outside,
) -> Option<Arc<SharedStore>> {
    let file = section.item("password_file");
    let password = file.map(|file| login::password(file, outside));
    let is_sure = section.item("in_clear").and_then(Item::flag).unwrap_or(false);
    let has_tls = address.scheme.has_tls;
    if let Some(file) = file.filter(|_| !has_tls && !is_sure && !address.nodes.iter().all(is_here)) {
        file.fault(
            "the password would go in clear: rediss://, or in_clear = true where nobody else is on the way",
        );
    }
    if address.user.is_some() && file.is_none() {
        item.fault("a user has a password: name its file by `password_file`");
    }
    let ca = section.item("ca");
    if let Some(ca) = ca.filter(|_| !has_tls) {
        ca.fault("nobody shows a certificate without TLS: rediss://");
    }
    let prefix = section.item("prefix").map_or_else(|| Some(PREFIX.to_owned()), |item| item.parse(prefix));
    let timeout = section.item("timeout").map_or(Some(TIMEOUT_DEFAULT), |item| item.duration(TIMEOUT));
    let machines = section.item("machines").map_or(Some(MACHINES_DEFAULT), |item| item.count(MACHINES));
    let tls = if has_tls { Some(policy(item, ca, outside)?) } else { None };
    Some(Arc::new(SharedStore {
        nodes: address.nodes,
        is_cluster: address.scheme.is_cluster,
        tls,
        user: address.user,
        password: password.map_or(Some(None), |read| read.map(Some))?,
        database: address.database,
        prefix: prefix?,
        timeout: timeout?,
        machines: machines?,
    }))
}

/// They are looked at by nobody.
pub(super) fn pass_over(section: &mut Section<'_>) {
    KEYS.into_iter().for_each(|key| _ = section.item(key));
}

/// Where the store is this process' own these mean nothing.
pub(super) fn refuse(section: &mut Section<'_>) {
    for key in KEYS {
        if let Some(item) = section.item(key) {
            item.fault("says something of a store in Redis only: backend = \"redis://…\"");
        }
    }
}

fn is_here((host, _): &(String, u16)) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn policy(item: Item<'_>, ca: Option<Item<'_>>, outside: &dyn Outside) -> Option<ClientPolicy> {
    let authorities = match ca {
        Some(ca) => tls::authorities(ca, outside),
        None => tls::system_authorities(item, outside),
    };
    let authentication = Authentication::Authorities { authorities: authorities?, names: Vec::new() };
    ClientPolicy::new(authentication, None).map_err(|why| item.fault(why)).ok()
}

/// No braces: what is in them would put all keys of a cluster into one place.
fn prefix(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'{' | b'}');
    if text.len() <= PREFIX_BYTES_MAX && text.bytes().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("at most 64 letters, digits and signs without spaces and braces".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Files, MINIMAL, check_added};
    use super::*;
    use crate::control::config::read_with;
    use crate::smtp::sasl::Secret;

    /// User, nodes, database.
    type Parts<'a> = (&'a str, &'a [(&'a str, u16)], u16);

    #[track_caller]
    fn check_address(text: &str, want: Result<Parts<'_>, &str>) {
        let read = address(text).expect("an address");
        let read = read.map(|it| (it.user.unwrap_or_default(), it.nodes, it.database));
        let nodes =
            |nodes: &[(&str, u16)]| nodes.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect();
        let want = want.map(|(user, list, database)| (user.to_owned(), nodes(list), database));
        assert_eq!(read, want.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn addresses_are_read() {
        check_address("redis://127.0.0.1", Ok(("", &[("127.0.0.1", 6379)], 0)));
        check_address("redis://ann@r.example:7000/3", Ok(("ann", &[("r.example", 7000)], 3)));
        check_address("rediss://[::1]:7000/", Ok(("", &[("::1", 7000)], 0)));
        check_address("rediss://[::1]", Ok(("", &[("::1", 6379)], 0)));
        let two = &[("a.example", 1), ("10.0.0.2", 6379)];
        check_address("redis+cluster://a.example:1,10.0.0.2", Ok(("", two, 0)));
        check_address("redis://a,b", Err("one server, or of a cluster: redis+cluster://"));
        check_address("redis+cluster://a/1", Err("a cluster has no databases but 0"));
        check_address("redis://a:0", Err("`a:0` is not host:port"));
        check_address("redis://", Err("`` is not host:port"));
        check_address("redis://[::1]x", Err("`[::1]x` is not host:port"));
        check_address("redis://a/x", Err("`x` is no number"));
        for text in ["redis:a", "memory", "http://a", "redis"] {
            assert_eq!(address(text), None, "{text}");
        }
    }

    const FILES: Files = Files(&[("secret", b"pencil\n"), ("empty", b"\n")]);

    fn shared_of(section: &str) -> Result<Arc<SharedStore>, Vec<String>> {
        let text = format!("{MINIMAL}[store]\n{section}");
        let read = read_with("p.toml", &text, &FILES).map_err(|rejected| rejected.0)?;
        Ok(read.store.shared.expect("a shared one"))
    }

    #[test]
    fn all_of_it_is_read() {
        let read = shared_of(
            "backend = \"redis+cluster://ann@10.0.0.1:7000\"\npassword_file = \"secret\"\nin_clear = true\n\
             prefix = \"p1:\"\ntimeout = \"90ms\"\nmachines = 7\n",
        );
        let want = SharedStore {
            nodes: vec![("10.0.0.1".to_owned(), 7000)],
            is_cluster: true,
            tls: None,
            user: Some("ann".to_owned()),
            password: Some(Secret::new(b"pencil")),
            database: 0,
            prefix: "p1:".to_owned(),
            timeout: Duration::from_millis(90),
            machines: 7,
        };
        assert_eq!(read, Ok(Arc::new(want)));
        let plain = shared_of("backend = \"redis://10.0.0.1\"\n").unwrap();
        assert_eq!(
            (plain.prefix.as_str(), plain.timeout.as_millis(), &plain.password),
            ("postern:", 500, &None)
        );
        // This machine hears its own password.
        shared_of("backend = \"redis://[::1]\"\npassword_file = \"secret\"\n").unwrap();
    }

    /// What `appliance/postern.toml` shows of it.
    #[test]
    fn the_shipped_example_is_accepted() {
        let shipped = include_str!("../../../appliance/postern.toml");
        let begin = shipped.find("# Several machines that take mail").unwrap();
        let shown = shipped[begin..].lines().take_while(|line| !line.is_empty());
        let lines: Vec<_> = shown.filter_map(|line| line.strip_prefix("#   ")).collect();
        let lines = lines.join("\n").replace("[store]\n", "").replace("redis.password", "secret");
        let read = shared_of(&lines).unwrap();
        assert_eq!(
            (read.user.as_deref(), read.password.is_some(), read.prefix.as_str()),
            (Some("ann"), true, PREFIX)
        );
        assert_eq!(read.timeout, TIMEOUT_DEFAULT);
    }

    #[test]
    fn faults_are_told_and_no_password_in_them() {
        for (text, wanted) in [
            (
                "backend = \"redis://:pencil@h\"\n",
                "12:11: a password does not stand here: write it into a file",
            ),
            ("backend = \"redis://u:pencil@h\"\n", "12:11: a password does not stand here"),
            (
                "backend = \"reddis://u:pencil@h\"\n",
                "12:11: `reddis` is not known here: \"memory\", \"redis://",
            ),
            (
                "backend = \"redis://h\"\npath = \"x\"\n",
                "13:8: with this backend nothing is kept on disk here",
            ),
            (
                "backend = \"redis://h\"\nentries = 500\n",
                "13:11: the shared store says itself how much it keeps",
            ),
            ("prefix = \"x\"\n", "12:10: says something of a store in Redis only"),
            ("backend = \"redis://h\"\nprefix = \"{x}\"\n", "13:10: at most 64 letters"),
            ("backend = \"redis://h\"\ntimeout = \"2s\"\n", "13:11: 2s is out of range: 10ms to 1s"),
            ("backend = \"redis://u@h\"\n", "12:11: a user has a password: name its file"),
            ("backend = \"redis://h\"\nca = \"x\"\n", "13:6: nobody shows a certificate without TLS"),
            (
                "backend = \"redis://h\"\npassword_file = \"secret\"\n",
                "13:17: the password would go in clear",
            ),
            (
                "backend = \"redis://[::1]\"\npassword_file = \"empty\"\n",
                "13:17: password_file /etc/postern/empty",
            ),
        ] {
            let told = shared_of(text).unwrap_err();
            assert!(told.len() == 1 && told[0].contains(wanted), "{text}: {told:?}");
            assert!(!told[0].contains("pencil"), "{told:?}");
        }
        let unsure = "12:11: authorities /etc/ssl/certs/ca-certificates.crt: there is no folder to look for it; name a file \
                      with `ca`";
        check_added("[store]\nbackend = \"rediss://h\"\n", &[unsure]);
    }
}
