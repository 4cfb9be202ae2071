"""Mail as people send it, from a fixed seed: the message of workload C in `perf/compare --inspect`."""

import base64
import random

WORDS = (
    "the of and to in a is for you that on with your we this be are it as have or our at not by from will can "
    "account order team meeting service information business update message support payment report project "
    "contact customer company product week month year people change request question answer version list "
    "system office phone market price delivery document review schedule conference monday friday january "
    "travel hotel ticket receipt total amount school student research results paper weather music video photo "
    "thanks regards hello wrote said think know need want help find read write send received following"
).split()
TEXT_OCTETS = 16 * 1024
HEADER = """\
From: "Jordan Miller" <jordan.miller@example.org>
To: team@example.net
Subject: Minutes of the meeting
Date: Mon, 11 Mar 2024 10:11:12 +0100
Message-ID: <20240311.101112.7@example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="=-mix"

"""
ALTERNATIVE = """\
--=-mix
Content-Type: multipart/alternative; boundary="=-alt"

--=-alt
Content-Type: text/plain; charset=utf-8

{text}
--=-alt
Content-Type: text/html; charset=utf-8

<html><head><style>p {{ font-family: sans-serif; color: #222 }}</style></head><body>
{html}
</body></html>
--=-alt--
"""
ATTACHMENT = """\
--=-mix
Content-Type: application/pdf; name="minutes.pdf"
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename="minutes.pdf"

{encoded}--=-mix--
"""


def realistic(octets, seed=7):
    """A message of about `octets`: text, the same as HTML with links, and a PDF, mostly compressed."""
    dice = random.Random(seed)
    paragraphs = list(prose(dice))
    text = "\n".join(paragraphs)
    html = "\n".join(marked_up(paragraph, number) for number, paragraph in enumerate(paragraphs))
    head = HEADER + ALTERNATIVE.format(text=text, html=html)
    room = (octets - len(head) - len(ATTACHMENT)) * 57 // 78
    pdf = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n" + dice.randbytes(max(room, 0))
    encoded = base64.encodebytes(pdf).decode()
    return (head + ATTACHMENT.format(encoded=encoded)).replace("\n", "\r\n").encode()


def prose(dice):
    """Lines of sentences, as long as lines of mail."""
    made = 0
    while made < TEXT_OCTETS:
        words = dice.choices(WORDS, k=dice.randint(6, 14))
        line = " ".join(words).capitalize() + dice.choice([".", ".", ",", "?"])
        made += len(line) + 2
        yield line


def marked_up(line, number):
    link = f' <a href="https://www.example.org/a/{number}">more of it</a>' if number % 8 == 0 else ""
    return f'<p style="margin: 0 0 8px 0" class="t">{line}{link}</p>'
