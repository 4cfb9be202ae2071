//! Checks 4 to 9 and 12 to 15: commands, their order, their limits, and what is announced.

use super::{At, Client, Do, EXTENSIONS, Heard, Plan, Setup, Step, eventually, pair, warm};
use std::time::Duration;

/// Recipients whose local part is a number divisible by three do not exist.
fn every_third_refused(step: Step<'_>) -> Do {
    let number = step.line.split(['<', '@']).nth(1).and_then(|number| number.parse::<u32>().ok());
    match (step.at, number) {
        (At::Rcpt, Some(number)) if number % 3 == 0 => Do::say("550 5.1.1 no such user"),
        _ => Do::Usual,
    }
}

/// Recipients that begin with `no` do not exist; those that begin with `later` do not yet.
fn some_exist(step: Step<'_>) -> Do {
    match step.at {
        At::Rcpt if step.line.contains("<no") => Do::say("550 5.1.1 no such user"),
        At::Rcpt if step.line.contains("<later") => Do::say("450 4.2.1 not now"),
        _ => Do::Usual,
    }
}

#[test]
fn check_04_pipelining() {
    let (upstream, mut proxy) = pair(Plan::bdat().script(every_third_refused));
    let mut client = proxy.session();
    let mut group = "MAIL FROM:<a@client.example>\r\n".to_owned();
    for number in 1..=100 {
        group += &format!("RCPT TO:<{number}@hop.example>\r\n");
    }
    client.send((group + "DATA\r\n").as_bytes());
    assert_eq!(client.reply().code, 250);
    for number in 1..=100 {
        let want = if number % 3 == 0 { 550 } else { 250 };
        assert_eq!(client.reply().code, want, "recipient {number}");
    }
    assert_eq!(client.reply().code, 354);
    client.send(b"Subject: x\r\n\r\nb\r\n.\r\n");
    assert_eq!(client.reply().code, 250);
    let seen = upstream.await_seen(|seen| seen.messages.len() == 1);
    let accepted = seen.messages[0].recipients().len();
    assert_eq!(accepted, 100, "asked of the next hop");
    drop(seen);
    proxy.assert_well();
}

#[test]
fn check_05_all_recipients_refused_and_data_pipelined() {
    let (upstream, proxy) = pair(Plan::bdat().script(some_exist));
    let mut client = proxy.session();
    client.send(b"MAIL FROM:<a@client.example>\r\nRCPT TO:<no1@h>\r\nRCPT TO:<no2@h>\r\nDATA\r\n");
    let codes: Vec<u16> = (0..4).map(|_| client.reply().code).collect();
    assert_eq!(codes[..3], [250, 550, 550]);
    assert!(matches!(codes[3], 503 | 554), "{codes:?}");
    assert_eq!(client.command("RSET").code, 250);
    assert_eq!(client.message("yes@hop.example", b"Subject: 2\r\n\r\nb\r\n").code, 250);
    assert_eq!(upstream.messages().len(), 1);
    assert_eq!(upstream.messages()[0].original(), b"Subject: 2\r\n\r\nb\r\n");
}

/// Where RFC 5321 and RFC 3030 see a session: the model that the program is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Model {
    Ready,
    Mail,
    /// Recipients were named; whether one was accepted.
    Rcpt(bool),
    Bdat,
    /// The standards leave open what comes now.
    Open,
}

const WORDS: [&str; 14] = [
    "HELO client.example",
    "EHLO client.example",
    "MAIL FROM:<a@client.example>",
    "MAIL FROM:a",
    "RCPT TO:<yes@hop.example>",
    "RCPT TO:<later@hop.example>",
    "RCPT TO:<no@hop.example>",
    "DATA",
    "BDAT 3\r\nx",
    "BDAT 3 LAST\r\nx",
    "RSET",
    "NOOP",
    "VRFY a",
    "XYZZY",
];

/// The codes that may come to a word, and the state behind it.
fn model(state: Model, word: &str) -> (&'static [u16], Model) {
    use Model::{Bdat, Mail, Open, Rcpt, Ready};
    let verb = word.get(..4).unwrap_or(word);
    match (verb, state) {
        ("HELO" | "EHLO" | "RSET", _) => (&[250], Ready),
        ("NOOP", state) => (&[250], state),
        ("VRFY", state) => (&[252], state),
        ("MAIL", state) if word.ends_with(":a") => (&[501, 503, 553, 555], state),
        ("MAIL", Ready) => (&[250], Mail),
        ("RCPT", Mail | Rcpt(_)) => {
            let accepted = state == Rcpt(true);
            match word.as_bytes()[9] {
                b'y' => (&[250], Rcpt(true)),
                b'l' => (&[450], Rcpt(accepted)),
                _ => (&[550], Rcpt(accepted)),
            }
        }
        ("DATA", Rcpt(true)) => (&[354], Ready),
        ("DATA", Rcpt(false)) => (&[503, 554], state),
        ("BDAT", Rcpt(true) | Bdat) => (&[250], if word.contains("LAST") { Ready } else { Bdat }),
        ("BDAT", Rcpt(false)) => (&[503, 554], Open),
        ("BDAT", Mail) => (&[503], Open),
        ("MAIL" | "RCPT" | "DATA" | "BDAT", state) => (&[503], state),
        (_, state) => (&[500, 502], state),
    }
}

/// Says the words of one sequence, each reply held against the model. Returns how many messages
/// were acknowledged.
fn say_sequence(client: &mut Client, words: &[&str]) -> usize {
    let mut state = Model::Ready;
    let mut acknowledged = 0;
    for word in words {
        let (codes, next) = model(state, word);
        let reply = client.command(word);
        assert!(codes.contains(&reply.code), "{words:?}: {word} in {state:?}: {reply:?}, want {codes:?}");
        if reply.code == 354 {
            assert_eq!(client.command("x\r\n.").code, 250, "{words:?}");
            acknowledged += 1;
        }
        acknowledged += usize::from(word.contains("LAST") && reply.code == 250);
        state = next;
        if state == Model::Open {
            break;
        }
    }
    acknowledged
}

#[test]
fn check_05_every_three_commands_as_the_model_has_it() {
    let (upstream, mut proxy) = pair(Plan::bdat().script(some_exist));
    let mut acknowledged = 0;
    for first in WORDS {
        for second in WORDS {
            for third in WORDS {
                acknowledged += say_sequence(&mut proxy.session(), &[first, second, third]);
            }
            // Behind an envelope most words mean something else.
            let words = ["MAIL FROM:<a@client.example>", "RCPT TO:<yes@hop.example>", first, second];
            acknowledged += say_sequence(&mut proxy.session(), &words);
        }
    }
    let seen = upstream.await_seen(|seen| seen.messages.len() >= acknowledged);
    assert_eq!(seen.messages.len(), acknowledged);
    for message in &seen.messages {
        let with = |verb: &str| message.commands.iter().filter(|line| line.starts_with(verb)).count();
        assert_eq!(with("MAIL"), 1, "{:?}", message.commands);
        assert!(with("RCPT") >= 1, "{:?}", message.commands);
    }
    drop(seen);
    proxy.assert_well();
}

#[test]
fn check_06_order_of_commands() {
    let (upstream, proxy) = pair(Plan::bdat());
    let mut client = proxy.session();
    assert_eq!(client.command("RCPT TO:<b@hop.example>").code, 503);
    assert_eq!(client.command("DATA").code, 503);
    assert_eq!(client.command("MAIL FROM:<a@client.example>").code, 250);
    assert_eq!(client.command("DATA").code, 503);
    assert_eq!(client.command("MAIL FROM:<c@client.example>").code, 503);
    assert_eq!(client.command("RCPT TO:<b@hop.example>").code, 250);
    assert_eq!(client.command("EHLO client.example").code, 250);
    assert_eq!(client.command("DATA").code, 503);
    assert_eq!(client.command("RCPT TO:<b@hop.example>").code, 503);
    assert_eq!(upstream.messages(), []);
}

/// What the verdict refuses in this version, at the end of content or in it.
fn refused_contents() -> [(&'static str, Vec<u8>); 3] {
    let loops = "Received: from a by b; now\r\n".repeat(51) + "\r\nbody\r\n";
    let big = "x".repeat(78) + "\r\n";
    let nul = "Subject: x\r\n\r\n".to_owned() + &big.repeat(3000) + "\0\r\n";
    [("loop", loops.into_bytes()), ("size", big.repeat(15_000).into_bytes()), ("nul", nul.into_bytes())]
}

#[test]
fn check_07_nothing_is_left_of_a_refused_message() {
    for plan in [Plan::bdat(), Plan::data()] {
        let upstream = plan.start();
        let proxy = Setup::toward(upstream.address).workers("message = \"1MiB\"").start();
        for (name, content) in refused_contents() {
            let mut client = proxy.session();
            let reply = client.message("b@hop.example", &content);
            assert!(reply.is_permanent(), "{name}: {reply:?}");
            if client.try_send(b"RCPT TO:<b@hop.example>\r\n") {
                assert!(matches!(client.hear().code(), Some(503) | None), "{name}");
                client.try_send(b"DATA\r\n");
                assert!(matches!(client.hear().code(), Some(503) | None), "{name}");
            }
        }
        assert_eq!(upstream.messages(), []);
    }
}

#[test]
fn check_08_octets_of_a_refused_chunk_are_no_commands() {
    let (upstream, proxy) = pair(Plan::bdat());
    let mut client = proxy.session();
    client.send(b"BDAT 10\r\nRSET\r\nQUITNOOP\r\n");
    assert_eq!(client.reply().code, 503);
    assert_eq!(client.reply().code, 250);
    client.send(b"MAIL FROM:<a@client.example>\r\nBDAT 10 LAST\r\nRSET\r\nQUITNOOP\r\n");
    assert_eq!(client.reply().code, 250);
    assert!(matches!(client.reply().code, 503 | 554));
    assert_eq!(client.reply().code, 250);
    // Whatever the size: RFC 3030 has none that is too big to be swallowed, or the session ends.
    for size in ["9223372036854775808", "18446744073709551615", "99999999999999999999999"] {
        let mut client = proxy.session();
        client.send(format!("BDAT {size} LAST\r\nNOOP\r\n").as_bytes());
        let heard = client.reply();
        assert!(heard.is_permanent(), "{heard:?}");
        assert_eq!(client.hear(), Heard::Closed, "{size}");
    }
    assert_eq!(upstream.messages(), []);
}

#[test]
fn check_09_data_behind_a_refused_chunk() {
    for (chunk, what) in [
        (&b"BDAT 20 LATS\r\n01234567890123456789"[..], "syntax"),
        (b"BDAT 20\r\n0123456789\n012345678", "bare newline"),
        (b"BDAT 9 LAST\r\n0123\n5678", "bare newline in the last"),
    ] {
        let (upstream, mut proxy) = pair(Plan::bdat());
        let mut client = proxy.session();
        client.envelope("a@client.example", "b@hop.example");
        client.send(chunk);
        let reply = client.reply();
        assert!(reply.is_permanent(), "{what}: {reply:?}");
        assert_eq!(client.command("DATA").code, 503, "{what}");
        assert_eq!(client.command("BDAT 0 LAST").code / 100, 5, "{what}");
        assert_eq!(client.command("RSET").code, 250, "{what}");
        assert_eq!(client.message("b@hop.example", b"x\r\n").code, 250, "{what}");
        assert_eq!(upstream.messages().len(), 1, "{what}");
        proxy.assert_well();
    }
}

#[test]
fn check_12_what_must_be_accepted() {
    let (upstream, proxy) = pair(Plan::bdat());
    let mut client = proxy.session();
    for length in [512, 1000] {
        let line = "NOOP ".to_owned() + &"x".repeat(length - 7);
        assert_eq!(client.command(&line).code, 250, "line of {length}");
    }
    let domain = |length: usize| {
        let labels = "d".repeat(63) + ".";
        labels.repeat(4)[..length].to_owned()
    };
    let local = "l".repeat(64);
    let paths = [
        format!("{local}@hop.example"),
        format!("a@{}", domain(255)),
        format!("{local}@{}", domain(189)),
        "\"a b\\\"c\"@hop.example".to_owned(),
        "postmaster".to_owned(),
        "a@[127.0.0.1]".to_owned(),
        "a@[IPv6:2001:db8::1]".to_owned(),
    ];
    for path in &paths {
        assert_eq!(client.command("MAIL FROM:<>").code, 250);
        let reply = client.command(&format!("RCPT TO:<{path}>"));
        assert_eq!(reply.code, 250, "{path}: {reply:?}");
        assert_eq!(client.command("BDAT 3 LAST\r\nx").code, 250, "{path}");
    }
    let seen = upstream.await_seen(|seen| seen.messages.len() == paths.len());
    for (message, path) in seen.messages.iter().zip(&paths) {
        assert_eq!(message.recipients(), [format!("RCPT TO:<{path}>")]);
        assert!(message.commands.iter().any(|line| line.starts_with("MAIL FROM:<>")), "{message:?}");
    }
    drop(seen);
    assert_eq!(client.command("MAIL FROM:<a@client.example>").code, 250);
    for number in 0..100 {
        assert_eq!(client.command(&format!("RCPT TO:<{number}@hop.example>")).code, 250);
    }
}

#[test]
fn check_12_a_line_without_end() {
    let (_upstream, mut proxy) = pair(Plan::bdat());
    warm(&proxy);
    let base = proxy.rss_bytes();
    let mut client = proxy.session();
    let piece = vec![b'A'; 1 << 20];
    // What comes behind the limit may be taken and thrown away, so that the reply is heard.
    let _ = (0..100).all(|_| client.try_send(&piece));
    let replies = client.hear_to_the_end(Duration::from_secs(10)).unwrap();
    assert!(replies.iter().all(|reply| matches!(reply.code, 500 | 421)), "{replies:?}");
    let growth = || proxy.rss_bytes().saturating_sub(base);
    assert!(eventually(Duration::from_secs(5), || growth() < 1 << 20), "{} bytes more", growth());
    proxy.assert_well();
}

#[test]
fn check_13_size() {
    for chunking in [true, false] {
        let mut extensions = EXTENSIONS.to_vec();
        extensions[1] = "SIZE 1000000";
        extensions.truncate(if chunking { 7 } else { 6 });
        let (upstream, proxy) = pair(Plan::with(&extensions));
        let mut client = proxy.client();
        let ehlo = client.command("EHLO client.example");
        let size = ehlo.lines.iter().find_map(|line| line.strip_prefix("SIZE ")).unwrap();
        assert!(size.parse::<u64>().unwrap() <= 1_000_000, "{size}");
        assert_eq!(client.command("MAIL FROM:<a@client.example> SIZE=1000001").code, 552);
        assert_eq!(client.command("MAIL FROM:<a@client.example> SIZE=900000").code, 250);
        assert_eq!(client.command("RSET").code, 250);
        let mut content = "x".repeat(98).into_bytes();
        content.extend_from_slice(b"\r\n");
        let mut content = content.repeat(10_000);
        content.insert(0, b'x');
        assert_eq!(content.len(), 1_000_001);
        assert_eq!(client.message("b@hop.example", &content).code, 552);
        client.envelope("a@client.example", "b@hop.example");
        client.send(&[b"BDAT 1000001 LAST\r\n", &content[..]].concat());
        assert_eq!(client.reply().code, 552);
        assert_eq!(upstream.messages(), []);
        assert_eq!(client.message("b@hop.example", b"x\r\n").code, 250);
    }
}

#[test]
fn check_14_what_the_next_hop_cannot_is_not_announced() {
    for missing in ["8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "PIPELINING", "ENHANCEDSTATUSCODES", ""] {
        let extensions: Vec<_> = EXTENSIONS.into_iter().filter(|name| *name != missing).collect();
        let (upstream, proxy) = pair(Plan::with(&extensions));
        let mut client = proxy.client();
        let ehlo = client.command("EHLO client.example");
        let announced = |name: &str| ehlo.lines.iter().any(|line| line == name);
        for end_to_end in ["8BITMIME", "SMTPUTF8", "DSN"] {
            assert_eq!(announced(end_to_end), missing != end_to_end, "{end_to_end} without {missing}");
        }
        // Hop by hop: ours, whatever the next hop can.
        for ours in ["PIPELINING", "CHUNKING", "ENHANCEDSTATUSCODES"] {
            assert!(announced(ours), "{ours} without {missing}");
        }
        let refused = match missing {
            "SMTPUTF8" => Some("MAIL FROM:<\u{fc}@client.example> SMTPUTF8"),
            "8BITMIME" => Some("MAIL FROM:<a@client.example> BODY=8BITMIME"),
            "DSN" => Some("MAIL FROM:<a@client.example> RET=HDRS"),
            _ => None,
        };
        if let Some(command) = refused {
            let mut reply = client.command(command);
            if reply.is_positive() {
                reply = client.command("RCPT TO:<b@hop.example>");
            }
            assert!(matches!(reply.code, 550 | 553 | 554 | 555), "{command}: {reply:?}");
            assert_eq!(client.command("RSET").code, 250);
        }
        let content = "Subject: \u{fc}\r\n\r\n\u{fc}\r\n";
        assert_eq!(client.message("b@hop.example", content.as_bytes()).code, 250);
        assert_eq!(upstream.messages()[0].original(), content.as_bytes());
    }
}

#[test]
fn check_15_replies_of_the_next_hop_come_through_well_formed() {
    let long = format!("550 5.1.1 {}\r\n", "x".repeat(1000));
    let rows: [(&[u8], &str); 6] = [
        (b"550-5.1.1 no\r\n550-5.1.1 such\r\n550 5.1.1 user\r\n", "5.1.1 no"),
        (b"550\r\n", ""),
        (b"550-5.1.1 a\r\n550\r\n", "5.1.1 a"),
        (b"550 5.1.1 a\0b\x1bc\xffd\r\n", "5.1.1 a"),
        (b"452 4.2.2 full\r\n", "4.2.2 full"),
        (long.as_bytes(), "5.1.1 xxx"),
    ];
    for (wire, begins) in rows {
        let refusal = Do::Say(wire.to_vec());
        let script = move |step: Step<'_>| if step.at == At::Rcpt { refusal.clone() } else { Do::Usual };
        let (_upstream, proxy) = pair(Plan::bdat().script(script));
        let mut client = proxy.session();
        client.send(b"MAIL FROM:<a@client.example>\r\nRCPT TO:<b@hop.example>\r\nNOOP\r\n");
        assert_eq!(client.reply().code, 250);
        let reply = client.reply();
        assert_eq!(reply.code.to_string().as_bytes(), &wire[..3]);
        assert!(reply.lines[0].starts_with(begins), "{reply:?}");
        let lines = wire.windows(2).filter(|pair| *pair == b"\r\n").count();
        assert_eq!(reply.lines.len(), lines, "{reply:?}");
        assert!(!reply.raw.iter().any(|byte| matches!(byte, 0 | 0x1b | 0x80..)), "{reply:?}");
        assert_eq!(client.reply().code, 250);
    }
}

/// `printf ... | nc`: the last word is under way when the end of the stream is read.
#[test]
fn check_12_fin_right_behind_the_last_command() {
    let (upstream, mut proxy) = pair(Plan::bdat());
    let dialogue = b"EHLO c\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<b@hop.example>\r\nBDAT 17 LAST\r\n\
        Subject: x\r\n\r\nb\r\nQUIT\r\n";
    for (sent, want) in [(&b"EHLO c\r\nQUIT\r\n"[..], 221), (&b"x".repeat(5000), 500), (dialogue, 221)] {
        for _ in 0..20 {
            let mut client = proxy.client();
            client.send(sent);
            client.half_close();
            let replies = client.hear_to_the_end(Duration::from_secs(10)).expect("left hanging");
            assert_eq!(replies.last().map(|reply| reply.code), Some(want), "{replies:?}");
        }
    }
    assert_eq!(upstream.messages().len(), 20);
    proxy.assert_well();
}
