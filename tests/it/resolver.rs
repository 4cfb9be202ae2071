//! The resolver of the service side against a name server of the test's own.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::proto::rr::rdata::{A, MX, TXT};
use hickory_resolver::proto::rr::{Name as WireName, RData, RecordType};
use postern::policy::sender::Resolver as Servers;
use postern::sender::dns::{Answer, Kind, Known, Missing, Name, Query, Record};
use postern::service::dns::{Budget, Resolver, Settings};
use tokio::time::Instant;

use crate::harness::name_server::{NameServer, Reaction};

fn zone(name: &str, kind: RecordType) -> Reaction {
    let txt = |strings: &[&str]| {
        Reaction::Records(vec![RData::TXT(TXT::new(strings.iter().map(|&text| text.to_owned()).collect()))])
    };
    let mx = |exchange: &str| RData::MX(MX::new(10, WireName::from_ascii(exchange).unwrap()));
    match (name, kind) {
        ("a.test", RecordType::A) => Reaction::Records(vec![RData::A(A(Ipv4Addr::new(192, 0, 2, 5)))]),
        ("a.test", _) => Reaction::NoData,
        ("text.test", RecordType::TXT) => txt(&["v=spf1 ", "-all"]),
        ("mail.test", RecordType::MX) => Reaction::Records(vec![mx("A.test."), mx("b.test.")]),
        ("null.test", RecordType::MX) => Reaction::Records(vec![mx(".")]),
        ("broken.test", _) => Reaction::Failure,
        ("dead.test", _) => Reaction::Silence,
        _ => Reaction::NotFound,
    }
}

fn query(name: &str, kind: Kind) -> Query {
    Query::new(Name::parse(name).unwrap(), kind)
}

/// Runs `test` with a resolver that asks `server`, and would validate.
fn with_resolver<T>(server: &NameServer, test: impl AsyncFnOnce(Arc<Resolver>) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let servers = Servers::Servers(vec![server.address]);
        let settings = Settings { patience: Duration::from_millis(500), validates: true };
        test(Arc::new(Resolver::new(&servers, settings).unwrap())).await
    })
}

fn records(records: Vec<Record>) -> Answer {
    Answer::Records { records, is_secure: true }
}

#[test]
fn each_kind_of_answer_is_told_apart() {
    let server = NameServer::start(zone);
    with_resolver(&server, async |resolver| {
        let name = |text| Name::parse(text).unwrap();
        let mx = |exchange| Record::Mx { preference: 10, exchange };
        for (asked, want) in [
            (query("a.test", Kind::A), records(vec![Record::A(Ipv4Addr::new(192, 0, 2, 5))])),
            (query("a.test", Kind::Aaaa), Answer::NoData),
            (query("nothing.test", Kind::A), Answer::NotFound),
            (query("text.test", Kind::Txt), records(vec![Record::Txt(b"v=spf1 -all".to_vec())])),
            (query("mail.test", Kind::Mx), records(vec![mx(Some(name("a.test"))), mx(Some(name("b.test")))])),
            (query("null.test", Kind::Mx), records(vec![mx(None)])),
            (query("broken.test", Kind::A), Answer::Failed),
            (query("dead.test", Kind::A), Answer::Failed),
        ] {
            assert_eq!(resolver.ask(&asked).await, want, "{asked:?}");
        }
    });
}

#[test]
fn what_is_known_is_not_asked_again() {
    let server = NameServer::start(zone);
    with_resolver(&server, async |resolver| {
        let asked = query("a.test", Kind::A);
        resolver.ask(&asked).await;
        let heard = server.heard();
        for _ in 0..10 {
            resolver.ask(&asked).await;
        }
        assert_eq!(server.heard(), heard);
        // Nor what failed a moment ago.
        let dead = query("dead.test", Kind::A);
        resolver.ask(&dead).await;
        let heard = server.heard();
        assert_eq!(resolver.ask(&dead).await, Answer::Failed);
        assert_eq!(server.heard(), heard);
    });
}

/// Follows a chain of texts that never ends.
fn endless(known: &Known) -> Result<usize, Missing> {
    for step in 0.. {
        let asked = query(&format!("step-{step}.test"), Kind::Txt);
        if *known.answer(&asked)? == Answer::Failed {
            return Ok(step);
        }
    }
    unreachable!("an answer beyond the budget is a failure")
}

#[test]
fn an_evaluation_ends_with_its_budget() {
    let server = NameServer::start(zone);
    with_resolver(&server, async |resolver| {
        let until = Instant::now() + Duration::from_secs(20);
        let mut budget = Budget { questions: 7, until };
        assert_eq!(resolver.evaluate(&mut Known::default(), &mut budget, endless).await, 7);
        assert_eq!(budget.questions, 0);
        // So it does when its time is over, whatever the servers do.
        let mut budget = Budget { questions: 7, until: Instant::now() };
        let dead = |known: &Known| known.answer(&query("dead.test", Kind::A)).cloned();
        assert_eq!(resolver.evaluate(&mut Known::default(), &mut budget, dead).await, Answer::Failed);
    });
}
