#!/usr/bin/python3
"""Clients and servers for tests/e2e/redis.sh.

redis.py scripts PORT LEARN CLAIM       random lessons and claims, the scripts beside plain arithmetic
redis.py greylist DELAY INLET INLET     451 at one, and behind the delay 250 at the other
redis.py load SECONDS SESSIONS INLET... messages as fast as they go; prints how many were taken and turned away
redis.py lies PORT KIND                 a server that is none: garbage, never, flood
redis.py metric ADMIN NAME              one number

Exit code 0, or 1 and what was wrong. Needs nothing but Python itself.
"""

import random
import socket
import sys
import threading
import time
import urllib.request

HOST = "127.0.0.1"


# Redis, as far as it is needed.


class Redis:
    def __init__(self, port):
        self.stream = socket.create_connection((HOST, port), timeout=10).makefile("rwb")

    def __call__(self, *words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.stream.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(it), it) for it in words))
        self.stream.flush()
        return self.answer()

    def answer(self):
        line = self.stream.readline()
        kind, rest = line[:1], line[1:].strip()
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.stream.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        return rest.decode()


# What policy/ledger.rs and traffic/bank.rs say, once more.


def after(before, now, about, until):
    if until <= now:
        return before
    known = before is not None and before[1] > now
    since, end, good, bad = before if known else (now, until, 0, 0)
    ahead, since = since > now, min(since, now)
    if about == "met":
        return before if known and not ahead else (since, end, good, bad)
    end = max(end, until)
    return (since, end, good + 1, bad) if about == "good" else (since, end, good, bad + 1)


def check_lessons(redis, script):
    pick, base = random.Random(1), int(time.time())
    for name in range(300):
        key, entry = f"e2e:{name}", None
        for _ in range(20):
            # All of it ends in days: by its own clock the server forgets nothing meanwhile.
            now = base + 100000 + pick.randrange(-50, 50)
            about, until = pick.choice(["met", "good", "bad"]), now + pick.choice([-5, 0, 7, 30, 90000])
            entry = after(entry, now, about, until)
            redis("EVAL", script, 1, key, now, about, until)
            got = redis("GET", key)
            want = None if entry is None else " ".join(map(str, entry))
            assert got == want, f"{got} instead of {want}"
        if entry is not None:
            left = redis("PTTL", key) / 1000
            assert abs(left - (entry[1] - time.time())) < 3, f"{left} s left of {entry}"
    redis("SET", "e2e:strange", "not ours")
    redis("EVAL", script, 1, "e2e:strange", base, "met", base + 60)
    assert redis("GET", "e2e:strange") == f"{base} {base + 60} 0 0"


def check_claims(redis, script):
    """The bucket may only be off by what came in while we looked at our watch."""
    pick = random.Random(2)
    for name in range(60):
        rate, burst = pick.choice([(0.1, 5), (10, 40), (1000, 1000), (5e7, 1e9)])
        cost, key = 1e6 / rate, f"e2e:bucket:{name}"
        level, asked = burst, time.time()
        for _ in range(30):
            used = int(pick.choice([0, 0, burst / 50, burst / 3, -burst / 40]))
            wanted, block = int(pick.choice([0, 1, burst / 30, burst])), int(burst / 32)
            lent, left, wait, lacks = redis("EVAL", script, 1, key, used, wanted, block, cost, cost * burst, 0)
            now = time.time()
            slack = (now - asked + 0.005) * rate + 2
            level = min(burst, min(burst, level + (now - asked) * rate) - used)
            asked = now
            most = min(max(level, 0), wanted)
            assert most - slack <= lent <= min(wanted, max(level, 0) + slack), f"{lent} lent, not {most}"
            level = min(level - lent, burst)
            assert abs(max(level, 0) - left) <= slack, f"{left} left, not {level}"
            assert abs((burst - level) * cost - lacks) <= (slack + 1) * cost, f"lacks {lacks}"
            # One that gives nothing says when it will.
            assert left > 0 or wait > 0, "nothing left, and no word until when"
            if lacks > 0:
                assert redis("PTTL", key) >= lacks / 1000, "it ends before it is full"
            if pick.random() < 0.2:
                time.sleep(0.01)
    redis("DEL", "e2e:gone")
    lent, left, _, _ = redis("EVAL", script, 1, "e2e:gone", 0, 0, 10, 1000, 1e6, 9e5)
    assert 95 <= left <= 105, f"a bucket that was forgotten begins with {left}, not 100"


# Mail.


class Client:
    def __init__(self, inlet, source="127.0.0.1"):
        self.socket = socket.create_connection((HOST, inlet), timeout=60, source_address=(source, 0))
        self.stream = self.socket.makefile("rwb")
        self.expect("220")
        self.say("EHLO client.example", "250")

    def reply(self):
        while line := self.stream.readline():
            if line[3:4] != b"-":
                return line.decode().strip()
        return "closed"

    def expect(self, code):
        reply = self.reply()
        assert reply.startswith(code), reply
        return reply

    def say(self, line, code=""):
        self.stream.write(line.encode() + b"\r\n")
        self.stream.flush()
        return self.expect(code)

    def send(self, sender, recipient):
        for line in [f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA"]:
            reply = self.say(line)
            if reply[0] not in "23":
                if reply[:3] != "421":
                    self.say("RSET", "250")
                return reply
        return self.say(f"From: <{sender}>\r\n\r\nbody\r\n.")


def load(seconds, sessions, inlets):
    counts, shown, lock, begun = {}, set(), threading.Lock(), time.time()
    end = begun + seconds

    def one(inlet):
        client, number, errors = None, 0, 0
        while time.time() < end:
            number += 1
            try:
                client = client or Client(inlet)
                reply = client.send(f"a{number % 100}@far.example", "b@example.net")
            except (OSError, AssertionError) as error:
                client, reply = None, f"failed: {error}"
            # A session in which too much is turned away is ended by the other side.
            errors += reply[:1] == "4"
            # Nor may a session take as many as come (MAILMAX).
            if reply[:1] not in "245" or errors > 8 or number % 5000 == 0:
                client, errors = None, 0
            with lock:
                counts[reply[:3]] = counts.get(reply[:3], 0) + 1
                if reply[:3] not in ("250", "450", "451") or reply[:1] == "4" and reply[:30] not in shown:
                    shown.add(reply[:30])  # Each kind of no once, for whoever has to find out why.
                    print(f"after {time.time() - begun:.1f} s: {reply}", file=sys.stderr)
            if reply[:1] != "2":
                time.sleep(0.02)

    threads = [threading.Thread(target=one, args=(inlet,)) for inlet in inlets for _ in range(sessions)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    taken, later = counts.pop("250", 0), counts.pop("450", 0) + counts.pop("451", 0)
    print(taken, later, sum(counts.values()), f"{time.time() - begun:.2f}")


def greylist(delay, here, there):
    first = Client(here).send("new@far.example", "b@example.net")
    assert first.startswith("451 4.7.1"), first
    time.sleep(delay + 1.2)
    again = Client(there).send("new@far.example", "b@example.net")
    assert again.startswith("250"), again
    other = Client(there).send("other@far.example", "b@example.net")
    assert other.startswith("451 4.7.1"), other


def lies(port, kind):
    listener = socket.create_server((HOST, port))

    def one(peer):
        try:
            while peer.recv(4096):
                if kind == "garbage":
                    peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                elif kind == "flood":
                    peer.sendall(b"$104857600\r\n" + b"x" * 104857600)
        except OSError:
            pass

    while True:
        peer, _ = listener.accept()
        threading.Thread(target=one, args=(peer,), daemon=True).start()


def metric(admin, name):
    page = urllib.request.urlopen(f"http://{HOST}:{admin}/metrics", timeout=10).read().decode()
    values = [line.split()[-1] for line in page.splitlines() if line.split("{")[0].split(" ")[0] == f"postern_{name}"]
    assert values, f"no {name}"
    print(sum(int(value) for value in values))


def main(command, *arguments):
    if command == "scripts":
        redis = Redis(int(arguments[0]))
        check_lessons(redis, open(arguments[1], "rb").read())
        check_claims(redis, open(arguments[2], "rb").read())
    elif command == "greylist":
        greylist(*map(int, arguments))
    elif command == "load":
        load(float(arguments[0]), int(arguments[1]), list(map(int, arguments[2:])))
    elif command == "lies":
        lies(int(arguments[0]), arguments[1])
    elif command == "metric":
        metric(int(arguments[0]), arguments[1])
    else:
        sys.exit(__doc__)


main(*sys.argv[1:])
