#!/usr/bin/python3
"""Peers for tests/e2e/dkim.sh and hostile.sh: a client, next hops and a name server, none of them ours.

peers.py keys FOLDER                             makes the keys that dkim signs with
peers.py dkim FOLDER INLET DNS PLAIN CHUNKING    signs, sends, verifies with dkimpy
peers.py hostile INLET PLAIN RECORDS             says what must not come out at the other side

Exit code 0 and a line of counts, or 1 and what was wrong. The interpreter is Debian's: dkimpy is there.
"""

import base64
import json
import random
import re
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
from multiprocessing import Pool
from pathlib import Path

HOST = "127.0.0.1"
MESSAGES = 1000


# The next hop.


class Sink(socketserver.StreamRequestHandler):
    """One session. What the server is given as `chunking` and `xforward` it announces."""

    disable_nagle_algorithm = True

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self):
        try:
            self.serve()
        except OSError:
            pass  # Whoever leaves leaves.

    def serve(self):
        self.say("220 sink")
        while line := self.rfile.readline(1 << 20):
            self.server.commands.append(line)
            verb = line.split(b" ")[0].strip().upper()
            if verb == b"QUIT":
                return self.say("221 bye")
            if verb == b"EHLO":
                self.greet()
            elif verb == b"DATA":
                self.say("354 go")
                self.take(self.dotted())
            elif verb == b"BDAT":
                words = line.split()
                self.content = getattr(self, "content", b"") + self.rfile.read(int(words[1]))
                if len(words) > 2:
                    content, self.content = self.content, b""
                    self.take(content)
                else:
                    self.say("250 more")
            else:
                if verb == b"RSET":
                    self.content = b""
                self.say("250 ok")

    def greet(self):
        names = ["sink", "PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 60000000"]
        names += ["CHUNKING"] if self.server.chunking else []
        names += ["XFORWARD NAME ADDR PORT HELO PROTO SOURCE"] if self.server.xforward else []
        for name in names[:-1]:
            self.say(f"250-{name}")
        self.say(f"250 {names[-1]}")

    def dotted(self):
        lines = []
        while (line := self.rfile.readline(1 << 25)) != b".\r\n":
            if not line:
                return b""
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)

    def take(self, content):
        self.server.messages.append(content)
        self.say("250 taken")


class SinkServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port, chunking=False, xforward=False):
        super().__init__((HOST, port), Sink)
        self.chunking, self.xforward = chunking, xforward
        self.commands, self.messages = [], []
        threading.Thread(target=self.serve_forever, daemon=True).start()


# A name server with TXT records and nothing else.


def serve_names(port, texts):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((HOST, port))

    def answer():
        while True:
            query, client = server.recvfrom(4096)
            at, labels = 12, []
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]])
                at += query[at] + 1
            question, kind = query[12 : at + 5], struct.unpack(">H", query[at + 1 : at + 3])[0]
            text = texts.get(b".".join(labels).decode().lower()) if kind == 16 else None
            code = 0x8180 if text else 0x8183
            reply = query[:2] + struct.pack(">HHHHH", code, 1, int(bool(text)), 0, 0) + question
            if text:
                strings = [text[at : at + 255].encode() for at in range(0, len(text), 255)]
                data = b"".join(bytes([len(string)]) + string for string in strings)
                reply += b"\xc0\x0c" + struct.pack(">HHIH", 16, 1, 60, len(data)) + data
            server.sendto(reply, client)

    threading.Thread(target=answer, daemon=True).start()


# The client.


class Client:
    def __init__(self, port, proxied=b"", helo=b"client.example"):
        self.socket = socket.create_connection((HOST, port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(proxied)
        self.file = self.socket.makefile("rb")
        self.reply()
        self.code = self.command(b"EHLO " + helo)

    def reply(self):
        while (line := self.file.readline())[3:4] == b"-":
            pass
        return int(line[:3] or 0)

    def command(self, line):
        self.socket.sendall(line + b"\r\n")
        return self.reply()

    def expect(self, code, line):
        found = self.command(line)
        if found != code:
            raise AssertionError(f"{found} to {line[:60]!r}")

    def send(self, recipient, content, chunks):
        self.expect(250, b"MAIL FROM:<a@signed.test> BODY=8BITMIME")
        self.expect(250, b"RCPT TO:<b@" + recipient + b">")
        if not chunks:
            self.expect(354, b"DATA")
            stuffed = re.sub(rb"(?m)^\.", b"..", content)
            return self.expect(250, stuffed + b".")
        half = len(content) // 2
        self.socket.sendall(b"BDAT %d\r\n" % half + content[:half])
        if self.reply() != 250:
            raise AssertionError("a chunk was refused")
        self.socket.sendall(b"BDAT %d LAST\r\n" % (len(content) - half) + content[half:])
        if (code := self.reply()) != 250:
            raise AssertionError(f"{code} to the last chunk")


# Signed messages through four pairs of framings.


def keys(folder):
    import nacl.signing

    for name, bits in (("rsa", 1024), ("arc", 2048)):
        pem = subprocess.run(["openssl", "genrsa", str(bits)], check=True, capture_output=True).stdout
        (folder / f"{name}.pem").write_bytes(pem)
        public = ["openssl", "rsa", "-pubout", "-outform", "DER"]
        der = subprocess.run(public, input=pem, check=True, capture_output=True).stdout
        (folder / f"{name}.txt").write_text("v=DKIM1; p=" + base64.b64encode(der).decode())
    key = nacl.signing.SigningKey.generate()
    (folder / "ed.key").write_bytes(base64.b64encode(bytes(key)))
    public = base64.b64encode(bytes(key.verify_key)).decode()
    (folder / "ed.txt").write_text("v=DKIM1; k=ed25519; p=" + public)


def texts(folder):
    names = {"rsa": "rsa._domainkey.signed.test", "ed": "ed._domainkey.signed.test"}
    names["arc"] = "arc._domainkey.postern.test"
    return {name: (folder / f"{key}.txt").read_text() for key, name in names.items()}


def body(number):
    """What breaks signatures on the way, by turns."""
    dice = random.Random(number)
    word = lambda: "".join(dice.choices("abcdefghij .\t", k=dice.randint(1, 70))).encode()
    kinds = [
        lambda: b"",
        lambda: b"\r\n" * dice.randint(1, 5),
        lambda: b"".join(word() + b"\r\n" for _ in range(20)),
        lambda: b"".join(b"." * dice.randint(1, 4) + word() + b"\r\n" for _ in range(20)) + b".\r\n..\r\n",
        lambda: b"trailing \t \r\n  \r\n\t\r\n" + b"\r\n" * 7,
        lambda: bytes(dice.choices(range(128, 256), k=400)) + b"\r\n\xc3\xa4\xe2\x82\xac\r\n",
        lambda: b"x" * dice.randint(999, 30000) + b" \r\n" + b"y \t" * 3000 + b"\r\n",
        lambda: b"".join(b"a line of a large message, number %d\r\n" % n for n in range(8000)),
        lambda: b"From here\r\n>From there\r\n--\r\n-- \r\n\x0b\x0c\x7f\r\n",
        lambda: b"last line without an end",
    ]
    # Large ones are few, or they would be all of the time.
    kind = 7 if number % 100 == 7 else [kind for kind in range(len(kinds)) if kind != 7][number % 9]
    return kinds[kind]()


def header(number):
    fields = [
        b"From: =?utf-8?q?J=C3=BCrgen?= <a@signed.test>\r\n",
        b"To: b@hop.example,\r\n\tc@hop.example ,  d@hop.example\r\n",
        b"subject:no space, and  two \r\n folded\r\n\t again \r\n",
        b"Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n",
        b"Message-ID: <%d@signed.test>\r\n" % number,
        b"X-Eight: \xc3\xa4\xff\r\n",
        b"Received: from x by y; Tue, 24 Nov 2026 12:00:00 +0000\r\n",
        b"Authentication-Results: elsewhere.test; spf=pass\r\n",
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n",
    ]
    random.Random(number).shuffle(fields)
    return b"".join(fields)


def sign(task):
    import dkim

    number, rsa, ed = task
    message = header(number) + b"\r\n" + body(number)
    bits = [number >> bit & 1 for bit in range(4)]
    key = dict(selector=b"ed", privkey=ed, signature_algorithm=b"ed25519-sha256")
    if bits[0]:
        key = dict(selector=b"rsa", privkey=rsa, signature_algorithm=b"rsa-sha256")
    forms = (b"relaxed", b"simple")
    signed = [name for name in (b"from", b"to", b"subject", b"date", b"message-id", b"mime-version")]
    signature = dkim.sign(
        message,
        domain=b"signed.test",
        canonicalize=(forms[bits[1]], forms[bits[2]]),
        include_headers=signed + [b"x-eight", b"content-type"],
        length=bool(bits[3]),
        **key,
    )
    return signature + message


def verify(task):
    """What is wrong with what arrived, or None."""
    import dkim

    names, before, content, sealed = task
    text = lambda name, timeout=5: names.get(name.decode().rstrip(".").lower(), "").encode() or None
    if not content.endswith(before):
        return "changed: " + repr(content[:300])
    if not dkim.verify(content, dnsfunc=text):
        return "does not verify: " + repr(content[:1500])
    added = content[: -len(before)]
    if added.count(b"Received: ") != 1:
        return "our Received field is not there once: " + repr(added)
    if sealed:
        if added.count(b"Authentication-Results: postern.example;") != 1 or b"dkim=pass" not in added:
            return "our results are not there once, or not dkim=pass: " + repr(added)
        found = dkim.arc_verify(content, dnsfunc=text)
        if found[0] != b"pass":
            return f"ARC {found[0]} {found[2]}: " + repr(added)
    return None


def deliver(inlet, recipient, chunks, messages, faults):
    try:
        client = Client(inlet)
        for message in messages:
            # Only chunks can end without a line end.
            if chunks or message.endswith(b"\n"):
                client.send(recipient, message, chunks)
    except (AssertionError, OSError) as why:
        faults.append(f"{recipient} {'BDAT' if chunks else 'DATA'}: {why}")


def await_inlet(port):
    """Next hops have to be there before Postern is."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            return socket.create_connection((HOST, port), 5).close()
        except OSError:
            time.sleep(0.05)
    raise SystemExit("nobody listens at the inlet")


def identity(content):
    return re.search(rb"Message-ID: <(\d+)@", content).group(1)


def run_dkim(folder, inlet, dns, plain, chunking):
    names = texts(folder)
    serve_names(dns, names)
    sinks = {b"plain.test": SinkServer(plain), b"chunks.test": SinkServer(chunking, chunking=True)}
    faults, sent = [], 0
    rsa, ed = (folder / "rsa.pem").read_bytes(), (folder / "ed.key").read_bytes()
    with Pool(2) as pool:
        messages = pool.map(sign, [(number, rsa, ed) for number in range(MESSAGES)], 20)
        await_inlet(inlet)
        ways = [(domain, chunks) for domain in sinks for chunks in (False, True)]
        threads = [threading.Thread(target=deliver, args=(inlet, *way, messages, faults)) for way in ways]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        by_identity = {identity(message): message for message in messages}
        whole = sum(message.endswith(b"\n") for message in messages)
        tasks = []
        for domain, sink in sinks.items():
            if (got := len(sink.messages)) != whole + MESSAGES:
                faults.append(f"{got} of {whole + MESSAGES} messages arrived over {domain}")
            for content in sink.messages:
                before = by_identity[identity(content)]
                # DATA has to end the last line.
                if domain == b"plain.test" and not before.endswith(b"\n"):
                    before += b"\r\n"
                # What does not fit into the window has gone when all is known.
                tasks.append((names, before, content, len(before) < 100_000))
        faults += [fault for fault in pool.imap_unordered(verify, tasks, 20) if fault]
    sealed = sum(task[3] for task in tasks)
    print(f"{len(tasks)} signed messages verified, {sealed} of them with our results and a seal")
    return faults if tasks and sealed > len(tasks) / 2 else faults + ["too few to tell anything"]


# What must not come out at the other side.


WORDS = [b"a\rRSET", b"a\nRSET", b"a\0b", b"a\x1b[31mb", b"\xff\xfe\x80", b"a\x7fb", b"a\"b;c\\d(e", b"a\xc2\x85b"]
WORDS += [b"a\xe2\x80\xa8b", b"{\"a\":1}", b"y" * 1500, b"x" * 65536]


def say_word(inlet, number, place, word):
    """A session from an address of its own, with the word at one place."""
    here = lambda at, usual: word if place == at else usual
    try:
        # Addresses in 127.0.0.0/8 are looked up nowhere (RFC 6761 §6.3); each of these has a name of its own in the zone, as hostile as they come.
        proxied = b"PROXY TCP4 192.0.2.%d 192.0.2.200 1000 25\r\n" % (number % 16 + 1)
        client = Client(inlet, proxied, here(0, b"client.example"))
        if client.code != 250:
            client.command(b"EHLO client.example")
        parameter = b" SIZE=" + word if place == 1 else b""
        if client.command(b"MAIL FROM:<" + here(2, b"a") + b"@x.test>" + parameter) != 250:
            client.command(b"MAIL FROM:<a@x.test>")
        client.command(b"RCPT TO:<" + here(3, b"b") + b"@plain.test>")
        client.command(b"RCPT TO:<b@plain.test>")
        if client.command(b"DATA") == 354:
            content = b"From: <a@x.test>\r\nX-" + here(4, b"Name") + b": v\r\nSubject: " + here(5, b"s")
            client.command(content + b"\r\n\r\nbody\r\n.")
        client.command(b"QUIT")
    except OSError:
        pass  # It was thrown out: that is an answer, too.


def run_hostile(inlet, plain, records):
    sink = SinkServer(plain, xforward=True)
    await_inlet(inlet)
    for number, (place, word) in enumerate((place, word) for place in range(6) for word in WORDS):
        say_word(inlet, number, place, word)
    faults, verbs = [], {b"EHLO", b"XFORWARD", b"RSET", b"MAIL", b"RCPT", b"DATA", b"QUIT"}
    for line in sink.commands:
        verb = re.split(rb"[ :\r]", line)[0]
        if verb not in verbs or re.search(rb"[\0-\x1f\x7f]", line[:-2]) or b"evil" in line:
            faults.append(f"a command: {line[:200]!r}")
    for content in sink.messages:
        ours = content[: content.index(b"From: <a@x.test>")]
        for field in re.sub(rb"\r\n[ \t]", b" ", ours).split(b"\r\n")[:-1]:
            if not re.fullmatch(rb"(Received|Authentication-Results): [\x20-\x7e]*", field):
                faults.append(f"a field: {field[:200]!r}")
    await_quiet(records)
    lines = records.read_bytes().split(b"\n")[:-1]
    found = [json.loads(line) for line in lines]
    if re.search(rb"[\0-\x09\x0b-\x1f\x7f]", b"\n".join(lines)) or len({record["id"] for record in found}) != len(found):
        faults.append("records hold control characters, or two of one transaction")
    delivered = sum(record["disposition"] == "delivered" for record in found)
    if delivered != len(sink.messages) or not delivered:
        faults.append(f"{delivered} records of {len(sink.messages)} messages")
    # The one honest name of the zone shows that it was asked for them all.
    named = [re.search(rb"iprev=(\w+)", content) for content in sink.messages]
    outcomes = {outcome: sum(bool(one) and one[1] == outcome for one in named) for outcome in (b"pass", b"fail")}
    print(f"{len(found)} records, {delivered} messages, {len(sink.commands)} commands; iprev {outcomes}")
    if not outcomes[b"pass"] or outcomes[b"pass"] == len(sink.messages):
        faults.append("the resolver's names were not asked for")
    return faults


def await_quiet(records):
    size, end = -1, time.monotonic() + 15
    while size != (size := records.stat().st_size) and time.monotonic() < end:
        time.sleep(0.5)


def main(command, *words):
    if command == "keys":
        return keys(Path(words[0])) or 0
    if command == "dkim":
        faults = run_dkim(Path(words[0]), *map(int, words[1:]))
    else:
        faults = run_hostile(int(words[0]), int(words[1]), Path(words[2]))
    for fault in faults[:10]:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
