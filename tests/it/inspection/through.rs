//! Through the real program: what client and next hop see of inspection.
//!
//! * `held`: what a message in flight holds.

mod held;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::signature::{in_base64_lines, in_quoted_printable};
use super::specimen::{DEFLATE, attached, base64_lines, crlf, html, nested, quoted_printable, utf16le, zip};
use super::{SIGNATURE, patterns};
use crate::harness::Folder;
use crate::harness::client::{Client, Heard, Reply};
use crate::harness::proxy::{Proxy, Setup};
use crate::harness::upstream::{Plan, Upstream};

const MIB: usize = 1 << 20;
/// Executables are refused, and what holds the signature.
const RULES: &str = "[score]\ntag = 5.0\nreject = 15.0\n\n[[rule]]\nname = \"no-programs\"\n\
    when = 'attachments.exists(a, a.kind == \"executable\")'\nthen = \"reject\"\n\
    reply = \"5.7.1 no programs here\"\n";

/// The proxy with inspection on, and the folder of its patterns.
struct Inspecting {
    upstream: Upstream,
    proxy: Proxy,
    folder: Folder,
}

impl Inspecting {
    fn new(plan: Plan, sections: impl FnOnce(&Folder) -> String) -> Self {
        let (upstream, folder) = (plan.start(), Folder::new());
        let path = folder.join("patterns.toml");
        fs::write(&path, patterns("\"raw\", \"text\", \"attachment\"")).unwrap();
        let inspect = format!("[inspect]\npatterns = [\"{}\"]\n", path.display());
        let setup = Setup::toward(upstream.address).section(&inspect).section(&sections(&folder));
        let proxy = setup.start();
        Self { upstream, proxy, folder }
    }

    fn refusing(plan: Plan) -> Self {
        Self::new(plan, |_| RULES.to_owned())
    }
}

#[track_caller]
fn assert_refused(reply: &Reply) {
    assert!(reply.is_permanent() && reply.lines[0].starts_with("5.7.1"), "{reply:?}");
}

/// A message in two pieces by DATA; the second one is a segment of its own.
fn in_two_segments(client: &mut Client, content: &[u8], at: usize) -> Reply {
    client.envelope("a@client.example", "b@hop.example");
    assert_eq!(client.command("DATA").code, 354);
    client.send(&content[..at]);
    // So long that the first one is read by itself.
    std::thread::sleep(Duration::from_millis(2));
    client.send(&[&content[at..], b".\r\n"].concat());
    client.reply()
}

/// The reply to the last chunk; or an earlier one that ends it.
fn in_chunks(client: &mut Client, content: &[u8], size: usize) -> (usize, Reply) {
    client.envelope("a@client.example", "b@hop.example");
    let count = content.len().div_ceil(size);
    for (n, chunk) in content.chunks(size).enumerate() {
        let last = if n + 1 == count { " LAST" } else { "" };
        client.send(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes());
        client.send(chunk);
        let reply = client.reply();
        if !reply.is_positive() || n + 1 == count {
            return (n + 1, reply);
        }
    }
    unreachable!("there is a last chunk")
}

fn in_two_chunks(client: &mut Client, content: &[u8], at: usize) -> Reply {
    client.envelope("a@client.example", "b@hop.example");
    client.send(format!("BDAT {at}\r\n").as_bytes());
    client.send(&content[..at]);
    assert_eq!(client.reply().code, 250);
    client.send(format!("BDAT {} LAST\r\n", content.len() - at).as_bytes());
    client.send(&content[at..]);
    client.reply()
}

#[test]
fn a_split_signature_is_refused_272_times() {
    let mut inspecting = Inspecting::refusing(Plan::bdat());
    let mut client = inspecting.proxy.session();
    let head = "Subject: x\r\n\r\nthis is ";
    let content = format!("{head}{SIGNATURE}\r\n").into_bytes();
    for offset in 0..SIGNATURE.len() {
        let at = head.len() + offset;
        assert_refused(&in_two_segments(&mut client, &content, at));
        assert_refused(&client.message("b@hop.example", &in_base64_lines(offset)));
        assert_refused(&client.message("b@hop.example", &in_quoted_printable(offset)));
        assert_refused(&in_two_chunks(&mut client, &content, at));
    }
    assert_eq!(client.message("b@hop.example", b"Subject: y\r\n\r\nclean\r\n").code, 250);
    assert_eq!(inspecting.upstream.messages().len(), 1);
    inspecting.proxy.assert_well();
}

/// A message as a person may send it, each another one.
fn ordinary(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let line = |random: &mut fastrand::Rng| {
        let words = std::iter::repeat_with(|| {
            std::iter::repeat_with(|| random.lowercase()).take(6).collect::<String>()
        });
        words.take(9).collect::<Vec<_>>().join(" ")
    };
    let count = random.usize(1..200);
    let lines: Vec<String> = std::iter::repeat_with(|| line(&mut random)).take(count).collect();
    let text = format!(".{}\n..\n \n", lines.join("\n"));
    let size = random.usize(..60_000);
    let octets: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(size).collect();
    let head =
        format!("From: A <a@client.example>\nSubject: =?utf-8?q?n=C3=B6_{seed}?=\nMIME-Version: 1.0\n");
    match seed % 7 {
        0 => crlf(&format!("{head}\n{text}")),
        1 => crlf(&format!("{head}Content-Type: text/html; charset=utf-8\n\n{}", html(&text))),
        2 => crlf(&format!(
            "{head}Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n{}\n",
            quoted_printable(text.as_bytes())
        )),
        3 => attached("a.zip", &zip("a.txt", text.as_bytes(), DEFLATE)),
        4 => attached("a.bin", &octets),
        5 => nested(&attached("b.bin", &octets), 3),
        _ => crlf(&format!(
            "{head}Content-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64\n\n{}",
            base64_lines(&utf16le(&text), 76)
        )),
    }
}

/// `content` as it goes over DATA.
pub(super) fn stuffed(content: &[u8]) -> Vec<u8> {
    let lines = content.split_inclusive(|octet| *octet == b'\n');
    lines.flat_map(|line| [if line.starts_with(b".") { &b"."[..] } else { b"" }, line].concat()).collect()
}

#[test]
fn what_is_inspected_is_delivered_as_it_came() {
    for plan in [Plan::bdat(), Plan::data()] {
        let mut inspecting = Inspecting::refusing(plan);
        let mut client = inspecting.proxy.session();
        let sent: Vec<Vec<u8>> = (0..100).map(ordinary).collect();
        for (n, content) in sent.iter().enumerate() {
            let reply = match n % 2 {
                0 => client.message("b@hop.example", &stuffed(content)),
                _ => in_chunks(&mut client, content, 10_000).1,
            };
            assert_eq!(reply.code, 250, "message {n}: {reply:?}");
        }
        let messages = inspecting.upstream.messages();
        assert_eq!(messages.len(), sent.len());
        for (n, (message, content)) in messages.iter().zip(&sent).enumerate() {
            assert!(message.original() == content, "message {n} is not what was sent");
        }
        inspecting.proxy.assert_well();
    }
}

/// Ten MiB, and at the end of it the signature.
fn late() -> Vec<u8> {
    let line = "nothing to be seen in this line, nor in any that is like it, as there are many\r\n";
    let head = "Subject: late\r\n\r\n";
    [head, &line.repeat(10 * MIB / line.len()), SIGNATURE, "\r\n"].concat().into_bytes()
}

#[test]
fn a_late_refusal_leaves_nothing_at_the_next_hop_and_both_connections_open() {
    let content = late();
    for (plan, keeps) in [(Plan::bdat(), true), (Plan::data(), false)] {
        let mut inspecting = Inspecting::refusing(plan);
        let mut client = inspecting.proxy.session();
        assert_eq!(client.message("b@hop.example", b"Subject: x\r\n\r\nfirst\r\n").code, 250);
        let sessions = inspecting.upstream.seen().sessions;
        assert_refused(&client.message("b@hop.example", &content));
        assert_refused(&in_chunks(&mut client, &content, MIB).1);
        client.send(b"RSET\r\n");
        assert_eq!(client.reply().code, 250);
        assert_eq!(client.message("b@hop.example", b"Subject: x\r\n\r\nlast\r\n").code, 250);
        let seen = inspecting.upstream.seen();
        assert_eq!(seen.messages.len(), 2, "nothing of it was accepted");
        if keeps {
            assert_eq!((seen.sessions, seen.aborted), (sessions, 0), "the connection serves on");
        }
        drop(seen);
        inspecting.proxy.assert_well();
    }
}

#[test]
fn a_forbidden_kind_is_refused_within_the_second_chunk() {
    let mut inspecting = Inspecting::refusing(Plan::bdat());
    let mut client = inspecting.proxy.session();
    let program = [b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0".to_vec(), vec![0x5a; 36 * MIB]].concat();
    let content = attached("holiday.jpg", &program);
    let (chunks, reply) = in_chunks(&mut client, &content, MIB);
    println!("a file of {} octets: refused in chunk {chunks}", content.len());
    assert_refused(&reply);
    assert!(chunks <= 2, "refused in chunk {chunks}");
    client.send(b"RSET\r\n");
    assert_eq!(client.reply().code, 250);
    assert_eq!(client.message("b@hop.example", b"Subject: x\r\n\r\nlast\r\n").code, 250);
    assert_eq!(inspecting.upstream.messages().len(), 1);
    inspecting.proxy.assert_well();
}

/// How often the program is killed, unless `POSTERN_KILLS` says otherwise; the store by itself is killed at
/// each of its steps elsewhere.
const KILLS: usize = 100;

fn kills() -> usize {
    std::env::var("POSTERN_KILLS").map_or(KILLS, |count| count.parse().unwrap())
}

fn quarantined(seed: u64) -> Vec<u8> {
    let mut content = ordinary(seed);
    content.extend(format!("number {seed} of all\r\n").into_bytes());
    content
}

/// Sends messages until the connection breaks; those that were acknowledged.
fn send_until_killed(proxy: &Proxy, next: &AtomicUsize) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    let Ok(mut client) = std::panic::catch_unwind(|| proxy.session()) else { return acknowledged };
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed) as u64;
        match client.attempt("b@hop.example", &stuffed(&quarantined(seed))) {
            Heard::Reply(reply) if reply.is_positive() => acknowledged.push(seed),
            _ => return acknowledged,
        }
    }
}

/// Kills the program while two clients send; those that were acknowledged.
fn kill_at(instant: Duration, proxy: &Proxy, next: &AtomicUsize) -> Vec<u64> {
    std::thread::scope(|scope| {
        let sending: Vec<_> = (0..2).map(|_| scope.spawn(|| send_until_killed(proxy, next))).collect();
        std::thread::sleep(instant);
        let pid = rustix::process::Pid::from_raw(i32::try_from(proxy.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        sending.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// What is in the store: each message by the number at its end, all of them described.
fn held(folder: &Path) -> BTreeMap<u64, Vec<u8>> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "eml")).collect();
    let described = paths.iter().filter(|path| path.with_extension("json").is_file()).count();
    assert_eq!(described, paths.len(), "each message has its description");
    let numbered = |path: &PathBuf| {
        let content = fs::read(path).unwrap();
        let line = content.trim_ascii_end().rsplit(|octet| *octet == b'\n').next().unwrap();
        let word = line.strip_prefix(b"number ").and_then(|rest| rest.split(|octet| *octet == b' ').next());
        let number = word.and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
        (number.unwrap_or_else(|| panic!("{} is not whole", path.display())), content)
    };
    paths.iter().map(numbered).collect()
}

#[test]
fn what_was_acknowledged_is_in_quarantine_after_kill_9() {
    let mut inspecting = Inspecting::new(Plan::bdat(), |folder| {
        format!(
            "[quarantine]\npath = \"{}\"\n\n[[rule]]\nname = \"all\"\nwhen = 'message.parts > 0'\n\
             then = \"quarantine\"\n",
            folder.join("quarantine").display()
        )
    });
    let (next, kills) = (AtomicUsize::new(0), kills());
    let (mut acknowledged, mut random) = (Vec::new(), fastrand::Rng::with_seed(7));
    for _ in 0..kills {
        let instant = Duration::from_micros(random.u64(20_000..90_000));
        acknowledged.extend(kill_at(instant, &inspecting.proxy, &next));
        inspecting.proxy.kill();
        inspecting.proxy.restart();
    }
    let held = held(&inspecting.folder.join("quarantine"));
    println!("{} acknowledged, {} held, {kills} kills", acknowledged.len(), held.len());
    assert!(acknowledged.len() > kills);
    for seed in acknowledged {
        let whole = held.get(&seed).is_some_and(|held| held.ends_with(&quarantined(seed)));
        assert!(whole, "message {seed} is lost or not whole");
    }
    assert_eq!(inspecting.upstream.messages(), []);
}
