use super::{BodyCheck, BodyForm, BodyHash};
use crate::sender::dkim::canonical::Canonical;
use crate::sender::dkim::digest::{Digest, Hash, Hashing};
use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};

/// As RFC 6376 §3.4.3 and §3.4.4 say it, with all of the body at hand.
pub(in crate::sender) fn naive(canonical: Canonical, body: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = lines(body);
    if canonical == Canonical::Relaxed {
        lines.iter_mut().for_each(|line| *line = relaxed(line));
    }
    while lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    let mut text: Vec<u8> = lines.into_iter().flat_map(|line| [line, b"\r\n".to_vec()].concat()).collect();
    if text.is_empty() && canonical == Canonical::Simple {
        text.extend(b"\r\n");
    }
    text
}

/// Without their ends, which are CRLF. What stands behind the last is one more.
fn lines(body: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = vec![Vec::new()];
    let mut at = 0;
    while at < body.len() {
        if body[at..].starts_with(b"\r\n") {
            lines.push(Vec::new());
            at += 2;
        } else {
            lines.last_mut().unwrap().push(body[at]);
            at += 1;
        }
    }
    lines
}

fn relaxed(line: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for octet in line.iter().map(|octet| if *octet == b'\t' { b' ' } else { *octet }) {
        if octet != b' ' || out.last() != Some(&b' ') {
            out.push(octet);
        }
    }
    if out.last() == Some(&b' ') {
        out.pop();
    }
    out
}

pub(in crate::sender) fn digest(hash: Hash, octets: &[u8]) -> Digest {
    let mut hashing = Hashing::new(hash);
    hashing.update(octets);
    hashing.digest()
}

fn forms(lengths: &[Option<u64>]) -> Vec<BodyForm> {
    let canonicals = [Canonical::Simple, Canonical::Relaxed];
    let pairs = canonicals.into_iter().flat_map(|canonical| Hash::ALL.map(|hash| (canonical, hash)));
    let of =
        |(canonical, hash)| lengths.iter().map(move |length| BodyForm { canonical, hash, length: *length });
    pairs.flat_map(of).collect()
}

fn expected(form: &BodyForm, body: &[u8]) -> (BodyCheck, Digest) {
    let text = naive(form.canonical, body);
    let length = form.length.map_or(text.len(), |length| usize::try_from(length).unwrap());
    match text.get(..length) {
        None => (BodyCheck::TooShort, digest(form.hash, b"")),
        Some(covered) => {
            let octets_unsigned = (text.len() - length) as u64;
            (BodyCheck::Matches { octets_unsigned }, digest(form.hash, covered))
        }
    }
}

/// Every way to canonicalise and hash, whole and up to every octet, at every cut.
#[track_caller]
fn check(body: &str) {
    let body = body.as_bytes();
    let up_to = |length: usize| Some(length as u64);
    let lengths: Vec<_> = (0..=body.len() + 3).map(up_to).chain([None]).collect();
    let forms = forms(&lengths);
    for cut in 0..=body.len() {
        let mut hash = BodyHash::new(&forms);
        hash.push(&body[..cut]);
        hash.push(&body[cut..]);
        let digests = hash.finish();
        for form in &forms {
            let (want, digest) = expected(form, body);
            assert_eq!(digests.check(form, &digest), want, "{form:?} of {body:?} cut at {cut}");
        }
    }
}

#[test]
fn every_form_is_the_naive_one_at_every_cut() {
    for body in
        ["", "\r\n", "\r\n\r\n\r\n", "a", "a\r\n", "a\r\n\r\n\r\n", "\r\n\r\na", "a b\t \tc \r\n d\r\n"]
    {
        check(body);
    }
    for body in [" ", " \t", " \r\n", "\t\r\n \r\n\r\n", "a\r\n ", "a\r\n \t\r\n", "a \r\n \r\nb \r\n\r\n "] {
        check(body);
    }
    // What SMTP does not bring, but must not make two ways differ.
    for body in ["\r", "\n", "a\r", "a \r", "a \rb", "a\r\r\n", "\n\n", "\r\n\r", " \r\r\n", "a\n\r\n\r"] {
        check(body);
    }
}

#[test]
fn the_examples_of_the_rfc() {
    let body = b" C \r\nD \t E\r\n\r\n\r\n";
    assert_eq!(naive(Canonical::Relaxed, body), b" C\r\nD E\r\n");
    assert_eq!(naive(Canonical::Simple, body), b" C \r\nD \t E\r\n");
    assert_eq!((naive(Canonical::Relaxed, b""), naive(Canonical::Simple, b"")), (vec![], b"\r\n".to_vec()));
}

#[test]
fn other_octets_have_another_digest() {
    let form = BodyForm { canonical: Canonical::Relaxed, hash: Hash::Sha256, length: None };
    let mut hash = BodyHash::new(&[form]);
    hash.push(b"hello\r\n");
    let digests = hash.finish();
    assert_eq!(digests.check(&form, &digest(Hash::Sha256, b"hallo\r\n")), BodyCheck::Differs);
    let other = BodyForm { canonical: Canonical::Simple, ..form };
    assert_eq!(digests.check(&other, &digest(Hash::Sha256, b"hello\r\n")), BodyCheck::Differs);
    assert!(BodyHash::new(&[]).is_idle() && !BodyHash::new(&[form]).is_idle());
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece =
        prop::sample::select(vec!["a", "bcdefghijklmnop", " ", "  ", "\t", "\r\n", "\r\n\r\n", "\r", "\n"]);
    prop::collection::vec(piece, 0..300).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn random_bodies_in_random_pieces(body in body(), size in 1_usize..200, length in any::<prop::sample::Index>()) {
        let forms = forms(&[None, Some(length.index(body.len() + 3) as u64)]);
        let mut hash = BodyHash::new(&forms);
        body.chunks(size).for_each(|piece| hash.push(piece));
        let digests = hash.finish();
        for form in &forms {
            let (want, digest) = expected(form, &body);
            prop_assert_eq!(digests.check(form, &digest), want, "{:?}", form);
        }
    }
}
