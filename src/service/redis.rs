//! The way to a store that several machines have in common: Redis or Valkey, one server or a cluster.
//!
//! Many questions go over one connection (of a cluster: over one to each of its masters), each with its
//! answer. One task attends to that: it connects, looks every second whether somebody is there, and connects
//! again.
//!
//! * `link`: one connection, and what may come over it;
//! * `script`: what the store carries out in one piece.
//!
//! What must always hold: a question has its answer, or none, within its time, however the store behaves; while
//! it is gone a question has none at once; questions that are under way are bounded in number, answers in
//! octets; a store that is back is used again within [`PAUSE_MAX`] and what connecting takes. Of a cluster all
//! masters answer, or it counts as gone.

mod link;
mod script;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use redis::{Cmd, RedisError, RedisResult, Value};
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::notice::say;
use crate::limits::SHARED_UNDER_WAY_MAX;
use crate::policy::settings::SharedStore;
use link::Connection;

pub use script::Script;

/// To connect, with all that belongs to it: names, TLS, who we are.
const CONNECT: Duration = Duration::from_millis(2500);
/// How often a store that nobody asks is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Between two trials to connect.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A store that comes and goes is told of so often.
const WORDS: Duration = Duration::from_secs(30);
/// What a server says is shown up to here.
const WHY_CHARS_MAX: usize = 200;

/// What others may read of it.
#[derive(Debug, Default)]
pub struct Health {
    is_there: AtomicBool,
    /// The last question of each kind was answered by an error.
    refuses: [AtomicBool; 2],
    unanswered: AtomicU64,
}

impl Health {
    /// Whether questions are answered.
    pub fn is_well(&self) -> bool {
        let refuses = self.refuses.iter().any(|refuses| refuses.load(Ordering::Relaxed));
        self.is_there.load(Ordering::Relaxed) && !refuses
    }

    /// Questions without an answer, or with an error for one.
    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }
}

/// What is asked: a server that has no room refuses scripts and answers all else.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Command,
    Script,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The store is gone; it has heard nothing.
    Gone,
    /// It did not answer. It may have heard.
    Silent,
    /// It answered that it does not do that.
    Refused,
}

/// See the top of the file. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Redis(Rc<Inner>);

struct Inner {
    settings: Arc<SharedStore>,
    health: Arc<Health>,
    /// None: it is gone.
    connection: watch::Sender<Option<Connection>>,
    places: Semaphore,
    /// Somebody waited in vain.
    doubt: Notify,
    words: Words,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_there = self.connection.borrow().is_some();
        out.debug_struct("Inner").field("is_there", &is_there).finish_non_exhaustive()
    }
}

impl Redis {
    /// Begins to attend to it, and returns when it was looked for once: found or not.
    pub async fn begin(settings: Arc<SharedStore>, health: Arc<Health>) -> Self {
        let redis = Self::new(settings, health);
        let (tried, trial) = oneshot::channel();
        // Who waits is below.
        tokio::task::spawn_local(redis.clone().attend(|| _ = tried.send(())));
        let _ = trial.await;
        redis
    }

    fn new(settings: Arc<SharedStore>, health: Arc<Health>) -> Self {
        Self(Rc::new(Inner {
            settings,
            health,
            connection: watch::Sender::new(None),
            places: Semaphore::new(SHARED_UNDER_WAY_MAX),
            doubt: Notify::new(),
            words: Words::default(),
        }))
    }

    /// Where all of ours begins.
    pub fn prefix(&self) -> &str {
        &self.0.settings.prefix
    }

    pub fn is_there(&self) -> bool {
        self.0.connection.borrow().is_some()
    }

    /// Waits until it is there.
    pub async fn found(&self) {
        let mut connection = self.0.connection.subscribe();
        // The other end is in our own hands.
        let _ = connection.wait_for(Option::is_some).await;
    }

    /// The answer to one command.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn ask(&self, command: &Cmd) -> Result<Value, Trouble> {
        self.within(Kind::Command, async |connection: Connection| connection.ask(command).await).await
    }

    /// What `script` says of `key`.
    ///
    /// # Errors
    /// As for [`ask`](Self::ask).
    pub async fn run(&self, script: &Script, key: &str, arguments: &[String]) -> Result<Value, Trouble> {
        let running = async |connection: Connection| script.run(connection, key, arguments).await;
        self.within(Kind::Script, running).await
    }

    async fn within(
        &self,
        kind: Kind,
        asking: impl AsyncFnOnce(Connection) -> RedisResult<Value>,
    ) -> Result<Value, Trouble> {
        let connected = || self.0.connection.borrow().clone().ok_or(Trouble::Gone);
        let asking = async {
            connected()?;
            let Ok(_place) = self.0.places.acquire().await else { return Err(Trouble::Gone) };
            // It may have gone while this one waited for its turn.
            asking(connected()?).await.map_err(|error| self.trouble(kind, &error))
        };
        let answer = timeout(self.0.settings.timeout, asking).await.unwrap_or(Err(Trouble::Silent));
        match answer {
            Ok(_) => self.accept(kind),
            Err(Trouble::Silent) => self.0.doubt.notify_one(),
            Err(Trouble::Gone | Trouble::Refused) => {}
        }
        answer.inspect_err(|_| _ = self.0.health.unanswered.fetch_add(1, Ordering::Relaxed))
    }

    fn trouble(&self, kind: Kind, error: &RedisError) -> Trouble {
        if link::code(error).is_none() {
            return Trouble::Silent;
        }
        self.0.health.refuses[kind as usize].store(true, Ordering::Relaxed);
        self.0.words.bad(format_args!("the store that is shared refuses what it is asked: {}", shown(error)));
        Trouble::Refused
    }

    fn accept(&self, kind: Kind) {
        if self.0.health.refuses[kind as usize].swap(false, Ordering::Relaxed) {
            self.0.words.good(format_args!("the store that is shared does again what it is asked"));
        }
    }

    /// Connects, and connects again, to the end of the process. Hears once when it was tried for the first time.
    async fn attend(self, tried: impl FnOnce()) {
        let mut tried = Some(tried);
        let mut pause = PAUSE_MIN;
        loop {
            let opening = timeout(CONNECT, Connection::open(&self.0.settings)).await;
            let why = match opening {
                Ok(Ok(connection)) => {
                    self.take(connection);
                    tried.take().into_iter().for_each(|tried| tried());
                    pause = PAUSE_MIN;
                    self.watch().await
                }
                Ok(Err(error)) => shown(&error),
                Err(_) => "it does not answer".to_owned(),
            };
            self.let_go(&why);
            tried.take().into_iter().for_each(|tried| tried());
            // Machines that lost the same store do not all come back in the same instant.
            sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn take(&self, connection: Connection) {
        self.0.connection.send_replace(Some(connection));
        self.0.health.is_there.store(true, Ordering::Relaxed);
        self.0.words.good(format_args!("the store that is shared answers again"));
    }

    fn let_go(&self, why: &str) {
        self.0.connection.send_replace(None);
        self.0.health.is_there.store(false, Ordering::Relaxed);
        self.0.words.bad(format_args!(
            "the store that is shared does not answer, and mail goes on without it: {why}"
        ));
    }

    /// Looks whether it is there as long as it is; why it is not any more.
    async fn watch(&self) -> String {
        loop {
            // Whoever waited in vain has us look at once.
            let _ = timeout(LOOK, self.0.doubt.notified()).await;
            let Some(connection) = self.0.connection.borrow().clone() else { return String::new() };
            match timeout(self.0.settings.timeout, connection.probe()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return shown(&error),
                Err(_) => return "it fell silent".to_owned(),
            }
        }
    }
}

/// What a server, or the library, says of it: in one line, and not without end.
fn shown(error: &RedisError) -> String {
    error.to_string().chars().take(WHY_CHARS_MAX).flat_map(char::escape_debug).collect()
}

/// Words to people, of good and bad days in turn, and not more often than [`WORDS`].
#[derive(Debug, Default)]
struct Words {
    /// Bad days were told of.
    are_bad: Cell<bool>,
    last: RefCell<Option<Instant>>,
}

impl Words {
    fn bad(&self, words: std::fmt::Arguments<'_>) {
        let is_early = self.last.borrow().is_some_and(|last| last.elapsed() < WORDS);
        if !self.are_bad.get() && !is_early {
            self.are_bad.set(true);
            self.last.replace(Some(Instant::now()));
            say(words);
        }
    }

    fn good(&self, words: std::fmt::Arguments<'_>) {
        if self.are_bad.replace(false) {
            say(words);
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
