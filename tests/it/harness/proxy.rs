//! The proxy under test: `postern run --config FILE` with a folder of its own.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::client::Client;
use super::program::{BINARY, Program};
use super::{Folder, PATIENCE, eventually, free_address};

/// A configuration in the making: one worker, one listener, upstreams with their routes.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    workers: String,
    listener: String,
    upstreams: String,
    routes: String,
    /// Added to the one upstream of `toward`.
    upstream: String,
    /// Whole sections beside the usual ones.
    sections: String,
    /// Files beside the configuration.
    files: Vec<(String, String)>,
    /// Open files that the program is allowed.
    descriptors: Option<usize>,
}

impl Setup {
    /// Everything goes to `server`, each step of which may take ten seconds.
    pub(crate) fn toward(server: SocketAddr) -> Self {
        let mut setup = Self::bare();
        setup.upstreams = format!("name = \"hop\"\nservers = [\"{server}\"]\n");
        "recipient = [\"*\"]\nupstream = \"hop\"\n".clone_into(&mut setup.routes);
        setup
    }

    /// Everything goes to these servers, in quotation marks between which there are commas.
    pub(crate) fn toward_all(servers: &str) -> Self {
        let mut setup = Self::bare();
        setup.upstreams = format!("name = \"hop\"\nservers = [\"{servers}\"]\n");
        "recipient = [\"*\"]\nupstream = \"hop\"\n".clone_into(&mut setup.routes);
        setup
    }

    /// `routes`: recipient pattern, name of its upstream, where that is.
    pub(crate) fn routed(routes: &[(&str, &str, SocketAddr)]) -> Self {
        let mut setup = Self::bare();
        for (n, (pattern, name, server)) in routes.iter().enumerate() {
            let between = |table| if n > 0 { format!("\n[[{table}]]\n") } else { String::new() };
            let (upstream, route) = (between("upstream"), between("route"));
            write!(setup.upstreams, "{upstream}name = \"{name}\"\nservers = [\"{server}\"]\n").unwrap();
            write!(setup.routes, "{route}recipient = [\"{pattern}\"]\nupstream = \"{name}\"\n").unwrap();
        }
        setup
    }

    /// Servers are found by the domains of recipients; `settings` are those of `mx`.
    pub(crate) fn looked_up(settings: &str) -> Self {
        let mut setup = Self::bare();
        setup.upstreams = format!("name = \"out\"\nservers = \"mx\"\nmx = {{ {settings} }}\n");
        "recipient = [\"*\"]\nupstream = \"out\"\nclients = [\"127.0.0.0/8\"]\n"
            .clone_into(&mut setup.routes);
        setup
    }

    fn bare() -> Self {
        let empty = String::new;
        Self {
            workers: empty(),
            listener: empty(),
            upstreams: empty(),
            routes: empty(),
            upstream: empty(),
            sections: empty(),
            files: Vec::new(),
            descriptors: None,
        }
    }

    /// A line more for `[workers]`.
    pub(crate) fn workers(mut self, line: &str) -> Self {
        self.workers += &format!("{line}\n");
        self
    }

    /// A line more for the listener.
    pub(crate) fn listener(mut self, line: &str) -> Self {
        self.listener += &format!("{line}\n");
        self
    }

    /// A line more for the (last) upstream.
    pub(crate) fn upstream(mut self, line: &str) -> Self {
        self.upstream += &format!("{line}\n");
        self
    }

    /// What the (last) route is for, or another one behind it.
    pub(crate) fn route_for(mut self, lines: &str) -> Self {
        self.routes = self.routes.replace("clients = [\"127.0.0.0/8\"]\n", "") + lines + "\n";
        self
    }

    /// A section more, with its head.
    pub(crate) fn section(mut self, text: &str) -> Self {
        self.sections += &format!("\n{text}\n");
        self
    }

    /// A file beside the configuration.
    pub(crate) fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    /// RLIMIT_NOFILE of the program.
    pub(crate) fn descriptors(mut self, count: usize) -> Self {
        self.descriptors = Some(count);
        self
    }

    pub(crate) fn text(&self, listen: SocketAddr, admin: SocketAddr) -> String {
        let timeout = if self.upstream.contains("timeout") {
            ""
        } else {
            "timeout = { connect = \"10s\", reply = \"10s\", end = \"10s\" }\n"
        };
        // Tests run side by side: their workers take turns over the cores.
        let cpus =
            if self.workers.contains("cpus") { String::new() } else { format!("cpus = [{}]\n", next_core()) };
        let Self { workers, listener, upstreams, routes, upstream, sections, .. } = self;
        format!(
            "hostname = \"postern.example\"\n\n[workers]\n{cpus}{workers}\n\
             [[listener]]\nname = \"in\"\naddress = [\"{listen}\"]\n{listener}\n\
             [[upstream]]\n{upstreams}{upstream}{timeout}\n[[route]]\n{routes}\n\
             [admin]\naddress = \"{admin}\"\n\n[log]\nrecords = \"records.json\"\n{sections}"
        )
    }

    pub(crate) fn start(&self) -> Proxy {
        Proxy::start(self)
    }
}

fn next_core() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let cores = core_affinity::get_core_ids().unwrap();
    cores[NEXT.fetch_add(1, Ordering::Relaxed) % cores.len()].id
}

/// The running program.
#[derive(Debug)]
pub(crate) struct Proxy {
    program: Program,
    folder: Folder,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Proxy {
    pub(crate) fn start(setup: &Setup) -> Self {
        let (address, admin) = (free_address(), free_address());
        let folder = Folder::new();
        std::fs::write(folder.join("postern.toml"), setup.text(address, admin)).unwrap();
        for (name, content) in &setup.files {
            std::fs::write(folder.join(name), content).unwrap();
        }
        let program = launch(&folder, setup.descriptors);
        Self { program, folder, address, admin }
    }

    /// The same configuration and addresses again, after the program ended.
    pub(crate) fn restart(&mut self) {
        self.program = launch(&self.folder, None);
    }

    /// A client that has read the greeting.
    pub(crate) fn client(&self) -> Client {
        Client::greeted(self.address)
    }

    /// A client in session: EHLO is done.
    pub(crate) fn session(&self) -> Client {
        let mut client = self.client();
        assert_eq!(client.command("EHLO client.example").code, 250);
        client
    }

    /// Writes a file beside its configuration.
    pub(crate) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.folder.join(name), content).unwrap();
    }

    /// Its configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("postern.toml")
    }

    pub(crate) fn id(&self) -> u32 {
        self.program.id()
    }

    pub(crate) fn rss_bytes(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.id())).unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * rustix::param::page_size() as u64
    }

    /// Time that it had of processors.
    pub(crate) fn busy(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_ascii_whitespace().collect();
        // proc(5): utime and stime, in hundredths of a second.
        let ticks: u64 = [fields[11], fields[12]].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(10 * ticks)
    }

    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }

    /// Every line of the log, which must be whole objects of JSON.
    pub(crate) fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.join("records.json")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The records, once there are `count`: the log is written behind the replies.
    #[track_caller]
    pub(crate) fn await_records(&self, count: usize) -> Vec<Value> {
        let mut records = Vec::new();
        let came = eventually(PATIENCE, || {
            records = self.records();
            records.len() >= count
        });
        assert!(came, "{} records of {count}", records.len());
        records
    }

    /// A page of the admin plane: head and body.
    /// A number of its metrics, by name and labels.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = self.page("/metrics");
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("postern_{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
    }

    pub(crate) fn page(&self, path: &str) -> String {
        self.request("GET", path)
    }

    /// What an order was answered.
    pub(crate) fn order(&self, path: &str) -> String {
        self.request("POST", path)
    }

    fn request(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let address = self.admin;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }

    pub(crate) fn terminate(&self) {
        self.program.signal(Signal::TERM);
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.program.signal(Signal::HUP);
    }

    pub(crate) fn await_line(&mut self, word: &str) -> Result<String, String> {
        self.program.await_line(word)
    }

    pub(crate) fn kill(&mut self) {
        self.program.kill();
    }

    pub(crate) fn await_end(&mut self, limit: Duration) -> Option<ExitStatus> {
        self.program.await_end(limit)
    }

    pub(crate) fn said(&mut self) -> String {
        self.program.said()
    }

    /// It lives, serves, and no bug of ours was caught on the way.
    #[track_caller]
    pub(crate) fn assert_well(&mut self) {
        assert!(self.program.is_running(), "the program ended: {}", self.program.said());
        assert!(self.page("/readyz").starts_with("HTTP/1.1 200"));
        let said = self.program.said();
        assert!(!said.contains("panicked"), "{said}");
    }
}

fn launch(folder: &Folder, descriptors: Option<usize>) -> Program {
    let mut command = match descriptors {
        None => Command::new(BINARY),
        Some(count) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("ulimit -n {count} && exec \"$0\" \"$@\""), BINARY]);
            shell
        }
    };
    let mut program =
        Program::start(command.args(["run", "--config", "postern.toml"]).current_dir(folder.path()));
    if let Err(said) = program.await_line("serving on") {
        panic!("no start: {said}");
    }
    program
}
