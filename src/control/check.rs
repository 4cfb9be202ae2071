//! `postern check`: what a configuration means, and what it may cost.

use std::fmt::{self, Write};
use std::io::{self, IsTerminal, Write as _};
use std::process::ExitCode;

use super::{boot, check_patterns, descriptors};
use crate::limits::{Holder, WorkerSize, worker_descriptors, worker_memory};
use crate::policy::settings::{Config, Upstream};
use crate::reactor::cpu::Place;
use crate::scan::Rules;
use crate::sender::header_section::SECTION_BYTES_MAX;
use crate::service::lender::Lender;
use crate::service::notice::say;
use crate::tls::session::HANDSHAKE_BYTES_MAX;
use crate::traffic::bank::Bank;
use crate::traffic::limit::Amount;
use crate::traffic::limiter::Limiter;

/// What the configuration allows one worker.
pub fn worker_size(config: &Config) -> WorkerSize {
    WorkerSize {
        connections: config.workers.connections,
        window_budget: config.workers.window_budget,
        recipients: usize::try_from(config.workers.recipients).unwrap_or(usize::MAX),
        conduct_entries: config.conduct.entries,
        upstream_connections: config.upstreams.iter().map(|upstream| upstream.pool.max).sum(),
    }
}

/// Descriptors of one worker.
pub fn descriptors(config: &Config) -> usize {
    let listeners = config.listeners.iter().map(|listener| listener.addresses.len()).sum();
    worker_descriptors(worker_size(config), listeners)
}

/// Prints what the configuration means and costs; 1 if its patterns cost more than they may.
pub fn main(config: &Config) -> ExitCode {
    let (mut text, mut over) = (sheet(config), Vec::new());
    if let Some(engine) = config.engine.as_ref().filter(|engine| !engine.rules().patterns().is_empty()) {
        over = patterns(config, engine.rules(), &mut text);
    }
    if io::stdout().write_all(text.as_bytes()).is_err() {
        return ExitCode::from(1);
    }
    for line in &over {
        say(format_args!("over the budget: {line}"));
    }
    if over.is_empty() {
        return ExitCode::SUCCESS;
    }
    say(format_args!("make these patterns cheaper, or set `budget` in [inspect] higher"));
    ExitCode::from(1)
}

/// Appends the cost of patterns; says what is over the budget.
fn patterns(config: &Config, rules: &Rules, text: &mut String) -> Vec<String> {
    let watched = io::stderr().is_terminal();
    let mut progress = |done: usize, all: usize| {
        if watched {
            let end = if done == all { "\r\x1b[K" } else { "" };
            // If standard error is gone nobody waits.
            let _ = write!(io::stderr(), "\rmeasuring pattern {done} of {all}{end}");
        }
    };
    let sheet = check_patterns::measure(rules, &mut progress);
    let budget = check_patterns::budget(config.inspect.budget_ns);
    // Writing to a String cannot fail.
    let _ = check_patterns::write(text, &sheet, rules, budget);
    sheet.over_budget(budget, rules.patterns())
}

/// The summary and the cost sheet, for people.
pub fn sheet(config: &Config) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = summary(&mut out, config);
    let _ = costs(&mut out, config);
    out
}

fn summary(out: &mut String, config: &Config) -> fmt::Result {
    writeln!(out, "no fault\n")?;
    writeln!(out, "hostname  {}", config.hostname)?;
    for listener in &config.listeners {
        let addresses: Vec<_> = listener.addresses.iter().map(ToString::to_string).collect();
        writeln!(out, "listener  {}: {}", listener.name, addresses.join(", "))?;
    }
    for upstream in &config.upstreams {
        writeln!(out, "upstream  {}", described(upstream))?;
    }
    match config.admin {
        Some(address) => writeln!(out, "admin     {address}")?,
        None => writeln!(out, "admin     off")?,
    }
    if let Some(quarantine) = &config.quarantine {
        let size = usize::try_from(quarantine.bytes_max).unwrap_or(usize::MAX);
        writeln!(out, "kept in   {}, at most {}", quarantine.path.display(), bytes(size))?;
    }
    limits(out, config)?;
    writeln!(out, "snapshot  {}", config.hash)?;
    if is_open(config) {
        writeln!(
            out,
            "note      route \"*\" relays for whoever can reach a listener: let only your own clients do so"
        )?;
    }
    let by_mx = config.upstreams.iter().any(|upstream| upstream.mx.is_some());
    if by_mx && !config.sender.as_ref().is_some_and(|sender| sender.validates) {
        writeln!(
            out,
            "note      TLSA records (DANE) count for nothing: no resolver that validates ([sender] validates)"
        )?;
    }
    Ok(())
}

/// Whether a stranger might relay anywhere.
fn is_open(config: &Config) -> bool {
    let mut addresses = config.listeners.iter().flat_map(|listener| &listener.addresses);
    config.routes.takes_everybody() && addresses.any(|address| !address.ip().is_loopback())
}

fn described(upstream: &Upstream) -> String {
    let named: Vec<_> = upstream.servers.iter().map(|server| server.address.to_string()).collect();
    let servers = match &upstream.mx {
        Some(mx) => format!("the recipient's MX hosts, port {}", mx.port),
        None => named.join(", "),
    };
    let pool = &upstream.pool;
    format!("{}: {servers} (warm {}, max {} per worker)", upstream.name, pool.warm, pool.max)
}

/// What TLS and inquiries about senders add, where there are any.
fn of_trust(config: &Config, size: WorkerSize) -> Vec<Holder> {
    let clients = config.listeners.iter().any(|listener| listener.tls.policy().is_some());
    let servers = config.upstreams.iter().any(|upstream| upstream.tls.toward_server().is_some());
    let count = |some: bool, count| if some { count } else { 0 };
    let tls = count(clients, size.connections) + count(servers, size.upstream_connections);
    let sections = count(config.sender.is_some(), size.upstream_connections);
    let holders = [
        Holder { name: "handshakes that are not over", count: tls, each: HANDSHAKE_BYTES_MAX },
        Holder { name: "header sections of senders", count: sections, each: SECTION_BYTES_MAX },
    ];
    holders.into_iter().filter(|holder| holder.count > 0).collect()
}

/// Keys of limits: of each worker, and once in the bank that lends to all of them.
fn of_limits(config: &Config) -> Option<[Holder; 2]> {
    let limits = &config.policy.limits;
    let sum = |bytes: fn(usize) -> usize| limits.iter().map(|limit| bytes(limit.entries)).sum::<usize>();
    // What the bank itself has on lease, and what it knows of the store's buckets.
    let of_store = if config.store.shared.is_some() { sum(Lender::bytes) } else { 0 };
    let holders = [
        Holder { name: "tokens of limits", count: 1, each: sum(Limiter::bytes) },
        Holder { name: "the bank of tokens", count: 1, each: sum(Bank::bytes) + of_store },
    ];
    (!limits.is_empty()).then_some(holders)
}

/// What a limit says, and how exactly that holds.
fn limits(out: &mut String, config: &Config) -> fmt::Result {
    let workers = boot::cpus(config).map_or(1, |cpus| cpus.len() as u64);
    let mut shared = config.policy.limits.clone();
    shared.workers = workers;
    for limit in shared.iter() {
        let amount = match limit.amount {
            Amount::Rate { tokens, per, burst } => {
                format!("{tokens} in {}s, {burst} at once", per.as_secs())
            }
            Amount::Concurrent { max } => format!("{max} at a time"),
        };
        let error = shared.error(limit);
        let machines = match shared.machines_of(limit) {
            1 => String::new(),
            machines => format!("{machines} machines of "),
        };
        writeln!(
            out,
            "limit     {}: {amount}, more or less {error} ({machines}{workers} workers)",
            limit.name
        )?;
    }
    Ok(())
}

fn costs(out: &mut String, config: &Config) -> fmt::Result {
    let size = worker_size(config);
    let mut holders = worker_memory(size).to_vec();
    if let Some(engine) = &config.engine {
        holders.extend(check_patterns::holders(engine, size.upstream_connections));
    }
    holders.extend(of_trust(config, size));
    let of_limits = of_limits(config);
    holders.extend(of_limits.iter().map(|[leases, _]| *leases));
    writeln!(out, "\nmemory of one worker at its worst")?;
    for holder in &holders {
        writeln!(out, "{}", row(holder))?;
    }
    let one = holders.iter().map(Holder::bytes).fold(0, usize::saturating_add);
    writeln!(out, "  {:<32}{:>37}", "sum", bytes(one))?;
    match boot::cpus(config) {
        Ok(cpus) => {
            let all = one.saturating_mul(cpus.len());
            writeln!(out, "  {:<32}{:>37}", format!("all {} workers", cpus.len()), bytes(all))?;
            if let Some([_, bank]) = &of_limits {
                writeln!(out, "{}", row(bank))?;
            }
            let files = descriptors::needed(config, cpus.len());
            writeln!(out, "\nopen files needed                 {files:>37}")?;
            places(out, &cpus)
        }
        Err(error) => writeln!(out, "\nnote: {error}"),
    }
}

/// Workers with the same core are siblings.
fn places(out: &mut String, cpus: &[Place]) -> fmt::Result {
    writeln!(out, "\nworkers")?;
    for (worker, Place { cpu, core, node }) in cpus.iter().enumerate() {
        writeln!(out, "  {worker} on CPU {cpu} (core {core}, node {node})")?;
    }
    Ok(())
}

fn row(holder: &Holder) -> String {
    let product = format!("{} x {}", holder.count, bytes(holder.each));
    format!("  {:<32}{product:>22}{:>15}", holder.name, bytes(holder.bytes()))
}

/// With one digit after the point, in the largest unit that leaves a whole part.
pub(super) fn bytes(count: usize) -> String {
    const UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, unit)| count >= *unit) {
        Some((name, unit)) => format!("{}.{} {name}", count / unit, count % unit * 10 / unit),
        None => format!("{count} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::config::read;

    #[test]
    fn the_sheet_names_each_holder_and_the_sum() {
        let config = read("demo.toml", include_str!("../../appliance/demo.toml")).unwrap();
        let text = sheet(&config);
        for holder in worker_memory(worker_size(&config)) {
            assert!(text.contains(holder.name), "{text}");
        }
        for wanted in ["no fault", "sum", "open files needed", "127.0.0.1:2525", &config.hash] {
            assert!(text.contains(wanted), "{text}");
        }
    }

    #[test]
    fn each_worker_has_its_place() {
        let mut text = String::new();
        places(&mut text, &[Place { cpu: 2, core: 2, node: 0 }, Place { cpu: 6, core: 2, node: 0 }]).unwrap();
        assert_eq!(text, "\nworkers\n  0 on CPU 2 (core 2, node 0)\n  1 on CPU 6 (core 2, node 0)\n");
        let demo = read("demo.toml", include_str!("../../appliance/demo.toml")).unwrap();
        assert!(sheet(&demo).contains("\nworkers\n  0 on CPU "));
    }

    #[test]
    fn inquiries_are_on_the_sheet_where_there_are_any() {
        let demo = include_str!("../../appliance/demo.toml");
        let name = "header sections of senders";
        assert!(!sheet(&read("demo.toml", demo).unwrap()).contains(name));
        assert!(sheet(&read("demo.toml", &format!("{demo}\n[sender]\n")).unwrap()).contains(name));
    }

    #[test]
    fn limits_say_how_exact_they_are_and_what_they_take() {
        let demo = include_str!("../../appliance/demo.toml");
        let limit =
            "\n[[limit]]\nname = \"few\"\nkey = \"client.ip\"\ncount = \"messages\"\nrate = \"5/min\"\n";
        let text = sheet(&read("demo.toml", &format!("{demo}{limit}")).unwrap());
        let workers = boot::cpus(&read("demo.toml", demo).unwrap()).unwrap().len();
        let wanted =
            format!("limit     few: 5 in 60s, 5 at once, more or less {workers} ({workers} workers)\n");
        assert!(text.contains(&wanted), "{text}");
        assert!(text.contains("tokens of limits") && text.contains("the bank of tokens"), "{text}");
        assert!(!sheet(&read("demo.toml", demo).unwrap()).contains("tokens"));
    }

    #[test]
    fn limits_of_several_machines_are_less_exact_and_what_is_held_is_each_ones_own() {
        let demo = include_str!("../../appliance/demo.toml");
        let limits = "\n[store]\nbackend = \"redis://127.0.0.1\"\nmachines = 3\n\
                      [[limit]]\nname = \"a\"\nkey = \"client.ip\"\ncount = \"messages\"\nrate = \"1000/min\"\n\
                      [[limit]]\nname = \"b\"\nkey = \"client.ip\"\ncount = \"connections\"\nconcurrent = 320\n";
        let text = sheet(&read("demo.toml", &format!("{demo}{limits}")).unwrap());
        let workers = boot::cpus(&read("demo.toml", demo).unwrap()).unwrap().len() as u64;
        let of_workers = 3 * workers * (1000 / (16 * 3 * workers)).max(1);
        let wanted =
            format!("more or less {} (3 machines of {workers} workers)\n", of_workers + 3 * (1000 / 48));
        assert!(text.contains(&wanted), "{wanted}{text}");
        let held =
            format!("320 at a time, more or less {} ({workers} workers)\n", workers * (320 / (16 * workers)));
        assert!(text.contains(&held), "{held}{text}");
    }

    #[test]
    fn the_folder_of_the_quarantine_is_named() {
        let demo = include_str!("../../appliance/demo.toml");
        let text = format!("{demo}\n[quarantine]\npath = \"/var/q\"\n");
        assert!(sheet(&read("demo.toml", &text).unwrap()).contains("kept in   /var/q, at most 10.0 GiB\n"));
        assert!(!sheet(&read("demo.toml", demo).unwrap()).contains("kept in"));
    }

    #[test]
    fn hosts_that_are_looked_up_are_told() {
        let demo = include_str!("../../appliance/demo.toml");
        let out = "\n[[upstream]]\nname = \"out\"\nservers = \"mx\"\nmx = { mta_sts = false }\n";
        let sheet_of = |more: &str| sheet(&read("demo.toml", &[demo, out, more].concat()).unwrap());
        let plain = sheet_of("");
        assert!(
            plain.contains("out: the recipient's MX hosts, port 25 (warm 0, max 128 per worker)"),
            "{plain}"
        );
        assert!(plain.contains("(DANE) count for nothing"));
        assert!(!sheet_of("[sender]\nvalidates = true\n").contains("(DANE)"));
    }

    #[test]
    fn an_open_relay_is_noted() {
        let demo = include_str!("../../appliance/demo.toml");
        let sheet_of = |text: &str| sheet(&read("demo.toml", text).unwrap());
        assert!(!sheet_of(demo).contains("relays for whoever"));
        assert!(sheet_of(&demo.replace("127.0.0.1:2525", "0.0.0.0:2525")).contains("relays for whoever"));
    }

    #[test]
    fn bytes_are_readable() {
        for (count, want) in
            [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (50 << 20, "50.0 MiB"), (3 << 29, "1.5 GiB")]
        {
            assert_eq!(bytes(count), want);
        }
    }
}
