//! What single characters fold to: the tables, and how they are joined.
//!
//! The Unicode Consortium's list of confusables (UTS #39) joins letters that only a collector would mix
//! up, and joins `m` with `rn`. This is a shorter choice by eye: letters that in a common font pass for an
//! ASCII letter, in the scripts that people in fact use for it.

use std::sync::LazyLock;

use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// What one character becomes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Nothing,
    /// One character in UTF-8: so many of the bytes.
    Bytes([u8; 4], u8),
    /// [`fold`] tells.
    Several,
}

/// Characters below this are looked up. Above come ideographs, which stand for themselves, and rare things.
const TABLE_END: u32 = 0x3400;

static TABLE: LazyLock<Vec<Form>> = LazyLock::new(|| (0..TABLE_END).map(entry).collect());

pub(super) fn form(c: char) -> Form {
    if let Some(form) = TABLE.get(c as usize) {
        return *form;
    }
    if is_verbatim(c) { bytes(c) } else { Form::Several }
}

fn entry(code: u32) -> Form {
    let Some(c) = char::from_u32(code) else { return Form::Nothing };
    let (mut count, mut last) = (0, '\0');
    fold(c, &mut |folded| {
        count += 1;
        last = folded;
    });
    match count {
        0 => Form::Nothing,
        1 => bytes(last),
        _ => Form::Several,
    }
}

fn bytes(c: char) -> Form {
    let mut bytes = [0; 4];
    let length = c.encode_utf8(&mut bytes).len();
    Form::Bytes(bytes, u8::try_from(length).unwrap_or(4))
}

/// Gives the characters that `c` folds to, by every rule in turn.
pub(super) fn fold(c: char, emit: &mut impl FnMut(char)) {
    if is_verbatim(c) {
        return emit(c);
    }
    if let Some(letter) = enclosed(c).or_else(|| digit(c)) {
        return emit(letter);
    }
    decompose_compatible(c, |part| fold_part(part, emit));
}

fn fold_part(part: char, emit: &mut impl FnMut(char)) {
    if let Some(text) = look_alike(part) {
        return text.chars().for_each(emit);
    }
    for lower in part.to_lowercase() {
        match look_alike(lower) {
            Some(text) => text.chars().for_each(&mut *emit),
            None if is_ignored(lower) => {}
            None if lower.is_whitespace() || lower == '\u{2800}' => emit(' '),
            None => emit(lower),
        }
    }
}

/// Ideographs and Hangul syllables: the latter would fall into their letters.
const fn is_verbatim(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{20000}'..='\u{2ebef}')
}

/// Marks, and what no font shows: UAX #44 Default_Ignorable_Code_Point, controls, interlinear marks.
fn is_ignored(c: char) -> bool {
    let invisible = matches!(c,
        '\0'..='\x08' | '\x0e'..='\x1f' | '\x7f'..='\u{84}' | '\u{86}'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}');
    invisible || is_combining_mark(c)
}

/// Letters in boxes and circles that have no compatibility form, flags' letters, and letters in
/// parentheses, whose form would keep the parentheses.
fn enclosed(c: char) -> Option<char> {
    const RUNS: [(u32, u32, char); 6] = [
        (0x1f150, 26, 'a'),
        (0x1f170, 26, 'a'),
        (0x1f1e6, 26, 'a'),
        (0x1f110, 26, 'a'),
        (0x249c, 26, 'a'),
        (0x2474, 9, '1'),
    ];
    run(c, &RUNS)
}

/// Decimal digits of other scripts (general category Nd), by their zeros.
fn digit(c: char) -> Option<char> {
    const ZEROS: [u32; 18] = [
        0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50, 0xed0,
        0xf20, 0x1040, 0x17e0, 0x1810,
    ];
    ZEROS.iter().find_map(|zero| run(c, &[(*zero, 10, '0')]))
}

/// The character as far from the start of the result as `c` is from the start of one of `runs`.
fn run(c: char, runs: &[(u32, u32, char)]) -> Option<char> {
    runs.iter().find_map(|(start, length, first)| {
        let distance = u32::from(c).checked_sub(*start).filter(|distance| distance < length)?;
        char::from_u32(u32::from(*first) + distance)
    })
}

fn look_alike(c: char) -> Option<&'static str> {
    static SORTED: LazyLock<Vec<(char, &'static str)>> = LazyLock::new(|| {
        let mut pairs: Vec<_> =
            LOOK_ALIKES.iter().flat_map(|(text, all)| all.chars().map(move |c| (c, *text))).collect();
        pairs.sort_unstable();
        pairs
    });
    if c.is_ascii() {
        return None;
    }
    let index = SORTED.binary_search_by_key(&c, |(other, _)| *other).ok()?;
    SORTED.get(index).map(|(_, text)| *text)
}

/// By script in this order: Latin, Greek, Cyrillic, Armenian, Cherokee, Lisu, others. Of Cyrillic only the
/// lower case stands here, for the capitals come to it first; of Greek both cases, where they look different.
const LOOK_ALIKES: &[(&str, &str)] = &[
    ("a", "ɑᴀⱥΑαаᎪꓮ"),
    ("ae", "æᴁӕ"),
    ("b", "ƀɓƃʙᴃΒβвᏴꓐꞵ"),
    ("c", "ȼƈɕᴄϲсᏟꓚⲥↄ"),
    ("d", "đɗƌɖᴅðԁᎠꓓꭰ"),
    ("e", "ɇɛǝᴇΕεеєҽᎬꓰⲉ℮"),
    ("f", "ƒꜰϝꓝꞙ"),
    ("g", "ɡɠǥɢԍցᏀꓖ"),
    ("h", "ħɦʜΗнһհᎻꓧ"),
    ("i", "ıɨɩɪΙιіᎥꓲ"),
    ("j", "ɉȷʝᴊϳјյᎫꓙ"),
    ("k", "ƙĸᴋΚκкқӄᏦꓗⲕ"),
    ("l", "łƚɫɬɭʟℓǀӏᏞꓡ"),
    ("m", "ɱᴍΜмᎷꓟ"),
    ("n", "ɲƞŋɴΝηпոռꓠ"),
    ("o", "øɵᴏΟοоօסꓳⲟ೦ഠဝ"),
    ("oe", "œɶ"),
    ("p", "ƥᴘΡρрᏢꓑⲣ"),
    ("q", "ʠԛզգ"),
    ("r", "ɍɼɽʀгᎡᏒꓣ"),
    ("s", "ʂꜱѕᏚꓢƽ"),
    ("ss", "ß"),
    ("t", "ŧƭʈᴛΤτтᎢꓔ"),
    ("th", "þ"),
    ("u", "ʉᴜυսцꓴ"),
    ("v", "ʋᴠνѵᏙꓦ"),
    ("w", "ɯᴡωѡԝшաᎳꓪ"),
    ("x", "ΧχхҳᕽꓫⲭХ"),
    ("y", "ƴɏʏΥγуүұꓬ"),
    ("z", "ƶȥʐᴢΖζᏃꓜ"),
    ("'", "‘’‚‛′‵ʹʻʼʽˈ´`՚׳"),
    ("\"", "“”„‟″«»ʺ״"),
    ("-", "‐‑‒–—―−⁃﹘˗"),
    (".", "․。"),
    (",", "،"),
    ("/", "⁄∕╱"),
    (":", "∶ː։׃"),
    ("<", "‹"),
    (">", "›"),
    ("|", "│∣¦"),
    ("~", "∼˜"),
];
