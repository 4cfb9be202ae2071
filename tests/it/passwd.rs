//! `postern passwd` as people and scripts use it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use postern::policy::users::Users;

use crate::harness::Folder;
use crate::harness::program::BINARY;

fn passwd(file: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(BINARY);
    command.arg("passwd").arg(file).args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may refuse before it reads.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn users_are_entered_changed_and_deleted() {
    let folder = Folder::new();
    let file = folder.join("users");
    let users = || Users::parse(&fs::read_to_string(&file).unwrap()).unwrap();
    for (name, input) in [("ann", "pencil\n"), ("bob", "rubber")] {
        assert!(passwd(&file, &[name], input).status.success());
    }
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = users();
    assert!(passwd(&file, &["ann"], "ink\n").status.success());
    let after = users();
    assert_ne!(after.user("ann"), before.user("ann"));
    assert_eq!(after.user("bob"), before.user("bob"));
    assert!(passwd(&file, &["ann", "--delete"], "").status.success());
    assert_eq!((users().len(), users().user("ann")), (1, None));
    // Nothing lies about beside it.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_is_told_and_changes_nothing() {
    let folder = Folder::new();
    let file = folder.join("users");
    fs::write(&file, "# ours\nann:secret\n").unwrap();
    for (arguments, input, want) in
        [(&["bob"][..], "x\n", ":2: the hash is not argon2id's"), (&["b:b"], "x\n", "no colon")]
    {
        let output = passwd(&file, arguments, input);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(want), "{told}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "# ours\nann:secret\n");
    let file = folder.join("others");
    for (arguments, input, want) in
        [(&["bob"][..], "\n", "an empty password"), (&["bob", "--delete"], "", "no user bob")]
    {
        let told = String::from_utf8(passwd(&file, arguments, input).stderr).unwrap();
        assert!(told.contains(want), "{told}");
    }
    assert!(!file.exists());
}
