//! The DNS, asked on behalf of the evaluations in `sender`.
//!
//! A resolver that others keep (caching, TCP where UDP is cut, retries over several servers) behind a
//! face of two functions: one question, and one evaluation to its end.
//!
//! What must always hold: every question has an answer within its patience ([`Answer::Failed`] if it
//! must be), an evaluation asks no more than its budget, and however many wait, the number of
//! questions under way is bounded; every question says that we understand AD, for a server tells nobody
//! else what it validated (RFC 6840 §5.7, §5.8).

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequest, ResponseCode};
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{ConnectionProvider, PoolContext};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::lately::Lately;
use crate::policy::sender;
use crate::sender::dns::{Answer, Kind, Known, Missing, Name, Query, Record};

/// Answers that are remembered, whoever asks.
const CACHE_ENTRIES: u64 = 65_536;
/// Questions under way at a time. More are answered [`Answer::Failed`] at once.
const UNDER_WAY_MAX: usize = 1024;
/// How long a failure is remembered: a dead server is not waited for by each message anew.
const FAILURE_AGE: Duration = Duration::from_secs(5);
/// Failures remembered at a time.
const FAILURES_MAX: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// For one question.
    pub patience: Duration,
    /// The AD bit of an answer means something: the server validates, and nobody is on the way.
    pub validates: bool,
}

/// What one evaluation may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub questions: usize,
    pub until: Instant,
}

#[derive(Debug)]
pub struct Resolver {
    inner: hickory_resolver::Resolver<Provider>,
    settings: Settings,
    places: Semaphore,
    /// What is not asked again.
    failures: Lately<Query>,
}

impl Resolver {
    /// As `[sender]` says whom to ask.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn of(settings: &sender::Settings) -> Result<Self, String> {
        let of_dns = Settings { patience: settings.patience, validates: settings.validates };
        Self::new(&settings.resolver, of_dns)
    }

    /// # Errors
    /// When the system's configuration cannot be read; the text says so.
    pub fn new(servers: &sender::Resolver, settings: Settings) -> Result<Self, String> {
        let provider = Provider(TokioRuntimeProvider::default());
        let mut builder = match servers {
            sender::Resolver::System => hickory_resolver::Resolver::builder(provider)
                .map_err(|error| format!("the system's resolver configuration cannot be read: {error}"))?,
            sender::Resolver::Servers(servers) => {
                let servers = servers.iter().map(|server| name_server(*server)).collect();
                hickory_resolver::Resolver::builder_with_config(
                    ResolverConfig::from_parts(None, vec![], servers),
                    provider,
                )
            }
        };
        let options = builder.options_mut();
        options.cache_size = CACHE_ENTRIES;
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = settings.patience / 2;
        options.attempts = 1;
        options.edns0 = true;
        let inner = builder.build().map_err(|error| format!("the resolver cannot start: {error}"))?;
        let failures = Lately::new(FAILURE_AGE, FAILURES_MAX);
        Ok(Self { inner, settings, places: Semaphore::new(UNDER_WAY_MAX), failures })
    }

    /// Asks one question.
    pub async fn ask(&self, query: &Query) -> Answer {
        if self.failures.has(query, Instant::now()) {
            return Answer::Failed;
        }
        let Ok(_place) = self.places.try_acquire() else { return Answer::Failed };
        let name = format!("{}.", query.name);
        let lookup = self.inner.lookup(name, record_type(query.kind));
        let answer = match timeout(self.settings.patience, lookup).await {
            Ok(Ok(lookup)) => self.answer(query.kind, &lookup),
            Ok(Err(error)) => without_records(&error),
            Err(_) => Answer::Failed,
        };
        if answer == Answer::Failed {
            self.failures.note(query.clone(), Instant::now());
        }
        answer
    }

    /// Runs an evaluation to its end: asks what it misses until it misses nothing. What is beyond
    /// `budget` is answered [`Answer::Failed`], so that it always comes to an end.
    pub async fn evaluate<T>(
        self: &Arc<Self>,
        known: &mut Known,
        budget: &mut Budget,
        evaluation: impl Fn(&Known) -> Result<T, Missing>,
    ) -> T {
        loop {
            match evaluation(known) {
                Ok(result) => return result,
                Err(Missing(queries)) => self.learn(known, budget, queries).await,
            }
        }
    }

    /// Asks all of `queries` at once.
    async fn learn(self: &Arc<Self>, known: &mut Known, budget: &mut Budget, queries: Vec<Query>) {
        let mut asked = JoinSet::new();
        for query in queries {
            if budget.questions == 0 {
                known.learn(query, Answer::Failed);
                continue;
            }
            budget.questions -= 1;
            let (resolver, until) = (Arc::clone(self), budget.until);
            asked.spawn(async move {
                let answer = timeout_at(until, resolver.ask(&query)).await.unwrap_or(Answer::Failed);
                (query, answer)
            });
        }
        while let Some(joined) = asked.join_next().await {
            if let Ok((query, answer)) = joined {
                known.learn(query, answer);
            }
        }
    }

    fn answer(&self, kind: Kind, lookup: &Lookup) -> Answer {
        let records = lookup.answers().iter().filter_map(|record| value(kind, &record.data));
        let records: Vec<Record> = records.collect();
        let is_secure = self.settings.validates && lookup.message().metadata.authentic_data;
        if records.is_empty() { Answer::NoData } else { Answer::Records { records, is_secure } }
    }
}

/// Connections on which it is asked whether answers were validated.
#[derive(Clone)]
struct Provider(TokioRuntimeProvider);

type Connection = DnsExchange<TokioRuntimeProvider>;

impl ConnectionProvider for Provider {
    type Conn = AsksForAd;
    type FutureConn = Pin<Box<dyn Future<Output = Result<AsksForAd, NetError>> + Send>>;
    type RuntimeProvider = TokioRuntimeProvider;

    fn new_connection(
        &self,
        ip: IpAddr,
        config: &ConnectionConfig,
        pool: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let connecting = self.0.new_connection(ip, config, pool)?;
        Ok(Box::pin(async { connecting.await.map(AsksForAd) }))
    }

    fn runtime_provider(&self) -> &TokioRuntimeProvider {
        &self.0
    }
}

#[derive(Clone)]
struct AsksForAd(Connection);

impl DnsHandle for AsksForAd {
    type Response = <Connection as DnsHandle>::Response;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, mut request: DnsRequest) -> Self::Response {
        request.metadata.authentic_data = true;
        self.0.send(request)
    }
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    NameServerConfig::new(server.ip(), true, vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())])
}

const fn record_type(kind: Kind) -> RecordType {
    match kind {
        Kind::A => RecordType::A,
        Kind::Aaaa => RecordType::AAAA,
        Kind::Mx => RecordType::MX,
        Kind::Txt => RecordType::TXT,
        Kind::Ptr => RecordType::PTR,
        Kind::Tlsa => RecordType::TLSA,
    }
}

/// A record of the kind asked for; aliases on the way to it are none.
fn value(kind: Kind, data: &RData) -> Option<Record> {
    match (kind, data) {
        (Kind::A, RData::A(address)) => Some(Record::A(address.0)),
        (Kind::Aaaa, RData::AAAA(address)) => Some(Record::Aaaa(address.0)),
        (Kind::Mx, RData::MX(mx)) => Some(exchange(mx.preference, &mx.exchange.to_ascii())),
        (Kind::Txt, RData::TXT(text)) => Some(Record::Txt(text.txt_data.concat())),
        (Kind::Ptr, RData::PTR(name)) => Name::parse(&name.0.to_ascii()).map(Record::Ptr),
        (Kind::Tlsa, RData::TLSA(tlsa)) => Some(Record::Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.clone(),
        }),
        _ => None,
    }
}

/// The root as exchange says that the domain takes no mail (RFC 7505 §3).
fn exchange(preference: u16, name: &str) -> Record {
    Record::Mx { preference, exchange: Name::parse(name) }
}

fn without_records(error: &NetError) -> Answer {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Answer::NotFound,
            ResponseCode::NoError => Answer::NoData,
            _ => Answer::Failed,
        },
        _ => Answer::Failed,
    }
}
