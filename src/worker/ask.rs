//! Questions of relays to the service side, and the way back of the answers.
//!
//! Out: one bounded queue for all workers, never waited for. Back: a queue of each worker's own, and
//! its reactor is woken. A [`Ticket`] says whose question it is; it may outlive the relay, for the
//! key in it never finds another one.
//!
//! What must always hold:
//! * every question that [wants an answer](Question::wants_answer) gets one, unless the relay lets go of it
//!   first: from the service, or [`Unknown`] from here (no room, nobody there, too late);
//! * after the last answer nothing more is heard under its ticket; what still comes is counted and
//!   dropped;
//! * what a worker has under way is bounded: tickets, words of each, octets of all. Octets count until
//!   the service has let go of their memory, though nobody wait for an answer any more: a disk that
//!   hangs costs that bound once, however often patience ends.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{mpsc as bounded, oneshot};

pub use super::control::Wake;
use super::counters::Counters;
use crate::base::slab::Key;
use crate::base::time::Instant;
use crate::base::timer_wheel::TimerWheel;
use crate::limits::{ASKED_BYTES_MAX, SPOOL_UNANSWERED_BYTES_HIGH};
use crate::relay::quarantine::{Spooled, Unanswered};
use crate::relay::question::{Answer, Claims, Granted, Query, Question, Unknown};

/// Questions of all workers between them and the service.
pub const QUESTIONS_MAX: usize = 4096;
/// Tickets that one worker has open.
pub const TICKETS_MAX: usize = 8192;
/// Words of one ticket that are not answered. A relay stops long before.
pub const WORDS_UNANSWERED_MAX: usize = 256;

const TIMER_TICK: Duration = Duration::from_millis(10);

/// Whose question it is, among those of all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    pub worker: usize,
    pub relay: Key,
    pub query: Query,
}

/// A question as it reaches the service.
#[derive(Debug)]
pub struct Asked {
    pub ticket: Ticket,
    pub question: Question,
    pub answers: AnswerQueue,
    /// To be kept as long as what came with the question is in memory.
    pub freight: Freight,
    pub interest: Interest,
}

/// Ends when nobody waits for an answer any more.
#[derive(Debug)]
pub struct Interest(oneshot::Receiver<()>);

impl Interest {
    /// What comes of `answering`, unless nobody wants to know: then it is dropped where it stands.
    pub async fn while_it_lasts<T>(mut self, answering: impl Future<Output = T>) -> Option<T> {
        let mut answering = pin!(answering);
        poll_fn(|context| match Pin::new(&mut self.0).poll(context) {
            Poll::Ready(_) => Poll::Ready(None),
            Poll::Pending => answering.as_mut().poll(context).map(Some),
        })
        .await
    }
}

/// The weight of a question: it counts against its worker's bound until this is dropped.
#[derive(Debug, Default)]
pub struct Freight {
    octets: usize,
    /// Of all questions of the worker that are somewhere on their way.
    under_way: Arc<AtomicUsize>,
}

impl Freight {
    fn new(octets: usize, under_way: &Arc<AtomicUsize>) -> Self {
        under_way.fetch_add(octets, Ordering::Relaxed);
        Self { octets, under_way: Arc::clone(under_way) }
    }
}

impl Drop for Freight {
    fn drop(&mut self) {
        self.under_way.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

impl Asked {
    /// Answers it.
    pub fn answer(&self, answer: Answer) {
        self.answers.push(self.ticket, answer);
    }
}

/// The way back to one worker. There are never more answers in it than questions were asked.
#[derive(Clone, Debug)]
pub struct AnswerQueue {
    sender: mpsc::Sender<(Ticket, Answer)>,
    wake: Wake,
}

impl AnswerQueue {
    /// Both ends; `wake` is called when there is something to hear.
    pub fn new(wake: Wake) -> (Self, mpsc::Receiver<(Ticket, Answer)>) {
        let (sender, receiver) = mpsc::channel();
        (Self { sender, wake }, receiver)
    }

    pub fn push(&self, ticket: Ticket, answer: Answer) {
        // A worker that has ended hears nothing any more.
        if self.sender.send((ticket, answer)).is_ok() {
            self.wake.wake();
        }
    }
}

/// The way to the service.
#[derive(Clone, Debug)]
pub struct QuestionQueue(Option<bounded::Sender<Asked>>);

impl QuestionQueue {
    /// Both ends.
    pub fn new() -> (Self, bounded::Receiver<Asked>) {
        Self::with_room(QUESTIONS_MAX)
    }

    /// Both ends, for tests of what happens when there is no room.
    pub fn with_room(questions_max: usize) -> (Self, bounded::Receiver<Asked>) {
        let (sender, receiver) = bounded::channel(questions_max);
        (Self(Some(sender)), receiver)
    }

    /// Where nobody answers: everything asked is [`Unknown::Gone`].
    pub const fn closed() -> Self {
        Self(None)
    }

    fn push(&self, asked: Asked) -> Result<(), (Unknown, Question)> {
        let Some(sender) = &self.0 else { return Err((Unknown::Gone, asked.question)) };
        sender.try_send(asked).map_err(|error| match error {
            bounded::error::TrySendError::Full(asked) => (Unknown::Full, asked.question),
            bounded::error::TrySendError::Closed(asked) => (Unknown::Gone, asked.question),
        })
    }
}

/// What is under way of one ticket.
#[derive(Debug)]
struct Open {
    unanswered: Unanswered,
    patience: Duration,
    /// When an answer is due, if one is.
    deadline: Option<Instant>,
    /// An entry of the wheel leads here.
    armed: bool,
    /// The service has heard of it.
    reached: bool,
    /// What the service must hear if we give up.
    retraction: Option<Question>,
    /// Whoever works on the answer to the last word sees this go.
    wanted: Option<oneshot::Sender<()>>,
}

/// A relay and its query.
type Place = (Key, Query);

/// One worker's end of it all.
#[derive(Debug)]
pub struct Asker {
    worker: usize,
    questions: QuestionQueue,
    answers: AnswerQueue,
    inbox: mpsc::Receiver<(Ticket, Answer)>,
    open: BTreeMap<Place, Open>,
    /// The weight of all that the service has, or will find in its queue.
    under_way: Arc<AtomicUsize>,
    /// Answers of our own, for the next [`collect`](Self::collect).
    refused: Vec<(Place, Unknown)>,
    /// What the service must hear and had no room for yet.
    retracted: Vec<(Ticket, Question)>,
    timers: TimerWheel<Place>,
    /// Answers to the worker itself.
    granted: Vec<Granted>,
}

impl Asker {
    /// `wake` ends the sleep of this worker's reactor.
    pub fn new(worker: usize, now: Instant, questions: QuestionQueue, wake: Wake) -> Self {
        let (answers, inbox) = AnswerQueue::new(wake);
        Self {
            worker,
            questions,
            answers,
            inbox,
            open: BTreeMap::new(),
            under_way: Arc::default(),
            refused: Vec::new(),
            retracted: Vec::new(),
            timers: TimerWheel::new(now, TIMER_TICK),
            granted: Vec::new(),
        }
    }

    /// Puts a question, or the next word under a number that is in use. An answer that is owed comes
    /// by [`collect`](Self::collect), within `patience` of the last progress.
    pub fn ask(
        &mut self,
        now: Instant,
        (relay, query): (Key, Query),
        question: Question,
        patience: Duration,
        counters: &Counters,
    ) {
        let place = (relay, query);
        if question.ends() {
            return self.forget(relay, query);
        }
        // After a word that was refused no other makes sense.
        if self.refused.iter().any(|(refused, _)| *refused == place) {
            return;
        }
        counters.questions.increment();
        let (octets, wants_answer, retraction) =
            (question.octets(), question.wants_answer(), question.retraction());
        let (weight, ceiling) = (question.weight(), question.ceiling());
        let sent = match self.admit(place, (weight, ceiling), patience, retraction) {
            Ok(()) => self.send(place, question).map_err(|(unknown, _)| unknown),
            Err(unknown) => Err(unknown),
        };
        match sent {
            Ok(()) => self.on_sent(now, place, octets, wants_answer),
            Err(unknown) => {
                count(counters, unknown);
                self.refused.push((place, unknown));
            }
        }
    }

    /// Puts claims of the worker itself. They have no ticket: who makes them knows what is not answered, and
    /// answers come by [`take_granted`](Self::take_granted), asked for or not.
    ///
    /// # Errors
    /// The same claims, if there is no room for them now.
    pub fn claim(&mut self, claims: Box<Claims>, counters: &Counters) -> Result<(), Box<Claims>> {
        counters.questions.increment();
        match self.send((Key::NOBODY, Query(0)), Question::Claims(claims)) {
            Err((unknown, Question::Claims(claims))) => {
                count(counters, unknown);
                Err(claims)
            }
            _ => Ok(()),
        }
    }

    /// What came for the worker itself, as of the last [`collect`](Self::collect).
    pub fn take_granted(&mut self) -> Vec<Granted> {
        std::mem::take(&mut self.granted)
    }

    /// Whether there is room for it; opens its ticket.
    fn admit(
        &mut self,
        place: Place,
        (octets, ceiling): (usize, usize),
        patience: Duration,
        retraction: Option<Question>,
    ) -> Result<(), Unknown> {
        let weight = self.asked_bytes();
        // What begins now will want as much at least.
        let full = self.open.len() >= TICKETS_MAX || weight + SPOOL_UNANSWERED_BYTES_HIGH > ASKED_BYTES_MAX;
        if weight + octets > ceiling {
            return Err(Unknown::Full);
        }
        match self.open.entry(place) {
            Entry::Occupied(open) if open.get().unanswered.words >= WORDS_UNANSWERED_MAX => {
                Err(Unknown::Full)
            }
            Entry::Occupied(_) => Ok(()),
            Entry::Vacant(_) if full => Err(Unknown::Full),
            Entry::Vacant(vacant) => {
                let unanswered = Unanswered::default();
                vacant.insert(Open {
                    unanswered,
                    patience,
                    deadline: None,
                    armed: false,
                    reached: false,
                    retraction,
                    wanted: None,
                });
                Ok(())
            }
        }
    }

    fn send(&mut self, place: Place, question: Question) -> Result<(), (Unknown, Question)> {
        let (relay, query) = place;
        let ticket = Ticket { worker: self.worker, relay, query };
        let freight = Freight::new(question.weight(), &self.under_way);
        let (wanted, interest) = oneshot::channel();
        if let Some(open) = self.open.get_mut(&place) {
            open.wanted = Some(wanted);
        }
        let (answers, interest) = (self.answers.clone(), Interest(interest));
        self.questions.push(Asked { ticket, question, answers, freight, interest })
    }

    fn on_sent(&mut self, now: Instant, place: Place, octets: usize, wants_answer: bool) {
        let Some(open) = self.open.get_mut(&place) else { return };
        open.reached = true;
        if !wants_answer {
            // Nothing follows of it, and nobody need hear that it is over.
            if open.retraction.is_none() {
                self.open.remove(&place);
            }
            return;
        }
        open.unanswered.add(octets);
        open.deadline = Some(now + open.patience);
        if !open.armed {
            open.armed = true;
            self.timers.insert(now + open.patience, place);
        }
    }

    /// The relay wants no answer any more.
    pub fn forget(&mut self, relay: Key, query: Query) {
        self.close((relay, query), true);
        self.refused.retain(|(place, _)| *place != (relay, query));
    }

    /// The relay is gone.
    pub fn forget_all(&mut self, relay: Key) {
        if self.open.is_empty() && self.refused.is_empty() {
            return;
        }
        let all = (relay, Query(0))..=(relay, Query(u32::MAX));
        let places: Vec<Place> = self.open.range(all).map(|(place, _)| *place).collect();
        places.into_iter().for_each(|(relay, query)| self.forget(relay, query));
        self.refused.retain(|((of, _), _)| *of != relay);
    }

    /// Closes a ticket; with `retract`, the service is told.
    fn close(&mut self, place: Place, retract: bool) {
        let Some(open) = self.open.remove(&place) else { return };
        let Some(question) = open.retraction.filter(|_| retract && open.reached) else { return };
        if let Err((Unknown::Full, question)) = self.send(place, question) {
            let (relay, query) = place;
            self.retracted.push((Ticket { worker: self.worker, relay, query }, question));
        }
    }

    /// Appends to `out` what the relays are to hear now.
    pub fn collect(&mut self, now: Instant, counters: &Counters, out: &mut Vec<(Key, Query, Answer)>) {
        self.retract_again();
        for (place, unknown) in std::mem::take(&mut self.refused) {
            self.close(place, true);
            out.push((place.0, place.1, Answer::Unknown(unknown)));
        }
        while let Ok((ticket, answer)) = self.inbox.try_recv() {
            let answer = match answer {
                Answer::Granted(granted) => {
                    self.granted.push(*granted);
                    continue;
                }
                answer => answer,
            };
            let place = (ticket.relay, ticket.query);
            if self.note(now, place, &answer) {
                out.push((ticket.relay, ticket.query, answer));
            } else {
                counters.answers_stale.increment();
            }
        }
        self.expire(now, counters, out);
    }

    /// What an answer changes; whether somebody waits for it.
    fn note(&mut self, now: Instant, place: Place, answer: &Answer) -> bool {
        let Some(open) = self.open.get_mut(&place) else { return false };
        if let Answer::Quarantine(Spooled::Taken { words, octets }) = *answer {
            open.unanswered.take(words, octets);
            // Progress: what is still owed gets its time anew.
            open.deadline = (open.unanswered.words > 0).then_some(now + open.patience);
        }
        if answer.is_last() {
            self.close(place, false);
        }
        true
    }

    fn expire(&mut self, now: Instant, counters: &Counters, out: &mut Vec<(Key, Query, Answer)>) {
        let mut due = Vec::new();
        self.timers.advance(now, &mut due);
        for place in due {
            let Some(open) = self.open.get_mut(&place) else { continue };
            match open.deadline {
                Some(deadline) if deadline <= now => {
                    count(counters, Unknown::Late);
                    self.close(place, true);
                    out.push((place.0, place.1, Answer::Unknown(Unknown::Late)));
                }
                Some(deadline) => self.timers.insert(deadline, place),
                None => open.armed = false,
            }
        }
    }

    /// The queue was full when the service had to be told.
    fn retract_again(&mut self) {
        while let Some((ticket, question)) = self.retracted.pop() {
            if let Err((Unknown::Full, question)) = self.send((ticket.relay, ticket.query), question) {
                return self.retracted.push((ticket, question));
            }
        }
    }

    /// When to [`collect`](Self::collect) at the latest, even if nothing comes.
    pub fn next_deadline(&mut self, now: Instant) -> Option<Instant> {
        if self.refused.is_empty() { self.timers.next_tick() } else { Some(now) }
    }

    /// Tickets that are open.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Octets on their way to the service, or there.
    pub fn asked_bytes(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }
}

fn count(counters: &Counters, unknown: Unknown) {
    match unknown {
        Unknown::Full => counters.questions_full.increment(),
        Unknown::Late => counters.answers_late.increment(),
        Unknown::Gone => counters.questions_gone.increment(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::slab::Slab;
    use crate::limits::INQUIRY_BYTES;
    use crate::relay::quarantine::Spool;
    use ulid::Ulid;

    const PATIENCE: Duration = Duration::from_secs(5);

    /// A worker's end and the service's end, and what lies between them.
    struct World {
        asker: Asker,
        service: bounded::Receiver<Asked>,
        counters: Counters,
        now: Instant,
        relays: Slab<()>,
        wakes: Arc<AtomicUsize>,
    }

    impl World {
        fn new(questions_max: usize) -> Self {
            let (queue, service) = QuestionQueue::with_room(questions_max);
            let wakes = Arc::new(AtomicUsize::new(0));
            let woken = Arc::clone(&wakes);
            let wake = Wake::new(move || _ = woken.fetch_add(1, Ordering::Relaxed));
            let now = Instant::from_nanos(0) + Duration::from_secs(100);
            let asker = Asker::new(3, now, queue, wake);
            Self { asker, service, counters: Counters::new(&[]), now, relays: Slab::new(), wakes }
        }

        fn say(&mut self, place: Place, word: Spool) {
            self.asker.ask(self.now, place, Question::Quarantine(word), PATIENCE, &self.counters);
        }

        fn begin(&mut self) -> Place {
            let place = (self.relays.insert(()), Query(7));
            self.say(place, Spool::Begin { id: Ulid::nil(), size: 0 });
            place
        }

        /// What the service hears, in short.
        fn heard(&mut self) -> Vec<&'static str> {
            let mut heard = Vec::new();
            while let Ok(asked) = self.service.try_recv() {
                let Question::Quarantine(word) = asked.question else { unreachable!() };
                heard.push(match word {
                    Spool::Begin { .. } => "begin",
                    Spool::Append(_) => "append",
                    Spool::Commit(_) => "commit",
                    Spool::Abort => "abort",
                });
            }
            heard
        }

        fn answer(&self, (relay, query): Place, spooled: Spooled) {
            let ticket = Ticket { worker: 3, relay, query };
            self.asker.answers.push(ticket, Answer::Quarantine(spooled));
        }

        fn collected(&mut self) -> Vec<(Key, Query, Answer)> {
            let mut out = Vec::new();
            self.asker.collect(self.now, &self.counters, &mut out);
            out
        }

        fn pass(&mut self, seconds: u64) {
            self.now = self.now + Duration::from_secs(seconds);
        }
    }

    const TAKEN: Spooled = Spooled::Taken { words: 1, octets: 10 };

    /// Claims of the worker itself have no ticket: they come back if there is no room, and their answers apart.
    #[test]
    fn what_a_worker_claims_itself_is_answered_to_itself() {
        let mut world = World::new(1);
        let claims = || Box::new(Claims { now: world_now(), ..Claims::default() });
        assert_eq!(world.asker.claim(claims(), &world.counters), Ok(()));
        assert_eq!(world.asker.claim(claims(), &world.counters), Err(claims()));
        let Ok(Asked { ticket, answers, question: Question::Claims(_), .. }) = world.service.try_recv()
        else {
            panic!("no claims")
        };
        assert_eq!((ticket.worker, ticket.relay, world.asker.open()), (3, Key::NOBODY, 0));
        answers.push(ticket, Answer::Granted(Box::default()));
        answers.push(ticket, Answer::Granted(Box::default()));
        let mut heard = Vec::new();
        world.asker.collect(world.now, &world.counters, &mut heard);
        assert_eq!((heard.len(), world.asker.take_granted().len()), (0, 2));
        assert_eq!((world.asker.take_granted().len(), world.counters.answers_stale.value()), (0, 0));
    }

    const fn world_now() -> Instant {
        Instant::from_nanos(5)
    }

    #[test]
    fn an_answer_finds_who_asked_and_wakes_the_worker() {
        let mut world = World::new(16);
        let place = world.begin();
        world.say(place, Spool::Append(vec![0; 10]));
        assert_eq!((world.asker.open(), world.asker.asked_bytes()), (1, 10));
        assert_eq!(world.heard(), ["begin", "append"]);
        world.answer(place, TAKEN);
        assert_eq!(world.wakes.load(Ordering::Relaxed), 1);
        assert_eq!(world.collected(), [(place.0, place.1, Answer::Quarantine(TAKEN))]);
        assert_eq!((world.asker.open(), world.asker.asked_bytes()), (1, 0));
        world.answer(place, Spooled::Stored);
        assert_eq!(world.collected(), [(place.0, place.1, Answer::Quarantine(Spooled::Stored))]);
        assert_eq!(world.asker.open(), 0);
        // What comes behind the last word is nobody's.
        world.answer(place, Spooled::Stored);
        assert_eq!(world.collected(), []);
        assert_eq!(world.counters.answers_stale.value(), 1);
    }

    #[test]
    fn a_ticket_outlives_its_relay_and_reaches_no_other() {
        let mut world = World::new(16);
        let place = world.begin();
        world.relays.remove(place.0);
        world.asker.forget_all(place.0);
        assert_eq!(world.heard(), ["begin", "abort"]);
        let successor = world.begin();
        assert_eq!(successor.0.index(), place.0.index());
        world.answer(place, Spooled::Stored);
        assert_eq!(world.collected(), []);
        assert_eq!((world.counters.answers_stale.value(), world.asker.open()), (1, 1));
    }

    #[test]
    fn a_full_queue_is_an_answer() {
        let mut world = World::new(2);
        let place = world.begin();
        world.say(place, Spool::Append(vec![0; 10]));
        world.say(place, Spool::Append(vec![0; 10]));
        assert_eq!(world.asker.next_deadline(world.now), Some(world.now));
        assert_eq!(world.collected(), [(place.0, place.1, Answer::Unknown(Unknown::Full))]);
        assert_eq!((world.asker.open(), world.asker.asked_bytes()), (0, 10), "the first is still there");
        assert_eq!(world.counters.questions_full.value(), 1);
        // The service learns that it is over as soon as there is room.
        assert_eq!(world.heard(), ["begin", "append"]);
        assert_eq!(world.collected(), []);
        assert_eq!(world.heard(), ["abort"]);
    }

    #[test]
    fn a_late_answer_is_unknown_and_then_stale() {
        let mut world = World::new(16);
        let place = world.begin();
        world.pass(60);
        assert_eq!(world.collected(), [], "nothing was owed");
        world.say(place, Spool::Append(vec![0; 10]));
        world.pass(4);
        world.answer(place, Spooled::Taken { words: 0, octets: 5 });
        assert_eq!(world.collected().len(), 1);
        world.pass(4);
        assert_eq!(world.collected(), [], "there was progress in between");
        world.pass(2);
        assert!(world.asker.next_deadline(world.now).is_some_and(|deadline| deadline <= world.now));
        assert_eq!(world.collected(), [(place.0, place.1, Answer::Unknown(Unknown::Late))]);
        assert_eq!(world.counters.answers_late.value(), 1);
        assert_eq!(world.heard(), ["begin", "append", "abort"]);
        world.answer(place, Spooled::Stored);
        assert_eq!(world.collected(), []);
        assert_eq!(world.counters.answers_stale.value(), 1);
    }

    #[test]
    fn nobody_there_is_an_answer_too() {
        let (orphan, service) = QuestionQueue::new();
        drop(service);
        for queue in [QuestionQueue::closed(), orphan] {
            let mut world = World::new(1);
            world.asker.questions = queue;
            let place = world.begin();
            assert_eq!(world.collected(), [(place.0, place.1, Answer::Unknown(Unknown::Gone))]);
            assert_eq!((world.asker.open(), world.counters.questions_gone.value()), (0, 1));
        }
    }

    #[test]
    fn what_is_under_way_is_bounded() {
        let mut world = World::new(QUESTIONS_MAX);
        let talkative = world.begin();
        (0..WORDS_UNANSWERED_MAX).for_each(|_| world.say(talkative, Spool::Append(vec![0])));
        assert_eq!(world.collected(), []);
        world.say(talkative, Spool::Append(vec![0]));
        assert_eq!(world.collected().len(), 1);
        world.heard();
        let heavy = world.begin();
        world.say(heavy, Spool::Append(vec![0; ASKED_BYTES_MAX]));
        assert_eq!(world.collected(), []);
        let other = world.begin();
        world.say(other, Spool::Append(vec![0]));
        assert_eq!(world.collected(), [(other.0, other.1, Answer::Unknown(Unknown::Full))]);
    }

    /// A client that says MAIL and RSET for ever, and a DNS that does not answer.
    #[test]
    fn inquiries_leave_room_for_messages_to_be_kept() {
        let mut world = World::new(usize::from(u16::MAX));
        let mut hung = Vec::new();
        let mut refused = 0;
        for _ in 0..TICKETS_MAX {
            let place = (world.relays.insert(()), Query(7));
            let question = Question::Client(Box::new(nobody()));
            world.asker.ask(world.now, place, question, PATIENCE, &world.counters);
            world.asker.forget_all(place.0);
            refused += world.collected().len();
            while let Ok(asked) = world.service.try_recv() {
                hung.push(asked);
            }
        }
        assert!(hung.len() * INQUIRY_BYTES <= ASKED_BYTES_MAX / 2, "{}", hung.len());
        let kept = world.begin();
        world.say(kept, Spool::Append(vec![0; ASKED_BYTES_MAX / 4]));
        assert_eq!((world.collected(), refused), (Vec::new(), 0));
    }

    #[test]
    fn who_works_on_an_answer_learns_that_nobody_waits_for_it() {
        let mut world = World::new(16);
        let mut ask = || {
            let place = (world.relays.insert(()), Query(7));
            let question = Question::Client(Box::new(nobody()));
            world.asker.ask(world.now, place, question, PATIENCE, &world.counters);
            (place.0, world.service.try_recv().unwrap())
        };
        let ((gone, mut of_gone), (_, mut of_other)) = (ask(), ask());
        world.asker.forget_all(gone);
        assert_eq!(of_gone.interest.0.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(of_other.interest.0.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    }

    #[test]
    fn what_is_only_told_leaves_no_ticket() {
        let mut world = World::new(2);
        let place = (world.relays.insert(()), Query(7));
        let learn = || Question::Learn(crate::relay::question::Learn { now: 0, lessons: Vec::new() });
        world.asker.ask(world.now, place, learn(), PATIENCE, &world.counters);
        assert!(matches!(world.service.try_recv(), Ok(Asked { question: Question::Learn(_), .. })));
        assert_eq!((world.asker.open(), world.collected()), (0, Vec::new()));
    }

    fn nobody() -> crate::policy::sender::OfClient {
        crate::policy::sender::OfClient {
            ip: "192.0.2.1".parse().unwrap(),
            helo: String::new(),
            local_part: String::new(),
            domain: String::new(),
            receiver: String::new(),
            unix_seconds: 0,
        }
    }

    #[test]
    fn what_a_hung_service_has_counts_though_nobody_waits() {
        let mut world = World::new(QUESTIONS_MAX);
        let mut hung = Vec::new();
        let heavy = world.begin();
        world.say(heavy, Spool::Append(vec![0; ASKED_BYTES_MAX]));
        while let Ok(asked) = world.service.try_recv() {
            hung.push(asked);
        }
        world.pass(60);
        assert_eq!(world.collected(), [(heavy.0, heavy.1, Answer::Unknown(Unknown::Late))]);
        world.asker.forget_all(heavy.0);
        let other = world.begin();
        assert_eq!(world.collected(), [(other.0, other.1, Answer::Unknown(Unknown::Full))]);
        hung.clear();
        assert_eq!(world.asker.asked_bytes(), 0);
        world.begin();
        assert_eq!(world.collected(), []);
    }

    #[test]
    fn tickets_are_bounded() {
        let mut world = World::new(TICKETS_MAX + 1);
        (0..TICKETS_MAX).for_each(|_| _ = world.begin());
        assert_eq!(world.collected(), []);
        let one_more = world.begin();
        assert_eq!(world.collected(), [(one_more.0, one_more.1, Answer::Unknown(Unknown::Full))]);
    }

    #[test]
    fn a_relay_lets_go_of_what_it_was_refused() {
        let mut world = World::new(1);
        let place = world.begin();
        world.say(place, Spool::Append(vec![0]));
        world.say(place, Spool::Abort);
        assert_eq!(world.collected(), []);
        assert_eq!((world.asker.open(), world.heard()), (0, vec!["begin"]));
        world.collected();
        assert_eq!(world.heard(), ["abort"]);
    }
}
