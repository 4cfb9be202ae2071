"""Runs the same mail through several proxies in turn and prints what each costs.

perf/README.md is the method; `perf/compare --help` the options. Standard library only.
"""

import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import resource
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

import mail

PEERS = pathlib.Path(__file__).parent / "peers"
PACKS = pathlib.Path(__file__).parent.parent / "appliance" / "patterns"
POSTERN = os.environ.get("POSTERN", "postern")
SINK = "127.0.0.1:2599"
PATIENCE_S = 600  # for one run of one workload
TOOLS_CPU, PROXY_CPU = 0, 1  # with --pin


@dataclasses.dataclass(frozen=True)
class Load:
    """A workload that smtp-source makes: how many messages, how long, how many at a time."""

    messages: int
    length: int
    sessions: int
    keep: bool = False

    def command(self, tool, address, messages, file=None):
        """`file` is sent instead of what the tool makes up."""
        keep = ["-d"] if self.keep else []
        envelope = ["-f", "source@example.org", "-t", "sink@example.net"]
        what = ["-F", str(file)] if file else ["-l", str(self.length)]
        numbers = ["-s", str(min(self.sessions, messages)), *what, "-m", str(messages)]
        return [*tool, *numbers, *keep, *envelope, address]


LOADS = {
    "A": Load(messages=5000, length=4096, sessions=50),
    "B": Load(messages=10000, length=4096, sessions=50, keep=True),
    "C": Load(messages=200, length=1 << 20, sessions=10),
    "D": Load(messages=2000, length=1 << 16, sessions=20),
}
PEER_NAMES = {"haproxy": "HAProxy", "postfix": "Postfix"}  # what ratios are to
LATENCY = Load(messages=1000, length=4096, sessions=1)  # F
TITLES = {
    "A": "4 KiB, a connection per message, 50 parallel",
    "B": "4 KiB, kept sessions, 50 parallel",
    "C": "1 MiB, 10 parallel",
    "D": "64 KiB, 20 parallel",
    "E": "idle sessions past EHLO",
    "F": "one 4 KiB message after the other, a connection each",
}
# What a run gives, in the order of the table: title and whether a ratio to a peer says something.
MEASURES = {
    "cpu_us": ("CPU µs/message", True),
    "rate": ("messages/s", False),
    "added_p50_us": ("added p50 µs", True),
    "added_p99_us": ("added p99 µs", True),
    "p50_us": ("p50 µs", False),
    "rss_bytes": ("RSS B/session", True),
    "pss_bytes": ("PSS B/session", True),
}


# Processes: everything started here is stopped here, by its own id.


class Failed(Exception):
    """A run that gave no figures; the text says why."""


@contextlib.contextmanager
def running(command, folder, port, cpu=None, meter=None, patience_s=10):
    """Runs `command` in `folder` until the block ends; enters it when `port` accepts."""
    if answers(port):
        raise Failed(f"port {port} is taken before {command[0]} starts")

    def before_exec():
        if meter:
            meter.join()
        pin(cpu)

    log = open(pathlib.Path(folder) / "log", "ab")
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        preexec_fn=before_exec, start_new_session=True,
    )
    try:
        deadline = time.monotonic() + patience_s
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                said = pathlib.Path(log.name).read_text(errors="replace").strip()[-500:]
                raise Failed(f"{command[0]} does not listen on {port}: {said}")
            time.sleep(0.05)
        yield process
    finally:
        stop(process)
        log.close()


def stop(process):
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return True
    except OSError:
        return False


def pin(cpu):
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})


def tree(pid):
    """`pid` and all its descendants alive now."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int(stat_fields(entry)[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def stat_fields(entry):
    """The fields of /proc/PID/stat after the name, which may hold anything."""
    return (entry / "stat").read_text().rsplit(")", 1)[1].split()


# CPU of a whole process tree: a cgroup of its own, else the processes' own accounts.


class Cgroup:
    """One cgroup, v1 cpuacct or v2; reaped children stay counted."""

    def __init__(self, parent, account, unit_us):
        self.folder = parent / f"postern-perf-{os.getpid()}"
        self.folder.mkdir(exist_ok=True)
        self.account, self.unit_us = account, unit_us

    @classmethod
    def open(cls):
        top = pathlib.Path("/sys/fs/cgroup")
        choices = [
            (top / "cpuacct", "cpuacct.usage", 0.001),
            (top / "cpu,cpuacct", "cpuacct.usage", 0.001),
            (top, "cpu.stat", 1.0),
            (top / "unified", "cpu.stat", 1.0),
        ]
        for parent, account, unit_us in choices:
            with contextlib.suppress(OSError):
                if (parent / "cgroup.procs").exists():
                    return cls(parent, account, unit_us)
        return None

    def join(self):
        """Called in the child, before it becomes the proxy."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def used_us(self, _pid):
        text = (self.folder / self.account).read_text().split()
        number = text[text.index("usage_usec") + 1] if "usage_usec" in text else text[0]
        return int(number) * self.unit_us

    def close(self):
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def __str__(self):
        return f"cgroup {self.account}"


class Accounts:
    """user+sys of every process of the tree and its reaped children; 10 ms steps."""

    def join(self):
        pass

    def used_us(self, pid):
        ticks = 0
        for member in tree(pid):
            with contextlib.suppress(OSError):
                ticks += sum(int(field) for field in stat_fields(pathlib.Path(f"/proc/{member}"))[11:15])
        return ticks * 1e6 / os.sysconf("SC_CLK_TCK")

    def close(self):
        pass

    def __str__(self):
        return "/proc/PID/stat"


# The systems under test.


def haproxy(_folder, _options):
    return ["haproxy", "-db", "-f", str(PEERS / "haproxy.cfg")], 2511


def nginx(folder, _options):
    command = ["nginx", "-p", f"{folder}/", "-e", "error.log", "-c", str(PEERS / "nginx.conf")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
    if checked.returncode:
        raise Failed(checked.stderr.strip())
    return command, 2512


def certificate(folder):
    """One that nobody issued, with its key: tls.pem and tls.key; both.pem for Postfix."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
               "-days", "2", "-subj", "/CN=proxy.example.net", "-keyout", "tls.key", "-out", "tls.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    folder = pathlib.Path(folder)
    (folder / "both.pem").write_text((folder / "tls.key").read_text() + (folder / "tls.pem").read_text())


def postfix(folder, options):
    if options.tls:
        certificate(folder)
    subprocess.run([PEERS / "postfix", folder], check=True)
    made = subprocess.run(["postfix", "-c", f"{folder}/etc", "check"], capture_output=True, text=True)
    if made.returncode:
        raise Failed(made.stderr.strip())
    programs = subprocess.check_output(["postconf", "-h", "daemon_directory"], text=True).strip()
    return [f"{programs}/master", "-d", "-c", f"{folder}/etc"], 2514


def rspamd(folder, options):
    """Postfix that asks rspamd as its milter, then passes on: what people run to look into content."""
    command, _ = postfix(folder, options)
    subprocess.run([PEERS / "rspamd", folder], check=True)
    return [f"{folder}/run", *command], 2517


def postern(folder, options):
    cpu = PROXY_CPU if options.pin else max(os.sched_getaffinity(0))
    file = "postern-inspect.toml" if options.inspect else "postern.toml"
    text = (PEERS / file).read_text().replace('cpus = "auto"', f"cpus = [{cpu}]")
    if options.tls:
        certificate(folder)
        own = '{ mode = "offer", certificate = "tls.pem", key = "tls.key" }'
        text = text.replace('address = ["127.0.0.1:2515"]', f'address = ["127.0.0.1:2515"]\ntls = {own}')
    (pathlib.Path(folder) / "postern.toml").write_text(text)
    if options.inspect:
        shutil.copytree(PACKS, pathlib.Path(folder) / "patterns")
    return [POSTERN, "run", "--config", f"{folder}/postern.toml"], 2515


SYSTEMS = {
    "postern": postern, "haproxy": haproxy, "nginx": nginx, "postfix": postfix, "rspamd": rspamd, "direct": None,
}
USUAL = [name for name in SYSTEMS if name != "rspamd"]
SINK_PORT = int(SINK.rsplit(":", 1)[1])


@contextlib.contextmanager
def system(name, options, meter):
    """Starts the named proxy; gives its port and process id (the sink's port and none for direct)."""
    if name == "direct":
        yield SINK_PORT, None
        return
    with tempfile.TemporaryDirectory(prefix=f"postern-perf-{name}-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)  # peers drop their rights
        command, port = SYSTEMS[name](folder, options)
        cpu = PROXY_CPU if options.pin else None
        with running(command, folder, port, cpu=cpu, meter=meter) as process:
            yield port, process.pid


# The workloads.


def run_tool(command, options):
    """Runs a load tool to its end; gives its output and the seconds it took."""
    start = time.monotonic()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S,
            preexec_fn=lambda: pin(TOOLS_CPU if options.pin else None),
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{command[0]} was not done after {PATIENCE_S} s") from None
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout, time.monotonic() - start


def bulk(letter, port, pid, options, meter):
    """A to D: CPU per message and messages a second."""
    load = LOADS[letter]
    real = letter == "C" and options.inspect
    ours = real or options.tls or letter in "CD" and options.bulk_tools == "postern"
    tool = [POSTERN, "source", *under_tls(options)] if ours else ["smtp-source"]
    messages = scaled(load.messages, options)
    address = f"127.0.0.1:{port}"
    with tempfile.NamedTemporaryFile(prefix="postern-perf-mail-", suffix=".eml") as file:
        file.write(mail.realistic(load.length))
        file.flush()
        name = file.name if real else None
        run_tool(load.command(tool, address, max(load.sessions, messages // 20), name), options)  # warm
        before = meter.used_us(pid) if pid else 0
        _, seconds = run_tool(load.command(tool, address, messages, name), options)
    figures = {"rate": messages / seconds}
    if pid:
        figures["cpu_us"] = (meter.used_us(pid) - before) / messages
    return figures


def latency(_letter, port, _pid, options, _meter):
    """F: quantiles of one message after the other, each over a new connection."""
    tool = [POSTERN, "source", "--json", *under_tls(options)]
    command = LATENCY.command(tool, f"127.0.0.1:{port}", scaled(LATENCY.messages, options))
    output, _ = run_tool(command, options)
    quantiles = json.loads(output)["latency_us"]
    return {"p50_us": quantiles["p50"], "p99_us": quantiles["p99"]}


def under_tls(options):
    return ["--tls"] if options.tls else []


def idle(_letter, port, pid, options, _meter):
    """E: what the process tree grows by for each session that has said EHLO and waits."""
    if pid is None:
        raise Failed("direct has no proxy to weigh")
    # A process for each session: a hundred say as much as thousands, and fit.
    smtpd_each = port == 2514
    count = min(100, options.idle) if smtpd_each else options.idle
    context = tls_context() if options.tls else None
    warm = open_sessions(port, 16, context)
    base = memory(pid)
    sessions = []
    try:
        sessions = open_sessions(port, count, context)
        time.sleep(0.5)  # the last replies' buffers are given back
        grown = memory(pid)
    finally:
        for session in [*sessions, *warm]:
            session.close()
    return {"rss_bytes": (grown[0] - base[0]) / count, "pss_bytes": (grown[1] - base[1]) / count}


def tls_context():
    """For a client that looks at no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def open_sessions(port, count, context=None):
    """Sessions past EHLO, at most 4,000 from one loopback address; under TLS with a `context`."""
    sessions = []
    for index in range(count):
        session = socket.socket()
        session.settimeout(10)
        try:
            session.bind((f"127.0.0.{2 + index // 4000}", 0))
            session.connect(("127.0.0.1", port))
            read_reply(session)
            session.sendall(b"EHLO idle.example.org\r\n")
            read_reply(session)
            if context:
                session.sendall(b"STARTTLS\r\n")
                read_reply(session)
                session = context.wrap_socket(session)
                session.sendall(b"EHLO idle.example.org\r\n")
                read_reply(session)
        except OSError as error:
            for opened in [*sessions, session]:
                opened.close()
            raise Failed(f"idle session {index + 1}: {error}") from None
        sessions.append(session)
    return sessions


def read_reply(session):
    """Reads one reply, of however many lines."""
    text = b""
    while not (text.endswith(b"\n") and text.splitlines()[-1][3:4] != b"-"):
        more = session.recv(4096)
        if not more:
            raise OSError(f"closed after {text!r}")
        text += more


def memory(pid):
    """RSS and PSS of the tree in bytes."""
    sums = {"Rss:": 0, "Pss:": 0}
    for member in tree(pid):
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                name, *rest = line.split()
                if name in sums:
                    sums[name] += int(rest[0]) * 1024
    return sums["Rss:"], sums["Pss:"]


def scaled(messages, options):
    return max(1, round(messages * options.scale))


WORKLOADS = {**dict.fromkeys(LOADS, bulk), "E": idle, "F": latency}


# The run and its table.


def measure(options, meter):
    """All rounds, interleaved. Gives {(workload, system): [figures of a round or None, ...]}."""
    results = {}
    for number in range(options.rounds):
        shift = number % len(options.systems)
        for letter in options.workloads:
            for name in options.systems[shift:] + options.systems[:shift]:
                figures = one_run(letter, name, options, meter)
                results.setdefault((letter, name), []).append(figures)
                shown = " ".join(f"{key}={value:.0f}" for key, value in (figures or {}).items())
                print(f"round {number + 1} {letter} {name}: {shown or 'no figures'}", file=sys.stderr)
    add_latency(results)
    return results


def one_run(letter, name, options, meter):
    """One workload through one system, both ends fresh; None if it failed."""
    if letter == "E" and name == "direct":
        return None
    tools_cpu = TOOLS_CPU if options.pin else None
    ours = letter in "CD" and (options.bulk_tools == "postern" or letter == "C" and options.inspect)
    as_nobody = [] if os.geteuid() else ["-u", "nobody"]  # smtp-sink refuses to run as root
    theirs = ["smtp-sink", *as_nobody, "-m", "16000", SINK, "4000"]
    sink = [POSTERN, "sink", SINK, "4000"] if ours else theirs
    try:
        with tempfile.TemporaryDirectory(prefix="postern-perf-sink-") as folder:
            os.chmod(folder, 0o755)
            with running(sink, folder, SINK_PORT, cpu=tools_cpu):
                with system(name, options, meter) as (port, pid):
                    return WORKLOADS[letter](letter, port, pid, options, meter)
    except (Failed, OSError, ValueError, KeyError) as failure:
        print(f"compare: {letter} {name}: {failure!r}", file=sys.stderr)
        options.failures.append(f"{letter} {name}: {failure}")
        return None


def add_latency(results):
    """What each proxy adds to direct, round by round."""
    for (letter, name), rounds in results.items():
        if letter != "F" or name == "direct":
            continue
        for figures, direct in zip(rounds, results.get(("F", "direct"), [])):
            if figures and direct:
                figures["added_p50_us"] = figures["p50_us"] - direct["p50_us"]
                figures["added_p99_us"] = figures["p99_us"] - direct["p99_us"]


def column(results, letter, name, measure_name):
    return [figures and figures.get(measure_name) for figures in results.get((letter, name), [])]


def summary(values, digits=0):
    """Median (min–max) of what there is."""
    values = [value for value in values if value is not None]
    if not values:
        return "–"
    median = f"{statistics.median(values):,.{digits}f}"
    if len(values) == 1:
        return median
    return f"{median} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def ratios(results, letter, name, measure_name, peer):
    """The system's figure over the peer's of the same round."""
    own, peers = (column(results, letter, who, measure_name) for who in (name, peer))
    pairs = zip(own, peers)
    # Noise can make an added latency negative: no ratio then.
    return [a / b if a is not None and b is not None and b > 0 else None for a, b in pairs]


def report(results, options, meter):
    lines = [*heading(options, meter)]
    # HAProxy speaks no STARTTLS.
    peer = "postfix" if options.tls else "haproxy"
    for letter in options.workloads:
        shown = [
            key for key in MEASURES
            if any(value is not None for name in options.systems for value in column(results, letter, name, key))
        ]
        titles = ["system"]
        for key in shown:
            title, with_ratio = MEASURES[key]
            titles += [title, f"× {PEER_NAMES[peer]}"] if with_ratio else [title]
        of_people = ": text, HTML and a PDF, sent by postern source" if letter == "C" and options.inspect else ""
        lines += ["", f"## {letter}: {TITLES[letter]}{of_people}", "", row(titles), row(["---"] * len(titles))]
        for name in options.systems:
            cells = [name]
            for key in shown:
                cells.append(summary(column(results, letter, name, key)))
                if MEASURES[key][1]:
                    cells.append(summary(ratios(results, letter, name, key, peer), digits=2))
            if any(cell != "–" for cell in cells[1:]):
                lines.append(row(cells))
    if options.failures:
        lines += ["", "## Runs without figures", "", *[f"* {' '.join(text.split())}" for text in options.failures]]
    return "\n".join(lines) + "\n"


def row(cells):
    return "| " + " | ".join(cells) + " |"


def heading(options, meter):
    now = datetime.datetime.now(datetime.timezone.utc)
    bulk_tools = options.bulk_tools if set("CD") & set(options.workloads) else "none"
    return [
        f"# {now:%Y-%m-%d}: {', '.join(options.systems)}",
        "",
        f"Commit {commit()}, {now:%H:%M} UTC. {cpu_model()}, {os.cpu_count()} CPUs, Linux {platform.release()}.",
        f"Load average before: {options.load_average:.2f}. CPU by {meter}.",
        "",
        f"{options.rounds} interleaved rounds, message counts × {options.scale:g}, "
        f"{'proxy on CPU 1, tools on CPU 0' if options.pin else 'tools and peers not pinned'}, "
        f"bulk tools: {bulk_tools}, idle sessions: {options.idle}. Medians (min–max).",
        *(["Postern looks into all content with the shipped packs; HAProxy and nginx look at nothing."] * options.inspect),
        *(["Each session is under TLS by STARTTLS toward the proxy, in clear behind it. The source is ours for all, "
           "and comes back with the tickets it was given; certificates are ECDSA P-256."] * options.tls),
        f"Versions: {'; '.join(versions(options))}.",
    ]


def commit():
    asked = ["git", "-C", str(PEERS), "describe", "--always", "--dirty"]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip() or "unknown"


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def versions(options):
    asked = {
        "postern": [POSTERN, "--version"],
        "haproxy": ["haproxy", "-v"],
        "nginx": ["nginx", "-v"],
        "postfix": ["postconf", "mail_version"],
        "rspamd": ["rspamd", "--version"],
    }
    for name in options.systems:
        if name in asked and shutil.which(asked[name][0]):
            done = subprocess.run(asked[name], capture_output=True, text=True)
            yield (done.stdout + done.stderr).strip().splitlines()[0]


def parse_options():
    parser = argparse.ArgumentParser(prog="perf/compare", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workloads", default="ABCDEF", help="letters of A to F")
    parser.add_argument("--systems", help=f"names, comma between: {', '.join(SYSTEMS)}")
    parser.add_argument("--inspect", action="store_true",
                        help="Postern looks into content with the shipped packs; C is mail as people send it")
    parser.add_argument("--tls", action="store_true",
                        help="STARTTLS in each session toward the proxy: of postern and postfix, source is ours")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on all message counts")
    parser.add_argument("--idle", type=int, default=5000, help="sessions of workload E")
    parser.add_argument("--bulk-tools", choices=["postfix", "postern"], default="postfix",
                        help="source and sink of C and D")
    parser.add_argument("--pin", action="store_true", help="proxy on CPU 1, tools on CPU 0")
    parser.add_argument("--out", type=pathlib.Path, help="also write the report there")
    options = parser.parse_args()
    usual = ["postern", "postfix"] if options.tls else USUAL
    options.systems = options.systems.split(",") if options.systems else usual
    options.failures = []
    options.load_average = os.getloadavg()[0]
    if strange := [name for name in options.systems if name not in SYSTEMS]:
        parser.error(f"no such system: {', '.join(strange)}")
    if options.tls and (clear := [name for name in options.systems if name not in ("postern", "postfix")]):
        parser.error(f"no STARTTLS: {', '.join(clear)}")
    if strange := [letter for letter in options.workloads if letter not in WORKLOADS]:
        parser.error(f"no such workload: {', '.join(strange)}")
    if options.pin and os.cpu_count() < 2:
        parser.error("--pin needs two CPUs")
    return options


def raise_file_limit():
    """Files for the idle sessions and both sides of a proxy's, as far as we may."""
    for files in (200_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
            return


def main():
    options = parse_options()
    # A kill ends the run like Ctrl-C does: through the finally blocks.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise_file_limit()
    meter = Cgroup.open() or Accounts()
    try:
        results = measure(options, meter)
        text = report(results, options, meter)
    finally:
        meter.close()
    print(text, end="")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text)
    return 1 if options.failures else 0


if __name__ == "__main__":
    sys.exit(main())
