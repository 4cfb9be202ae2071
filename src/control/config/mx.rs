//! `servers = "mx"` of an upstream: servers are found by the domains of recipients.
//!
//! What must always hold: nobody relays to the whole Internet for whoever can reach a listener; a way that
//! can never be proven is a fault, not mail that is deferred for ever.

use ipnet::IpNet;

use super::Outside;
use super::section::set;
use super::tls::{authorities, system_authorities};
use super::unit;
use crate::base::document::{Item, Section};
use crate::policy::mx::Settings;
use crate::policy::settings::{IdentityMode, PoolLimits};
use crate::policy::tls::UpstreamTls;
use crate::tls::client_policy::{Authentication, ClientPolicy};
use crate::tls::trust::Authorities;

/// What such an upstream is called, as `servers` and as name.
pub(super) const MX: &str = "mx";
/// Where mail is taken (RFC 5321 §4.5.4.2), and policies are (RFC 8461 §3.3).
const SMTP_PORT: u16 = 25;
const HTTPS_PORT: u16 = 443;
/// Connections toward one domain, as Postfix has them.
const CONNECTIONS: usize = 20;

#[derive(Debug)]
struct Read {
    port: u16,
    private: Vec<IpNet>,
    mta_sts: bool,
    mta_sts_port: u16,
    connections: usize,
}

/// `item` says `"mx"`; `section` is `mx` beside it.
pub(super) fn settings(
    item: Item<'_>,
    section: Option<Section<'_>>,
    tls: &UpstreamTls,
    pool: &PoolLimits,
    identity: IdentityMode,
    outside: &dyn Outside,
) -> Option<Settings> {
    if identity != IdentityMode::None {
        item.fault("strangers' servers are not told who the client is: identity must be \"none\"");
    }
    if tls.toward_server().is_some_and(|toward| toward.name.is_some() || toward.policy.is_pinned()) {
        item.fault("each domain's hosts have names and keys of their own: `tls` can name none");
    }
    if *tls == UpstreamTls::Off {
        item.fault("mail to the Internet goes under TLS where it can: tls is offer, require, verify or dane");
    }
    let mut read = Read {
        port: SMTP_PORT,
        private: Vec::new(),
        mta_sts: true,
        mta_sts_port: HTTPS_PORT,
        connections: CONNECTIONS.min(pool.max),
    };
    let mut ca = None;
    if let Some(mut section) = section {
        set(&mut read.port, section.item("port").and_then(|item| item.count(1..=65_535)));
        set(&mut read.private, section.item("private").map(|item| item.list(unit::network)));
        set(&mut read.mta_sts, section.item("mta_sts").and_then(Item::flag));
        set(&mut read.mta_sts_port, section.item("mta_sts_port").and_then(|item| item.count(1..=65_535)));
        set(&mut read.connections, section.item("connections").and_then(|item| item.count(1..=100_000)));
        ca = section.item("ca").map(|item| (item, authorities(item, outside)));
        if read.connections > pool.max {
            section.fault_at("connections", format!("more than all connections: pool.max is {}", pool.max));
        }
        section.finish();
    }
    let named = proving(item, ca, read.mta_sts, tls, outside)?;
    let Read { port, private, mta_sts, mta_sts_port, connections } = read;
    Some(Settings { port, private, mta_sts_port: mta_sts.then_some(mta_sts_port), connections, named })
}

/// What sessions with hosts that must prove their name are made from.
fn proving(
    item: Item<'_>,
    ca: Option<(Item<'_>, Option<Authorities>)>,
    mta_sts: bool,
    tls: &UpstreamTls,
    outside: &dyn Outside,
) -> Option<ClientPolicy> {
    let toward = tls.toward_server()?;
    if let UpstreamTls::Verify(toward) = tls {
        if let Some((item, _)) = ca {
            item.fault("with verify the authorities are those of `tls`");
        }
        return Some(toward.policy.clone());
    }
    let authorities = match ca {
        Some((_, authorities)) => authorities?,
        None if mta_sts => system_authorities(item, outside)?,
        // Nothing will have to prove its name.
        None => return Some(toward.policy.clone()),
    };
    let authentication = Authentication::Authorities { authorities, names: Vec::new() };
    toward.policy.with(authentication).map_err(|why| item.fault(why)).ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::accepted;
    use super::super::{Rejected, read};
    use crate::policy::route::Submitter;
    use crate::policy::settings::Config;
    use crate::policy::tls::UpstreamTls;

    const HEAD: &str =
        "hostname = \"mx.example.net\"\n[[listener]]\nname = \"in\"\naddress = [\"127.0.0.1:2525\"]\n";
    const ROUTE: &str = "[[route]]\nrecipient = [\"*\"]\nupstream = \"out\"\nauthenticated = true\n";

    /// An upstream whose servers are looked up, on line 5 and after.
    fn text(upstream: &str, route: &str) -> String {
        format!("{HEAD}[[upstream]]\nname = \"out\"\nservers = \"mx\"\n{upstream}\n{route}")
    }

    #[track_caller]
    fn check(text: &str, wanted: &[&str]) {
        let wanted: Vec<_> = wanted.iter().map(|line| format!("p:{line}")).collect();
        assert_eq!(read("p", text).err(), Some(Rejected(wanted)), "{text}");
    }

    fn route(config: &Config, ip: &str, is_user: bool, domain: &str) -> Option<usize> {
        let who = Submitter { ip: ip.parse().unwrap(), is_user };
        config.routes.route(b"a", domain.as_bytes(), who).map(|index| index.0)
    }

    #[test]
    fn what_is_not_said_has_defaults() {
        let config = accepted(&text("mx = { mta_sts = false }", ROUTE));
        let upstream = &config.upstreams[0];
        let mx = upstream.mx.as_ref().unwrap();
        assert_eq!((mx.port, mx.mta_sts_port, mx.connections, upstream.pool.warm), (25, None, 20, 0));
        assert!(matches!(upstream.tls, UpstreamTls::Offer(_)) && mx.private.is_empty());
        assert!(upstream.is_looked_up() && config.routes_apart());
    }

    #[test]
    fn mail_goes_out_for_some_only() {
        let clients = ROUTE.replace("authenticated = true", "clients = [\"10.0.0.0/8\"]");
        let config = accepted(&text("mx = { mta_sts = false }", &clients));
        assert_eq!(route(&config, "10.0.0.1", false, "example.org"), Some(0));
        assert_eq!(route(&config, "192.0.2.1", true, "example.org"), None);
        let plain = "mx = { mta_sts = false }";
        let open = "anybody could send to anybody: say whose mail goes out, clients = [\"10.0.0.0/8\"] or \
                    authenticated = true";
        check(&text(plain, &ROUTE.replace("authenticated = true", "")), &[&format!("10:13: {open}")]);
        for all in ["0.0.0.0/0", "::/0"] {
            check(&text(plain, &clients.replace("10.0.0.0/8", all)), &[&format!("10:13: {open}")]);
        }
        let nobody = "9:1: it takes nobody's mail: name networks in `clients`, or set authenticated = true";
        check(&text(plain, &ROUTE.replace("= true", "= false")), &[nobody]);
    }

    #[test]
    fn tls_may_depend_on_the_recipient() {
        let first = "[[route]]\nrecipient = [\"bank.example\"]\nupstream = \"store\"\ntls = \"require\"\n";
        let upstream = "[[upstream]]\nname = \"store\"\nservers = [\"127.0.0.1:25\"]\n";
        let second = "[[route]]\nrecipient = [\"*\"]\nupstream = \"store\"\n";
        let config = accepted(&format!("{HEAD}{upstream}{first}{second}"));
        let [plain, variant] = &config.upstreams[..] else { panic!("{:?}", config.upstreams) };
        assert_eq!((plain.name.as_str(), variant.name.as_str()), ("store", "store+1"));
        assert!(plain.tls == UpstreamTls::Off && matches!(variant.tls, UpstreamTls::Require(_)));
        assert_eq!(plain.servers, variant.servers);
        assert_eq!(route(&config, "192.0.2.1", false, "bank.example"), Some(1));
        assert_eq!(route(&config, "192.0.2.1", false, "example.org"), Some(0));
        let wrong = second.replace("\"store\"", "\"store+1\"");
        let told = "14:12: `store+1` is not known here; did you mean `store`?";
        check(&format!("{HEAD}{upstream}{first}{wrong}").replace("[\"*\"]", "[\"x.example\"]"), &[told]);
    }

    #[test]
    fn faults_are_told() {
        let authorities = "7:11: authorities /etc/ssl/certs/ca-certificates.crt: there is no folder to look for \
                           it; name a file with `ca`";
        check(&text("", ROUTE), &[authorities]);
        let plain = |more: &str| text(&format!("mx = {{ mta_sts = false }}\n{more}"), ROUTE);
        let off =
            "7:11: mail to the Internet goes under TLS where it can: tls is offer, require, verify or dane";
        check(&plain("tls = \"off\""), &[off]);
        let told = "7:11: strangers' servers are not told who the client is: identity must be \"none\"";
        check(&plain("identity = \"xforward\""), &[told]);
        let warm = "9:17: servers are looked up when there is mail: warm must be 0";
        check(&plain("pool = { warm = 1 }"), &[warm]);
        let validates = "9:7: dane needs answers that were validated: [sender] validates = true";
        check(&plain("tls = \"dane\""), &[validates]);
        let of_route = format!("{}tls = \"dane\"\n", plain(""));
        check(&of_route, &["14:7: dane needs answers that were validated: [sender] validates = true"]);
        let more = "8:39: more than all connections: pool.max is 128";
        check(&text("mx = { mta_sts = false, connections = 129 }", ROUTE), &[more]);
        let own = "7:11: each domain's hosts have names and keys of their own: `tls` can name none";
        check(&plain("tls = { mode = \"require\", name = \"a.test\" }"), &[own]);
        let named = plain("").replace("\"mx\"", "[\"127.0.0.1:25\"]");
        check(&named, &["8:6: it belongs to servers = \"mx\""]);
        let rule =
            "\n[[rule]]\nname = \"r\"\nwhen = \"true\"\nthen = \"redirect\"\nto = \"out\"\n[inspect]\n";
        let redirect = "19:6: its servers depend on the recipient: redirect to an upstream that names them";
        check(&(plain("") + rule), &[redirect]);
    }

    #[test]
    fn servers_with_a_name_may_be_proven_by_the_dns() {
        let upstream = "[[upstream]]\nname = \"out\"\nservers = [\"127.0.0.1:25\"]\n";
        let with = |tls: &str| format!("{HEAD}{upstream}tls = {tls}\n{ROUTE}[sender]\nvalidates = true\n");
        let config = accepted(&with("{ mode = \"dane\", name = \"mx.example.org\" }"));
        assert!(config.upstreams[0].is_looked_up() && config.upstreams[0].pool.warm == 0);
        let name = "8:7: under which name are the TLSA records? tls = { mode = \"dane\", name = \"mx.example.net\" }";
        check(&with("\"dane\""), &[name]);
    }
}
