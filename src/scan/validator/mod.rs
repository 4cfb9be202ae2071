//! Identifiers that carry proof of themselves: cards, accounts, and people's numbers.
//!
//! A pattern finds what may be one and where it ends; a [`Check`] decides, by the sums of ISO/IEC 7812,
//! ISO 13616 and the registers of some forty countries. What fails is no hit.
//!
//! Invariants: the answer depends on the bytes before the hit's end only, at most [`TAIL_BYTES_MAX`] of
//! them, so that it is the same at every cut of the input; what follows the end is the pattern's care
//! (`\b`). One hit costs a bounded number of steps, whatever the bytes.

mod card;
mod checksum;
mod europe;
mod iban;
mod overseas;
mod shape;
mod vat;

use std::ops::Range;

use shape::{Backwards, Gaps, Shape};

/// How far back from a hit's end an identifier may begin: more bytes of tail change nothing.
pub const TAIL_BYTES_MAX: usize = CHARS_MAX * (1 + GAP_BYTES_MAX) + 2;
/// Characters of the longest identifier without its separators: an IBAN.
const CHARS_MAX: usize = iban::CHARS_MAX;
/// Bytes of separators between two characters: a dash in UTF-8 has three, and a space at each side.
const GAP_BYTES_MAX: usize = 5;

/// One kind of identifier: its name in a pattern's `check`, how it is written, when it holds.
#[derive(Debug)]
struct Form {
    name: &'static str,
    shape: Shape,
    gaps: Gaps,
    holds: fn(&[u8]) -> bool,
}

/// Declares [`Check`] with its table, one line each, so that neither can forget a row of the other.
macro_rules! checks {
    ($($check:ident, $name:literal, $shape:expr, $gaps:expr, $holds:path;)*) => {
        /// What decides whether a hit is an identifier.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Check {
            $(#[doc = concat!("`", $name, "`")] $check,)*
        }

        impl Check {
            /// All of them, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$check,)*];
        }

        const FORMS: &[Form] = &[
            $(Form { name: $name, shape: $shape, gaps: $gaps, holds: $holds },)*
        ];
    };
}

checks! {
    Luhn, "luhn", Shape::Digits(13, 19), Gaps::Even, card::card;
    LuhnLive, "luhn_live", Shape::Digits(13, 19), Gaps::Even, card::live_card;
    LuhnAny, "luhn_any", Shape::Digits(8, 19), Gaps::Even, checksum::luhn;
    Iban, "iban", Shape::Words(iban::CHARS_MIN, iban::CHARS_MAX), Gaps::Any, iban::iban;
    EuVat, "eu_vat", Shape::Words(vat::CHARS_MIN, vat::CHARS_MAX), Gaps::Any, vat::eu_vat;
    Imei, "imei", Shape::Digits(15, 15), Gaps::Even, overseas::imei;

    AtSvnr, "at_svnr", Shape::Digits(10, 10), Gaps::At(&[6]), europe::at_svnr;
    BeNn, "be_nn", Shape::Digits(11, 11), Gaps::Any, europe::be_nn;
    BgEgn, "bg_egn", Shape::Digits(10, 10), Gaps::None, europe::bg_egn;
    ChAhv, "ch_ahv", Shape::Digits(13, 13), Gaps::At(&[2, 6, 10]), europe::ch_ahv;
    CzRc, "cz_rc", Shape::Digits(10, 10), Gaps::At(&[4]), europe::cz_rc;
    DeSteuerid, "de_steuerid", Shape::Digits(11, 11), Gaps::At(&[1, 3, 6, 9]), europe::de_steuerid;
    DkCpr, "dk_cpr", Shape::Digits(10, 10), Gaps::At(&[4]), europe::dk_cpr;
    EeIk, "ee_ik", Shape::Digits(11, 11), Gaps::None, europe::ee_ik;
    EsDni, "es_dni", Shape::Forms(&["8n1a"]), Gaps::At(&[1, 4, 7]), europe::es_dni;
    EsNie, "es_nie", Shape::Forms(&["1a7n1a"]), Gaps::At(&[1, 4, 7, 8]), europe::es_nie;
    EsNif, "es_nif", Shape::Forms(&["1c7n1c"]), Gaps::At(&[1, 4, 7, 8]), europe::es_nif;
    FiHetu, "fi_hetu", Shape::Forms(&["6n1s3n1c"]), Gaps::Signs, europe::fi_hetu;
    FrNir, "fr_nir", Shape::Forms(&["6n1c8n"]), Gaps::At(&[2, 5, 8, 10, 12, 14]), europe::fr_nir;
    GbNhs, "gb_nhs", Shape::Digits(10, 10), Gaps::At(&[4, 7]), europe::gb_nhs;
    GbUtr, "gb_utr", Shape::Digits(10, 10), Gaps::At(&[5]), europe::gb_utr;
    GrAmka, "gr_amka", Shape::Digits(11, 11), Gaps::None, europe::gr_amka;
    HrOib, "hr_oib", Shape::Digits(11, 11), Gaps::None, checksum::mod_11_10;
    IePps, "ie_pps", Shape::Forms(&["7n1a", "7n2a"]), Gaps::At(&[1, 2]), europe::ie_pps;
    IsKennitala, "is_kennitala", Shape::Digits(10, 10), Gaps::At(&[4]), europe::is_kennitala;
    ItCodiceFiscale, "it_codice_fiscale", Shape::Forms(&["6a2c1a2c1a3c1a"]), Gaps::At(&[5, 10, 13]),
        europe::it_codice_fiscale;
    Jmbg, "jmbg", Shape::Digits(13, 13), Gaps::None, europe::jmbg;
    LtAsmens, "lt_asmens", Shape::Digits(11, 11), Gaps::None, europe::lt_asmens;
    LvPk, "lv_pk", Shape::Digits(11, 11), Gaps::At(&[5]), europe::lv_pk;
    NlBsn, "nl_bsn", Shape::Digits(9, 9), Gaps::At(&[3, 5, 6]), europe::nl_bsn;
    NoFnr, "no_fnr", Shape::Digits(11, 11), Gaps::Any, europe::no_fnr;
    PlPesel, "pl_pesel", Shape::Digits(11, 11), Gaps::None, europe::pl_pesel;
    PtCc, "pt_cc", Shape::Forms(&["9n2c1n"]), Gaps::At(&[1, 3, 4]), europe::pt_cc;
    PtNif, "pt_nif", Shape::Digits(9, 9), Gaps::At(&[3, 6]), europe::pt_nif;
    RoCnp, "ro_cnp", Shape::Digits(13, 13), Gaps::None, europe::ro_cnp;
    RuInn, "ru_inn", Shape::Forms(&["10n", "12n"]), Gaps::None, europe::ru_inn;
    SePersonnummer, "se_personnummer", Shape::Forms(&["10n", "12n"]), Gaps::At(&[4, 6]), europe::se_personnummer;
    TrTckn, "tr_tckn", Shape::Digits(11, 11), Gaps::None, europe::tr_tckn;
    UaRntrc, "ua_rntrc", Shape::Digits(10, 10), Gaps::At(&[2, 4, 6, 8]), europe::ua_rntrc;

    ArCbu, "ar_cbu", Shape::Digits(22, 22), Gaps::Any, overseas::ar_cbu;
    ArCuit, "ar_cuit", Shape::Digits(11, 11), Gaps::At(&[1, 9]), overseas::ar_cuit;
    AuAbn, "au_abn", Shape::Digits(11, 11), Gaps::Even, overseas::au_abn;
    AuTfn, "au_tfn", Shape::Digits(9, 9), Gaps::At(&[3, 6]), overseas::au_tfn;
    BrCnpj, "br_cnpj", Shape::Forms(&["12c2n"]), Gaps::All(&[2, 6, 9, 12]), overseas::br_cnpj;
    BrCpf, "br_cpf", Shape::Digits(11, 11), Gaps::At(&[2, 5, 8]), overseas::br_cpf;
    CaSin, "ca_sin", Shape::Digits(9, 9), Gaps::At(&[3, 6]), overseas::ca_sin;
    ClRut, "cl_rut", Shape::Forms(&["7n1c", "8n1c"]), Gaps::At(&[1, 4, 7]), overseas::cl_rut;
    CnRic, "cn_ric", Shape::Forms(&["17n1c"]), Gaps::At(&[4, 12]), overseas::cn_ric;
    CoNit, "co_nit", Shape::Digits(8, 16), Gaps::Any, overseas::co_nit;
    EcCi, "ec_ci", Shape::Digits(10, 10), Gaps::At(&[1]), overseas::ec_ci;
    IlId, "il_id", Shape::Digits(9, 9), Gaps::At(&[1]), overseas::il_id;
    InAadhaar, "in_aadhaar", Shape::Digits(12, 12), Gaps::At(&[4, 8]), overseas::in_aadhaar;
    InPan, "in_pan", Shape::Forms(&["5a4n1a"]), Gaps::None, overseas::in_pan;
    JpMyNumber, "jp_my_number", Shape::Digits(12, 12), Gaps::At(&[4, 8]), overseas::jp_my_number;
    KrRrn, "kr_rrn", Shape::Digits(13, 13), Gaps::At(&[7]), overseas::kr_rrn;
    MxCurp, "mx_curp", Shape::Forms(&["4a6n6a1c1n"]), Gaps::None, overseas::mx_curp;
    NzIrd, "nz_ird", Shape::Digits(8, 9), Gaps::At(&[3, 6]), overseas::nz_ird;
    PeCui, "pe_cui", Shape::Forms(&["8n1c"]), Gaps::At(&[1]), overseas::pe_cui;
    ThPin, "th_pin", Shape::Digits(13, 13), Gaps::Any, overseas::th_pin;
    UsAba, "us_aba", Shape::Digits(9, 9), Gaps::None, overseas::us_aba;
    UsItin, "us_itin", Shape::Digits(9, 9), Gaps::All(&[4, 6]), overseas::us_itin;
    UsSsn, "us_ssn", Shape::Digits(9, 9), Gaps::All(&[4, 6]), overseas::us_ssn;
    ZaId, "za_id", Shape::Digits(13, 13), Gaps::At(&[3, 7]), overseas::za_id;
}

impl Check {
    /// The check of this name, as a pattern's `check` gives it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|check| check.name() == name)
    }

    pub fn name(self) -> &'static str {
        self.form().name
    }

    /// Where the identifier stands that ends with a hit at `end`: the longest one that holds, its
    /// separators included, those after it not.
    pub fn find(self, tail: &[u8], end: usize) -> Option<Range<usize>> {
        let form = self.form();
        let (least, most) = form.shape.bounds();
        let mut read = Backwards::new(tail.get(..end)?, form.gaps);
        let stop = read.at();
        let mut found = None;
        for count in 1..=most {
            if !read.step() {
                break;
            }
            if count >= least && read.begins() && form.holds(read.characters()) {
                found = Some(read.at()..stop);
            }
        }
        found
    }

    /// Whether `text`, spaces around it aside, is one identifier and nothing else.
    pub fn valid(self, text: &str) -> bool {
        let text = text.trim().as_bytes();
        self.find(text, text.len()) == Some(0..text.len())
    }

    const fn form(self) -> &'static Form {
        &FORMS[self as usize]
    }
}

impl Form {
    fn holds(&self, characters: &[u8]) -> bool {
        self.shape.fits(characters) && (self.holds)(characters)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::{Check, Form, GAP_BYTES_MAX, Gaps, TAIL_BYTES_MAX};

    /// Numbers made up at random until their sums held; in both ways they are written.
    const HOLD: &[(&str, &[&str])] = &[
        (
            "luhn",
            &[
                "4539 5787 6362 1486",
                "6011-0009-9013-9424",
                "3782 822463 10005",
                "30569309025904",
                "4111/1111/1111/1111",
            ],
        ),
        ("luhn_live", &["4539578763621486", "5425.2334.3010.9903"]),
        ("luhn_any", &["49927398716", "4992 7398 716"]),
        (
            "iban",
            &["GB82 WEST 1234 5698 7654 32", "de75512108001245126199", "FR76-3000-6000-0112-3456-7890-189"],
        ),
        ("at_svnr", &["4757170819", "3561 110705"]),
        ("be_nn", &["87100616993", "43.06.19-088.93"]),
        ("bg_egn", &["1312164425", "5606050000"]),
        ("ch_ahv", &["7565162687214", "756.3630.3503.18"]),
        ("cz_rc", &["9901311365", "680721/7076"]),
        ("de_steuerid", &["51630846277", "78 965 041 210"]),
        ("dk_cpr", &["2306053135", "120604-6208"]),
        ("ee_ik", &["50305033770", "45506074542"]),
        ("es_dni", &["99416096E", "89393701-S"]),
        ("es_nie", &["Z2148044X", "X-8316424-S"]),
        ("es_nif", &["F38125324", "J-31265275"]),
        ("fi_hetu", &["160774C1242", "120954W456M"]),
        ("fr_nir", &["436017134340983", "8 02 02 56 117 321 11"]),
        ("gb_nhs", &["7018701392", "397 387 4115"]),
        ("gb_utr", &["1797434737", "74987 63006"]),
        ("gr_amka", &["23059956757", "24121617476"]),
        ("hr_oib", &["12857713316", "27419558020"]),
        ("ie_pps", &["5187544I", "8438906NW"]),
        ("is_kennitala", &["0603427840", "020833-0840"]),
        ("it_codice_fiscale", &["OJQFAS51H43E701J", "CQC IRL 23C48 P7R9D"]),
        ("jmbg", &["2905960176707", "0301934248902"]),
        ("lt_asmens", &["47312015610", "64110269556"]),
        ("lv_pk", &["32701853329", "180318-27365"]),
        ("nl_bsn", &["139226989", "5061 88 383"]),
        ("no_fnr", &["26090977910", "150716 99428"]),
        ("pl_pesel", &["37090262979", "64112809078"]),
        ("pt_cc", &["434871177IL2", "10641878 1 LO 6"]),
        ("pt_nif", &["954111214", "892 644 036"]),
        ("ro_cnp", &["5170104322941", "6200211823057"]),
        ("ru_inn", &["2617020233", "8143598810"]),
        ("se_personnummer", &["2001287420", "750611-7527"]),
        ("tr_tckn", &["25684783384", "28101279538"]),
        ("ua_rntrc", &["6332449054", "9701596507"]),
        ("ar_cbu", &["5875978792702822853019", "0579443-2 5386475986263-0"]),
        ("ar_cuit", &["34813239088", "33-66300698-9"]),
        ("au_abn", &["23506648902", "88 957 558 649"]),
        ("au_tfn", &["995577093", "995 577 093"]),
        ("br_cnpj", &["75188693496974", "76.787.641/5539-64"]),
        ("br_cpf", &["82295574625", "853.718.495-05"]),
        ("ca_sin", &["598785590", "340-893-262"]),
        ("cl_rut", &["07632134", "74.226.272-3"]),
        ("cn_ric", &["440106200111040198", "440106201808299786"]),
        ("co_nit", &["7505280765789733", "144.462.012-3"]),
        ("ec_ci", &["0368592697", "0618188775"]),
        ("il_id", &["289095721", "06634020-9"]),
        ("in_aadhaar", &["572600121765", "8675 4491 0395"]),
        ("in_pan", &["FLYCJ4570X", "HZJKV4520R"]),
        ("jp_my_number", &["791436234268", "8842 8873 8500"]),
        ("kr_rrn", &["5112188792109", "080111-6856521"]),
        ("mx_curp", &["IDQP731206MDFIVO90", "RFTG101026MNEOYFV6"]),
        ("nz_ird", &["55619875", "18-733-447"]),
        ("pe_cui", &["051239348", "91553169-1"]),
        ("th_pin", &["3241234588750", "1-6415-30986-93-4"]),
        ("us_aba", &["653795500", "688869537"]),
        ("us_itin", &["943888614", "901-83-9125"]),
        ("us_ssn", &["566102695", "557-57-3508"]),
        ("za_id", &["4408159074112", "120223 1717 175"]),
        ("imei", &["467296716098041", "86-156074-874597-4"]),
        (
            "eu_vat",
            &[
                "ATU73164283",
                "BE0395619349",
                "BG2994638451",
                "CY88597202T",
                "CZ33920842",
                "DE486769520",
                "DK14727701",
                "EE347634469",
                "EL826107803",
                "ES71453192N",
                "FI58870463",
                "FRS9869613794",
                "HR90137194047",
                "HU12195330",
                "IE0295531I",
                "IT75919250078",
                "LT335528316",
                "PT545957818",
                "LU42717766",
                "LV48922701036",
                "MT85595173",
                "NL554570889B08",
                "PL8484737083",
                "RO786340",
                "SE940251522601",
                "SI81437196",
                "SK3643186481",
                "XI983534825",
            ],
        ),
    ];

    /// Checks without a check digit.
    const STRUCTURE_ONLY: &[Check] = &[Check::InPan, Check::UsItin, Check::UsSsn];

    #[test]
    fn what_each_register_issues_holds() {
        for (name, rows) in HOLD {
            let check = Check::from_name(name).unwrap();
            for row in *rows {
                assert!(check.valid(row), "{name} {row}");
                assert!(check.valid(&row.to_lowercase()), "{name} {row}");
            }
        }
    }

    #[test]
    fn every_check_has_its_row_and_a_name_of_its_own() {
        for check in Check::ALL {
            assert_eq!(Check::from_name(check.name()), Some(*check));
            assert!(HOLD.iter().any(|(name, _)| *name == check.name()), "{}", check.name());
        }
        assert_eq!(Check::from_name("lunh"), None);
    }

    #[test]
    fn a_changed_digit_does_not_hold() {
        let rows = || HOLD.iter().flat_map(|(name, rows)| rows.iter().map(move |row| (*name, *row)));
        for (name, row) in rows() {
            let check = Check::from_name(name).unwrap();
            let changed: Vec<String> = changes(row).collect();
            let held = changed.iter().filter(|row| check.valid(row)).count();
            // Sums modulo eleven that write ten as zero let some pass, and so do branches of companies.
            let most = if STRUCTURE_ONLY.contains(&check) { changed.len() } else { changed.len() / 5 };
            assert!(held <= most, "{name} {row}: {held} of {}", changed.len());
        }
    }

    /// `row` with each digit replaced by each other.
    fn changes(row: &str) -> impl Iterator<Item = String> {
        let digits = row.char_indices().filter(|(_, symbol)| symbol.is_ascii_digit());
        digits.flat_map(move |(place, symbol)| {
            let others = ('0'..='9').filter(move |other| *other != symbol);
            others.map(move |other| format!("{}{other}{}", &row[..place], &row[place + 1..]))
        })
    }

    /// `text` with `|` where the hit ends and the identifier, if one is found, in brackets.
    #[track_caller]
    fn check(name: &str, text: &str) {
        let end = text.replace(['[', ']'], "").find('|').unwrap();
        let bare = text.replace(['[', ']', '|'], "");
        let want = text.find('[').map(|start| start..text.replace('|', "").find(']').unwrap() - 1);
        assert_eq!(Check::from_name(name).unwrap().find(bare.as_bytes(), end), want, "{text}");
    }

    #[test]
    fn it_stands_where_the_hit_ends() {
        check("luhn", "card [4539 5787 6362 1486]| exp 12/27");
        check("luhn", "card [4539 5787 6362 1486] |exp");
        check("luhn", "card [4539-5787-6362-1486]. |Thanks");
        check("luhn", "12 [4539578763621486]|");
        check("luhn", "[4539\u{a0}5787 6362\n1486]|");
        check("luhn", "[4539\u{2013}5787-6362 - 1486]|");
        check("luhn", "4539 5787-6362 1486|");
        check("luhn", "card 4539 5787| 6362 1486");
        check("luhn", "a4539578763621486|");
        check("luhn", "1234539578763621486|");
        check("luhn", "4539 5787 6362       1486|");
        check("luhn", "0.4539578763621486|");
        check("luhn", "No.[4539578763621486]|");
        check("iban", "IBAN: [GB82 WEST 1234 5698 7654 32]|.");
        check("iban", "to gb82 west 1234 5698 7654 33|");
        check("us_ssn", "ssn [557-57-3508]|");
        check("us_ssn", "ssn [557573508]|");
        check("us_ssn", "call 5575-7-3508|");
        check("us_ssn", "call 557-573508|");
        check("us_ssn", "666-57-3508| 900-57-3508 557-00-3508 557-57-0000");
        check("us_ssn", "078-05-1120|");
        check("fi_hetu", "id [131052-308T]|");
        check("fi_hetu", "id 131052308T|");
    }

    #[test]
    fn the_longest_that_holds_is_found() {
        // Both the sixteen digits and the nineteen before them are cards.
        check("luhn", "[4000 0000 0000 0000 006]|");
        check("luhn", "[430 4539578763621486]|");
        check("luhn", "431 [4539578763621486]|");
    }

    #[test]
    fn an_end_that_is_not_there_finds_nothing() {
        for check in Check::ALL {
            assert_eq!((check.find(b"", 0), check.find(b"12", 3), check.valid("")), (None, None, false));
        }
    }

    #[test]
    fn nothing_before_the_tail_matters() {
        let dash = "\u{2013}";
        let wide: String =
            "GB82WEST12345698765432".chars().map(|letter| format!("{letter} {dash} ")).collect();
        let text = format!("{}{wide}", "9 ".repeat(300));
        let tail = &text.as_bytes()[text.len() - TAIL_BYTES_MAX..];
        let start = |text: &[u8]| Check::Iban.find(text, text.len()).map(|found| text.len() - found.start);
        assert_eq!(start(tail), start(text.as_bytes()));
        assert!(start(tail).is_some());
    }

    const MARKS: &str = " -./\u{2013}";

    /// The places of the gaps in `own`, by how many characters follow, and their marks; `None` if one is
    /// too wide.
    fn gaps(own: &str) -> Option<Vec<(usize, char)>> {
        let mut gaps = Vec::new();
        let mut following = 0;
        let mut wide = String::new();
        for symbol in own.chars().rev() {
            if MARKS.contains(symbol) {
                wide.push(symbol);
                continue;
            }
            if !wide.is_empty() {
                let mark = wide.chars().rev().find(|mark| *mark != ' ').unwrap_or(' ');
                gaps.push((following, if mark == '\u{2013}' { '-' } else { mark }));
                if wide.len() > GAP_BYTES_MAX {
                    return None;
                }
            }
            wide.clear();
            following += 1;
        }
        Some(gaps)
    }

    fn may_have(form: &Form, gaps: &[(usize, char)]) -> bool {
        let at = |places: &[usize]| gaps.iter().all(|(place, _)| places.contains(place));
        match form.gaps {
            Gaps::None | Gaps::Signs => gaps.is_empty(),
            Gaps::Any => true,
            Gaps::Even => gaps.windows(2).all(|pair| pair[0].1 == pair[1].1),
            Gaps::At(places) => at(places),
            Gaps::All(places) => at(places) && [0, places.len()].contains(&gaps.len()),
        }
    }

    /// Tries every start, first the farthest.
    fn naive(check: Check, text: &str) -> Option<Range<usize>> {
        let separator = |symbol: char| MARKS.contains(symbol);
        let form = check.form();
        let mut stop = text.len();
        while let Some(last) = text[..stop].chars().next_back().filter(|symbol| separator(*symbol)) {
            if text.len() - stop + last.len_utf8() > GAP_BYTES_MAX {
                break;
            }
            stop -= last.len_utf8();
        }
        let starts = (0..stop).filter(|start| text.is_char_boundary(*start));
        starts.map(|start| start..stop).find(|range| {
            let (before, own) = (&text[..range.start], &text[range.clone()]);
            let joined: String = own.chars().filter(|symbol| !separator(*symbol)).collect();
            let fraction = joined == own
                && before.ends_with('.')
                && before.trim_end_matches('.').len() + 1 == before.len()
                && before[..before.len() - 1].ends_with(|symbol: char| symbol.is_ascii_digit());
            let (least, most) = form.shape.bounds();
            !before.ends_with(|symbol: char| symbol.is_ascii_alphanumeric())
                && !own.starts_with(separator)
                && !own.ends_with(separator)
                && gaps(own).is_some_and(|gaps| may_have(form, &gaps))
                && joined.chars().all(|symbol| symbol.is_ascii_alphanumeric())
                && !fraction
                && (least..=most).contains(&joined.len())
                && form.holds(joined.to_uppercase().as_bytes())
        })
    }

    proptest! {
        #[test]
        fn finding_agrees_with_trying_every_start(text in "(4|5|[0-9]|[0-9]|[ ./–-]|a){0,40}") {
            let any = [Check::LuhnAny, Check::Luhn, Check::EuVat, Check::BeNn];
            let fixed = [Check::EsDni, Check::AuTfn, Check::UsSsn, Check::UaRntrc];
            for check in any.into_iter().chain(fixed) {
                prop_assert_eq!(check.find(text.as_bytes(), text.len()), naive(check, &text));
            }
        }

        #[test]
        fn no_text_panics(text in proptest::collection::vec(0u8..=255, 0..80), end in 0usize..90) {
            for check in Check::ALL {
                let found = check.find(&text, end);
                prop_assert!(found.is_none_or(|found| found.start < found.end && found.end <= end));
            }
        }
    }
}
