//! A server of the test's own, in its thread, that behaves as it is told to.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use super::*;
use crate::smtp::sasl::Secret;

/// What answers a script: its arguments, and what its key has, which it may change.
type Answerer = fn(&[String], &mut Option<String>) -> String;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::service) enum Conduct {
    Well,
    /// It takes what comes, and says nothing.
    Silent,
    /// It answers everything with this.
    Says(Vec<u8>),
    /// It answers with so many octets of one value.
    Floods(usize),
}

#[derive(Debug)]
pub(in crate::service) struct Fake {
    pub(in crate::service) address: SocketAddr,
    pub(in crate::service) state: Rc<State>,
    listening: Option<JoinHandle<()>>,
}

#[derive(Debug)]
pub(in crate::service) struct State {
    pub(in crate::service) conduct: RefCell<Conduct>,
    pub(in crate::service) values: RefCell<HashMap<String, String>>,
    /// Commands that came, by name.
    pub(in crate::service) asked: RefCell<Vec<String>>,
    known: RefCell<HashSet<String>>,
    connections: RefCell<Vec<JoinHandle<()>>>,
    address: Cell<Option<SocketAddr>>,
    password: Option<&'static str>,
    script: Answerer,
}

pub(in crate::service) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new()
        .block_on(&runtime, async { timeout(Duration::from_secs(30), test).await.expect("an end") })
}

impl Fake {
    pub(in crate::service) async fn start(script: Answerer, password: Option<&'static str>) -> Self {
        let state = Rc::new(State {
            conduct: RefCell::new(Conduct::Well),
            values: RefCell::default(),
            asked: RefCell::default(),
            known: RefCell::default(),
            connections: RefCell::default(),
            address: Cell::new(None),
            password,
            script,
        });
        let mut fake = Self { address: ([127, 0, 0, 1], 0).into(), state, listening: None };
        fake.listen().await;
        fake
    }

    /// Listens, where it did before if it did.
    pub(in crate::service) async fn listen(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        self.state.address.set(Some(self.address));
        let state = Rc::clone(&self.state);
        self.listening = Some(spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = spawn_local(serve(stream, Rc::clone(&state)));
                state.connections.borrow_mut().push(serving);
            }
        }));
    }

    /// As if it was killed: it knows no script any more, and what it had it has.
    pub(in crate::service) async fn kill(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            let _ = listening.await;
        }
        self.state.known.borrow_mut().clear();
        for serving in self.state.connections.take() {
            serving.abort();
            let _ = serving.await;
        }
    }

    pub(in crate::service) fn settings(&self) -> SharedStore {
        SharedStore {
            nodes: vec![(self.address.ip().to_string(), self.address.port())],
            is_cluster: false,
            tls: None,
            user: None,
            password: self.state.password.map(|it| Secret::new(it.as_bytes())),
            database: 0,
            prefix: "p:".to_owned(),
            timeout: Duration::from_millis(300),
            machines: 3,
        }
    }

    pub(in crate::service) async fn redis(&self) -> (Redis, Arc<Health>) {
        begin(self.settings()).await
    }

    pub(in crate::service) fn is(&self, conduct: Conduct) {
        self.state.conduct.replace(conduct);
    }
}

pub(in crate::service) async fn begin(settings: SharedStore) -> (Redis, Arc<Health>) {
    let health = Arc::<Health>::default();
    (Redis::begin(Arc::new(settings), Arc::clone(&health)).await, health)
}

async fn serve(mut stream: TcpStream, state: Rc<State>) {
    let (mut input, mut chunk, mut is_in) = (Vec::new(), [0; 4096], state.password.is_none());
    loop {
        while let Some(words) = command(&mut input) {
            state.asked.borrow_mut().push(words[0].clone());
            let conduct = state.conduct.borrow().clone();
            let answer = match conduct {
                Conduct::Silent => continue,
                Conduct::Says(octets) => octets,
                Conduct::Floods(octets) => {
                    let mut answer = format!("${octets}\r\n").into_bytes();
                    answer.resize(octets, b'x');
                    answer
                }
                Conduct::Well => state.answer(&words, &mut is_in).into_bytes(),
            };
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(count) => input.extend_from_slice(&chunk[..count]),
        }
    }
}

/// Takes one command, if it is whole.
fn command(input: &mut Vec<u8>) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(input).into_owned();
    let mut lines = text.split_inclusive("\r\n");
    let first = lines.next()?.strip_prefix('*')?;
    let count: usize = first.trim_end().parse().ok()?;
    let (mut words, mut taken) = (Vec::new(), first.len() + 1);
    for _ in 0..count {
        let (length, word) = (lines.next()?, lines.next()?.strip_suffix("\r\n")?);
        taken += length.len() + word.len() + 2;
        words.push(word.to_owned());
    }
    input.drain(..taken);
    Some(words)
}

fn bulk(value: Option<&String>) -> String {
    value.map_or_else(|| "$-1\r\n".to_owned(), |text| format!("${}\r\n{text}\r\n", text.len()))
}

impl State {
    fn answer(&self, words: &[String], is_in: &mut bool) -> String {
        let mut values = self.values.borrow_mut();
        match words[0].as_str() {
            "AUTH" if words.last().map(String::as_str) == self.password => {
                *is_in = true;
                "+OK\r\n".to_owned()
            }
            "AUTH" => "-WRONGPASS invalid username-password pair or user is disabled.\r\n".to_owned(),
            _ if !*is_in => "-NOAUTH Authentication required.\r\n".to_owned(),
            "PING" => "+PONG\r\n".to_owned(),
            "MGET" => {
                let found: String = words[1..].iter().map(|name| bulk(values.get(name))).collect();
                format!("*{}\r\n{found}", words.len() - 1)
            }
            "EVALSHA" if !self.known.borrow().contains(&words[1]) => {
                "-NOSCRIPT No matching script.\r\n".to_owned()
            }
            "EVALSHA" | "EVAL" => {
                let digest = Script::new(Box::leak(words[1].clone().into_boxed_str()));
                self.known.borrow_mut().insert(digest.digest().to_owned());
                let mut value = values.remove(&words[3]);
                let answer = (self.script)(&words[4..], &mut value);
                value.into_iter().for_each(|value| _ = values.insert(words[3].clone(), value));
                answer
            }
            "CLUSTER" => {
                let address = self.address.get().unwrap();
                let (host, port) = (address.ip().to_string(), address.port());
                format!("*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n{}:{port}\r\n$2\r\nid\r\n", bulk(Some(&host)))
            }
            other => format!("-ERR unknown command '{other}'\r\n"),
        }
    }
}

fn appends(arguments: &[String], value: &mut Option<String>) -> String {
    value.get_or_insert_default().push_str(&arguments[0]);
    ":1\r\n".to_owned()
}

async fn append(redis: &Redis) -> Result<Value, Trouble> {
    redis.run(&Script::new("append"), "p:a", &["x".to_owned()]).await
}

async fn look(redis: &Redis) -> Result<Value, Trouble> {
    let mut command = redis::cmd("MGET");
    command.arg("p:a").arg("p:b");
    redis.ask(&command).await
}

async fn until(reached: impl Fn() -> bool) {
    while !reached() {
        sleep(Duration::from_millis(5)).await;
    }
}

fn is(text: &str) -> Value {
    Value::Array(vec![Value::BulkString(text.as_bytes().to_vec()), Value::Nil])
}

#[test]
fn a_script_is_sent_whole_where_it_is_not_known() {
    run(async {
        let fake = Fake::start(appends, None).await;
        let (redis, health) = fake.redis().await;
        for _ in 0..3 {
            assert_eq!(append(&redis).await, Ok(Value::Int(1)));
        }
        let scripts =
            fake.state.asked.borrow().iter().filter(|it| it.starts_with("EVAL")).cloned().collect::<Vec<_>>();
        assert_eq!(scripts, ["EVALSHA", "EVAL", "EVALSHA", "EVALSHA"]);
        assert_eq!(look(&redis).await, Ok(is("xxx")));
        assert!(health.is_well() && health.unanswered() == 0);
    });
}

#[test]
fn a_store_that_is_gone_is_no_trouble_and_one_that_is_back_is_used() {
    run(async {
        let mut fake = Fake::start(appends, Some("pencil")).await;
        let (redis, health) = fake.redis().await;
        assert_eq!(append(&redis).await, Ok(Value::Int(1)));
        for round in 2..5 {
            fake.kill().await;
            until(|| !health.is_well()).await;
            assert_eq!(append(&redis).await, Err(Trouble::Gone), "nobody waits for it");
            fake.listen().await;
            redis.found().await;
            assert_eq!(append(&redis).await, Ok(Value::Int(1)), "round {round}");
            assert!(health.is_well());
        }
        assert_eq!(look(&redis).await, Ok(is("xxxx")));
    });
}

#[test]
fn one_that_was_never_there_is_found_later() {
    run(async {
        let mut fake = Fake::start(appends, None).await;
        fake.kill().await;
        let (redis, health) = fake.redis().await;
        assert!(!redis.is_there() && !health.is_well());
        fake.listen().await;
        redis.found().await;
        assert_eq!(look(&redis).await.map(drop), Ok(()));
    });
}

#[test]
fn a_wrong_password_is_as_good_as_nobody() {
    run(async {
        let fake = Fake::start(appends, Some("pencil")).await;
        let settings = SharedStore { password: Some(Secret::new(b"pen")), ..fake.settings() };
        let (redis, health) = begin(settings).await;
        assert_eq!(look(&redis).await, Err(Trouble::Gone));
        assert!(!health.is_well() && health.unanswered() == 1);
    });
}

/// Whatever it says: everybody has an answer or none in time, and it is used again when it is sane.
#[test]
fn a_server_out_of_its_mind_holds_up_nobody() {
    for conduct in [
        Conduct::Silent,
        Conduct::Says(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        Conduct::Says(b"*9223372036854775807\r\n".to_vec()),
        Conduct::Says(b"%4611686018427387903\r\n".to_vec()),
        Conduct::Says(b"$9223372036854775807\r\n".to_vec()),
        Conduct::Says(b"$-9\r\n".to_vec()),
        Conduct::Says(b"*1\r\n".repeat(10_000)),
        Conduct::Says(vec![0; 100]),
        Conduct::Says(b"+".repeat(4096)),
        Conduct::Floods(100 << 20),
    ] {
        run(async {
            let fake = Fake::start(appends, None).await;
            let (redis, health) = fake.redis().await;
            assert!(redis.is_there());
            fake.is(conduct.clone());
            let said = format!("{conduct:.60?}");
            let answers = [look(&redis).await, append(&redis).await, look(&redis).await];
            assert!(answers.iter().all(|answer| *answer != Ok(is("x"))), "{said}");
            fake.is(Conduct::Well);
            // By then it is known, or about to be, that the connection is of no use.
            while append(&redis).await.is_err() {
                sleep(Duration::from_millis(5)).await;
            }
            assert!(health.is_well(), "{said}");
        });
    }
}

#[test]
fn an_error_is_told_and_the_store_is_there_all_the_same() {
    run(async {
        let is_full = |arguments: &[String], _: &mut Option<String>| match arguments[0].as_str() {
            "x" => "-OOM command not allowed\r\n".to_owned(),
            _ => ":1\r\n".to_owned(),
        };
        let fake = Fake::start(is_full, None).await;
        let (redis, health) = fake.redis().await;
        assert_eq!(append(&redis).await, Err(Trouble::Refused));
        assert!(redis.is_there() && !health.is_well());
        assert_eq!(look(&redis).await.map(drop), Ok(()));
        assert!(!health.is_well(), "that it answers something else is no news");
        assert_eq!(redis.run(&Script::new("less"), "p:a", &["y".to_owned()]).await, Ok(Value::Int(1)));
        assert!(health.is_well());
    });
}

#[test]
fn a_cluster_is_asked_the_same() {
    run(async {
        let mut fake = Fake::start(appends, Some("pencil")).await;
        let settings = SharedStore { is_cluster: true, ..fake.settings() };
        let (redis, health) = begin(settings).await;
        assert_eq!(append(&redis).await, Ok(Value::Int(1)));
        assert_eq!(look(&redis).await, Ok(is("x")));
        fake.kill().await;
        until(|| !health.is_well()).await;
        assert_eq!(append(&redis).await, Err(Trouble::Gone));
        fake.listen().await;
        redis.found().await;
        assert_eq!(append(&redis).await, Ok(Value::Int(1)));
    });
}

#[test]
fn many_at_a_time_have_each_their_own_answer() {
    run(async {
        let fake = Fake::start(|arguments, _| format!(":{}\r\n", arguments[0]), None).await;
        let (redis, _) = fake.redis().await;
        let script = Rc::new(Script::new("echo"));
        let mut asking = tokio::task::JoinSet::new();
        for number in 0..2000 {
            let (redis, script) = (redis.clone(), Rc::clone(&script));
            asking.spawn_local(async move {
                let answer = redis.run(&script, "p:a", &[number.to_string()]).await;
                assert!(
                    matches!(answer, Ok(Value::Int(it)) if it == number) || answer == Err(Trouble::Silent)
                );
                usize::from(answer.is_ok())
            });
        }
        assert!(asking.join_all().await.into_iter().sum::<usize>() > 0);
    });
}
