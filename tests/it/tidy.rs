//! What the sources themselves must keep: floors, lengths, names, no orphans, `unsafe` with its reason.
//!
//! Each rule is a function from one parsed file to its complaints (`file:line: what`), so that a
//! rule is tested with rows of small sources beside being held over the whole tree.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Who may import whom, lowest first; `limits` is open to all. A path of two names opens only that
/// child. ARCHITECTURE.md draws the same graph.
const FLOORS: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("base", &[]),
    ("smtp", &["base"]),
    ("mime", &["base"]),
    ("scan", &["base"]),
    ("sender", &["base"]),
    ("tls", &["base"]),
    ("traffic", &["base"]),
    ("policy", &["base", "smtp", "mime", "scan", "sender", "tls", "traffic"]),
    ("relay", &["base", "smtp", "policy", "sender", "tls", "traffic"]),
    ("reactor", &["base"]),
    ("worker", &["base", "smtp", "policy", "relay", "reactor", "tls", "traffic"]),
    (
        "service",
        &[
            "base",
            "smtp",
            "sender",
            "policy",
            "relay",
            "tls",
            "traffic",
            "worker::ask",
            "worker::counters",
            "worker::record_queue",
        ],
    ),
    ("load", &["base", "smtp", "reactor", "tls"]),
    (
        "control",
        &[
            "base", "smtp", "sender", "tls", "policy", "relay", "reactor", "worker", "service", "load",
            "mime", "scan", "traffic",
        ],
    ),
];

/// The mail half: no IO, no clock, no thread, no kernel.
const MAIL_HALF: &[&str] =
    &["limits", "base", "smtp", "mime", "scan", "sender", "tls", "traffic", "policy", "relay"];
const NOT_IN_MAIL_HALF: &[&str] = &[
    "axum",
    "core_affinity",
    "io_uring",
    "libc",
    "socket2",
    "std::env",
    "std::fs",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::sync::mpsc",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "tokio_uring",
    "ureq",
];

/// What one file of it needs all the same: the library's memory is malloc's, and that its databases are
/// shared between threads is tested.
const PARDONED: &[(&str, &str)] =
    &[("src/scan/database.rs", "libc::free"), ("src/scan/database/tests.rs", "std::thread::spawn")];

const FUNCTION_LINES_MAX: usize = 70;
const FUNCTION_LINES_P50: usize = 10;
const FUNCTION_LINES_P90: usize = 35;

/// Words that say nothing about what a thing is or does.
const PREFIXES_REFUSED: &[&str] = &["get", "process"];
const WORDS_REFUSED: &[&str] = &["manager", "helper", "helpers", "util", "utils"];

/// What stands at the root of the repository beside hidden files and the build's own folder.
const ROOT: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "appliance",
    "benches",
    "clippy.toml",
    "deny.toml",
    "perf",
    "rustfmt.toml",
    "scripts",
    "src",
    "target",
    "tests",
];

/// One file of the tree, read once, with what the rules look at.
struct Source {
    path: PathBuf,
    text: String,
    facts: Facts,
}

#[derive(Default)]
struct Facts {
    /// Where in the crate the visitor stands; the file's own place when it is done.
    module: Vec<String>,
    tests: usize,
    functions: Vec<Function>,
    /// Absolute paths: `crate`, `self` and `super` resolved, other crates by their name.
    paths: Vec<(usize, Vec<String>)>,
    unsafes: Vec<usize>,
    /// Names of functions and modules.
    names: Vec<(usize, String)>,
    /// `mod x;` and where its file must be looked for, below the file's own folder of children.
    children: Vec<(usize, Vec<String>)>,
}

struct Function {
    name: String,
    line: usize,
    lines: usize,
    test: bool,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All sources below `folder`, in order of their paths.
fn sources(folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    rust_files(&root().join(folder), &mut paths);
    paths.sort();
    paths.into_iter().map(|path| read(path.strip_prefix(root()).unwrap())).collect()
}

fn rust_files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

fn read(path: &Path) -> Source {
    parse(path, fs::read_to_string(root().join(path)).unwrap())
}

fn parse(path: &Path, text: String) -> Source {
    let file = syn::parse_file(&text).unwrap_or_else(|error| {
        panic!("{}:{}: {error}", path.display(), error.span().start().line);
    });
    let mut facts = Facts { module: module_of(path), ..Facts::default() };
    facts.visit_file(&file);
    Source { path: path.to_owned(), text, facts }
}

/// `src/relay/content.rs` is `relay::content`; `src/relay/mod.rs` is `relay`; roots are empty.
fn module_of(path: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        path.with_extension("").iter().skip(1).map(|name| name.to_string_lossy().into_owned()).collect();
    if matches!(names.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        names.pop();
    }
    names
}

impl Facts {
    fn function(&mut self, name: &syn::Ident, signature: &syn::Signature, block: &syn::Block) {
        let (line, end) = (signature.span().start().line, block.span().end().line);
        let test = self.tests > 0;
        self.functions.push(Function { name: name.to_string(), line, lines: end + 1 - line, test });
        self.signature(signature);
    }

    fn signature(&mut self, signature: &syn::Signature) {
        let line = signature.ident.span().start().line;
        self.names.push((line, signature.ident.to_string()));
    }

    /// Goes one level down for `inside`, as a test when `attributes` say so.
    fn within(&mut self, attributes: &[syn::Attribute], inside: impl FnOnce(&mut Self)) {
        let test = usize::from(attributes.iter().any(is_test));
        self.tests += test;
        inside(self);
        self.tests -= test;
    }

    fn path(&mut self, line: usize, names: Vec<String>) {
        let up = names.iter().take_while(|name| *name == "super").count();
        let (base, skip) = match names.first().map(String::as_str) {
            Some("crate" | "postern") => (0, 1),
            Some("self") => (self.module.len(), 1),
            Some("super") => (self.module.len().saturating_sub(up), up),
            Some(_) => return self.paths.push((line, names)),
            None => return,
        };
        let mut absolute = vec!["crate".to_owned()];
        absolute.extend_from_slice(&self.module[..base]);
        absolute.extend_from_slice(&names[skip..]);
        self.paths.push((line, absolute));
    }

    fn use_tree(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.use_tree(&path.tree, &with(&path.ident)),
            syn::UseTree::Name(name) => self.path(name.ident.span().start().line, with(&name.ident)),
            syn::UseTree::Rename(name) => self.path(name.ident.span().start().line, with(&name.ident)),
            syn::UseTree::Glob(glob) => self.path(glob.span().start().line, before.to_vec()),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|item| self.use_tree(item, before));
            }
        }
    }

    /// Paths inside a macro call are tokens to the parser: names joined by `::`.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut names: Vec<String> = Vec::new();
        let (mut colons, mut line) = (0, 0);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.finish_path(line, &mut names);
                        line = ident.span().start().line;
                    }
                    names.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => self.finish_path(line, &mut names),
            }
        }
        self.finish_path(line, &mut names);
    }

    fn finish_path(&mut self, line: usize, names: &mut Vec<String>) {
        let names = std::mem::take(names);
        if names.len() > 1 {
            self.path(line, names);
        }
    }
}

fn is_test(attribute: &syn::Attribute) -> bool {
    let path = attribute.path();
    let of_cfg = || attribute.parse_args::<syn::Path>().is_ok_and(|argument| argument.is_ident("test"));
    path.is_ident("test") || path.is_ident("cfg") && of_cfg()
}

impl<'ast> Visit<'ast> for Facts {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.within(&item.attrs, |facts| {
            facts.function(&item.sig.ident, &item.sig, &item.block);
            visit::visit_item_fn(facts, item);
        });
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig.ident, &item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        match &item.default {
            Some(block) => self.function(&item.sig.ident, &item.sig, block),
            None => self.signature(&item.sig),
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let line = item.ident.span().start().line;
        self.names.push((line, item.ident.to_string()));
        self.module.push(item.ident.to_string());
        if item.content.is_none() {
            self.children.push((line, self.module.clone()));
        }
        self.within(&item.attrs, |facts| visit::visit_item_mod(facts, item));
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.path(path.span().start().line, names);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.unsafes.push(block.unsafe_token.span.start().line);
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.unsafes.extend(item.unsafety.map(|token| token.span.start().line));
        visit::visit_item_impl(self, item);
        // What a trait has is named where the trait is: it may be somebody else's.
        let of_trait = item.items.iter().filter(|_| item.trait_.is_some());
        let lines: Vec<_> = of_trait.map(|item| item.span().start().line..=item.span().end().line).collect();
        let names_one = |line: &usize| lines.iter().any(|lines| lines.contains(line));
        self.names.retain(|(line, _)| !names_one(line));
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if let syn::Safety::Unsafe(token) = &signature.safety {
            self.unsafes.push(token.span.start().line);
        }
        visit::visit_signature(self, signature);
    }
}

impl Source {
    fn complaint(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path.display())
    }
}

/// Imports that do not point down.
fn floors(source: &Source) -> Vec<String> {
    let Some(own) = source.facts.module.first() else { return Vec::new() };
    let Some((_, below)) = FLOORS.iter().find(|(name, _)| name == own) else {
        return vec![
            source.complaint(1, &format!("module {own} has no floor: give it one in tests/it/tidy.rs")),
        ];
    };
    let foreign = |names: &[String]| {
        let name = names[1].as_str();
        name != own && name != "limits" && FLOORS.iter().any(|(floor, _)| *floor == name)
    };
    let open = |names: &[String]| {
        let joined = names[1..].join("::");
        below.iter().any(|name| joined == *name || joined.starts_with(&format!("{name}::")))
    };
    let paths = source.facts.paths.iter().filter(|(_, names)| names[0] == "crate" && names.len() > 1);
    paths
        .filter(|(_, names)| foreign(names) && !open(names))
        .map(|(line, names)| {
            source.complaint(*line, &format!("{own} may not know {}", names[1..].join("::")))
        })
        .collect()
}

/// What the mail half must not touch: kernel, clock, threads, runtimes.
fn mail_half_is_pure(source: &Source) -> Vec<String> {
    let own = source.facts.module.first().map_or("", String::as_str);
    if !MAIL_HALF.contains(&own) {
        return Vec::new();
    }
    let refused = |names: &[String]| {
        let joined = names.join("::");
        NOT_IN_MAIL_HALF.iter().any(|name| joined == *name || joined.starts_with(&format!("{name}::")))
    };
    let pardoned = |names: &[String]| {
        PARDONED.iter().any(|(file, name)| source.path == Path::new(file) && names.join("::") == *name)
    };
    let paths = source.facts.paths.iter().filter(|(_, names)| refused(names) && !pardoned(names));
    paths
        .map(|(line, names)| source.complaint(*line, &format!("{own} does no IO: {}", names.join("::"))))
        .collect()
}

fn long_functions(source: &Source) -> Vec<String> {
    let long = source.facts.functions.iter().filter(|function| function.lines > FUNCTION_LINES_MAX);
    long.map(|function| {
        let what = format!("fn {} has {} lines of {FUNCTION_LINES_MAX}", function.name, function.lines);
        source.complaint(function.line, &what)
    })
    .collect()
}

fn bad_names(source: &Source) -> Vec<String> {
    let bad = |name: &str| {
        let mut words = name.split('_');
        let prefix = words.next().is_some_and(|word| PREFIXES_REFUSED.contains(&word)) && name.contains('_');
        prefix || name.split('_').any(|word| WORDS_REFUSED.contains(&word))
    };
    let names = source.facts.names.iter().filter(|(_, name)| bad(name));
    names
        .map(|(line, name)| source.complaint(*line, &format!("{name} says nothing: name the thing")))
        .collect()
}

fn stray_unsafe(source: &Source) -> Vec<String> {
    let may = source.path.starts_with("src/reactor") || source.path == Path::new("src/scan/database.rs");
    let mut complaints = Vec::new();
    for line in &source.facts.unsafes {
        if !may {
            complaints.push(source.complaint(*line, "unsafe stands in reactor and scan/database only"));
        } else if !has_reason(&source.text, *line) {
            complaints.push(source.complaint(*line, "unsafe without its SAFETY line"));
        }
    }
    complaints
}

/// Whether the comment above the statement or item that holds `line` gives the reason.
fn has_reason(text: &str, line: usize) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let above = lines[..line - 1].iter().rev();
    above
        .take_while(|line| line.starts_with("//") || !line.is_empty() && !line.ends_with([';', '{', '}']))
        .any(|line| line.starts_with("//") && (line.contains("SAFETY:") || line.contains("# Safety")))
}

fn left_to_do(source: &Source) -> Vec<String> {
    let marks =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!"), concat!("unimpl", "emented!")];
    let lines = source.text.lines().enumerate();
    lines
        .filter(|(_, line)| marks.iter().any(|mark| line.contains(mark)))
        .map(|(index, _)| source.complaint(index + 1, "something is left to do"))
        .collect()
}

/// Holds `rule` over `sources`; all complaints at once.
#[track_caller]
fn hold(sources: &[Source], rule: fn(&Source) -> Vec<String>) {
    let complaints: Vec<String> = sources.iter().flat_map(rule).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn imports_point_down() {
    hold(&sources("src"), floors);
}

#[test]
fn the_mail_half_does_no_io() {
    hold(&sources("src"), mail_half_is_pure);
}

#[test]
fn no_function_is_long() {
    hold(&sources("src"), long_functions);
    hold(&sources("tests/it"), long_functions);
}

#[test]
fn most_functions_are_short() {
    let sources = sources("src");
    let functions = sources.iter().flat_map(|source| &source.facts.functions);
    let mut lines: Vec<usize> =
        functions.filter(|function| !function.test).map(|function| function.lines).collect();
    lines.sort_unstable();
    let quantile = |percent: usize| lines.get(lines.len() * percent / 100).copied().unwrap_or(0);
    assert!(quantile(50) <= FUNCTION_LINES_P50, "half of all functions are over {} lines", quantile(50));
    assert!(quantile(90) <= FUNCTION_LINES_P90, "a tenth of all functions is over {} lines", quantile(90));
}

#[test]
fn names_say_what_a_thing_is() {
    hold(&sources("src"), bad_names);
}

#[test]
fn unsafe_has_its_place_and_its_reason() {
    hold(&sources("src"), stray_unsafe);
}

#[test]
fn nothing_is_left_to_do() {
    hold(&sources("src"), left_to_do);
    hold(&sources("tests/it"), left_to_do);
}

#[test]
fn no_file_is_an_orphan() {
    let mut complaints = Vec::new();
    for (folder, roots) in [("src", &["src/lib.rs", "src/main.rs"][..]), ("tests/it", &["tests/it/main.rs"])]
    {
        let sources = sources(folder);
        let mut reached: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
        for source in &sources {
            reached.extend(children(source));
        }
        let orphans = sources.iter().filter(|source| !reached.contains(&source.path));
        complaints.extend(orphans.map(|source| source.complaint(1, "no mod line reaches this file")));
    }
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The files that `source`'s `mod x;` lines may mean.
fn children(source: &Source) -> Vec<PathBuf> {
    let top: PathBuf =
        source.path.iter().take(if source.path.starts_with("tests") { 2 } else { 1 }).collect();
    let mut files = Vec::new();
    for (_, module) in &source.facts.children {
        // A test binary's modules hang below its own folder, which module_of counts as a name.
        let below: PathBuf = module.iter().skip(top.iter().count() - 1).collect();
        files.push(top.join(&below).with_extension("rs"));
        files.push(top.join(&below).join("mod.rs"));
    }
    files
}

#[test]
fn the_root_holds_only_what_the_design_names() {
    let entries = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name());
    let names = entries.map(|name| name.to_string_lossy().into_owned());
    let strange: Vec<String> =
        names.filter(|name| !name.starts_with('.') && !ROOT.contains(&name.as_str())).collect();
    assert!(strange.is_empty(), "at the root, and in no plan: {strange:?}");
}

#[test]
fn scripts_say_what_they_are_and_stop_at_the_first_error() {
    for entry in fs::read_dir(root().join("scripts")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let name = path.strip_prefix(root()).unwrap().display();
        assert!(text.starts_with(&format!("#!/usr/bin/env bash\n# {name}")), "{name}:2: no head");
        assert!(text.contains("\nset -euo pipefail\n"), "{name}:1: no set -euo pipefail");
    }
}

/// One row: `text` standing at `path` draws `want` complaints from `rule`, each naming its line.
#[track_caller]
fn check(rule: fn(&Source) -> Vec<String>, path: &str, text: &str, want: &[usize]) {
    let source = parse(Path::new(path), text.to_owned());
    let complaints = rule(&source);
    let lines: Vec<String> = want.iter().map(|line| format!("{path}:{line}: ")).collect();
    let same = complaints.len() == lines.len()
        && complaints.iter().zip(&lines).all(|(complaint, line)| complaint.starts_with(line.as_str()));
    assert!(same, "want lines {want:?} of {path}, got {complaints:?}");
}

#[test]
fn an_import_upwards_is_found() {
    check(floors, "src/smtp/line.rs", "use crate::base::slab::Slab;\nuse crate::limits::X;", &[]);
    check(floors, "src/smtp/line.rs", "use crate::base;\nuse crate::policy::Facts;", &[2]);
    check(floors, "src/smtp/line.rs", "use crate::{\n base::A,\n relay::{B, C},\n};", &[3, 3]);
    check(floors, "src/smtp/line.rs", "fn f() -> super::super::relay::Record { todo() }", &[1]);
    check(floors, "src/smtp/line.rs", "use super::reply::Reply;\nuse self::x::Y;", &[]);
    check(floors, "src/smtp/line.rs", "mod tests {\n use super::super::super::worker::W;\n}", &[2]);
    check(floors, "src/smtp/line.rs", "fn f() {\n assert!(crate::relay::yes(1));\n}", &[2]);
    check(floors, "src/service/mod.rs", "use crate::worker::counters::C;", &[]);
    check(floors, "src/service/mod.rs", "use crate::worker::pool::P;", &[1]);
    check(floors, "src/reactor/uring.rs", "use crate::smtp::reply::Reply;", &[1]);
    check(floors, "src/main.rs", "use postern::control::boot;", &[]);
    check(floors, "src/cellar/mod.rs", "", &[1]);
}

#[test]
fn io_in_the_mail_half_is_found() {
    check(mail_half_is_pure, "src/relay/mod.rs", "use std::net::{SocketAddr, TcpStream};", &[1]);
    check(mail_half_is_pure, "src/relay/mod.rs", "fn f() {\n std::time::Instant::now();\n}", &[2]);
    check(mail_half_is_pure, "src/relay/mod.rs", "use std::net::IpAddr;\nuse std::time::Duration;", &[]);
    check(mail_half_is_pure, "src/worker/mod.rs", "use std::thread;", &[]);
}

#[test]
fn a_long_function_is_found() {
    let body = |lines: usize| format!("\nfn f() {{\n{}}}", "    g();\n".repeat(lines));
    check(long_functions, "src/base/a.rs", &body(FUNCTION_LINES_MAX - 2), &[]);
    check(long_functions, "src/base/a.rs", &body(FUNCTION_LINES_MAX - 1), &[2]);
}

#[test]
fn a_name_that_says_nothing_is_found() {
    check(bad_names, "src/base/a.rs", "fn get_x() {}\nmod utils {}\nfn process_y() {}", &[1, 2, 3]);
    check(bad_names, "src/base/a.rs", "fn get() {}\nfn target() {}\nfn utility() {}", &[]);
}

#[test]
fn unsafe_without_place_or_reason_is_found() {
    let block = "fn f() {\n    let x =\n        unsafe { g() };\n}";
    check(stray_unsafe, "src/relay/a.rs", block, &[3]);
    check(stray_unsafe, "src/reactor/a.rs", block, &[3]);
    let reasoned = block.replace("    let", "    // SAFETY: g asks nothing.\n    let");
    check(stray_unsafe, "src/reactor/a.rs", &reasoned, &[]);
    check(stray_unsafe, "src/reactor/a.rs", "struct S;\nunsafe impl Send for S {}", &[2]);
    check(stray_unsafe, "src/reactor/b.rs", "/// # Safety\n/// Never.\npub unsafe fn f() {}", &[]);
}

#[test]
fn what_is_left_to_do_is_found() {
    let text = format!("fn f() {{\n    {}()\n}}", concat!("to", "do!"));
    check(left_to_do, "src/base/a.rs", &text, &[2]);
}
