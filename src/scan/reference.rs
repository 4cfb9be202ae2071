//! The text that costs are measured on: mail as it looks, made from a small vocabulary, always the same.
//!
//! Not any person's mail, and no file to ship: prose with the sentence and line lengths of mail, visible
//! text of newsletters, header fields, links, and base64. What a pattern costs depends on how often its
//! first letters and words occur, so the words are the frequent ones of mail, the short ones most often.

/// Size of each sample.
pub const REFERENCE_BYTES: usize = 96 * 1024;

const COMMON: &str = "the of and to in a is for you that on with your we this be are it as have or our at not \
    by from will can if all has more an please was they new one but up so about time what when out there \
    do no may any who";

const CONTENT: &str = "account order team meeting service information business update message support payment \
    report project email address contact customer company product website today week month year people work \
    change request problem question answer change line number version file list data system server network \
    release code test error install package user group office phone market price offer free shipping delivery \
    invoice attached document review schedule conference call monday tuesday friday january march october \
    travel hotel flight ticket booking receipt total amount balance bank credit card security password login \
    verify confirm click here link below privacy policy terms unsubscribe preferences newsletter subscribe \
    member benefits health family school student university research study results paper journal science \
    weather music video photo game download mobile store sale discount limited save percent best regards \
    thanks sincerely hello dear friends wrote said think know need want help look find read write send \
    received following available between through another however because without during several important \
    different possible government president country international development management technology";

const HOSTS: &[&str] =
    &["www.example.com", "news.example.org", "lists.example.net", "shop.example.com", "cdn.mail.example.org"];

const FIELDS: &[&str] = &[
    "Received: from mx1.example.org (mx1.example.org [192.0.2.17]) by mail.example.net with ESMTPS id ",
    "Message-ID: <20240311.",
    "Subject: Re: ",
    "From: \"Jordan Miller\" <jordan.miller@example.org>, ",
    "To: team@lists.example.net, ",
    "Content-Type: text/plain; charset=utf-8; format=flowed; boundary=",
    "List-Unsubscribe: <https://lists.example.net/u/",
    "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=mail; bh=",
];

/// What is measured on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sample {
    /// Visible text before folding.
    Prose,
    /// Content on the wire: header, text lines, base64.
    Octets,
    /// Header fields, links, file names: one a line.
    Lines,
}

/// A small generator (a linear congruence, its high bits) that gives the same numbers everywhere.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bound = u128::try_from(bound.max(1)).unwrap_or(1);
        usize::try_from((u128::from(self.0) * bound) >> 64).unwrap_or(0)
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from.get(self.below(from.len())).copied().unwrap_or_default()
    }
}

/// The sample, [`REFERENCE_BYTES`] long.
pub fn sample(sample: Sample) -> Vec<u8> {
    let words =
        (COMMON.split_whitespace().collect::<Vec<_>>(), CONTENT.split_whitespace().collect::<Vec<_>>());
    let mut dice = Dice(20_240_311);
    let mut out = String::with_capacity(REFERENCE_BYTES + 1024);
    while out.len() < REFERENCE_BYTES {
        match (sample, dice.below(6)) {
            (Sample::Prose, 0) => (0..10).for_each(|_| newsletter(&mut dice, &words, &mut out)),
            (Sample::Prose, _) | (Sample::Octets, 0) => paragraph(&mut dice, &words, &mut out),
            (Sample::Octets, 1) | (Sample::Lines, 0..=3) => field(&mut dice, &words, &mut out),
            (Sample::Octets, _) => (0..12).for_each(|_| base64_line(&mut dice, &mut out)),
            (Sample::Lines, _) => link(&mut dice, &words, &mut out),
        }
    }
    out.truncate(REFERENCE_BYTES);
    out.into_bytes()
}

type Vocabulary<'a> = (Vec<&'a str>, Vec<&'a str>);

/// Every other word is a common one, and the early ones of its list more often.
fn word<'a>(dice: &mut Dice, (common, content): &Vocabulary<'a>) -> &'a str {
    if dice.below(2) == 0 {
        let bound = dice.below(common.len()) + 1;
        common.get(dice.below(bound)).copied().unwrap_or_default()
    } else {
        dice.pick(content)
    }
}

/// A few sentences in lines of mail.
fn paragraph(dice: &mut Dice, words: &Vocabulary<'_>, out: &mut String) {
    let mut line = 0;
    for _ in 0..2 + dice.below(4) {
        let start = out.len();
        for _ in 0..6 + dice.below(14) {
            let word = word(dice, words);
            line += word.len() + 1;
            let comma = if dice.below(12) == 0 { "," } else { "" };
            let space = if line > 68 { "\r\n" } else { " " };
            if line > 68 {
                line = 0;
            }
            out.extend([word, comma, space]);
        }
        capitalise(out, start);
        out.push_str(if dice.below(6) == 0 { "\u{2019}s over? " } else { "ok. " });
    }
    out.push_str("\r\n\r\n");
}

/// A heading or a button of a newsletter, with prices.
fn newsletter(dice: &mut Dice, words: &Vocabulary<'_>, out: &mut String) {
    for _ in 0..2 + dice.below(5) {
        let start = out.len();
        out.extend([word(dice, words), " "]);
        capitalise(out, start);
    }
    if dice.below(3) == 0 {
        out.push_str(&format!("${}.{:02} ", dice.below(900) + 5, dice.below(100)));
    }
    out.push_str("\n ");
}

fn capitalise(out: &mut str, at: usize) {
    if let Some(first) = out.get_mut(at..at + 1) {
        first.make_ascii_uppercase();
    }
}

fn field(dice: &mut Dice, words: &Vocabulary<'_>, out: &mut String) {
    out.push_str(dice.pick(FIELDS));
    out.push_str(&format!("{:x}.{:x} ", dice.below(1 << 32), dice.below(1 << 24)));
    for _ in 0..dice.below(5) {
        out.extend([word(dice, words), " "]);
    }
    out.push_str("\r\n");
}

fn link(dice: &mut Dice, words: &Vocabulary<'_>, out: &mut String) {
    out.extend(["https://", dice.pick(HOSTS), "/", word(dice, words), "/", word(dice, words)]);
    out.push_str(&format!("-{}.html?id={:x}&utm_source=", dice.below(9999), dice.below(1 << 32)));
    out.extend([word(dice, words), "\r\n"]);
}

fn base64_line(dice: &mut Dice, out: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.extend((0..76).map(|_| char::from(DIGITS.get(dice.below(64)).copied().unwrap_or(b'='))));
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::{REFERENCE_BYTES, Sample, sample};

    #[test]
    fn samples_are_long_enough_and_always_the_same() {
        for kind in [Sample::Prose, Sample::Octets, Sample::Lines] {
            let text = sample(kind);
            assert_eq!(text.len(), REFERENCE_BYTES);
            assert_eq!(text, sample(kind));
        }
        let prose = String::from_utf8(sample(Sample::Prose)).unwrap();
        assert!(prose.contains(" the ") && prose.contains("$"));
    }
}
