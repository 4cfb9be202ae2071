//! Documents, at every cut, and random ones against a reader that sees them whole.

use super::{HtmlEvent, LINK_TEXT_BYTES_MAX, OPEN_ELEMENTS_MAX, Reader, Trick, VALUE_BYTES_MAX};
use proptest::prelude::*;

/// All that was found in a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    seen: String,
    /// What is seen and what is not, in order.
    all: String,
    links: Vec<(String, String)>,
    /// Files that links hold, a line each.
    data: String,
    tricks: Vec<Trick>,
}

impl Found {
    fn take(&mut self, event: HtmlEvent<'_>) {
        match event {
            HtmlEvent::Text(text) => {
                self.seen.push_str(text);
                self.all.push_str(text);
            }
            HtmlEvent::Hidden(text) => self.all.push_str(text),
            HtmlEvent::Link { target, text } => self.links.push((target.to_owned(), text.to_owned())),
            HtmlEvent::Data { piece, last } => {
                self.data.push_str(piece);
                self.data.push_str(if last { "\n" } else { "" });
            }
            HtmlEvent::Trick(trick) => self.tricks.push(trick),
        }
    }
}

/// `html` in pieces that end at `cuts`, moved to where characters end.
fn read_cut(html: &str, cuts: &[usize]) -> Found {
    let (mut reader, mut found, mut at) = (Reader::new(), Found::default(), 0);
    for cut in cuts.iter().copied().chain([html.len()]) {
        let cut = html.floor_char_boundary(cut).max(at);
        reader.push(&html[at..cut], &mut |event| found.take(event));
        at = cut;
    }
    reader.finish(&mut |event| found.take(event));
    found
}

fn read(html: &str) -> Found {
    let found = read_cut(html, &[]);
    for cut in 0..html.len() {
        assert_eq!(read_cut(html, &[cut]), found, "{html:?} cut at {cut}");
    }
    let each: Vec<usize> = (0..html.len()).collect();
    assert_eq!(read_cut(html, &each), found, "{html:?} cut everywhere");
    found
}

/// What is seen of `html`, with no trick in it.
#[track_caller]
fn check(html: &str, seen: &str) {
    let found = read(html);
    assert_eq!((found.seen.as_str(), found.tricks.as_slice()), (seen, &[][..]), "{html}");
}

/// What is seen, what there is in all, and the tricks.
#[track_caller]
fn check_hidden(html: &str, seen: &str, all: &str, tricks: &[Trick]) {
    let found = read(html);
    assert_eq!(
        (found.seen.as_str(), found.all.as_str(), found.tricks.as_slice()),
        (seen, all, tricks),
        "{html}"
    );
}

#[track_caller]
fn check_links(html: &str, links: &[(&str, &str)]) {
    let found = read(html);
    let found: Vec<(&str, &str)> = found.links.iter().map(|(target, text)| (&**target, &**text)).collect();
    assert_eq!(found, links, "{html}");
}

#[test]
fn tags_are_no_text() {
    check("", "");
    check("plain", "plain");
    check("a <b>bold</b> word", "a bold word");
    check("<html><body class=x>a</body></html>", "a\n");
    check("a<b title='>' x=\">\" y = z>b", "ab");
    check("a<b title=x\"y>b", "ab");
    check("a<b \"c>d", "ad");
    check("a<b =>c<i/ >d<u x=>e<s x= >f", "acdef");
    check("a<b/title='>'/x/>c", "ac");
    check("a<img src=x>b<unknown-and-long-element-name attribute-and-long-name=x>c", "abc");
    check("a</b x='>'>b</>c</ d>e", "abce");
}

#[test]
fn what_is_no_tag_is_text() {
    check("a < b", "a < b");
    check("a <3 b<", "a <3 b<");
    check("a <> b</", "a <> b</");
    check("1<2>1", "1<2>1");
}

#[test]
fn tags_do_not_divide_words_and_lines_do() {
    check("b<span></span>ad", "bad");
    check("v<b>i</b><i>a</i>g<font color=red>r</font>a", "viagra");
    check("a<br>b<BR/>c</br>d", "a\nb\nc\nd");
    check("<p>a<p>b</p>c", "a\nb\nc");
    check("<table><tr><td>a<td>b</tr><tr><td>c</table>d", "a\nb\nc\nd");
    check("<ul><li>a<li>b</ul>", "a\nb\n");
    check("a <div> b</div>", "a  b\n");
    check("a&nbsp;<p>\u{e9}</p>", "a\u{a0}\n\u{e9}\n");
}

#[test]
fn comments_end_where_browsers_end_them() {
    check("a <!-- b --> c", "a  c");
    check("a <!--> b --> c", "a  b --> c");
    check("a <!---> b --> c", "a  b --> c");
    check("a <!----> b", "a  b");
    check("a <!-- > -- - -> ---> b", "a  b");
    check("a <!-- x --!> b", "a  b");
    check("a <!--!> x --> b", "a  b");
    check("a <!-- x --!- > --> b", "a  b");
    check("a <!- b --> c", "a  c");
    check("a <!DOCTYPE html x='>'> b <?xml > c", "a '> b  c");
    check("a <![CDATA[ b ]]> c", "a  c");
    check("a <![if !mso]>b<![endif]> c", "a b c");
}

#[test]
fn a_comment_within_a_word_is_told() {
    check_hidden("via<!-- x -->gra", "viagra", "viagra", &[Trick::CommentInWord]);
    check_hidden("via<!----> gra<!-- -->", "via gra", "via gra", &[]);
}

#[test]
fn what_only_outlook_reads_is_hidden_text() {
    let tricks = &[Trick::ConditionalText];
    check_hidden("a<!--[if mso]>b <b>c</b><![endif]-->d", "ad", "ab c\nd", tricks);
    check_hidden("a<!--[if (gte mso 9)|(IE)]><table><tr><td><![endif]-->d", "ad", "ad", &[]);
    check_hidden("a<!--[if !mso]><!-->b<!--<![endif]-->c", "abc", "abc", &[Trick::CommentInWord]);
    check_hidden("a <!--[if x]><a title=\"--> b", "a  b", "a  b", &[]);
    check_hidden("a <!--[i b--> c", "a  c", "a  c", &[]);
    check_links(
        "<!--[if mso]><v:rect href='http://x/' /><a href=y>z</a><![endif]-->",
        &[("http://x/", ""), ("y", "z")],
    );
}

#[test]
fn scripts_and_styles_are_no_text() {
    check("a<script>if (x < 1) { '</b>' }</script>b", "ab");
    check("a<style><!-- p { } --></STYLE\t>b", "ab");
    check("a<script></scriptx></script/>b<script src=x></script\n>c", "abc");
    check("a<iframe><b>x</b></iframe>b<noembed><p></noembed>c", "abc");
    check("a<noscript>b</noscript>c", "abc");
    check("<textarea><b>&lt;x</textarea>y", "<b><x\ny");
    check("<xmp><b>&lt;</xm></xmp>y", "<b>&lt;</xm>\ny");
    check_hidden("<title>a &amp; b</title>c", "c", "a & b\nc", &[]);
}

#[test]
fn references_are_characters() {
    check("&lt;b&gt; &amp;amp; &eacute;&#233;&#xE9;", "<b> &amp; \u{e9}\u{e9}\u{e9}");
    check("a&nbsp;b&nbspc &notit; &foo; & &#; &", "a\u{a0}b\u{a0}c \u{ac}it; &foo; & &#; &");
    check("&&lt<b>&am</b>p;", "&<&amp;");
    let numbered = "&#118;&#105;&#97;&#x67;&#x72;&#97;&#49;&#50;&#51;";
    check_hidden(numbered, "viagra123", "viagra123", &[Trick::NumberedLetters]);
}

#[test]
fn hidden_text_is_told_apart() {
    for (style, trick) in [
        ("display:none", Trick::HiddenElement),
        ("visibility:hidden", Trick::InvisibleText),
        ("font-size:0", Trick::TinyFont),
        ("font-size:1px;line-height:1px", Trick::TinyFont),
        ("color:#fff", Trick::BackgroundColour),
        ("color:#fefefe", Trick::BackgroundColour),
        ("background-color:#000", Trick::BackgroundColour),
        ("color:red;background:#f00", Trick::BackgroundColour),
        ("color:transparent", Trick::TransparentText),
        ("opacity:0", Trick::TransparentText),
        ("position:absolute;left:-9999px", Trick::OffScreen),
        ("text-indent:-9999px", Trick::OffScreen),
        ("max-height:0;overflow:hidden", Trick::Collapsed),
    ] {
        let html = format!("via<span style='{style}'>xyz</span>gra");
        check_hidden(&html, "viagra", "viaxyzgra", &[trick]);
        let html = format!("via<span style='{style}'> \u{a0}\u{200b}<img src=x></span>gra");
        assert_eq!(read(&html).tricks, &[], "{html}");
    }
    check_hidden("a<i hidden>b</i>c", "ac", "abc", &[Trick::HiddenElement]);
    check_hidden("a<font color=white>b</font>c", "ac", "abc", &[Trick::BackgroundColour]);
    check_hidden("a<b style=\"dis&#112;lay:none\">b</b>c", "ac", "abc", &[Trick::HiddenElement]);
    check_hidden("<template>a</template>b", "b", "ab", &[Trick::HiddenElement]);
}

#[test]
fn text_is_seen_again_where_its_style_says_so() {
    let tiny = &[Trick::TinyFont];
    check_hidden("<td style='font-size:0'><p style='font-size:14px'>a</p>b", "a\n", "a\nb", tiny);
    check_hidden("<p style='font-size:0'>a<b style='font-size:1em'>b</b></p>", "", "ab\n", tiny);
    check_hidden(
        "<p style='visibility:hidden'>a<b style='visibility:visible'>b</b>",
        "b",
        "ab",
        &[Trick::InvisibleText],
    );
    check("<table bgcolor=black><tr><td style='color:#fff'>a</table>", "a\n");
    check("<body bgcolor=#000000 text=#ffffff>a", "a");
    check("<p style='color:#fff;background:url(x.png)'>a", "a");
    check("<p hidden style='display:block'>a", "a");
    check("<p style='color:#fff'><a href=x>blue</a>", "blue");
    check_hidden(
        "<p style='display:none'>a<b style='display:block'>b</b></p>",
        "",
        "ab\n",
        &[Trick::HiddenElement],
    );
}

#[test]
fn hidden_text_ends_with_its_element() {
    let hidden = &[Trick::HiddenElement];
    check_hidden("<div style=display:none>a<p>b</div>c", "c", "a\nb\nc", hidden);
    check_hidden("<p style=display:none>a<p>b", "b", "a\nb", hidden);
    check_hidden("<p style=display:none>a<div>b</div>", "b\n", "a\nb\n", hidden);
    check_hidden("<b style=display:none>a<div>b</b>c</div>d", "c\nd", "a\nbc\nd", hidden);
    check_hidden("<table><td style=display:none>a<td>b</table>", "b\n", "a\nb\n", hidden);
    check_hidden("<table><tr style=display:none><td>a<tr><td>b</table>", "b\n", "a\nb\n", hidden);
    check_hidden("<ul><li style=display:none>a<li>b</ul>", "b\n", "a\nb\n", hidden);
    check_hidden("<span style=display:none>a<div>b</span>c</div>d", "", "a\nbc\nd", hidden);
    check_hidden("<div style=display:none>a<td>b</div>c", "", "a\nb\nc", hidden);
    check_hidden("<div style=display:none>a</span></p>b</div>c", "c", "a\nb\nc", hidden);
    check_hidden("<div style=display:none>a<br>b<img><input>c</div>d", "d", "a\nbc\nd", hidden);
}

#[test]
fn an_element_that_is_not_displayed_does_not_divide_words() {
    check_hidden("via<div style='display:none'>x</div>gra", "viagra", "via\nx\ngra", &[Trick::HiddenElement]);
    check_hidden("via<div style='font-size:0'>x</div>gra", "via\ngra", "via\nx\ngra", &[Trick::TinyFont]);
}

#[test]
fn style_sheets_hide_by_class() {
    let tricks = &[Trick::StyleSheetHides, Trick::HiddenElement];
    let html = "<style>.x, #y { display: none } .z { color: red }</style>";
    check_hidden(&format!("{html}a<b class='w x'>b</b><b id=y>c</b><b class=z>d</b>"), "ad", "abcd", tricks);
    check(
        "<style>.x{color:#fff;background:#000}</style><p class=x>a</p><p style='color:#fff' class=x>b",
        "a\nb",
    );
}

#[test]
fn characters_of_no_width_within_words_are_told() {
    let tricks = &[Trick::ZeroWidth];
    for sign in ["\u{200b}", "\u{200c}\u{200d}", "\u{ad}", "\u{feff}", "\u{34f}", "\u{2060}"] {
        check_hidden(&format!("via{sign}gra"), &format!("via{sign}gra"), &format!("via{sign}gra"), tricks);
        check(&format!("via{sign} gra {sign}x{sign}"), &format!("via{sign} gra {sign}x{sign}"));
    }
    check_hidden("via&shy;gra", "via\u{ad}gra", "via\u{ad}gra", tricks);
    check_hidden("v<b>&#8203;</b>i", "v\u{200b}i", "v\u{200b}i", tricks);
    check("&zwnj;&nbsp;&zwnj;&nbsp;", "\u{200c}\u{a0}\u{200c}\u{a0}");
    check(
        "\u{645}\u{200c}\u{645} \u{1f468}\u{200d}\u{1f469}",
        "\u{645}\u{200c}\u{645} \u{1f468}\u{200d}\u{1f469}",
    );
    check("\u{e9}\u{2014}\u{e9}\u{201c}\u{20ac}", "\u{e9}\u{2014}\u{e9}\u{201c}\u{20ac}");
    check_hidden("a\u{202e}b", "a\u{202e}b", "a\u{202e}b", &[Trick::DirectionOverride]);
}

#[test]
fn links_are_told_with_what_is_shown_for_them() {
    check_links(
        "<a href='http://x/'>Click <b>here</b></a> or <A HREF = y>\u{e9}</A>",
        &[("http://x/", "Click here"), ("y", "\u{e9}")],
    );
    check_links("<a href=x>a<a href=y>b", &[("x", "a"), ("y", "b")]);
    check_links("<a name=x>a</a><a href=''>b</a><a>c</a>", &[]);
    check_links("<a href=x><p>a</p>b<i style=display:none>c</i></a>", &[("x", "a b")]);
    check_links("<a href=x href=y>a</a>", &[("y", ""), ("x", "a")]);
    check_links("<a href='?a=1&amp;b=2&copy=3'></a>", &[("?a=1&b=2&copy=3", "")]);
    check_links("<a href=' java\nscript:x\t'>a</a>", &[("javascript:x", "a")]);
    check_links("<a href=\"http://x/\u{e9}'>\">a", &[("http://x/\u{e9}'>", "a")]);
}

#[test]
fn everything_that_leads_somewhere_is_a_link() {
    check_links(
        "<img src=a><IMG SRC=\"b\" srcset='c 1x, d 2x'><img srcset=' e, f'>",
        &[("a", ""), ("b", ""), ("c", ""), ("e", "")],
    );
    check_links(
        "<form action=a><button formaction=b><input type=image src=c formaction=d>",
        &[("a", ""), ("b", ""), ("c", ""), ("d", "")],
    );
    check_links(
        "<table background=a><td background=b><link href=c><area href=d><object data=e>",
        &[("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", "")],
    );
    let refresh = "<meta content=\"0; URL='http://x/?a=b'\" http-equiv=Refresh><meta content='1;url=y'>";
    check_links(refresh, &[("http://x/?a=b", "")]);
    assert_eq!(read(refresh).tricks, [Trick::Refresh]);
    check_links("<base href=http://x/>", &[("http://x/", "")]);
    assert_eq!(read("<base href=http://x/>").tricks, [Trick::BaseAddress]);
}

#[test]
fn what_is_shown_in_the_place_of_something_is_hidden_text() {
    check_hidden("via<img alt='a picture'>gra", "viagra", "via\na picture\ngra", &[]);
    check_hidden("<input value=' x '><input value=' '>", "", " x ", &[]);
}

#[test]
fn what_does_not_end_is_told() {
    for html in ["a<b", "a<b x='", "a<b x=y", "a<!-- b", "a<!", "a<script>b", "a<script>b</scrip", "a<style>"]
    {
        check_hidden(html, "a", "a", &[Trick::Unended]);
    }
}

#[test]
fn links_that_hold_files_are_told_whole() {
    let data = |html: &str| read(html).data;
    assert_eq!(
        data("<a href='data:,x&#121;&amp;'>z</a><img src=x><img src=' DATA:,y'>"),
        "data:,xy&\nDATA:,y\n"
    );
    assert_eq!(data("<meta http-equiv=refresh content='0;url=data:,x'>"), "data:,x\n");
    let (long, reference) = ("x".repeat(VALUE_BYTES_MAX - 10), "y&#000121;".repeat(2000));
    let html = format!("<a href=' data:,{long}{reference}\u{e9}'>z</a><img src='data:,{long}{long}");
    let want = format!("data:,{long}{}\u{e9}\ndata:,{long}{long}\n", "yy".repeat(2000));
    for cut in (0..html.len()).step_by(61) {
        assert!(read_cut(&html, &[cut, cut + 7]).data == want, "cut at {cut}");
    }
}

#[test]
fn bounds_are_told() {
    let long = "x".repeat(VALUE_BYTES_MAX - 1);
    let found = read_cut(&format!("<a href='{long}y'>z</a>"), &[100, 5000]);
    assert_eq!((found.links.len(), found.tricks.len()), (1, 0));
    let html = format!("<a href='{long}\u{e9}y'>z</a>");
    for cut in [0, 10, VALUE_BYTES_MAX + 8, VALUE_BYTES_MAX + 9, VALUE_BYTES_MAX + 10, VALUE_BYTES_MAX + 11] {
        let found = read_cut(&html, &[cut]);
        assert_eq!(
            (found.links[0].0.as_str(), found.tricks.as_slice()),
            (&*long, &[Trick::LongAttribute][..])
        );
    }
    assert_eq!(read_cut(&format!("<img src='data:{long}{long}'>"), &[]).tricks, []);
    let shown = "y".repeat(LINK_TEXT_BYTES_MAX);
    assert_eq!(read_cut(&format!("<a href=x>{shown}z</a>"), &[]).links, [("x".to_owned(), shown)]);
    // A letter that does not fit ends the text, even if a smaller one comes in another piece.
    let shown = "y".repeat(LINK_TEXT_BYTES_MAX - 1);
    let html = format!("<a href=x>{shown}\u{e9}z</a>");
    for cut in 0..=html.len() {
        assert_eq!(read_cut(&html, &[cut]).links, [("x".to_owned(), shown.clone())], "cut at {cut}");
    }
}

#[test]
fn elements_are_told_apart_to_a_bound() {
    let deep = "<div>".repeat(OPEN_ELEMENTS_MAX);
    assert_eq!(read_cut(&deep, &[]).tricks, []);
    let hidden = format!("{deep}<p style=display:none>a</p>b{}c", "</div>".repeat(OPEN_ELEMENTS_MAX));
    let found = read_cut(&hidden, &[]);
    assert_eq!((found.seen.as_str(), found.tricks.as_slice()), ("a\nb\nc", &[Trick::Deep][..]));
}

#[test]
fn hostile_documents_take_no_longer_than_others() {
    for piece in [
        "<",
        "&",
        "<a ",
        "<div>",
        "</x>",
        "<!--",
        "&#",
        "<a href='",
        "<style>.a{",
        "<p>",
        "<b><p></b>",
        "-",
        "'\">",
    ] {
        let html = piece.repeat(300_000 / piece.len());
        let found = read_cut(&html, &[7, 4096, 100_000]);
        assert!(found.all.len() <= html.len());
    }
}

/// A document of the parts that matter.
fn document() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[a-c ]{0,6}",
        "</?(b|p|a|div|td|li|br|script|style|title|span|xmp)( [a-c=\"'/ ]{0,9})?>?",
        "<(span|p|b) style=[\"']?(display:none|font-size:0|color:white)[\"']?>",
        "<a href=[\"']?[a-c&;]{0,5}[\"']?>",
        "&(amp|lt|notin|#6[0-9]|#x4[0-9]|[a-c]{0,3});?",
        "<!-{0,3}(\\[if [a-c>-]{0,6})?[a-c>!<-]{0,8}(-{0,3}>)?",
        "[\u{200b}\u{ad}\u{e9}\u{20ac}\u{1f600}<>&\"'=/!-]{0,4}",
        "\\PC{0,5}",
    ];
    proptest::collection::vec(part, 0..25).prop_map(|parts| parts.concat())
}

/// What is left when everything between `<` and `>` goes: for documents of simple tags, nothing hidden
/// and no references.
fn strip(html: &str) -> String {
    let mut out = String::new();
    for piece in html.split('<') {
        out.push_str(piece.split_once('>').map_or(piece, |(_, text)| text));
    }
    out
}

proptest! {
    #[test]
    fn cuts_change_nothing(html in document(), cuts in proptest::collection::vec(0..300_usize, 0..8)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(html.len())).collect();
        cuts.sort_unstable();
        prop_assert_eq!(read_cut(&html, &cuts), read_cut(&html, &[]));
        let each: Vec<usize> = (0..html.len()).collect();
        prop_assert_eq!(read_cut(&html, &each), read_cut(&html, &[]));
    }

    #[test]
    fn text_between_tags_comes_out_as_it_is(
        html in "([a-z \u{e9}]{0,9}|</?(b|i|span|u|font)( [x-z]{1,4}(=[a-z]{1,3}|='[a-z ]{0,5}')?){0,3}>)*",
    ) {
        let found = read_cut(&html, &[]);
        prop_assert_eq!(&found.seen, &strip(&html));
        prop_assert_eq!(found.all, found.seen);
    }
}
