//! `check`, `explain` and `replay` over configurations with patterns: the program as people call it.

#![allow(clippy::disallowed_methods, reason = "a test looks at the time")]

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::harness::program::output;
use super::harness::{Folder, free_address};

const CONFIG: &str = r#"hostname = "mx.example.net"
[[listener]]
name = "in"
address = ["127.0.0.1:2525"]
[[upstream]]
name = "store"
servers = ["127.0.0.1:2526"]
[[route]]
recipient = ["example.net"]
upstream = "store"
[inspect]
budget = 1000000000
patterns = ["patterns/*.toml"]
[score]
tag = 2.0
reject = 8.0
"#;

const PATTERNS: &str = "[[pattern]]
symbol = 'LOTTERY'
score = 3
why = 'x'
in = ['text', 'header:subject']
match = '(won|win) the lottery'
[[pattern]]
symbol = 'CARD'
score = 1
why = 'x'
in = ['text']
match = '\\b\\d{16}\\b'
check = 'luhn'
";

const MESSAGE: &str = "From: A B <a@client.example>
Subject: hello \u{1b}[2J
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/html

<p>You have w&#111;n the <b>lottery</b>, pay by 4111111111111111 at
<a href=\"http://pay.example/\">here</a></p>
--b
Content-Type: application/octet-stream; name=\"a.exe\"
Content-Transfer-Encoding: base64

TVqQAAMAAAAEAAAA//8AALgAAAA=
--b--
";

/// A folder with a configuration, its patterns and a message.
struct World(Folder);

impl World {
    fn new(patterns: &str) -> Self {
        let world = Self(Folder::new());
        fs::create_dir(world.path("patterns")).unwrap();
        world.write("p.toml", CONFIG).write("patterns/a.toml", patterns).write("m.eml", MESSAGE);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        fs::write(self.path(name), text).unwrap();
        self
    }

    /// Runs a command whose words with a dot are files of the folder.
    fn run(&self, command: &str) -> Output {
        let word = |word: &str| if word.contains('.') { self.path(word).into() } else { word.into() };
        output(&command.split(' ').map(word).collect::<Vec<std::ffi::OsString>>())
    }

    /// The same; standard output if the exit code is `code`.
    #[track_caller]
    fn said(&self, command: &str, code: i32) -> String {
        let output = self.run(command);
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{command}: {out}{error}");
        out
    }

    #[track_caller]
    fn complaint(&self, command: &str) -> String {
        let output = self.run(command);
        assert_eq!(output.status.code(), Some(1), "{command}: {}", text(&output.stdout));
        text(&output.stderr)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_broken_pattern_is_told_by_check_and_run() {
    let world = World::new(&PATTERNS.replace("(won", "won").replace("why", "wy"));
    let file = world.path("patterns/a.toml").display().to_string();
    for command in ["check --config p.toml", "run --config p.toml", "explain --config p.toml m.eml"] {
        let error = world.complaint(command);
        for place in ["4:1: unknown key `wy`", "6:9: ", "10:1: unknown key `wy`"] {
            assert!(error.contains(&format!("{file}:{place}")), "{error}");
        }
    }
    world.write("p.toml", &CONFIG.replace("patterns/*", "other/*"));
    let error = world.complaint("check --config p.toml");
    assert!(error.contains("p.toml:13:13: ") && error.contains("other/: No such file"), "{error}");
}

#[test]
fn a_hostile_pattern_is_refused_in_time() {
    let one = |n: usize| {
        let n = 900 - n;
        let pattern = format!("match = '.{{1,{n}}}a.{{1,{n}}}b.{{1,{n}}}c'\n");
        format!("[[pattern]]\nsymbol = 'A'\nwhy = 'x'\nin = ['text']\n{pattern}")
    };
    let world = World::new(&(0..300).map(one).collect::<String>());
    let begun = Instant::now();
    let error = world.complaint("check --config p.toml");
    // Its own bound is ten seconds; a machine that does much else at once may be late to say so.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(error.contains("a.toml:") && error.contains("compiling"), "{error}");
}

/// Ten files, each as long as it may be, of literals that are well each by itself. The library asks for
/// some three KiB for each, so that the bound on memory is reached long before the one on time.
#[test]
fn patterns_that_take_too_much_memory_are_refused_in_time() {
    const FILES: u64 = 10;
    const LITERALS: usize = 20_000;
    let world = World::new(PATTERNS);
    for file in 0..FILES {
        let mut random = fastrand::Rng::with_seed(file);
        let mut one = |_| {
            let literal: String = std::iter::repeat_with(|| random.lowercase()).take(12).collect();
            format!("[[pattern]]\nsymbol = 'A'\nwhy = 'x'\nin = ['raw']\nliteral = '{literal}'\n")
        };
        world.write(&format!("patterns/{file}.toml"), &(0..LITERALS).map(&mut one).collect::<String>());
    }
    let begun = Instant::now();
    let error = world.complaint("check --config p.toml");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let by_memory = error.contains("compiling all patterns takes more than 512 MiB");
    // On a machine that does much else at once the bound on time comes first.
    let by_time = error.contains("longer than 7 seconds") && begun.elapsed() >= Duration::from_secs(7);
    assert!(error.contains(".toml:") && (by_memory || by_time), "{error}");
}

#[test]
fn what_was_compiled_is_kept() {
    let world = World::new(PATTERNS);
    world.write("p.toml", &CONFIG.replace("[inspect]", "[inspect]\ncache = \"cache\""));
    let kept = || -> Vec<PathBuf> {
        fs::read_dir(world.path("cache")).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    world.said("explain --config p.toml m.eml", 0);
    let files = kept();
    assert_eq!(files.len(), 1);
    let whole = fs::read(&files[0]).unwrap();
    for damaged in [&b"x"[..], &whole[..whole.len() / 2], &[]] {
        fs::write(&files[0], damaged).unwrap();
        assert!(world.said("explain --config p.toml m.eml", 0).contains("LOTTERY"));
        assert_eq!(fs::read(&files[0]).unwrap(), whole);
    }
    let before = fs::metadata(&files[0]).unwrap().modified().unwrap();
    world.said("explain --config p.toml m.eml", 0);
    assert_eq!(fs::metadata(&files[0]).unwrap().modified().unwrap(), before, "it is not written again");
    world.write("patterns/a.toml", &PATTERNS.replace("win", "wins"));
    world.said("explain --config p.toml m.eml", 0);
    assert_eq!(kept().len(), 2);
}

#[test]
fn check_tells_what_patterns_cost() {
    let world = World::new(PATTERNS);
    let sheet = world.said("check --config p.toml", 0);
    for wanted in
        ["no fault", "LOTTERY", "CARD", "header:subject", "streams of inspections", "1000000000 ns/KiB"]
    {
        assert!(sheet.contains(wanted), "{sheet}");
    }
    world.write("p.toml", &CONFIG.replace("1000000000", "1"));
    let error = world.complaint("check --config p.toml");
    assert!(error.contains("over the budget: text: ") && error.contains("LOTTERY"), "{error}");
    world.said("explain --config p.toml m.eml", 0);
}

#[test]
fn a_relative_quarantine_is_beside_its_configuration() {
    let world = World::new(PATTERNS);
    let text = CONFIG.replace("127.0.0.1:2525", &free_address().to_string());
    world.write("p.toml", &format!("{text}[quarantine]\npath = \"kept/here\"\n[admin]\naddress = \"off\"\n"));
    let folder = world.path("kept/here").display().to_string();
    let sheet = world.said("check --config p.toml", 0);
    assert!(sheet.contains(&format!("kept in   {folder}, at most 10.0 GiB\n")), "{sheet}");
    world.write("kept", "a file stands in its way");
    let error = world.complaint("run --config p.toml");
    let wanted = "(a relative path is meant from the configuration's folder)";
    assert!(error.contains(&folder) && error.contains(wanted), "{error}");
}

#[test]
fn explain_tells_everything_to_people() {
    let world = World::new(PATTERNS);
    let told = world.said("explain --config p.toml m.eml", 0);
    for wanted in [
        "note        LF became CRLF\n",
        "verdict     tag, by score\n",
        "score       4.0\n",
        "LOTTERY x1\n",
        "CARD x1\n",
        "subject     hello \\u{1b}[2J\n",
        "held until the verdict\n",
        "\"a.exe\" executable, 20 octets, sha256 ",
        "url         pay.example",
        "part          1 multipart text/html",
        " GB/s\n",
    ] {
        assert!(told.contains(wanted), "no {wanted:?} in {told}");
    }
    assert!(!told.contains('\u{1b}') && !told.contains("4111111111111111"), "{told}");
}

#[test]
fn explain_tells_everything_to_machines() {
    let world = World::new(PATTERNS);
    let rule = "[[rule]]\nname = \"r\"\nwhen = 'client.ip == \"192.0.2.1\" && sender.domain == \"b.example\"'\n\
                then = \"reject\"\nreply = \"5.7.1 no\"\n";
    world.write("r.toml", &format!("{CONFIG}{rule}"));
    let explained = |arguments: &str| -> Value {
        serde_json::from_str(&world.said(&format!("explain --json {arguments}"), 0)).unwrap()
    };
    let told = explained("--config r.toml m.eml");
    assert_eq!(
        (&told["verdict"], &told["rule"], &told["score"]),
        (&"tag".into(), &"score".into(), &4.0.into())
    );
    let symbols: Vec<_> = told["symbols"].as_array().unwrap().iter().map(|symbol| &symbol["name"]).collect();
    assert_eq!(symbols[..2], ["LOTTERY", "CARD"]);
    assert_eq!(told["attachments"][0]["kind"], "executable");
    assert_eq!(told["attachments"][0]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(told["parts"].as_array().unwrap().len(), 3);
    assert_eq!(told["size"], MESSAGE.len() + MESSAGE.lines().count());
    // The options stand before the configuration, for their addresses have dots that are no files'.
    let folder = world.path("r.toml").display().to_string();
    let arguments = ["explain", "--json", "--client-ip", "192.0.2.1", "--from", "a@B.example"];
    let output =
        output(&[&arguments[..], &["--config", &folder, world.path("m.eml").to_str().unwrap()]].concat());
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["verdict"], &told["rule"]), (&"reject".into(), &"r".into()));
    assert_eq!((&told["reply"], &told["refused_after"]), (&"550 5.7.1 no".into(), &0.into()));
}

#[test]
fn explain_goes_through_folders() {
    let world = World::new(PATTERNS);
    fs::create_dir_all(world.path("box/inner")).unwrap();
    world.write("box/inner/a", "From x@y Thu\nSubject: a\n\nnothing\n");
    world.write("box/b", "Subject: b\r\n\r\nbare\nline feed\r\n").write("box/c", "");
    let told = world.said("explain --config p.toml box/inner/.. m.eml", 0);
    let lines: Vec<_> = told.lines().collect();
    assert!(lines[0].starts_with("reject ") && lines[0].ends_with("b [built-in]"), "{told}");
    assert!(lines[1].starts_with("pass          0.0") && lines[2].starts_with("pass "), "{told}");
    assert!(
        lines[3].starts_with("tag           4.0") && lines[3].ends_with("[score] LOTTERY CARD"),
        "{told}"
    );
    assert!(told.contains("\n4 messages, "), "{told}");
    let error = world.complaint("explain --config p.toml m.eml no.eml");
    assert!(error.contains("no.eml: No such file"), "{error}");
}

#[test]
fn replay_tells_what_changes() {
    let world = World::new(PATTERNS);
    world.write("old.toml", CONFIG).write("other.eml", "Subject: x\n\ny\n");
    let same = world.said("replay --config p.toml --against old.toml m.eml other.eml", 0);
    assert_eq!(same, "0 of 2 messages change their verdict\n");
    fs::create_dir(world.path("new")).unwrap();
    world.write("new/a.toml", &PATTERNS.replace("score = 3", "score = 9").replace("CARD", "CARDS"));
    world.write("p.toml", &CONFIG.replace("patterns/*", "new/*"));
    let told = world.said("replay --config p.toml --against old.toml m.eml other.eml", 1);
    assert!(told.starts_with("tag 4.0 [score] -> reject 10.0 [score]  "), "{told}");
    assert!(told.contains(" +LOTTERY(9.0) +CARDS(1.0) -LOTTERY(3.0) -CARD(1.0)\n"), "{told}");
    assert!(told.ends_with("1 of 2 messages change their verdict\n  tag -> reject: 1\n"), "{told}");
    let told = world.said("replay --json --config p.toml --against old.toml m.eml other.eml", 1);
    let change: Value = serde_json::from_str(told.trim()).unwrap();
    assert_eq!(
        (&change["before"]["verdict"], &change["after"]["verdict"]),
        (&"tag".into(), &"reject".into())
    );
}

/// What needs no DNS of what is asked about senders.
#[test]
fn explain_tells_who_is_shown_as_the_author() {
    let world = World::new(PATTERNS);
    let config = format!("{CONFIG}[sender]\npeople = \"people\"\n");
    world.write("s.toml", &config).write("people", "# protected\nAnna Director: anna@example.net\n");
    world.write("a.eml", "From: Anna Director <a@free.example>\nReply-To: x@other.example\n\nx\n");
    world.write("b.eml", "From: Anna Director <anna@example.net>\n\nx\n");
    let explained = |name: &str| -> Value {
        serde_json::from_str(&world.said(&format!("explain --config s.toml --json {name}"), 0)).unwrap()
    };
    let names = |value: Value| -> Vec<String> {
        let symbols = value["symbols"].as_array().unwrap().iter();
        symbols.map(|symbol| symbol["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(explained("a.eml")), ["FROM_NAME_PERSON", "REPLY_TO_OTHER_DOMAIN"]);
    assert!(names(explained("b.eml")).is_empty());
}
