use std::path::PathBuf;

use base64_simd::STANDARD;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::*;

/// What the server says at once, each line with its end.
const HELLO: &str = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t42\nCUID\t1\n\
                     COOKIE\t0123456789abcdef\nDONE\n";

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// A place of its own for each test, which ends with it.
struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        // Nobody may have listened.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn socket(name: &str) -> Socket {
    Socket(std::env::temp_dir().join(format!("postern-{name}-{}", std::process::id())))
}

fn asking(socket: &Socket) -> Dovecot {
    Dovecot::new(Place::Socket(socket.0.clone()))
}

fn origin() -> Origin {
    Origin { client: ([192, 0, 2, 1], 50_000).into(), local: ([192, 0, 2, 25], 587).into() }
}

struct Asked {
    id: String,
    user: String,
    password: String,
    line: String,
}

impl Asked {
    fn new(line: &[u8]) -> Self {
        let line = String::from_utf8(line.to_vec()).unwrap();
        let (rest, response) = line.rsplit_once("\tresp=").unwrap();
        let words = String::from_utf8(STANDARD.decode_to_vec(response).unwrap()).unwrap();
        let words: Vec<&str> = words.split('\0').collect();
        let id = rest.split('\t').nth(1).unwrap().to_owned();
        Self { id, user: words[1].to_owned(), password: words[2].to_owned(), line: rest.to_owned() }
    }
}

/// A server that greets so and answers each question with what `answer` says; connections counted.
fn serve(
    path: &Socket,
    hello: &'static str,
    answer: impl Fn(&Asked) -> Option<String> + Send + Copy + 'static,
) -> JoinHandle<()> {
    let listener = UnixListener::bind(&path.0).unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let stream = Stream::Unix(stream);
            tokio::spawn(async move {
                let mut input = Vec::new();
                if stream.write(hello.as_bytes()).await.is_err() {
                    return;
                }
                while let Ok(line) = stream.line(&mut input).await {
                    if !line.starts_with(b"AUTH\t") {
                        assert!(line.starts_with(b"VERSION\t1\t") || line.starts_with(b"CPID\t"), "{line:?}");
                        continue;
                    }
                    match answer(&Asked::new(&line)) {
                        Some(text) if stream.write(text.as_bytes()).await.is_ok() => {}
                        _ => return,
                    }
                }
            });
        }
    })
}

async fn asks(dovecot: &Dovecot, user: &str, password: &str) -> Word {
    dovecot.verify(origin(), user, &Secret::new(password.as_bytes())).await
}

fn usual(asked: &Asked) -> Option<String> {
    assert!(asked.line.ends_with("\tPLAIN\tservice=smtp\tsecured\tlip=192.0.2.25\trip=192.0.2.1"));
    Some(match (asked.user.as_str(), asked.password.as_str()) {
        ("ann", "pencil") => format!("OK\t{}\tuser=ann@example.net\n", asked.id),
        ("later", _) => format!("FAIL\t{}\tuser=later\ttemp\n", asked.id),
        ("more", _) => format!("CONT\t{}\tabc\n", asked.id),
        _ => format!("FAIL\t{}\tuser={}\n", asked.id, asked.user),
    })
}

#[test]
fn who_is_right_is_who_dovecot_says() {
    run(async {
        let path = socket("usual");
        let server = serve(&path, HELLO, usual);
        let dovecot = asking(&path);
        for _ in 0..3 {
            assert_eq!(asks(&dovecot, "ann", "pencil").await, Word::RightAs("ann@example.net".to_owned()));
            assert_eq!(asks(&dovecot, "ann", "Pencil").await, Word::Wrong);
            assert_eq!(asks(&dovecot, "later", "x").await, Word::Unknown);
            assert_eq!(asks(&dovecot, "more", "x").await, Word::Unknown);
        }
        let connection = dovecot.connected().await.unwrap();
        assert_eq!(connection.next.load(Ordering::Relaxed), 13, "all over one connection");
        server.abort();
    });
}

#[test]
fn a_server_that_is_none_says_neither_yes_nor_no() {
    run(async {
        let missing = asking(&socket("missing"));
        assert_eq!(asks(&missing, "ann", "pencil").await, Word::Unknown);
        for (name, hello) in [
            ("other", "VERSION\t2\t0\nMECH\tPLAIN\nDONE\n"),
            ("unversioned", "MECH\tPLAIN\nDONE\n"),
            ("scram-only", "VERSION\t1\t2\nMECH\tSCRAM-SHA-256\nDONE\n"),
            ("smtp", "220 mx.example.net ESMTP\r\n500 what\r\n421 bye\r\nDONE\n"),
        ] {
            let path = socket(name);
            let server = serve(&path, hello, usual);
            assert_eq!(asks(&asking(&path), "ann", "pencil").await, Word::Unknown, "{name}");
            server.abort();
        }
    });
}

#[test]
fn a_server_that_comes_again_is_found_again() {
    run(async {
        let path = socket("again");
        let dovecot = asking(&path);
        assert_eq!(asks(&dovecot, "ann", "pencil").await, Word::Unknown);
        let right = Word::RightAs("ann@example.net".to_owned());
        for _ in 0..2 {
            let server = serve(&path, HELLO, usual);
            assert_eq!(asks(&dovecot, "ann", "pencil").await, right);
            server.abort();
            std::fs::remove_file(&path.0).unwrap();
            // What it had accepted goes on: end that as well.
            dovecot.connected().await.unwrap().end();
            assert_eq!(asks(&dovecot, "ann", "pencil").await, Word::Unknown);
        }
    });
}

/// It closes in the middle of a question: no answer, and the next one is asked of a new connection.
#[test]
fn who_was_waiting_when_it_ended_hears_nothing_good() {
    run(async {
        let path = socket("ends");
        let server = serve(&path, HELLO, |asked| usual(asked).filter(|_| asked.user != "eve"));
        let dovecot = asking(&path);
        assert_eq!(asks(&dovecot, "eve", "x").await, Word::Unknown);
        assert_eq!(asks(&dovecot, "ann", "pencil").await, Word::RightAs("ann@example.net".to_owned()));
        server.abort();
    });
}

/// Answers in another order, and one to a question that nobody put.
#[test]
fn answers_find_their_questions() {
    run(async {
        let path = socket("order");
        let server = serve(&path, HELLO, |asked| {
            let other: u32 = asked.id.parse::<u32>().unwrap() + 1000;
            let stray = format!("OK\t{other}\tuser=root\n");
            match asked.user.as_str() {
                // Answered together with the next.
                "first" => Some(String::new()),
                _ => {
                    let before = asked.id.parse::<u32>().unwrap() - 1;
                    Some(format!("{stray}OK\t{}\tuser=second\nOK\t{before}\tuser=first\n", asked.id))
                }
            }
        });
        let dovecot = Arc::new(asking(&path));
        let first = Arc::clone(&dovecot);
        let first = tokio::spawn(async move { asks(&first, "first", "x").await });
        while dovecot.connection.try_lock().map_or(true, |kept| {
            kept.connection.as_ref().is_none_or(|kept| kept.next.load(Ordering::Relaxed) < 2)
        }) {
            tokio::task::yield_now().await;
        }
        assert_eq!(asks(&dovecot, "second", "x").await, Word::RightAs("second".to_owned()));
        assert_eq!(first.await.unwrap(), Word::RightAs("first".to_owned()));
        server.abort();
    });
}

/// It takes the connection and never says who it is: the first client waits, the next does not.
#[test]
fn a_server_that_hangs_is_left_alone_for_a_while() {
    let path = socket("hangs");
    run(async {
        let server = serve(&path, "VERSION\t1\t2\n", usual);
        let dovecot = asking(&path);
        tokio::time::pause();
        for (want, wait) in [(CONNECT, Duration::ZERO), (Duration::ZERO, PAUSE), (CONNECT, Duration::ZERO)] {
            let begin = Instant::now();
            assert_eq!(asks(&dovecot, "ann", "pencil").await, Word::Unknown);
            let waited = begin.elapsed();
            assert!(waited >= want && waited < want + Duration::from_millis(100), "{waited:?}");
            tokio::time::sleep(wait).await;
        }
        server.abort();
    });
}

/// It takes the question and never answers: the time is up, and another connection is tried.
#[test]
fn silence_ends_too() {
    let path = socket("silent");
    run(async {
        let server = serve(&path, HELLO, |_| Some(String::new()));
        let dovecot = asking(&path);
        let connection = dovecot.connected().await.unwrap();
        tokio::time::pause();
        let begin = Instant::now();
        assert_eq!(asks(&dovecot, "ann", "pencil").await, Word::Unknown);
        assert!(begin.elapsed() >= ANSWER);
        assert!(!connection.is_alive());
        server.abort();
    });
}
