//! XFORWARD and XCLIENT: what is understood is told the next hop the same, in plain lines.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::limits::XFORWARD_LINE_BYTES_MAX;
use postern::smtp::command::{Command, parse};
use postern::smtp::xforward::{
    Attributes, Identity, decode_xtext, encode_xtext, parse_xclient, parse_xforward, write_xclient,
    write_xforward,
};

fuzz_target!(|input: &[u8]| {
    let mut encoded = Vec::new();
    encode_xtext(input, &mut encoded);
    assert_eq!(decode_xtext(&encoded).as_deref(), Some(input));

    let mut identity = Identity::default();
    if parse_xforward(input, &mut identity).is_ok() {
        let mut out = Vec::new();
        let commands = write_xforward(&identity, Attributes::OF_XFORWARD, &mut out);
        check(&identity, &out, commands);
    }
    let mut identity = Identity::default();
    match parse_xclient(input, &mut identity) {
        Ok(()) => {
            let mut out = Vec::new();
            let commands = write_xclient(&identity, Attributes::OF_XCLIENT, &mut out);
            check(&identity, &out, commands);
        }
        Err(reply) => {
            assert_eq!(identity, Identity::default());
            assert!(!reply.is_positive());
        }
    }
});

fn check(identity: &Identity, out: &[u8], commands: usize) {
    let mut read = Identity::default();
    let lines: Vec<&[u8]> = out.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), commands);
    for line in lines {
        assert!(line.len() <= XFORWARD_LINE_BYTES_MAX);
        let line = line.strip_suffix(b"\r\n").expect("a whole line");
        assert!(line.iter().all(|byte| matches!(byte, b' '..=b'~')));
        match parse(line) {
            Ok(Command::Xforward(arguments)) => parse_xforward(arguments, &mut read).expect("our own words"),
            Ok(Command::Xclient(arguments)) => parse_xclient(arguments, &mut read).expect("our own words"),
            other => panic!("{other:?}"),
        }
    }
    // Values without room in a line are told as unknown; addresses come in their plain form.
    assert_eq!((read.port, read.proto, read.source), (identity.port, identity.proto, identity.source));
    assert_eq!(read.addr, identity.addr.map(|addr| addr.to_canonical()));
    for (read, told) in
        [(&read.name, &identity.name), (&read.helo, &identity.helo), (&read.login, &identity.login)]
    {
        assert!(read == told || read.is_none());
    }
}
