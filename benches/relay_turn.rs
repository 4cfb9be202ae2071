//! What does one whole transaction of 4 KiB cost in user space, all but the kernel's part?
//!
//! Everything that `Relay::handle` does from MAIL to the record, on a kept session, with a next hop
//! that answers from a script. No socket, no ring, no clock.

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use postern::base::time::{Instant, Moment, Wall};
use postern::control::config;
use postern::relay::action::{Action, Actions};
use postern::relay::disposition::Disposition;
use postern::relay::event::{Event, Lease, Side};
use postern::relay::{Relay, Shared};
use postern::smtp::client::Client;

/// The program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONFIG: &str = r#"
hostname = "postern.example"
[workers]
transactions = 4294967295
[[listener]]
name = "inbound"
address = ["127.0.0.1:2525"]
[[upstream]]
name = "mailstore"
servers = ["127.0.0.1:2526"]
identity = "xforward"
[[route]]
recipient = ["example.net"]
upstream = "mailstore"
"#;

const NOW: Moment =
    Moment { instant: Instant::from_nanos(1_000_000_000), wall: Wall::from_millis(1_767_225_600_000) };

const EHLO_REPLY: &str =
    "250-mx.example.net\r\n250-PIPELINING\r\n250-XFORWARD NAME ADDR PROTO HELO SOURCE PORT\r\n";
const OK: &[u8] = b"250 2.0.0 Ok\r\n";

/// A relay between a client and a next hop that both follow the script.
struct Stage {
    relay: Relay,
    shared: Shared,
    actions: Actions,
    /// Emptied actions, so that their memory is used again.
    spare: Actions,
    /// The connection to the next hop while no transaction has it.
    parked: Option<Box<Client>>,
    /// What the client heard since it was last looked at.
    heard: Vec<u8>,
    disposition: Option<Disposition>,
}

impl Stage {
    fn new(chunking: bool) -> Result<Self, Box<dyn std::error::Error>> {
        let config = config::read("bench.toml", CONFIG).map_err(|rejected| rejected.to_string())?;
        let parked = greeted(chunking)?;
        let mut shared = Shared::new(Arc::new(config), 0, 1);
        shared.capabilities[0] = Some(parked.capabilities().clone());
        shared.announce();
        let peer = ([192, 0, 2, 7], 4711).into();
        let relay = Relay::new(NOW.instant, &shared.config, 0, peer, ([127, 0, 0, 1], 2525).into());
        let mut stage = Self {
            relay,
            shared,
            actions: Actions::default(),
            spare: Actions::default(),
            parked: Some(parked),
            heard: Vec::new(),
            disposition: None,
        };
        stage.tell(Event::Opened);
        stage.tell(Event::Received(Side::Downstream, b"EHLO client.example.org\r\n"));
        Ok(stage)
    }

    /// One transaction: the envelope, and when that is answered the content.
    fn transact(&mut self, envelope: &[u8], content: &[u8]) {
        self.heard.clear();
        self.tell(Event::Received(Side::Downstream, envelope));
        self.tell(Event::Received(Side::Downstream, content));
    }

    fn tell(&mut self, event: Event<'_>) {
        self.relay.handle(NOW, event, &mut self.shared, &mut self.actions);
        self.carry_out();
    }

    /// What a worker would do with the actions, until nothing follows from them any more.
    fn carry_out(&mut self) {
        loop {
            let mut told = std::mem::replace(&mut self.actions, std::mem::take(&mut self.spare));
            let over = told.downstream.is_empty() && told.upstream.is_empty() && told.list.is_empty();
            self.heard.extend_from_slice(&told.downstream);
            self.sent(Side::Downstream, told.downstream.len());
            for action in told.list.drain(..) {
                self.act(action);
            }
            if !told.upstream.is_empty() {
                self.sent(Side::Upstream, told.upstream.len());
                self.answer(&told.upstream);
            }
            told.downstream.clear();
            told.upstream.clear();
            self.spare = told;
            if over {
                return;
            }
        }
    }

    fn sent(&mut self, side: Side, bytes: usize) {
        if bytes > 0 {
            self.relay.handle(NOW, Event::Sent(side, bytes), &mut self.shared, &mut self.actions);
        }
    }

    fn act(&mut self, action: Action) {
        let event = match action {
            Action::CheckOut { .. } => {
                let Some(client) = self.parked.take() else { return };
                Event::CheckedOut(Lease {
                    client,
                    server: ([127, 0, 0, 1], 2526).into(),
                    fresh: false,
                    kept: true,
                    secured: None,
                })
            }
            Action::Confirm => Event::Confirmed,
            Action::CheckIn(client, _) => {
                self.parked = Some(client);
                return;
            }
            Action::Record(record) => {
                self.disposition = Some(record.disposition);
                return;
            }
            _ => return,
        };
        self.relay.handle(NOW, event, &mut self.shared, &mut self.actions);
    }

    /// The next hop: 250 to every command and all content, 354 to DATA.
    fn answer(&mut self, commands: &[u8]) {
        let reply = match commands {
            b"DATA\r\n" => b"354 go on\r\n".to_vec(),
            _ if commands.starts_with(b"RSET") => {
                OK.repeat(commands.iter().filter(|byte| **byte == b'\n').count())
            }
            _ => OK.to_vec(),
        };
        self.relay.handle(NOW, Event::Received(Side::Upstream, &reply), &mut self.shared, &mut self.actions);
    }
}

/// A connection to the next hop past EHLO.
fn greeted(chunking: bool) -> Result<Box<Client>, Box<dyn std::error::Error>> {
    let last = if chunking { "250 CHUNKING\r\n" } else { "250 DSN\r\n" };
    let (mut client, mut out) = (Client::new(), Vec::new());
    client.receive(b"220 mx.example.net\r\n").map_err(|error| format!("{error:?}"))?;
    client.ehlo(b"postern.example", &mut out);
    client.receive(format!("{EHLO_REPLY}{last}").as_bytes()).map_err(|error| format!("{error:?}"))?;
    Ok(Box::new(client))
}

fn content() -> Vec<u8> {
    let mut content =
        b"From: sender@example.org\r\nTo: recipient@example.net\r\nSubject: a bench\r\n\r\n".to_vec();
    while content.len() < 4096 {
        content.extend_from_slice(&[b'X'; 78]);
        content.extend_from_slice(b"\r\n");
    }
    content
}

fn turns(criterion: &mut Criterion) {
    let envelope = "MAIL FROM:<sender@example.org>\r\nRCPT TO:<recipient@example.net>\r\n";
    let data = (format!("{envelope}DATA\r\n"), [&content()[..], b".\r\n"].concat());
    let chunk = [format!("BDAT {} LAST\r\n", content().len()).as_bytes(), &content()].concat();
    let bdat = (envelope.to_owned(), chunk);
    let mut group = criterion.benchmark_group("relay turn, 4 KiB");
    for (name, (envelope, content), chunking) in [
        ("DATA to BDAT", &data, true),
        ("DATA to DATA", &data, false),
        ("BDAT to BDAT", &bdat, true),
        ("BDAT to DATA", &bdat, false),
    ] {
        let mut stage = match Stage::new(chunking) {
            Ok(stage) => stage,
            Err(error) => panic!("{error}"),
        };
        stage.transact(envelope.as_bytes(), content);
        let heard = String::from_utf8_lossy(&stage.heard);
        assert_eq!(stage.disposition, Some(Disposition::Delivered), "{name}: {heard}");
        group.bench_function(name, |bencher| bencher.iter(|| stage.transact(envelope.as_bytes(), content)));
    }
    group.finish();
}

criterion_group!(benches, turns);
criterion_main!(benches);
