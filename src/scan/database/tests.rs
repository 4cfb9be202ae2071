use super::{CASELESS, Database, Literal, Note, Regex, Scanned, Scratch, Stream, width};

#[derive(Default)]
struct Ends(Vec<(u32, u64)>);

impl Note for Ends {
    /// Enough is enough at a thousand.
    fn note(&mut self, index: u32, end: u64) -> bool {
        self.0.push((index, end));
        self.0.len() < 1000
    }
}

fn regex(source: &str) -> Regex {
    Regex { source: std::ffi::CString::new(source).unwrap(), flags: 0 }
}

fn literal(bytes: &[u8]) -> Literal {
    Literal { bytes: bytes.to_vec(), caseless: false }
}

fn ends(stream: &mut Stream, scratch: &mut Scratch, chunks: &[&[u8]]) -> Vec<(u32, u64)> {
    let mut ends = Ends::default();
    for chunk in chunks {
        stream.scan(chunk, scratch, &mut ends).unwrap();
    }
    stream.finish(scratch, &mut ends).unwrap();
    ends.0
}

#[test]
fn matches_span_chunks_and_the_end_counts() {
    let database = Database::of_regexes(&[regex("foo"), regex("bar$")]).unwrap();
    let (mut stream, mut scratch) = (Stream::open(&database).unwrap(), Scratch::new());
    assert_eq!(ends(&mut stream, &mut scratch, &[b"xf", b"oo", b" bar"]), [(0, 4), (1, 8)]);
    assert_eq!(ends(&mut stream, &mut scratch, &[b"foo"]), [(0, 3)], "a finished stream is a new one");
}

#[test]
fn literals_hold_any_byte() {
    let database =
        Database::of_literals(&[literal(b"a\0b"), literal(b"(.*)"), literal(b"\xff\xfe")]).unwrap();
    let (mut stream, mut scratch) = (Stream::open(&database).unwrap(), Scratch::new());
    let found = ends(&mut stream, &mut scratch, &[b"a", b"\0", b"b(.*", b")\xff", b"\xfe"]);
    assert_eq!(found, [(0, 3), (1, 7), (2, 9)]);
}

#[test]
fn a_stream_outlives_every_other_holder_of_its_database() {
    let (mut scratch, mut streams) = (Scratch::new(), Vec::new());
    for number in 0..50 {
        let database = Database::of_regexes(&[regex(&format!("word{number}"))]).unwrap();
        streams.push(Stream::open(&database).unwrap());
        drop(database);
    }
    for (number, stream) in streams.iter_mut().enumerate().rev() {
        let text = format!("word{number}");
        assert_eq!(ends(stream, &mut scratch, &[text.as_bytes()]), [(0, text.len() as u64)]);
    }
    drop(scratch);
    streams.swap_remove(7);
}

#[test]
fn one_scratch_serves_small_and_large_databases_in_any_order() {
    let words: Vec<_> = (0..3000).map(|number| regex(&format!("a{number}.*b{number};"))).collect();
    let (small, large) = (Database::of_regexes(&words[..1]).unwrap(), Database::of_regexes(&words).unwrap());
    let (mut one, mut two) = (Stream::open(&small).unwrap(), Stream::open(&large).unwrap());
    let mut scratch = Scratch::new();
    for _ in 0..2 {
        assert_eq!(ends(&mut one, &mut scratch, &[b"a0 ", b"b0;"]), [(0, 6)]);
        assert_eq!(ends(&mut two, &mut scratch, &[b"a2999 ", b"b2999;"]), [(2999, 12)]);
        scratch.forget();
    }
    let other = Scratch::new();
    let thread = std::thread::spawn(move || {
        let (mut stream, mut scratch) = (one, other);
        ends(&mut stream, &mut scratch, &[b"a0 b0;"])
    });
    assert_eq!(thread.join().unwrap(), [(0, 6)]);
}

#[test]
fn an_abandoned_stream_starts_again() {
    let database = Database::of_regexes(&[regex("foo")]).unwrap();
    let (mut stream, mut scratch) = (Stream::open(&database).unwrap(), Scratch::new());
    stream.scan(b"fo", &mut scratch, &mut Ends::default()).unwrap();
    stream.abandon().unwrap();
    assert_eq!(ends(&mut stream, &mut scratch, &[b"o foo"]), [(0, 5)]);
}

#[test]
fn a_scan_stops_when_it_is_told_to_and_starts_again() {
    let database = Database::of_regexes(&[regex("a"), regex("a$")]).unwrap();
    let (mut stream, mut scratch, mut notes) =
        (Stream::open(&database).unwrap(), Scratch::new(), Ends::default());
    let flood = [b'a'; 3000];
    assert_eq!(stream.scan(&flood, &mut scratch, &mut notes), Ok(Scanned::Stopped));
    assert_eq!(stream.scan(&flood, &mut scratch, &mut notes), Ok(Scanned::Stopped));
    stream.finish(&mut scratch, &mut notes).unwrap();
    assert_eq!(notes.0.len(), 1000);
    assert_eq!(ends(&mut stream, &mut scratch, &[b"xa"]), [(0, 2), (1, 2)]);
}

#[test]
fn a_sealed_database_comes_back_and_a_damaged_one_does_not() {
    let database = Database::of_regexes(&[regex("fo+"), regex("b[ar]+")]).unwrap();
    let sealed = database.seal().unwrap();
    let again = Database::unseal(&sealed).unwrap();
    let mut stream = Stream::open(&again).unwrap();
    assert_eq!(ends(&mut stream, &mut Scratch::new(), &[b"fo b", b"a"]), [(0, 2), (1, 5)]);
    for length in [0, 7, 8, 39, 40, 41, sealed.len() - 1] {
        assert!(Database::unseal(&sealed[..length]).is_none(), "cut at {length}");
    }
    for at in (0..sealed.len()).step_by(97) {
        let mut damaged = sealed.clone();
        damaged[at] ^= 1;
        assert!(Database::unseal(&damaged).is_none(), "damaged at {at}");
    }
}

#[test]
fn a_fault_names_its_expression() {
    let fault = Database::of_regexes(&[regex("fine"), regex("(")]).unwrap_err();
    assert_eq!(fault.index, Some(1));
    assert!(!fault.message.is_empty());
    assert!(width(&regex("a(?=b)")).is_err(), "lookahead is not supported");
}

#[test]
fn widths_are_in_bytes() {
    let both = |source| width(&regex(source)).map(|width| (width.min, width.max)).unwrap();
    assert_eq!(both("abc?"), (2, Some(3)));
    assert_eq!(both("ab+"), (2, None));
    let caseless = Regex { flags: CASELESS, ..regex("\\bab{2,4}\\b") };
    assert_eq!(width(&caseless).map(|width| (width.min, width.max)), Ok((3, Some(5))));
}
