//! Colours of CSS and of HTML's own attributes, so far as mail uses them: CSS Color §5 and §6.

/// What a value says of a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Rgb([u8; 3]),
    /// Nothing is seen of it.
    Clear,
}

/// Steps of 255 by which all parts may differ of two colours that people do not tell apart.
const NEAR: u8 = 24;
/// The parts by which a colour with this much opacity is seen: of 255.
const OPACITY_SEEN_MIN: f32 = 13.0;

/// Whether text of this colour can hardly be seen on that one.
pub(super) fn near(one: [u8; 3], other: [u8; 3]) -> bool {
    one.iter().zip(other).all(|(one, other)| one.abs_diff(other) <= NEAR)
}

/// The colour that `value` names, in lower case or not.
pub(super) fn parse(value: &str) -> Option<Colour> {
    let value = value.trim_matches(|sign: char| sign.is_ascii_whitespace());
    if let Some(digits) = value.strip_prefix('#') {
        return hexadecimal(digits);
    }
    let mut lower = [0; NAME_BYTES_MAX];
    let lower = lower.get_mut(..value.len())?;
    lower.copy_from_slice(value.as_bytes());
    lower.make_ascii_lowercase();
    let value = std::str::from_utf8(lower).ok()?;
    if let Some((function, rest)) = value.split_once('(') {
        return matches!(function, "rgb" | "rgba").then(|| function_of_rgb(rest.trim_end_matches(')')))?;
    }
    if value == "transparent" {
        return Some(Colour::Clear);
    }
    let place = NAMED.binary_search_by(|(name, _)| (*name).cmp(value)).ok();
    // Attributes of HTML may lack the sign.
    place.map_or_else(
        || if value.len() == 6 { hexadecimal(value) } else { None },
        |place| Some(Colour::Rgb(parts(NAMED[place].1))),
    )
}

const fn parts(number: u32) -> [u8; 3] {
    let [_, red, green, blue] = number.to_be_bytes();
    [red, green, blue]
}

fn hexadecimal(digits: &str) -> Option<Colour> {
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let number = u32::from_str_radix(digits, 16).ok()?;
    let doubled = |number: u32| {
        let digit = |at: u32| (number >> at & 0xf) * 0x11;
        digit(8) << 16 | digit(4) << 8 | digit(0)
    };
    let (number, opacity) = match digits.len() {
        3 => (doubled(number), 0xff),
        4 => (doubled(number >> 4), (number & 0xf) * 0x11),
        6 => (number, 0xff),
        8 => (number >> 8, number & 0xff),
        _ => return None,
    };
    Some(if opacity < 13 { Colour::Clear } else { Colour::Rgb(parts(number)) })
}

/// `1, 2, 3`, `1 2 3 / 50%` and the like, up to the closing parenthesis.
fn function_of_rgb(arguments: &str) -> Option<Colour> {
    let mut numbers = arguments.split([' ', ',', '/']).filter(|one| !one.is_empty());
    let mut part = || amount(numbers.next()?, 255.0);
    let rgb = [part()?, part()?, part()?];
    // An opacity counts from 0 to 1, and in percent like the others.
    let opacity = numbers.next().and_then(|one| amount(one, 255.0).map(|it| scaled(one, it)));
    let seen = opacity.is_none_or(|opacity| opacity >= OPACITY_SEEN_MIN);
    Some(if seen { Colour::Rgb(rgb.map(octet)) } else { Colour::Clear })
}

fn amount(number: &str, whole: f32) -> Option<f32> {
    match number.strip_suffix('%') {
        Some(percent) => percent.parse::<f32>().ok().map(|percent| percent * whole / 100.0),
        None => number.parse().ok(),
    }
}

fn scaled(written: &str, amount: f32) -> f32 {
    if written.ends_with('%') { amount } else { amount * 255.0 }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within 0 and 255")]
fn octet(part: f32) -> u8 {
    part.clamp(0.0, 255.0) as u8
}

/// Longest value looked at, the name of a colour or a function.
const NAME_BYTES_MAX: usize = 48;

/// CSS Color §6.1.
#[rustfmt::skip]
static NAMED: &[(&str, u32)] = &[
    ("aliceblue", 0xf0f8ff), ("antiquewhite", 0xfaebd7), ("aqua", 0x00ffff), ("aquamarine", 0x7fffd4),
    ("azure", 0xf0ffff), ("beige", 0xf5f5dc), ("bisque", 0xffe4c4), ("black", 0x000000),
    ("blanchedalmond", 0xffebcd), ("blue", 0x0000ff), ("blueviolet", 0x8a2be2), ("brown", 0xa52a2a),
    ("burlywood", 0xdeb887), ("cadetblue", 0x5f9ea0), ("chartreuse", 0x7fff00), ("chocolate", 0xd2691e),
    ("coral", 0xff7f50), ("cornflowerblue", 0x6495ed), ("cornsilk", 0xfff8dc), ("crimson", 0xdc143c),
    ("cyan", 0x00ffff), ("darkblue", 0x00008b), ("darkcyan", 0x008b8b), ("darkgoldenrod", 0xb8860b),
    ("darkgray", 0xa9a9a9), ("darkgreen", 0x006400), ("darkgrey", 0xa9a9a9), ("darkkhaki", 0xbdb76b),
    ("darkmagenta", 0x8b008b), ("darkolivegreen", 0x556b2f), ("darkorange", 0xff8c00),
    ("darkorchid", 0x9932cc), ("darkred", 0x8b0000), ("darksalmon", 0xe9967a), ("darkseagreen", 0x8fbc8f),
    ("darkslateblue", 0x483d8b), ("darkslategray", 0x2f4f4f), ("darkslategrey", 0x2f4f4f),
    ("darkturquoise", 0x00ced1), ("darkviolet", 0x9400d3), ("deeppink", 0xff1493),
    ("deepskyblue", 0x00bfff), ("dimgray", 0x696969), ("dimgrey", 0x696969), ("dodgerblue", 0x1e90ff),
    ("firebrick", 0xb22222), ("floralwhite", 0xfffaf0), ("forestgreen", 0x228b22), ("fuchsia", 0xff00ff),
    ("gainsboro", 0xdcdcdc), ("ghostwhite", 0xf8f8ff), ("gold", 0xffd700), ("goldenrod", 0xdaa520),
    ("gray", 0x808080), ("green", 0x008000), ("greenyellow", 0xadff2f), ("grey", 0x808080),
    ("honeydew", 0xf0fff0), ("hotpink", 0xff69b4), ("indianred", 0xcd5c5c), ("indigo", 0x4b0082),
    ("ivory", 0xfffff0), ("khaki", 0xf0e68c), ("lavender", 0xe6e6fa), ("lavenderblush", 0xfff0f5),
    ("lawngreen", 0x7cfc00), ("lemonchiffon", 0xfffacd), ("lightblue", 0xadd8e6), ("lightcoral", 0xf08080),
    ("lightcyan", 0xe0ffff), ("lightgoldenrodyellow", 0xfafad2), ("lightgray", 0xd3d3d3),
    ("lightgreen", 0x90ee90), ("lightgrey", 0xd3d3d3), ("lightpink", 0xffb6c1), ("lightsalmon", 0xffa07a),
    ("lightseagreen", 0x20b2aa), ("lightskyblue", 0x87cefa), ("lightslategray", 0x778899),
    ("lightslategrey", 0x778899), ("lightsteelblue", 0xb0c4de), ("lightyellow", 0xffffe0),
    ("lime", 0x00ff00), ("limegreen", 0x32cd32), ("linen", 0xfaf0e6), ("magenta", 0xff00ff),
    ("maroon", 0x800000), ("mediumaquamarine", 0x66cdaa), ("mediumblue", 0x0000cd),
    ("mediumorchid", 0xba55d3), ("mediumpurple", 0x9370db), ("mediumseagreen", 0x3cb371),
    ("mediumslateblue", 0x7b68ee), ("mediumspringgreen", 0x00fa9a), ("mediumturquoise", 0x48d1cc),
    ("mediumvioletred", 0xc71585), ("midnightblue", 0x191970), ("mintcream", 0xf5fffa),
    ("mistyrose", 0xffe4e1), ("moccasin", 0xffe4b5), ("navajowhite", 0xffdead), ("navy", 0x000080),
    ("oldlace", 0xfdf5e6), ("olive", 0x808000), ("olivedrab", 0x6b8e23), ("orange", 0xffa500),
    ("orangered", 0xff4500), ("orchid", 0xda70d6), ("palegoldenrod", 0xeee8aa), ("palegreen", 0x98fb98),
    ("paleturquoise", 0xafeeee), ("palevioletred", 0xdb7093), ("papayawhip", 0xffefd5),
    ("peachpuff", 0xffdab9), ("peru", 0xcd853f), ("pink", 0xffc0cb), ("plum", 0xdda0dd),
    ("powderblue", 0xb0e0e6), ("purple", 0x800080), ("rebeccapurple", 0x663399), ("red", 0xff0000),
    ("rosybrown", 0xbc8f8f), ("royalblue", 0x4169e1), ("saddlebrown", 0x8b4513), ("salmon", 0xfa8072),
    ("sandybrown", 0xf4a460), ("seagreen", 0x2e8b57), ("seashell", 0xfff5ee), ("sienna", 0xa0522d),
    ("silver", 0xc0c0c0), ("skyblue", 0x87ceeb), ("slateblue", 0x6a5acd), ("slategray", 0x708090),
    ("slategrey", 0x708090), ("snow", 0xfffafa), ("springgreen", 0x00ff7f), ("steelblue", 0x4682b4),
    ("tan", 0xd2b48c), ("teal", 0x008080), ("thistle", 0xd8bfd8), ("tomato", 0xff6347),
    ("turquoise", 0x40e0d0), ("violet", 0xee82ee), ("wheat", 0xf5deb3), ("white", 0xffffff),
    ("whitesmoke", 0xf5f5f5), ("yellow", 0xffff00), ("yellowgreen", 0x9acd32),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_of_mail_are_known() {
        let white = Some(Colour::Rgb([255, 255, 255]));
        for value in [
            "#fff",
            "#FFFFFF",
            " white ",
            "White",
            "rgb(255,255,255)",
            "RGB( 100% , 255, 300 )",
            "rgba(255 255 255 / 0.5)",
            "ffffff",
            "#ffff",
            "#ffffffff",
            "rgb(255, 255, 255, 50%)",
        ] {
            assert_eq!(parse(value), white, "{value}");
        }
        assert_eq!(parse("#1a2b3c"), Some(Colour::Rgb([0x1a, 0x2b, 0x3c])));
        assert_eq!(parse("rebeccapurple"), Some(Colour::Rgb([0x66, 0x33, 0x99])));
        for value in ["transparent", "rgba(1,2,3,0)", "#fff0", "#12345600", "rgb(0 0 0 / 1%)"] {
            assert_eq!(parse(value), Some(Colour::Clear), "{value}");
        }
        for value in
            ["", "#", "#ff", "#ggg", "inherit", "rgb(1,2)", "url(x)", "#+fff", "\u{e9}", "hsl(1,2%,3%)"]
        {
            assert_eq!(parse(value), None, "{value}");
        }
        assert_eq!(parse(&"x".repeat(1000)), None);
    }

    #[test]
    fn near_colours_are_not_told_apart() {
        assert!(near([255, 255, 255], [240, 240, 240]) && near([0, 0, 0], [20, 20, 20]));
        assert!(!near([255, 255, 255], [200, 200, 200]) && !near([255, 0, 0], [255, 255, 255]));
    }

    #[test]
    fn names_are_in_order() {
        assert!(NAMED.is_sorted_by(|one, other| one.0 < other.0));
    }
}
