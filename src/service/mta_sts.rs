//! Policies of domains about their MX hosts, fetched by HTTPS and kept (RFC 8461 §3.3, §5.1).
//!
//! Invariants: a policy counts only if its host proved its name to an authority; one that is kept and not
//! expired holds whatever the DNS or that host say or do not say since, but for another policy, and is renewed
//! in time while there is mail; what hosts may cost is bounded in number, time and octets, and a host that fails
//! is left alone for a while. Whoever waited for a policy and left takes it from nobody else.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::dns::Resolver;
use crate::policy::mx::mta_sts::{Id, POLICY_BYTES_MAX, Policy, host_name, id, record_name};
use crate::policy::mx::{Settings, may_reach};
use crate::sender::dns::{Kind, Name, Query, Record};
use crate::tls::client_policy::server_name;

/// Domains whose policies are kept.
const DOMAINS_MAX: usize = 8192;
/// For one fetch, from the look-up of the host to the last octet.
const PATIENCE: Duration = Duration::from_secs(15);
/// To connect to one address.
const CONNECT: Duration = Duration::from_secs(4);
/// Fetches at a time. More domains than that have no policy for the moment.
pub(super) const FETCHES_MAX: usize = 64;
/// Addresses of the host that are tried.
const ADDRESSES_MAX: usize = 3;
/// A host that failed is not asked again so long (§3.3 asks for some limit).
const PAUSE: Duration = Duration::from_secs(300);
const PATH: &str = "/.well-known/mta-sts.txt";

/// For all domains of one upstream.
pub(super) struct Policies {
    tls: TlsConnector,
    port: u16,
    private: Vec<ipnet::IpNet>,
    domains: RefCell<HashMap<Name, Rc<Domain>>>,
    places: Semaphore,
}

/// One domain that says it has a policy.
struct Domain {
    state: RefCell<State>,
    /// One fetch at a time; the others wait for it.
    fetching: Semaphore,
    /// When mail to it was last asked about.
    used: Cell<Instant>,
}

#[derive(Default)]
struct State {
    kept: Option<Kept>,
    /// The last fetch failed: no other one before.
    pause_until: Option<Instant>,
}

#[derive(Clone)]
struct Kept {
    id: Id,
    policy: Rc<Policy>,
    /// From then on it is asked for again, and holds all the same.
    renew_at: Instant,
    until: Instant,
}

impl State {
    /// The policy that holds at this time.
    fn in_force(&self) -> Option<&Kept> {
        self.kept.as_ref().filter(|kept| Instant::now() < kept.until)
    }

    fn is_paused(&self) -> bool {
        self.pause_until.is_some_and(|until| Instant::now() < until)
    }
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kept = self.domains.borrow().len();
        out.debug_struct("Policies").field("port", &self.port).field("kept", &kept).finish_non_exhaustive()
    }
}

impl Policies {
    /// None where policies are not asked for.
    pub(super) fn new(settings: &Settings) -> Option<Self> {
        Some(Self {
            tls: TlsConnector::from(settings.named.for_https()),
            port: settings.mta_sts_port?,
            private: settings.private.clone(),
            domains: RefCell::default(),
            places: Semaphore::new(FETCHES_MAX),
        })
    }

    /// What holds for mail to `domain` now.
    pub(super) async fn of(self: &Rc<Self>, resolver: &Arc<Resolver>, domain: &Name) -> Option<Rc<Policy>> {
        let query = Query::new(record_name(domain)?, Kind::Txt);
        let announced = id(resolver.ask(&query).await.records());
        let known = self.domains.borrow().get(domain).cloned();
        let entry = match (known, &announced) {
            (Some(entry), _) => entry,
            (None, Some(_)) => self.insert(domain),
            (None, None) => return None,
        };
        entry.used.set(Instant::now());
        if let Some(announced) = announced.filter(|announced| entry.wants(announced)) {
            let holds = entry.knows(&announced);
            let (own, resolver) = (Rc::clone(self), Arc::clone(resolver));
            let (domain, entry) = (domain.clone(), Rc::clone(&entry));
            // On its own: whoever asks may leave.
            let fetched = tokio_uring::spawn(async move {
                own.renew(&resolver, &domain, &entry, announced).await;
            });
            if !holds {
                // A bug that panics there leaves what was known before.
                let _ = fetched.await;
            }
        }
        let state = entry.state.borrow();
        state.in_force().map(|kept| Rc::clone(&kept.policy))
    }

    fn insert(&self, domain: &Name) -> Rc<Domain> {
        let mut domains = self.domains.borrow_mut();
        if domains.len() >= DOMAINS_MAX {
            let at_rest = domains.iter().filter(|(_, entry)| entry.fetching.available_permits() > 0);
            let first = at_rest.min_by_key(|(_, entry)| entry.used.get()).map(|(name, _)| name.clone());
            first.and_then(|name| domains.remove(&name));
        }
        let entry = Rc::new(Domain {
            state: RefCell::default(),
            fetching: Semaphore::new(1),
            used: Cell::new(Instant::now()),
        });
        domains.insert(domain.clone(), Rc::clone(&entry));
        entry
    }

    /// Fetches what was announced, unless somebody just did, or it failed a moment ago.
    async fn renew(&self, resolver: &Resolver, domain: &Name, entry: &Domain, announced: Id) {
        let Ok(_turn) = entry.fetching.acquire().await else { return };
        let Ok(_place) = self.places.try_acquire() else { return };
        if !entry.wants(&announced) {
            return;
        }
        let fetched = timeout(PATIENCE, self.fetch(resolver, domain)).await;
        let mut state = entry.state.borrow_mut();
        match fetched {
            Ok(Some(policy)) => {
                let (now, age) = (Instant::now(), policy.max_age);
                let (renew_at, until) = (now + age / 2, now + age);
                let kept = Kept { id: announced, policy: Rc::new(policy), renew_at, until };
                *state = State { kept: Some(kept), pause_until: None };
            }
            Ok(None) | Err(_) => state.pause_until = Some(Instant::now() + PAUSE),
        }
    }

    async fn fetch(&self, resolver: &Resolver, domain: &Name) -> Option<Policy> {
        let host = host_name(domain)?;
        let response = self.response(resolver, &host).await?;
        // §3.3: neither another status nor a redirect is a policy.
        if response.status() != StatusCode::OK || !is_plain_text(&response) {
            return None;
        }
        let body = Limited::new(response.into_body(), POLICY_BYTES_MAX).collect().await.ok()?;
        Policy::parse(&body.to_bytes()).ok()
    }

    async fn response(&self, resolver: &Resolver, host: &Name) -> Option<Response<Incoming>> {
        let mut addresses = Vec::new();
        for kind in [Kind::Aaaa, Kind::A] {
            let answer = resolver.ask(&Query::new(host.clone(), kind)).await;
            addresses.extend(answer.records().iter().filter_map(Record::address));
        }
        addresses.retain(|address| may_reach(*address, &self.private));
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            let connected = timeout(CONNECT, TcpStream::connect(SocketAddr::new(address, self.port))).await;
            if let Ok(Ok(stream)) = connected {
                return self.request(host, stream).await;
            }
        }
        None
    }

    async fn request(&self, host: &Name, stream: TcpStream) -> Option<Response<Incoming>> {
        let stream = self.tls.connect(server_name(host.as_str())?, stream).await.ok()?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
        // It ends with the response, or with the time for it.
        tokio_uring::spawn(async move {
            let _ = timeout(PATIENCE, connection).await;
        });
        let request = Request::get(PATH).header(HOST, host.as_str()).body(Empty::<Bytes>::new()).ok()?;
        sender.send_request(request).await.ok()
    }
}

impl Domain {
    /// The announced policy is the one that is kept.
    fn knows(&self, announced: &Id) -> bool {
        self.state.borrow().in_force().is_some_and(|kept| kept.id == *announced)
    }

    /// It is to be fetched now: another one is announced, or the one that is kept grows old.
    fn wants(&self, announced: &Id) -> bool {
        let state = self.state.borrow();
        let is_fresh = |kept: &Kept| kept.id == *announced && Instant::now() < kept.renew_at;
        !state.is_paused() && !state.in_force().is_some_and(is_fresh)
    }
}

fn is_plain_text(response: &Response<Incoming>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("text/plain")
}
