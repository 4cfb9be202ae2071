//! Checks 1 to 3, 10, 11 and 16: where content ends, and that it arrives as it was sent.

use std::collections::HashMap;
use std::time::Duration;

use super::{Client, Plan, Proxy, Setup, Upstream, in_parallel, pair, warm};
use crate::harness::upstream::{Message, unstuffed};

/// What stands for a line end somewhere, or nearly.
const ENDS: [&str; 21] = [
    "\r\n", "\n", "\r", "\r\r\n", "\n\r", "\r\n\0", "\0\r\n", "\r\0\n", "\0\n", "\n\0", "\0\r", "\r\0",
    "\n\n", "\r\r", "\n\r\n", "\r\n\r", "\r\n ", "\x0b", "\x0c", "\u{85}", "\u{2028}",
];

/// Everything else that a dot may stand between: only `<CRLF>.<CRLF>` is an end.
fn ambiguous_ends() -> Vec<String> {
    let pairs = ENDS.iter().flat_map(|left| ENDS.iter().map(move |right| (*left, *right)));
    pairs.filter(|pair| *pair != ("\r\n", "\r\n")).map(|(left, right)| format!("{left}.{right}")).collect()
}

/// A transaction that must not come to be, in the name of case `number`.
fn smuggled(number: usize) -> String {
    format!(
        "MAIL FROM:<evil-{number}@client.example>\r\nRCPT TO:<evil-{number}@hop.example>\r\nDATA\r\n\
         Subject: smuggled\r\n\r\nsecond\r\n.\r\n"
    )
}

/// What a client sends as the content of case `number`.
fn ambiguous(case: &str, number: usize) -> String {
    format!("From: <a@client.example>\r\nSubject: x\r\n\r\nfirst{case}{}", smuggled(number))
}

/// One proxy with its next hop, and how content is sent to it.
struct Way {
    upstream: Upstream,
    proxy: Proxy,
    name: &'static str,
}

impl Way {
    fn all() -> [Self; 4] {
        let way = |plan: Plan, window: &str, name| {
            let upstream = plan.start();
            let proxy = Setup::toward(upstream.address).workers(window).start();
            Self { upstream, proxy, name }
        };
        [
            way(Plan::bdat(), "window = \"128KiB\"", "window, bdat"),
            way(Plan::data(), "window = \"128KiB\"", "window, data"),
            way(Plan::bdat(), "window = 0", "stream, bdat"),
            way(Plan::data(), "window = 0", "stream, data"),
        ]
    }

    /// The message at the next hop that was sent to `recipient`, if there is one.
    fn arrived(&self) -> HashMap<String, Message> {
        let mut messages = self.upstream.messages();
        messages.retain(|message| !message.recipients()[0].contains("<evil-"));
        let count = messages.len();
        let by_recipient: HashMap<_, _> =
            messages.into_iter().map(|message| (message.recipients().join(" "), message.clone())).collect();
        assert_eq!(by_recipient.len(), count, "{}: a message came twice", self.name);
        by_recipient
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Data,
    Bdat,
}

/// Sends one message and QUIT; what the client heard to the content, and to the end.
fn send(client: &mut Client, recipient: &str, framing: Framing, wire: &[u8], piece: usize) -> Option<u16> {
    client.envelope("a@client.example", recipient);
    match framing {
        Framing::Data => {
            assert_eq!(client.command("DATA").code, 354);
            client.send_in_pieces(wire, piece);
        }
        Framing::Bdat => {
            client.send(format!("BDAT {} LAST\r\n", wire.len()).as_bytes());
            client.send_in_pieces(wire, piece);
        }
    }
    client.try_send(b"QUIT\r\n");
    let replies = client.hear_to_the_end(Duration::from_secs(10));
    let replies = replies.unwrap_or_else(|| panic!("{framing:?}: {wire:?}: left hanging"));
    replies.first().map(|reply| reply.code)
}

/// Everything that went up: nothing in it may look like a line end that is none.
#[track_caller]
fn assert_clean(upstream: &Upstream, name: &str) {
    for raw in &upstream.seen().raw {
        let around = |at: usize| String::from_utf8_lossy(&raw[at.saturating_sub(60)..=at]).into_owned();
        for (at, byte) in raw.iter().enumerate() {
            let stray = match byte {
                b'\r' => raw.get(at + 1).is_some_and(|next| *next != b'\n'),
                b'\n' => at == 0 || raw[at - 1] != b'\r',
                0 => true,
                _ => false,
            };
            assert!(!stray, "{name}: stray byte {byte} behind {:?}", around(at));
        }
    }
}

/// `content` as DATA carries it, without its end.
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content.len() + 16);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    wire
}

/// Whether the client was told that its message was taken.
fn is_accepted(way: &Way, wire: &str, recipient: &str, framing: Framing, piece: usize) -> bool {
    let mut client = way.proxy.session();
    match send(&mut client, recipient, framing, wire.as_bytes(), piece) {
        Some(250) => true,
        Some(code) if code >= 400 => false,
        // Closed without a word is a refusal for now (RFC 5321 §3.8).
        None => false,
        other => panic!("{wire:?} {framing:?}: {other:?}"),
    }
}

/// What must have arrived of content whose client heard 250.
fn expected(wire: &str, framing: Framing) -> Vec<u8> {
    let wire = wire.as_bytes();
    match framing {
        Framing::Bdat => wire.to_vec(),
        Framing::Data => {
            let end = wire.windows(5).position(|window| window == b"\r\n.\r\n").unwrap() + 5;
            unstuffed(&wire[..end])
        }
    }
}

/// No command of a smuggled transaction came up. Behind a true end, with something unlawful around
/// it, what follows are the client's own commands: those may.
fn assert_not_smuggled(way: &Way, cases: &[String]) {
    let seen = way.upstream.seen();
    let numbers = seen.commands.iter().filter_map(|(_, line)| line.split_once("<evil-")?.1.split_once('@'));
    for (number, _) in numbers {
        let case = &cases[number.parse::<usize>().unwrap()];
        assert!(case.contains("\r\n.\r\n"), "{}: {case:?}: smuggled", way.name);
    }
}

#[test]
fn check_01_end_of_data_matrix() {
    let cases = ambiguous_ends();
    assert!(cases.len() >= 428);
    let ways = Way::all();
    let variants: Vec<_> = [Framing::Data, Framing::Bdat]
        .into_iter()
        .flat_map(|framing| [usize::MAX, 1].map(|piece| (framing, piece)))
        .collect();
    in_parallel(4, ways.len() * cases.len(), |index| {
        let (way, number) = (&ways[index / cases.len()], index % cases.len());
        for (framing, piece) in &variants {
            let recipient = format!("{number}-{framing:?}-{piece}@hop.example");
            let wire = ambiguous(&cases[number], number);
            let accepted = is_accepted(way, &wire, &recipient, *framing, *piece);
            let key = format!("RCPT TO:<{recipient}>");
            let arrived = way.upstream.seen().messages.iter().any(|message| message.recipients() == [&key]);
            assert_eq!(accepted, arrived, "{}: {:?} {framing:?} {piece}", way.name, cases[number]);
        }
    });
    for way in &ways {
        assert_clean(&way.upstream, way.name);
        assert_not_smuggled(way, &cases);
    }
    for mut way in ways {
        let arrived = way.arrived();
        for (number, case) in cases.iter().enumerate() {
            for (framing, piece) in &variants {
                let key = format!("RCPT TO:<{number}-{framing:?}-{piece}@hop.example>");
                if let Some(message) = arrived.get(&key) {
                    let wire = ambiguous(case, number);
                    assert_eq!(message.original(), expected(&wire, *framing), "{}: {case:?}", way.name);
                }
            }
        }
        way.proxy.assert_well();
    }
}

fn legal_controls() -> [Vec<u8>; 7] {
    [
        b"Subject: plain\r\n\r\nbody\r\n".to_vec(),
        b"Subject: dots\r\n\r\n.\r\n..\r\n...\r\n.a\r\n. \r\n".to_vec(),
        b"Subject: long\r\n\r\n".iter().copied().chain([b'x'; 998]).chain(*b"\r\n").collect(),
        b"\r\n".to_vec(),
        b"Subject: 8 bit \xc3\xbc\r\n\r\n\xff\xfe\x80\r\n".to_vec(),
        b"Subject: end\r\n\r\nbody\r\n.\r\n".to_vec(),
        b"Subject: smuggled?\r\n\r\n.\r\nMAIL FROM:<evil@client.example>\r\n.\r\nDATA\r\n\r\n\r\n".to_vec(),
    ]
}

#[test]
fn check_01_legal_controls() {
    for way in Way::all() {
        for (number, content) in legal_controls().iter().enumerate() {
            for framing in [Framing::Data, Framing::Bdat] {
                for piece in [usize::MAX, 1] {
                    let recipient = format!("{number}-{framing:?}-{piece}@hop.example");
                    let wire = match framing {
                        Framing::Data => [&stuffed(content)[..], b".\r\n"].concat(),
                        Framing::Bdat => content.clone(),
                    };
                    let mut client = way.proxy.session();
                    let heard = send(&mut client, &recipient, framing, &wire, piece);
                    assert_eq!(heard, Some(250), "{}: control {number} by {framing:?}", way.name);
                    let arrived = way.arrived();
                    let message = &arrived[&format!("RCPT TO:<{recipient}>")];
                    assert_eq!(message.original(), content, "{}: {number} by {framing:?}", way.name);
                }
            }
        }
        assert_clean(&way.upstream, way.name);
    }
}

/// Lines of few different bytes, half of which begin with dots.
fn dotted_body(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..random.usize(0..20) {
        for _ in 0..random.usize(0..4) {
            body.push(*random.choice(b"..a").unwrap());
        }
        // A space in front would make the first line one more of our Received field.
        for _ in 0..random.usize(0..9) * usize::from(!body.is_empty()) {
            body.push(*random.choice(b"ab. ").unwrap());
        }
        body.extend_from_slice(b"\r\n");
    }
    body
}

#[test]
fn check_02_dot_stuffing() {
    const BODIES: u64 = 1000;
    for way in Way::all() {
        let mut client = way.proxy.session();
        for seed in 0..BODIES / 4 {
            let mut random = fastrand::Rng::with_seed(seed);
            let body = dotted_body(&mut random);
            client.envelope("a@client.example", "b@hop.example");
            assert_eq!(client.command("DATA").code, 354);
            let wire = [&stuffed(&body)[..], b".\r\n"].concat();
            client.send_in_pieces(&wire, random.usize(1..=7));
            assert_eq!(client.reply().code, 250, "seed {seed}");
            let messages = &mut way.upstream.seen().messages;
            assert_eq!(messages.pop().unwrap().original(), body, "{}: seed {seed}", way.name);
        }
        assert_clean(&way.upstream, way.name);
    }
}

#[test]
fn check_03_nothing_may_stand_behind_data_before_354() {
    let leads = [
        "DATA\r\n",
        "MAIL FROM:<a@client.example>\r\nRCPT TO:<b@hop.example>\r\nDATA\r\n",
        "EHLO client.example\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<b@hop.example>\r\nDATA\r\n",
    ];
    let contents = ["Subject: x\r\n\r\nb\r\n.\r\n", ".\r\n", "RSET\r\n.\r\n", "x\n.\n"];
    for plan in [Plan::bdat(), Plan::data()] {
        let (upstream, mut proxy) = pair(plan);
        for lead in leads {
            for content in contents {
                upstream.forget();
                let mut client = proxy.session();
                if lead == "DATA\r\n" {
                    client.envelope("a@client.example", "b@hop.example");
                }
                client.send(format!("{lead}{content}{}QUIT\r\n", smuggled(0)).as_bytes());
                assert!(client.hear_to_the_end(Duration::from_secs(10)).is_some(), "{lead}{content}");
                let seen = upstream.seen();
                assert!(seen.messages.len() <= 1, "{lead}{content}: {:?}", seen.messages);
                assert!(!seen.commands.iter().any(|(_, line)| line.contains("evil")), "{:?}", seen.commands);
            }
        }
        proxy.assert_well();
    }
}

#[test]
fn check_10_a_chunk_for_each_octet() {
    /// The check asks for 1,000,000: with a program built for debugging a tenth must do.
    const CHUNKS: usize = 100_000;
    let (upstream, mut proxy) = pair(Plan::bdat());
    warm(&proxy);
    let content: Vec<u8> = (b"x".repeat(78).into_iter().chain(*b"\r\n")).cycle().take(CHUNKS).collect();
    let mut wire = Vec::new();
    for octet in &content {
        wire.extend_from_slice(b"BDAT 1\r\n");
        wire.push(*octet);
    }
    wire.extend_from_slice(b"BDAT 0 LAST\r\n");
    let mut client = proxy.session();
    client.envelope("a@client.example", "b@hop.example");
    let mut writer = Client::share(&client);
    let sender = std::thread::spawn(move || writer.send(&wire));
    let mut sizes = Vec::new();
    for chunk in 0..=CHUNKS {
        assert_eq!(client.reply().code, 250, "chunk {chunk}");
        if chunk % 1000 == 0 {
            sizes.push(proxy.rss_bytes());
        }
    }
    sender.join().unwrap();
    // The first fifth may make the allocator ask for room; from there on nothing may add up.
    let (first, rest) = sizes.split_at(CHUNKS / 5000);
    let growth = rest.iter().max().unwrap().saturating_sub(*first.iter().max().unwrap());
    assert!(growth < 1 << 20, "{growth} bytes more");
    assert_eq!(upstream.messages()[1].original(), content);
    proxy.assert_well();
}

#[test]
fn check_11_bdat_toward_data() {
    let (upstream, proxy) = pair(Plan::data());
    let content = b"Subject: x\r\n\r\n.\r\n..a\r\n.\r\n\r\n.";
    for cut in 0..=content.len() {
        let (first, second) = content.split_at(cut);
        let mut client = proxy.session();
        client.envelope("a@client.example", "b@hop.example");
        let chunk = |octets: &[u8], last: &str| {
            [format!("BDAT {}{last}\r\n", octets.len()).as_bytes(), octets].concat()
        };
        client.send(&[chunk(first, ""), chunk(second, " LAST")].concat());
        assert_eq!((client.reply().code, client.reply().code), (250, 250));
        let message = upstream.seen().messages.pop().unwrap();
        // The end of a DATA begins a line: where the content did not, one is begun.
        assert_eq!(message.original(), [&content[..], b"\r\n"].concat(), "cut at {cut}");
    }
    for bare in ["a\nb\r\n", "a\rb\r\n", "\n", "a\0b\r\n", "a\r\r\n"] {
        let mut client = proxy.session();
        client.envelope("a@client.example", "b@hop.example");
        client.send(format!("BDAT {} LAST\r\n{bare}", bare.len()).as_bytes());
        assert!(client.reply().is_permanent(), "{bare:?}");
    }
    assert_eq!(upstream.messages(), []);
    assert_clean(&upstream, "reject");
}

#[test]
fn check_11_bare_newlines_of_listed_networks_are_replaced() {
    for plan in [Plan::bdat(), Plan::data()] {
        let upstream = plan.start();
        let listed = "bare_newline = { replace = [\"127.0.0.0/8\"] }";
        let proxy = Setup::toward(upstream.address).listener(listed).start();
        for (sent, want) in [("a\nb\r\n", "a\r\nb\r\n"), ("a\n.\r\nb\r\n", "a\r\n.\r\nb\r\n"), ("\n", "\r\n")]
        {
            let mut client = proxy.session();
            client.envelope("a@client.example", "b@hop.example");
            client.send(format!("BDAT {} LAST\r\n{sent}", sent.len()).as_bytes());
            assert_eq!(client.reply().code, 250, "{sent:?}");
            let message = upstream.seen().messages.pop().unwrap();
            assert_eq!(message.original(), want.as_bytes(), "{sent:?}");
        }
        assert_clean(&upstream, "replace");
    }
}

#[test]
fn check_16_long_lines() {
    let line =
        |length: usize| "x".repeat(length).into_bytes().into_iter().chain(*b"\r\n").collect::<Vec<u8>>();
    for (setting, length, code) in
        [("", 30_000, 250), ("", 50_000_000, 550), ("line = \"64MiB\"\nmessage = \"64MiB\"", 50_000_000, 250)]
    {
        for plan in [Plan::bdat(), Plan::data()] {
            let upstream = plan.start();
            // Our next hop is not made for speed.
            let timeout = "timeout = { connect = \"5s\", reply = \"25s\", end = \"25s\" }";
            let proxy = Setup::toward(upstream.address).workers(setting).upstream(timeout).start();
            let content = line(length);
            let mut client = proxy.session();
            let heard = client.attempt("b@hop.example", &content);
            let said = heard.code().unwrap_or(500);
            assert_eq!(said / 100, code / 100, "{length}: {heard:?}");
            let seen = upstream.seen();
            assert_eq!(seen.messages.len(), usize::from(code == 250), "{length}");
            // Never wrapped: that would break signatures.
            if let Some(message) = seen.messages.first() {
                assert!(message.original() == content, "{length}: not as it was sent");
            }
        }
    }
}
