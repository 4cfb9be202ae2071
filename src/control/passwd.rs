//! `postern passwd`: enters, changes and deletes users in a file that `auth` reads.
//!
//! Invariant: the file is as it was or as it shall be, whenever the machine stops; nobody but its
//! owner can read it; the password is in no argument and on no terminal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::policy::lists::LineFault;
use crate::policy::users::{self, User, Users};
use crate::service::authenticator::enroll;
use crate::service::notice::say;
use crate::smtp::sasl::Secret;

/// Only its owner reads it.
const MODE: u32 = 0o600;

/// What is done with the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Entered, or given another password.
    Set,
    Delete,
}

/// 0 if the file is as it was asked to be.
pub fn main(file: &Path, name: &str, change: Change) -> ExitCode {
    match run(file, name, change) {
        Ok(told) => {
            say(format_args!("{}: {told}", file.display()));
            ExitCode::SUCCESS
        }
        Err(errors) => {
            for error in errors {
                say(format_args!("{error}"));
            }
            ExitCode::from(1)
        }
    }
}

fn run(file: &Path, name: &str, change: Change) -> Result<String, Vec<String>> {
    let told = |error: io::Error| vec![format!("{}: {error}", file.display())];
    if !users::is_name(name) {
        return Err(vec!["a name has 1 to 255 bytes, no control characters and no colon".to_owned()]);
    }
    let before = read(file).map_err(told)?;
    let users = Users::parse(&before).map_err(|faults| {
        let at = |fault: LineFault| format!("{}:{}: {}", file.display(), fault.line, fault.message);
        faults.into_iter().map(at).collect::<Vec<_>>()
    })?;
    let is_known = users.user(name).is_some();
    let (user, word) = match change {
        Change::Delete if !is_known => return Err(vec![format!("{}: no user {name}", file.display())]),
        Change::Delete => (None, "deleted"),
        Change::Set => {
            let password = ask(name).map_err(|error| vec![error])?;
            let user = enroll(&password).map_err(|error| vec![error])?;
            (Some(user), if is_known { "changed" } else { "entered" })
        }
    };
    replace(file, &changed(&before, name, user.as_ref())).map_err(told)?;
    Ok(format!("user {name} {word}"))
}

/// A file that is not there has no users yet.
fn read(file: &Path) -> io::Result<String> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

/// The text with the user's line in its old place, at the end, or nowhere.
fn changed(before: &str, name: &str, user: Option<&User>) -> String {
    let mut line = String::new();
    user.into_iter().for_each(|user| users::write_line(name, user, &mut line));
    let mut text = String::new();
    for old in before.lines() {
        if old.split_once(':').is_some_and(|(known, _)| known == name) {
            text.push_str(&std::mem::take(&mut line));
        } else {
            text.extend([old, "\n"]);
        }
    }
    text + &line
}

/// From the terminal twice, unseen; else the first line of standard input.
fn ask(name: &str) -> Result<Secret, String> {
    let unread = |error: io::Error| format!("no password: {error}");
    if io::stdin().is_terminal() {
        let prompt = |text: String| rpassword::prompt_password(text).map_err(unread);
        let first = zeroize::Zeroizing::new(prompt(format!("password of {name}: "))?);
        let second = zeroize::Zeroizing::new(prompt("once more: ".to_owned())?);
        return if first == second {
            secret(first.as_bytes())
        } else {
            Err("these are two passwords".to_owned())
        };
    }
    let mut line = zeroize::Zeroizing::new(String::new());
    io::stdin().lock().read_line(&mut line).map_err(unread)?;
    secret(line.trim_end_matches(['\r', '\n']).as_bytes())
}

fn secret(password: &[u8]) -> Result<Secret, String> {
    match password.len() {
        0 => Err("an empty password is none".to_owned()),
        1..=255 if !password.contains(&0) => Ok(Secret::new(password)),
        _ => Err("a password has at most 255 bytes and no NUL".to_owned()),
    }
}

/// Written beside it, made durable, then put in its place.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let beside = PathBuf::from(format!("{}.{}", file.display(), std::process::id()));
    let written = write(&beside, text).and_then(|()| fs::rename(&beside, file));
    if written.is_err() {
        // The error that matters is the first.
        let _ = fs::remove_file(&beside);
    }
    written?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(file)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_lines_stay_as_they_are() {
        let user = User { hash: "$argon2id$new".to_owned(), scram: None };
        let before = "# who\nann:$argon2id$a\n\nbob:$argon2id$b";
        for (name, user, want) in [
            ("ann", Some(&user), "# who\nann:$argon2id$new\n\nbob:$argon2id$b\n"),
            ("bob", Some(&user), "# who\nann:$argon2id$a\n\nbob:$argon2id$new\n"),
            ("eve", Some(&user), "# who\nann:$argon2id$a\n\nbob:$argon2id$b\neve:$argon2id$new\n"),
            ("ann", None, "# who\n\nbob:$argon2id$b\n"),
        ] {
            assert_eq!(changed(before, name, user), want, "{name}");
        }
        assert_eq!(changed("", "ann", Some(&user)), "ann:$argon2id$new\n");
    }

    #[test]
    fn what_is_no_password_is_refused() {
        assert!(secret(b"").is_err() && secret(&[b'x'; 256]).is_err() && secret(b"a\0b").is_err());
        assert_eq!(secret("ü ".as_bytes()), Ok(Secret::new("ü ".as_bytes())));
    }
}
