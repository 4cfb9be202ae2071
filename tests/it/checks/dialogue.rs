//! Checks 4 to 9 and 12 to 15: commands, their order, their limits, and what is announced.

use super::{At, Do, Plan, Step, pair};

/// Recipients whose local part is a number divisible by three do not exist.
fn every_third_refused(step: Step<'_>) -> Do {
    let number = step.line.split(['<', '@']).nth(1).and_then(|number| number.parse::<u32>().ok());
    match (step.at, number) {
        (At::Rcpt, Some(number)) if number % 3 == 0 => Do::say("550 5.1.1 no such user"),
        _ => Do::Usual,
    }
}

fn nobody_exists(step: Step<'_>) -> Do {
    if step.at == At::Rcpt && step.line.contains("<no") { Do::say("550 5.1.1 no such user") } else { Do::Usual }
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
    assert_eq!(seen.messages[0].recipients().len(), 100);
    drop(seen);
    proxy.assert_well();
}

#[test]
fn check_05_all_recipients_refused_and_data_pipelined() {
    let (upstream, proxy) = pair(Plan::bdat().script(nobody_exists));
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
