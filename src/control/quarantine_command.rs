//! `postern quarantine`: what is held back, and what becomes of it.
//!
//! Looking needs no running proxy: the folder is read as it lies there, by whoever may read it. Who
//! releases or deletes asks the running proxy, which alone knows what it is just sending; if none
//! runs, deleting is done here, under the folder's lock.
//!
//! Invariant: nothing from a message reaches the terminal but text: no control character, and
//! nothing that turns the direction of writing.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use ulid::Ulid;

use crate::policy::settings::{Config, Quarantine};
use crate::relay::quarantine::Description;
use crate::service::notice::say;
use crate::service::quarantine::folder::Folder;
use crate::service::quarantine::{Bounds, Settings};

/// A release takes as long as a next hop may take for a message.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1800);
/// What is read of a message at a time.
const PIECE_BYTES: usize = 64 * 1024;
/// Characters of an address in the table.
const ADDRESS_CHARS_MAX: usize = 40;

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    List,
    Show(Ulid),
    Release(Ulid),
    Delete(Ulid),
}

/// Where the configuration puts the quarantine; `None`: it has none.
pub fn settings(config: &Config) -> Option<Settings> {
    let Quarantine { path, bytes_max, age_max, .. } = config.quarantine.as_ref()?;
    let bounds = Bounds { bytes_max: *bytes_max, age_max: *age_max };
    Some(Settings { path: path.clone(), bounds })
}

/// Does it and prints what came of it; 1 if the answer is no.
pub fn main(request: Request, config: &Config, as_json: bool) -> ExitCode {
    let done = match settings(config) {
        Some(settings) => {
            let context = Context { folder: Folder::new(settings.path), config, as_json };
            context.carry_out(request)
        }
        None => Err("the configuration has no [quarantine]".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("{}", safe(&error)));
            ExitCode::from(1)
        }
    }
}

struct Context<'a> {
    folder: Folder,
    config: &'a Config,
    as_json: bool,
}

impl Context<'_> {
    fn carry_out(&self, request: Request) -> Result<(), String> {
        match request {
            Request::List => self.list(),
            Request::Show(id) => self.show(id),
            Request::Release(id) => self.release(id),
            Request::Delete(id) => self.delete(id),
        }
    }

    fn described(&self, id: Ulid) -> Result<Description, String> {
        match self.folder.description(id) {
            Ok(Some(description)) => Ok(description),
            Ok(None) => Err(format!("{id}: no such message in {}", self.folder.path().display())),
            Err(error) => Err(format!("{id}: {error}")),
        }
    }

    /// Oldest first: the newest stand where one looks. One that cannot be read is told, and the
    /// others are shown.
    fn list(&self) -> Result<(), String> {
        let ids = self.folder.ids().map_err(|error| format!("{}: {error}", self.folder.path().display()))?;
        let (mut rows, mut failed) = (vec![HEAD.map(str::to_owned)], None);
        for id in ids {
            match self.described(id) {
                Ok(description) if self.as_json => print(&format!("{}\n", json!(description)))?,
                Ok(description) => rows.push(row(&description)),
                Err(error) => failed = Some(error),
            }
        }
        if !self.as_json {
            print(&table(&rows))?;
        }
        failed.map_or(Ok(()), Err)
    }

    fn show(&self, id: Ulid) -> Result<(), String> {
        let description = self.described(id)?;
        let path = self.folder.message_path(id);
        if self.as_json {
            let value = json!({ "description": description, "message": path });
            return print(&format!("{value:#}\n"));
        }
        print(&described(&description))?;
        let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        print_message(file).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn release(&self, id: Ulid) -> Result<(), String> {
        self.described(id)?;
        if self.folder.lock().map_err(|error| error.to_string())?.is_some() {
            return Err("no proxy uses this quarantine: start it, it is the one that sends".to_owned());
        }
        let answer = self.order("POST", &format!("/api/quarantine/{id}/release"))?;
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        let mut words = format!("released {id} to {}: {}\n", text("server"), text("reply"));
        for refused in answer["refused"].as_array().into_iter().flatten() {
            let part = |key: &str| refused[key].as_str().unwrap_or_default();
            // Writing to a String cannot fail.
            let _ = writeln!(words, "refused <{}>: {}", part("address"), part("reply"));
        }
        if !answer["kept"].is_null() {
            let _ = writeln!(words, "kept: {}", text("kept"));
        }
        self.print_answer(&answer, &words)?;
        if answer["kept"].is_null() { Ok(()) } else { Err(format!("{id} is still in the quarantine")) }
    }

    fn delete(&self, id: Ulid) -> Result<(), String> {
        let description = self.described(id);
        // Nobody runs: then nobody is just sending it.
        let answer = match self.folder.lock().map_err(|error| error.to_string())? {
            Some(lock) => match self.folder.delete(id, &lock) {
                Ok(true) => json!({ "deleted": id.to_string() }),
                Ok(false) => return Err(format!("{id}: no such message")),
                Err(error) => return Err(format!("{id}: {error}")),
            },
            None => self.order("DELETE", &format!("/api/quarantine/{id}"))?,
        };
        let what =
            description.map_or_else(|_| String::new(), |description| format!(": {}", in_short(&description)));
        self.print_answer(&answer, &format!("deleted {id}{what}\n"))
    }

    /// Asks the running proxy.
    fn order(&self, method: &str, path: &str) -> Result<Value, String> {
        let address =
            self.config.admin.ok_or("a proxy runs, but its admin plane is off: set admin.address")?;
        let token = self.folder.token().map_err(|error| format!("the quarantine's token: {error}"))?;
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(RELEASE_TIMEOUT))
            .http_status_as_error(false)
            .proxy(None)
            .build()
            .into();
        let (url, bearer) = (format!("http://{address}{path}"), format!("Bearer {token}"));
        let response = match method {
            "POST" => agent.post(&url).header("Authorization", &bearer).send_empty(),
            _ => agent.delete(&url).header("Authorization", &bearer).call(),
        };
        let mut response = response.map_err(|error| format!("{address}: {error}"))?;
        let well = response.status().is_success();
        let body = response.body_mut().read_to_string().map_err(|error| format!("{address}: {error}"))?;
        let answer: Value =
            serde_json::from_str(&body).map_err(|_| format!("{address}: that is no answer"))?;
        if well { Ok(answer) } else { Err(answer["error"].as_str().unwrap_or("refused").to_owned()) }
    }

    fn print_answer(&self, answer: &Value, words: &str) -> Result<(), String> {
        if self.as_json { print(&format!("{answer}\n")) } else { print(&safe(words)) }
    }
}

fn print(text: &str) -> Result<(), String> {
    io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())
}

fn print_message(mut file: File) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let (mut reader, mut text) = (SafeText::default(), String::new());
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = file.read(&mut piece)?;
        if count == 0 {
            reader.finish(&mut text);
            return stdout.write_all(text.as_bytes());
        }
        reader.push(&piece[..count], &mut text);
        stdout.write_all(text.as_bytes())?;
        text.clear();
    }
}

const HEAD: [&str; 7] = ["TIME", "ID", "SIZE", "SENDER", "RECIPIENTS", "RULE", "SCORE"];

/// Columns as wide as what is in them.
fn table(rows: &[[String; HEAD.len()]]) -> String {
    let mut widths = [0; HEAD.len()];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match HEAD[column] {
            "SIZE" | "SCORE" => format!("{cell:>width$}"),
            _ => format!("{cell:<width$}"),
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

fn row(entry: &Description) -> [String; HEAD.len()] {
    [
        safe(&entry.time),
        entry.id.to_string(),
        entry.size.to_string(),
        clipped(&entry.envelope.sender),
        recipients(entry),
        entry.rule.as_deref().map_or_else(|| "-".to_owned(), clipped),
        format!("{:.1}", entry.score),
    ]
}

/// The first, and how many others.
fn recipients(entry: &Description) -> String {
    let all = &entry.envelope.recipients;
    let first = all.first().map_or_else(|| "-".to_owned(), |first| clipped(&first.address));
    if all.len() > 1 { format!("{first} +{}", all.len() - 1) } else { first }
}

fn clipped(text: &str) -> String {
    match safe(text) {
        text if text.is_empty() => "<>".to_owned(),
        text if text.chars().count() > ADDRESS_CHARS_MAX => {
            text.chars().take(ADDRESS_CHARS_MAX - 1).chain(['…']).collect()
        }
        text => text,
    }
}

fn in_short(entry: &Description) -> String {
    format!("{} octets from <{}> to {}", entry.size, safe(&entry.envelope.sender), recipients(entry))
}

/// All that is known, and an empty line.
fn described(entry: &Description) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = describe(entry, &mut out);
    out
}

fn describe(entry: &Description, out: &mut String) -> fmt::Result {
    let mut line = |name: &str, text: &str| writeln!(out, "{name:<11}{}", safe(text));
    line("id", &entry.id.to_string())?;
    line("time", &entry.time)?;
    line("listener", &entry.listener)?;
    line("client", &client(entry))?;
    line("sender", format!("<{}> {}", entry.envelope.sender, entry.envelope.parameters).trim_end())?;
    for to in &entry.envelope.recipients {
        line("recipient", format!("<{}> {}", to.address, to.parameters).trim_end())?;
    }
    line("upstream", &entry.envelope.upstream)?;
    line("size", &entry.size.to_string())?;
    line("verdict", &entry.verdict)?;
    line("rule", entry.rule.as_deref().unwrap_or("-"))?;
    line("score", &format!("{:.1}", entry.score))?;
    for (name, symbol) in &entry.symbols {
        line("symbol", &format!("{name} {:.1} x{}", symbol.score, symbol.count))?;
    }
    for evidence in &entry.evidence {
        line("evidence", &format!("{} in {}: {}", evidence.symbol, evidence.place, evidence.redacted))?;
    }
    line("config", &entry.config)?;
    out.push('\n');
    Ok(())
}

fn client(entry: &Description) -> String {
    let client = &entry.client;
    let ip = client.ip.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string());
    let of = |name: &str, value: &Option<String>| {
        value.as_ref().map_or_else(String::new, |value| format!(" {name} {value}"))
    };
    format!("{ip}{}{}{}", of("name", &client.name), of("helo", &client.helo), of("login", &client.login))
}

/// Bytes of a message as text for a terminal, whatever they are and wherever they are cut.
#[derive(Debug, Default)]
struct SafeText {
    /// The beginning of a character that goes on in the next piece.
    cut: Vec<u8>,
    /// A CR that may belong to a LF.
    after_cr: bool,
}

impl SafeText {
    fn push(&mut self, bytes: &[u8], out: &mut String) {
        let joined = [std::mem::take(&mut self.cut).as_slice(), bytes].concat();
        let mut rest = joined.as_slice();
        while !rest.is_empty() {
            let error = match str::from_utf8(rest) {
                Ok(text) => return self.push_text(text, out),
                Err(error) => error,
            };
            let (text, behind) = rest.split_at(error.valid_up_to());
            self.push_text(&String::from_utf8_lossy(text), out);
            match error.error_len() {
                Some(len) => {
                    self.push_text("\u{fffd}", out);
                    rest = &behind[len..];
                }
                None => {
                    self.cut = behind.to_vec();
                    return;
                }
            }
        }
    }

    fn finish(&mut self, out: &mut String) {
        let cut = std::mem::take(&mut self.cut);
        self.push_text(&String::from_utf8_lossy(&cut), out);
        self.push_text("\n", out);
    }

    fn push_text(&mut self, text: &str, out: &mut String) {
        for c in text.chars() {
            if std::mem::take(&mut self.after_cr) && c != '\n' {
                out.push(char::REPLACEMENT_CHARACTER);
            }
            match c {
                '\r' => self.after_cr = true,
                '\n' | '\t' => out.push(c),
                c if is_harmful(c) => out.push(char::REPLACEMENT_CHARACTER),
                c => out.push(c),
            }
        }
    }
}

/// A text of one or more lines of ours with words of others in it.
fn safe(text: &str) -> String {
    text.chars().map(|c| if c != '\n' && is_harmful(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// What moves a terminal's cursor or its colours, or turns text around (Unicode TR 9, TR 36).
pub(super) fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::quarantine::{ClientFacts, Envelope, EvidenceFacts, SymbolFacts};

    fn description(n: u64, sender: &str, recipients: &[&str]) -> Description {
        let mut envelope = Envelope::new(sender.as_bytes(), b"SIZE=5", "hop").unwrap();
        for to in recipients {
            envelope = envelope.with(to.as_bytes(), b"").unwrap();
        }
        let mut description =
            Description::new(Ulid::from_parts(1_795_366_104_000 + n, 0), ClientFacts::default(), envelope);
        description.size = 1234 * n;
        description.score = 12.25;
        description
    }

    #[track_caller]
    fn check(bytes: &[u8], want: &str) {
        for cut in 0..=bytes.len() {
            let (mut reader, mut text) = (SafeText::default(), String::new());
            reader.push(&bytes[..cut], &mut text);
            reader.push(&bytes[cut..], &mut text);
            reader.finish(&mut text);
            assert_eq!(text, format!("{want}\n"), "cut at {cut}");
        }
        let (mut reader, mut text) = (SafeText::default(), String::new());
        bytes.chunks(1).for_each(|byte| reader.push(byte, &mut text));
        reader.finish(&mut text);
        assert_eq!(text, format!("{want}\n"), "byte by byte");
    }

    #[test]
    fn nothing_but_text_reaches_the_terminal() {
        check(b"Subject: x\r\n\r\na\tb\r\n", "Subject: x\n\na\tb\n");
        check("grüße €\u{1f980}".as_bytes(), "grüße €\u{1f980}");
        check(b"\x1b[2J\x07\x00\x7f", "\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}");
        check("\u{9b}31m \u{202e}txt.exe".as_bytes(), "\u{fffd}31m \u{fffd}txt.exe");
        check(b"a\rb\r\r\nc\r", "a\u{fffd}b\u{fffd}\nc");
        check(b"\xff\xc3\x28\xe2\x82", "\u{fffd}\u{fffd}(\u{fffd}");
        assert_eq!(safe("a\nb\r\u{1b}"), "a\nb\u{fffd}\u{fffd}");
    }

    #[test]
    fn the_table_names_what_matters() {
        let long = "x".repeat(60) + "@hop.example";
        let mut second = description(2, "", &[&long, "c@hop.example", "d@hop.example"]);
        second.rule = Some("no-\u{1b}executables".to_owned());
        let first = description(1, "a@client.example", &["b@hop.example"]);
        let text = table(&[HEAD.map(str::to_owned), row(&first), row(&second)]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("TIME") && lines[0].ends_with("SCORE"), "{text}");
        assert!(lines[1].contains("  1234  a@client.example  b@hop.example"), "{text}");
        assert!(lines[2].contains(&format!("  <>                {}… +2", "x".repeat(39))), "{text}");
        assert!(lines[2].contains("no-\u{fffd}executables"), "{text}");
        assert!(lines[1].ends_with(" 12.2"), "{text}");
    }

    #[test]
    fn a_description_is_shown_without_tricks() {
        let mut entry = description(1, "a@client.example", &["b@hop.example"]);
        entry.client.helo = Some("\u{1b}]0;x".to_owned());
        entry.symbols.insert("DLP_CARD".to_owned(), SymbolFacts { score: 4.0, count: 3 });
        let (symbol, place) = ("DLP_CARD".to_owned(), "text".to_owned());
        entry.evidence.push(EvidenceFacts { symbol, place, redacted: "4111 **** **** 1111".to_owned() });
        let text = described(&entry);
        assert!(!text.contains('\u{1b}'), "{text}");
        for wanted in [
            "sender     <a@client.example> SIZE=5\n",
            "symbol     DLP_CARD 4.0 x3\n",
            "4111 **** **** 1111\n",
        ] {
            assert!(text.contains(wanted), "{text}");
        }
        assert!(text.ends_with("\n\n"));
    }
}
