//! What does it cost to write a record?

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use postern::base::time::Wall;
use postern::relay::disposition::Disposition;
use postern::relay::record::{ClientFacts, Millis, NextHop, RecipientFacts, Record, SenderFacts, Symbols};

fn record(recipients: usize) -> Record {
    let recipient = |number| RecipientFacts {
        address: format!("user{number}@example.net"),
        reply: "250 2.1.5 Ok".into(),
    };
    let reply = "250 2.0.0 Ok: queued as 28DC39940BB";
    Record {
        time: Wall::from_millis(1_767_225_600_123),
        id: "01M826138CARTVEA0H75MHEY1K".into(),
        worker: 1,
        listener: "inbound".into(),
        client: ClientFacts {
            ip: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
            port: 4711,
            helo: "client.example.org".into(),
            tls: None,
            user: None,
        },
        sender: SenderFacts { address: "sender@example.org".into() },
        recipients: (0..recipients).map(recipient).collect(),
        size: 4096,
        verdict: "pass",
        rule: None,
        score: 0.0,
        symbols: Symbols::default(),
        evidence: Vec::new(),
        shadow: Vec::new(),
        disposition: Disposition::Delivered,
        limit: None,
        reply: reply.into(),
        next_hop: Some(NextHop {
            name: "mailstore".into(),
            server: "127.0.0.1:2526".into(),
            reply: reply.into(),
            tls: None,
        }),
        seal: None,
        lane: None,
        window: true,
        ms: Millis { total: 13.855, first_byte: 12.497, upstream: 1.358, ask: 0.0 },
        config: "92ce2898e270f4d0".into(),
    }
}

fn writing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record");
    for recipients in [1, 100] {
        let (record, mut line) = (record(recipients), Vec::new());
        record.write_json_line(&mut line);
        group.throughput(Throughput::Bytes(line.len() as u64));
        group.bench_function(format!("JSON line, recipients: {recipients}"), |bencher| {
            bencher.iter(|| {
                line.clear();
                black_box(&record).write_json_line(&mut line);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, writing);
criterion_main!(benches);
