"""What the scenarios of traffic share: sources, sinks and the proxy, started and read. Standard library only.

Clients are addresses of 127.0.0.0/8: 127.1 are those of whom it is known that they send mail that is wanted, 127.2
are strangers. Capacity is the sink's, so it is a known number.
"""
import argparse
import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import compare

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
LISTEN, ADMIN, HOPS = 3410, 3415, (3421, 3422, 3423)
PARTNERS, STRANGERS = "127.1.0.0/16", "127.2.0.0/16"
LANES = """\
[[lane]]
name = "trusted"
when = 'client.ip in lists.partners'
share = 50
"""
CONFIG = """\
hostname = "proxy.example.net"
[workers]
cpus = {cpus}
{workers}
[[listener]]
name = "perf"
address = ["{host}:{listen}"]
[[upstream]]
name = "sink"
servers = [{servers}]
{upstream}
[[route]]
recipient = ["*"]
upstream = "sink"
[lists]
partners = ["{partners}"]
[admin]
address = "{host}:{admin}"
[log]
records = "records.jsonl"
{more}
{lanes}
"""


# Started programs. All end with the block that started them.


class Sink:
    """`postern sink`, and what it tells at its end."""

    def __init__(self, options, folder, port, *arguments, cpu=None):
        self.folder = pathlib.Path(folder) / f"sink-{port}"
        self.folder.mkdir()
        self.journal = self.folder / "journal"
        self.command = [options.postern, "sink", "--chunking", "--json", "-m", "20000", "-t", "600"]
        self.command += [*arguments, f"{HOST}:{port}", "4096"]
        self.port, self.cpu, self.begun, self.told = port, cpu, None, None

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        self.begun = time.monotonic()
        self.stack.enter_context(compare.running(self.command, self.folder, self.port, cpu=self.cpu))
        return self

    def __exit__(self, *_):
        self.stack.close()
        lines = (self.folder / "log").read_text(errors="replace").splitlines()
        told = [line for line in lines if line.startswith("{")]
        self.told = json.loads(told[-1]) if told else None

    def rows(self, begin):
        """Its series as (seconds after `begin`, row)."""
        return [(self.begun + row["begin_ms"] / 1000 - begin, row) for row in self.told["series"]]


class Source:
    """`postern source` beside us; `ended()` waits for its report."""

    def __init__(self, options, server_port, *arguments, cpu=None):
        command = [options.postern, "source", "--json", "-A", "-f", "a@example.org", "-t", "b@example.net"]
        command += [*map(str, arguments), f"{HOST}:{server_port}"]
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=lambda: compare.pin(cpu))

    def ended(self, patience_s=300):
        try:
            out, said = self.process.communicate(timeout=patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise compare.Failed(f"a source was not done after {patience_s} s") from None
        if self.process.returncode:
            raise compare.Failed(f"a source failed: {(said or out).strip()[-500:]}")
        return json.loads(out)


@contextlib.contextmanager
def proxy(options, folder, servers, *, cpus='"auto"', workers="", upstream="", more="", number=0):
    """The proxy before `servers`; gives its process. Lanes are in its configuration where it knows them. With a `number` it
    is one of several, and listens so many ports further."""
    folder = pathlib.Path(folder) / (f"proxy-{number}" if number else "proxy")
    folder.mkdir(exist_ok=True)
    listen = LISTEN + number
    values = {
        "cpus": cpus, "workers": workers, "host": HOST, "listen": listen, "admin": ADMIN + number, "partners": PARTNERS,
        "servers": ", ".join(f'"{HOST}:{port}"' for port in servers), "upstream": upstream, "more": more,
    }
    for lanes in [LANES, ""] if options.lanes else [""]:
        (folder / "p.toml").write_text(CONFIG.format(**values, lanes=lanes))
        checked = subprocess.run([options.postern, "check", "--config", folder / "p.toml"], capture_output=True, text=True)
        if checked.returncode == 0:
            options.lanes = bool(lanes)
            break
    else:
        raise compare.Failed((checked.stderr or checked.stdout).strip()[-800:])
    command = [options.postern, "run", "--config", "p.toml"]
    with compare.running(command, folder, listen) as process:
        yield process


def status(number=0):
    with urllib.request.urlopen(f"http://{HOST}:{ADMIN + number}/api/status", timeout=5) as answer:
        return json.load(answer)


# What threads have used.


@dataclasses.dataclass
class Used:
    """Of one thread: seconds of processor time in user and kernel mode, and waits of its own will."""

    user: float
    system: float
    total: float
    waits: int

    def since(self, before):
        return Used(self.user - before.user, self.system - before.system, self.total - before.total,
                    self.waits - before.waits)


def threads(pid):
    """What each thread of the process has used, by its name; `user` and `system` in steps of 10 ms."""
    found, tick = {}, os.sysconf("SC_CLK_TCK")
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            name = (task / "comm").read_text().strip()
            fields = compare.stat_fields(task)
            total = int((task / "schedstat").read_text().split()[0]) / 1e9
            waits = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.M)
            used = Used(int(fields[11]) / tick, int(fields[12]) / tick, total, int(waits.group(1)))
            other = found.get(name, Used(0, 0, 0, 0))
            found[name] = Used(*(one + two for one, two in zip(dataclasses.astuple(used), dataclasses.astuple(other))))
    return found


def used_since(pid, before):
    return {name: used.since(before.get(name, Used(0, 0, 0, 0))) for name, used in threads(pid).items()}


# The command line and what is told.


def parser(text, seconds):
    arguments = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=seconds, help="of each phase that matters")
    arguments.add_argument("--postern", type=lambda text: str(pathlib.Path(text).resolve()),
                           default=str(ROOT / "target/release/postern"))
    arguments.add_argument("--pin", action="store_true", help="proxy on CPU 1, tools on CPU 0")
    arguments.add_argument("--no-lanes", dest="lanes", action="store_false", help="no [[lane]] in the configuration")
    arguments.add_argument("--json", type=pathlib.Path, help="also write the figures there")
    arguments.add_argument("--svg", type=pathlib.Path, help="also draw them there")
    return arguments


def cpus(options):
    """Of the tools, and `cpus` of the proxy's configuration."""
    if not options.pin:
        return None, '"auto"'
    return compare.TOOLS_CPU, f"[{compare.PROXY_CPU}]"


def heading(options, what):
    now = datetime.datetime.now(datetime.timezone.utc)
    lanes = "" if options.lanes else ", without lanes"
    command = " ".join([pathlib.Path(sys.argv[0]).name, *sys.argv[1:]])
    print(f"{what}{lanes}: tree at {compare.commit()}, {now:%Y-%m-%d %H:%M} UTC, {compare.cpu_model()}, "
          f"{os.cpu_count()} CPUs, Linux {platform.release()}, load {os.getloadavg()[0]:.1f}\n{command}\n", flush=True)


def table(titles, rows):
    print("| " + " | ".join(titles) + " |\n| " + " | ".join("---" for _ in titles) + " |")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)


def save(options, figures, drawing):
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.svg and drawing:
        options.svg.write_text(drawing)


def run(scenario):
    """Runs `scenario(folder)`; a fault of it is one line and exit code 1."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    compare.raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="postern-traffic-", ignore_cleanup_errors=True) as folder:
        try:
            return scenario(pathlib.Path(folder)) or 0
        except compare.Failed as failed:
            print(failed, file=sys.stderr)
            return 1
