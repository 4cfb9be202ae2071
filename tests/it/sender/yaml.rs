//! As much of YAML as test suites of the field use: mappings and lists in blocks, scalars in every
//! style, short lists. Not a YAML reader: anchors, tags and flow mappings are not known.

/// Octets, because suites write octets that are no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Scalar(Vec<u8>),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Node {
    pub(super) fn at(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    pub(super) fn entries(&self) -> &[(String, Self)] {
        match self {
            Self::Map(entries) => entries,
            _ => &[],
        }
    }

    /// A list's items; of anything else, itself.
    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            other => std::slice::from_ref(other),
        }
    }

    pub(super) fn octets(&self) -> &[u8] {
        match self {
            Self::Scalar(octets) => octets,
            _ => &[],
        }
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(self.octets()).into_owned()
    }
}

/// The documents of a file.
pub(super) fn documents(text: &str) -> Vec<Node> {
    let kept = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let documents = text.split("\n---").map(|document| document.lines().filter(kept).collect::<Vec<_>>());
    documents.filter(|lines| !lines.is_empty()).map(|lines| Reader { lines: &lines, at: 0 }.block()).collect()
}

struct Reader<'a> {
    lines: &'a [&'a str],
    at: usize,
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

impl<'a> Reader<'a> {
    fn line(&self) -> Option<(usize, &'a str)> {
        self.lines.get(self.at).map(|line| (indent(line), line.trim()))
    }

    /// A mapping or a list, as deep as the line under way.
    fn block(mut self) -> Node {
        self.node()
    }

    fn node(&mut self) -> Node {
        let Some((depth, first)) = self.line() else { return Node::Scalar(Vec::new()) };
        if first.starts_with("- ") || first == "-" { self.list(depth) } else { self.map(depth) }
    }

    fn map(&mut self, depth: usize) -> Node {
        let mut entries = Vec::new();
        while let Some((at, line)) = self.line() {
            if at != depth || line.starts_with("- ") {
                break;
            }
            let (key, rest) = entry(line).unwrap_or_else(|| panic!("no key in {line:?}"));
            self.at += 1;
            entries.push((key, self.value(depth, rest)));
        }
        Node::Map(entries)
    }

    /// What stands behind a key, on its line and on deeper ones. Lists may be as deep as their key.
    fn value(&mut self, depth: usize, rest: &str) -> Node {
        let below = self.line().is_some_and(|(at, line)| at > depth || at == depth && line.starts_with("- "));
        if rest.is_empty() && below { self.node() } else { self.scalar(depth, rest) }
    }

    fn list(&mut self, depth: usize) -> Node {
        let mut items = Vec::new();
        while let Some((at, line)) = self.line() {
            if at != depth || !line.starts_with('-') {
                break;
            }
            self.at += 1;
            items.push(self.item(depth, line[1..].trim()));
        }
        Node::List(items)
    }

    /// An item is a scalar, or a mapping of one entry on its own line.
    fn item(&mut self, depth: usize, text: &str) -> Node {
        match entry(text) {
            Some((key, rest)) => Node::Map(vec![(key, self.scalar(depth, rest))]),
            None => self.scalar(depth, text),
        }
    }

    fn scalar(&mut self, depth: usize, rest: &str) -> Node {
        let mut text = if rest.starts_with(['|', '>']) { String::new() } else { rest.to_owned() };
        while let Some((_, line)) = self.line().filter(|(at, _)| *at > depth) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(line);
            self.at += 1;
        }
        flow(text.trim())
    }
}

/// A key and what is behind its colon.
fn entry(line: &str) -> Option<(String, &str)> {
    if let Some(quoted) = line.strip_prefix('"') {
        let (key, rest) = quoted.split_once("\":")?;
        return Some((key.to_owned(), rest.trim()));
    }
    let (key, rest) = line.split_once(": ").or_else(|| Some((line.strip_suffix(':')?, "")))?;
    (!key.contains(' ')).then(|| (key.to_owned(), rest.trim()))
}

/// A scalar in one of its styles, or a list of them in brackets.
fn flow(text: &str) -> Node {
    let Some(inside) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) else {
        return Node::Scalar(unquote(text));
    };
    let items = inside.split(',').map(str::trim).filter(|item| !item.is_empty());
    Node::List(items.map(|item| Node::Scalar(unquote(item))).collect())
}

fn unquote(text: &str) -> Vec<u8> {
    let between = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    if let Some(inside) = between('\'') {
        return inside.replace("''", "'").into_bytes();
    }
    between('"').map_or_else(|| text.as_bytes().to_vec(), |inside| unescape(inside.as_bytes()))
}

fn unescape(mut text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    while let [first, rest @ ..] = text {
        text = rest;
        if *first != b'\\' {
            octets.push(*first);
            continue;
        }
        let [letter, rest @ ..] = text else { break };
        text = rest;
        match letter {
            b'x' => {
                let digits = std::str::from_utf8(&text[..2]).unwrap();
                octets.push(u8::from_str_radix(digits, 16).unwrap());
                text = &text[2..];
            }
            b'0' => octets.push(0),
            b'n' => octets.push(b'\n'),
            b'r' => octets.push(b'\r'),
            other => octets.push(*other),
        }
    }
    octets
}

#[test]
fn what_suites_write_is_read() {
    let text = "a: b\n---\n# c\ntests:\n  one:\n    long: >-\n      x\n      y: z\n    list: [p, 'q']\n  \"two\":\n  - K: \"\\x41\\0\"\n  - END\n";
    let scalar = |text: &str| Node::Scalar(text.as_bytes().to_vec());
    let [first, second] = &documents(text)[..] else { panic!() };
    assert_eq!(first.at("a"), Some(&scalar("b")));
    let tests = second.at("tests").unwrap();
    assert_eq!(tests.at("one").unwrap().at("long"), Some(&scalar("x y: z")));
    assert_eq!(tests.at("one").unwrap().at("list").unwrap().items(), [scalar("p"), scalar("q")]);
    let two = tests.at("two").unwrap().items();
    assert_eq!(two, [Node::Map(vec![("K".to_owned(), scalar("A\0"))]), scalar("END")]);
}
