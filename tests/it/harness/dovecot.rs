//! Dovecot's authentication server, as far as a client of it sees: one user, and what it calls him.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base64_simd::STANDARD;

#[derive(Debug, Default)]
struct Shared {
    /// Questions, without what is secret in them.
    questions: Mutex<Vec<String>>,
    connections: Mutex<Vec<UnixStream>>,
    over: AtomicBool,
}

/// The running server. It ends with this value.
#[derive(Debug)]
pub(crate) struct Dovecot {
    shared: Arc<Shared>,
    path: std::path::PathBuf,
}

impl Dovecot {
    /// Knows one user, by a name and a password, and what to call him. What begins with "later" it cannot say now.
    pub(crate) fn start(path: &Path, user: [&'static str; 2], called: &'static str) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let shared = Arc::new(Shared::default());
        let held = Arc::clone(&shared);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if held.over.load(Ordering::Acquire) {
                    return;
                }
                held.connections.lock().unwrap().push(stream.try_clone().unwrap());
                let held = Arc::clone(&held);
                // However it ends: the test sees what came of it.
                std::thread::spawn(move || serve(&stream, &held, user, called));
            }
        });
        Self { shared, path: path.to_owned() }
    }

    pub(crate) fn questions(&self) -> Vec<String> {
        self.shared.questions.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.lock().unwrap().len()
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        // These may be closed by now; the last one ends the wait in accept.
        for stream in self.shared.connections.lock().unwrap().iter() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        let _ = UnixStream::connect(&self.path);
        let _ = std::fs::remove_file(&self.path);
    }
}

fn serve(stream: &UnixStream, shared: &Shared, user: [&str; 2], called: &str) -> Option<()> {
    let mut out = stream;
    let hello = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\tab\nDONE\n";
    out.write_all(hello.as_bytes()).ok()?;
    for line in BufReader::new(stream).lines() {
        let line = line.ok()?;
        let Some((question, response)) = line.split_once("\tresp=") else { continue };
        shared.questions.lock().unwrap().push(question.to_owned());
        let words = String::from_utf8(STANDARD.decode_to_vec(response).ok()?).ok()?;
        let words: Vec<&str> = words.split('\0').collect();
        let id = question.split('\t').nth(1)?;
        let answer = match &words[..] {
            ["", name, _] if name.starts_with("later") => format!("FAIL\t{id}\tuser={name}\ttemp\n"),
            ["", name, password] if [*name, *password] == user => format!("OK\t{id}\tuser={called}\n"),
            _ => format!("FAIL\t{id}\n"),
        };
        out.write_all(answer.as_bytes()).ok()?;
    }
    None
}
