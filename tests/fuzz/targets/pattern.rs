//! Pattern files: any text is patterns or faults with a place, never a panic or a long wait.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::scan::pattern::parse;

fuzz_target!(|input: (String, String)| {
    let (text, expression) = input;
    let lines = text.lines().count() + 1;
    if let Err(faults) = parse("fuzz", &text) {
        assert!(!faults.is_empty());
        assert!(faults.iter().all(|fault| (1..=lines).contains(&fault.line) && fault.column > 0));
    }
    if !expression.contains("'''") {
        let head = "[[pattern]]\nsymbol = 'A'\nwhy = 'x'\nin = ['text', 'raw']\nmatch = '''\n";
        let _ = parse("fuzz", &format!("{head}{expression}'''\n"));
    }
});
