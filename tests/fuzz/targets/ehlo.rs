//! EHLO replies: whatever a next hop announces, we offer what we can keep and can be read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern::smtp::extension::{Capabilities, Extensions, Limits, Offer};
use postern::smtp::reply::{Reply, ReplyParser};

fuzz_target!(|input: (Vec<String>, Vec<String>, u64)| {
    let (one, other, size_max) = input;
    let next_hops = [capabilities(&one), capabilities(&other)];
    let mut offer = Offer::compute(next_hops.iter(), size_max, Limits::NONE);
    for next_hop in &next_hops {
        assert!(next_hop.extensions.contains(offer.end_to_end));
        assert!(size_max == 0 || offer.size <= size_max);
        if let Some(size @ 1..) = next_hop.size.filter(|_| offer.end_to_end.contains(Extensions::SIZE)) {
            assert!(0 < offer.size && offer.size <= size);
        }
    }
    offer.xforward = one.len() > other.len();
    let mut out = Vec::new();
    offer.ehlo_reply("mx.example.net", &mut out);
    let (consumed, reply) = ReplyParser::new().feed(&out).expect("our own reply");
    assert_eq!(consumed, out.len());
    let read = Capabilities::from_ehlo(&reply.expect("a whole reply"));
    assert_eq!((read.extensions, read.limits), (offer.extensions(), offer.limits));
});

fn capabilities(lines: &[String]) -> Capabilities {
    let lines: Vec<&str> = lines.iter().map(String::as_str).take(100).collect();
    Capabilities::from_ehlo(&Reply::multi(250, "", &lines))
}
