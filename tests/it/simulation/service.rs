//! The service side of the simulation: takes the worker's questions and answers them in virtual
//! time: well, late, with a failure, or never, as its seed wants it.
//!
//! It keeps what it says it has stored, so that a run can be asked whether a 2xx was earned by it.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64_simd::STANDARD;
use postern::base::slab::Slab;
use postern::base::time::Instant;
use postern::policy::ledger::Ledger;
use postern::policy::mx::{Host, Hosts, Nowhere, OfDomain, Security};
use postern::policy::sender::{DmarcMode, Settings};
use postern::relay::quarantine::{ClientFacts, Description, Envelope, Failure, FailureKind, Spool, Spooled};
use postern::relay::question::{Answer, Query, Question, Recall, Unknown};
use postern::sender::arc::{Sealer, Unsealed};
use postern::sender::dns::{self, Known, Missing};
use postern::worker::ask::{AnswerQueue, Asked, Asker, QuestionQueue, Ticket, Wake};
use postern::worker::counters::Counters;
use tokio::sync::mpsc::Receiver;
use ulid::Ulid;

use super::network::{Event, MICROS, MILLIS, Network, SECONDS, Weather};

/// Longer than anybody waits.
const NEVER: u64 = 7200 * SECONDS;

/// What becomes of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Stored,
    Fails,
    /// Stored, but the answer is late.
    Late,
    Silent,
}

#[derive(Debug)]
struct Held {
    id: Ulid,
    fate: Fate,
    content: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Service {
    questions: Receiver<Asked>,
    random: fastrand::Rng,
    /// One message in so many does not end well; 0: none.
    pub(crate) fails_one_in: u64,
    /// Servers of each upstream, where they are looked up.
    pub(crate) hosts: Vec<Vec<SocketAddr>>,
    held: HashMap<Ticket, Held>,
    /// What is remembered of those who sent.
    ledger: Ledger,
    /// By the time when they are given, in order.
    answers: BTreeMap<(u64, usize), (AnswerQueue, Ticket, Answer)>,
    given: usize,
    /// Durable, whether anybody heard so or not.
    pub(crate) stored: HashMap<Ulid, Vec<u8>>,
    /// Those that nobody has been told of yet.
    fresh: Vec<(Ulid, String)>,
}

impl Service {
    pub(crate) fn new(questions: Receiver<Asked>, seed: u64) -> Self {
        Self {
            questions,
            random: fastrand::Rng::with_seed(seed ^ 0x5e71_1ce0),
            fails_one_in: 0,
            hosts: Vec::new(),
            held: HashMap::new(),
            ledger: Ledger::new(100),
            answers: BTreeMap::new(),
            given: 0,
            stored: HashMap::new(),
            fresh: Vec::new(),
        }
    }

    /// Takes what was asked in the last turn.
    pub(crate) fn hear(&mut self, network: &mut Network) {
        while let Ok(Asked { ticket, question, answers, .. }) = self.questions.try_recv() {
            network.note(|| format!("asked {ticket:?}, {} octets", question.octets()));
            let answer = match question {
                Question::Quarantine(word) => {
                    self.take(ticket, word).map(|(delay, spooled)| (delay, Answer::Quarantine(spooled)))
                }
                Question::Recall(recall) => self.recall(&recall),
                Question::Learn(learn) => {
                    let lessons = learn.lessons.into_iter();
                    lessons.for_each(|lesson| self.ledger.learn(learn.now, lesson, &mut Vec::new()));
                    None
                }
                // The bank of these worlds is silent.
                Question::Claims(_) => None,
                inquiry => self.inquire(&inquiry),
            };
            if let Some((delay, answer)) = answer {
                let at = network.now + delay;
                self.given += 1;
                self.answers.insert((at, self.given), (answers, ticket, answer));
                network.at(at, Event::Answer);
            }
        }
    }

    /// What has become durable since the last time.
    pub(crate) fn take_fresh(&mut self) -> Vec<(String, &[u8])> {
        let fresh = std::mem::take(&mut self.fresh).into_iter();
        fresh.filter_map(|(id, sender)| Some((sender, &self.stored.get(&id)?[..]))).collect()
    }

    /// Gives the answers whose time has come; whether there were any.
    pub(crate) fn answer(&mut self, network: &mut Network) -> bool {
        let mut any = false;
        while let Some(entry) = self.answers.first_entry().filter(|entry| entry.key().0 <= network.now) {
            let (answers, ticket, answer) = entry.remove();
            network.note(|| format!("answered {ticket:?}: {answer:?}"));
            answers.push(ticket, answer);
            any = true;
        }
        any
    }

    /// What is remembered is said at once, late, or never.
    fn recall(&mut self, recall: &Recall) -> Option<(u64, Answer)> {
        let recalled = self.ledger.recall(recall.now, &recall.keys);
        let delay = [MICROS, 500 * MILLIS, NEVER][self.random.usize(..20).saturating_sub(17)];
        Some((delay, Answer::Recalled(recalled)))
    }

    /// The DNS of the simulation knows nobody, is slow at times, and dead at others.
    fn inquire(&mut self, inquiry: &Question) -> Option<(u64, Answer)> {
        let delay =
            [self.random.u64(..=50) * MILLIS, 3 * SECONDS, NEVER][self.random.usize(..20).saturating_sub(17)];
        // A message can do without knowing who sends it, not without knowing where it goes.
        let must_come = self.fails_one_in == 0 && matches!(inquiry, Question::NextHop(_));
        let delay = if must_come { delay.min(50 * MILLIS) } else { delay };
        let settings = inquiring();
        let nothing = if self.random.bool() { dns::Answer::NotFound } else { dns::Answer::Failed };
        let mut known = Known::default();
        loop {
            let answer = match inquiry {
                Question::Client(client) => {
                    client.evaluate(&settings, &known).map(|found| Answer::Client(Box::new(found)))
                }
                Question::Author(author) => {
                    author.evaluate(&known).map(|found| Answer::Author(Box::new(found)))
                }
                Question::NextHop(about) => Ok(Answer::NextHop(self.find_hosts(about))),
                Question::Links(links) => {
                    links.evaluate(&settings, &known).map(|found| Answer::Links(Box::new(found)))
                }
                // The content is compared octet by octet.
                Question::Seal(_) => Ok(Answer::Sealed(Err(Unsealed::Busy))),
                _ => return None,
            };
            match answer {
                Ok(answer) => return Some((delay, answer)),
                Err(Missing(queries)) => {
                    queries.into_iter().for_each(|query| known.learn(query, nothing.clone()));
                }
            }
        }
    }

    /// What the DNS says changes now and then, and sometimes it says nothing.
    fn find_hosts(&mut self, about: &OfDomain) -> Result<Arc<Hosts>, Nowhere> {
        let known = &self.hosts[about.upstream];
        let calm = self.fails_one_in == 0;
        let count = match self.random.u8(..12) {
            0 if !calm => return Err(Nowhere::Failed),
            1 if !calm => 1,
            _ => known.len(),
        };
        let host = |(preference, address): (u16, &SocketAddr)| Host {
            preference: preference / 2,
            name: None,
            address: *address,
            weight: 1,
            security: Security::AsSet,
        };
        let hosts = (0..).zip(&known[..count]).map(host).collect();
        Ok(Arc::new(Hosts { domain: about.domain.as_str().into(), is_certain: false, left_out: 0, hosts }))
    }

    fn take(&mut self, ticket: Ticket, word: Spool) -> Option<(u64, Spooled)> {
        match word {
            Spool::Begin { id, .. } => {
                let fate = self.fate();
                self.held.insert(ticket, Held { id, fate, content: Vec::new() });
                None
            }
            Spool::Append(bytes) => {
                let held = self.held.get_mut(&ticket)?;
                held.content.extend_from_slice(&bytes);
                let (words, octets) = (1, bytes.len());
                Some((self.random.u64(1..=5000) * MICROS, Spooled::Taken { words, octets }))
            }
            Spool::Commit(description) => {
                let Held { id, fate, content } = self.held.remove(&ticket)?;
                assert_eq!(description.id, id, "another message's description");
                self.commit(id, fate, content, description.envelope.sender)
            }
            Spool::Abort => {
                self.held.remove(&ticket);
                None
            }
        }
    }

    fn commit(&mut self, id: Ulid, fate: Fate, content: Vec<u8>, sender: String) -> Option<(u64, Spooled)> {
        let soon = self.random.u64(1..=20) * MILLIS;
        if fate != Fate::Fails {
            self.stored.insert(id, content);
            self.fresh.push((id, sender));
        }
        match fate {
            Fate::Stored => Some((soon, Spooled::Stored)),
            Fate::Fails => {
                Some((soon, Spooled::Failed(Failure::new(FailureKind::Disk, "a disk of the simulation"))))
            }
            Fate::Late => Some((NEVER, Spooled::Stored)),
            Fate::Silent => None,
        }
    }

    fn fate(&mut self) -> Fate {
        if self.fails_one_in == 0 || self.random.u64(..self.fails_one_in) > 0 {
            return Fate::Stored;
        }
        [Fate::Fails, Fate::Late, Fate::Silent][self.random.usize(..3)]
    }
}

const CALM: Weather =
    Weather { latency_steps_max: 1, late_one_in: 0, late_send_one_in: 0, buffer: (1, 1), tiny: false };

/// Whatever the service does, a worker hears one last word, and hears it in time.
#[test]
fn every_message_gets_one_last_word() {
    let (queue, asked) = QuestionQueue::new();
    let mut network = Network::new(1, CALM, false);
    let mut service = Service::new(asked, 1);
    service.fails_one_in = 2;
    let instant = |network: &Network| Instant::from_nanos(network.now);
    let mut asker = Asker::new(0, instant(&network), queue, Wake::new(|| {}));
    let (counters, mut relays, mut ends) = (Counters::new(&[]), Slab::new(), HashMap::new());
    for n in 0..200 {
        let id = Ulid::from_parts(n, 0);
        let place = (relays.insert(()), Query(1));
        let envelope = Envelope::default();
        let description = Box::new(Description::new(id, ClientFacts::default(), envelope));
        for word in [Spool::Begin { id, size: 0 }, Spool::Append(vec![1]), Spool::Commit(description)] {
            let patience = Duration::from_secs(30);
            asker.ask(instant(&network), place, Question::Quarantine(word), patience, &counters);
        }
    }
    for _ in 0..1000 {
        service.hear(&mut network);
        service.answer(&mut network);
        let mut answers = Vec::new();
        asker.collect(instant(&network), &counters, &mut answers);
        for (relay, _, answer) in answers.into_iter().filter(|(.., answer)| answer.is_last()) {
            assert!(ends.insert(relay, answer).is_none(), "two last words");
        }
        network.now += 100 * MILLIS;
    }
    assert_eq!((ends.len(), asker.open()), (200, 0));
    let count = |wanted: &Answer| ends.values().filter(|answer| *answer == wanted).count();
    let (stored, late) = (Answer::Quarantine(Spooled::Stored), Answer::Unknown(Unknown::Late));
    assert!(count(&stored) > 50 && count(&late) > 20, "{} stored, {} late", count(&stored), count(&late));
    assert!(service.stored.len() > count(&stored), "a late one is stored all the same");
}

/// Who seals.
pub(crate) fn sealer() -> Arc<Sealer> {
    let pkcs8 = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap().to_pkcs8v1().unwrap();
    let pem = STANDARD.encode_to_string(pkcs8.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n");
    Arc::new(Sealer::new(dns::Name::parse("example.net").unwrap(), "arc", &pem).unwrap())
}

/// What is asked about who sends.
pub(crate) fn inquiring() -> Settings {
    // The content is compared octet by octet.
    let results = false;
    Settings { patience: Duration::from_secs(2), dmarc: DmarcMode::Enforce, results, ..Settings::default() }
}
