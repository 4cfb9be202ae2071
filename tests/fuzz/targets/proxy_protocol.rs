//! PROXY headers: all or nothing at any cut, and what we write is what is read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::limits::PROXY_V2_HEADER_BYTES_MAX;
use postern::smtp::proxy_protocol::{Parsed, parse, write_v2};

fuzz_target!(|input: &[u8]| {
    let Parsed::Header { consumed, source, destination } = parse(input) else { return };
    assert!(0 < consumed && consumed <= input.len() && consumed <= PROXY_V2_HEADER_BYTES_MAX);
    for cut in 0..consumed {
        assert_eq!(parse(&input[..cut]), Parsed::Partial);
    }
    assert_eq!(source.is_some(), destination.is_some());
    if let (Some(source), Some(destination)) = (source, destination) {
        let mut out = Vec::new();
        write_v2(source, destination, &mut out);
        let Parsed::Header { consumed, source: Some(read_source), destination: Some(read_destination) } =
            parse(&out)
        else {
            panic!("not a header of ours");
        };
        assert_eq!(consumed, out.len());
        for (read, told) in [(read_source, source), (read_destination, destination)] {
            assert_eq!((read.ip().to_canonical(), read.port()), (told.ip().to_canonical(), told.port()));
        }
    }
});
