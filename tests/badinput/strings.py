"""Strings that break programs: what people paste, what attackers send, what Unicode allows.

**Promise:** each string is here for a program that was once wrong about one like it. They are
written or generated here; the well-known public lists of such strings are the model, not the
source.
"""

import re
from itertools import chain
from typing import Final

EMPTY_OR_NOT: Final = (
    *("", " ", "\t", "\n", "\r\n", "null", "NULL", "None", "nil", "undefined", "void", "NaN", "-"),
    *("true", "false", "TRUE", "yes", "no", "on", "off", "0", "-0", "1", "-1", "00", "01", "1.0"),
    *("1e3", "0x1F", "1,5", "1_000", "Infinity", "-Infinity", "1/0", "9" * 19, "9" * 400, "\u0663"),
    *("\uff11\uff12", "\u00bd", "\u2155", "\u5341", "2038-01-19T03:14:08Z", "12:60", "29.2.1900"),
)
NEARLY_NAMES: Final = (
    *(
        "a",
        "a1",
        "gpu",
        "m1",
        "A1",
        "a.b",
        "a b",
        " a1",
        "a1 ",
        "-a",
        "_a",
        "a*",
        "a\n",
        "a\x00",
        "\u00e41",
    ),
    *("treasury", "house", "Treasury", "HOUSE", "tre\u0430sury", "h\u03bfuse", "a" * 64, "a" * 65),
    *(
        "con",
        "nul",
        "lpt1",
        "bid_placed",
        "type",
        "event_id",
        "__proto__",
        "constructor",
        "__class__",
    ),
)
FOR_SQL: Final = (
    *(
        "'",
        '"',
        "''",
        "\\",
        "\\\\",
        "\\'",
        "';--",
        '");--',
        "$$",
        "$tag$",
        "E'\\x00'",
        "U&'\\0041'",
    ),
    "a1'; DROP TABLE ledger.bid; --",
    "a1' OR balance_micros > 0 --",
    "'); COPY ledger.account TO PROGRAM 'cat'; --",
    *(
        "\\.",
        "\\N",
        "\\n\\.\n",
        "a\tb\\tc",
        "PGCOPY\n\xff\r\n\x00",
        "%s",
        "%(shard)s",
        ":name",
        "?",
        "$1",
    ),
)
FOR_SHELLS_AND_PAGES: Final = (
    *(
        "$(reboot)",
        "`reboot`",
        "${HOME}",
        "; reboot",
        "| reboot",
        "&& reboot",
        "> x",
        "-rf",
        "--help",
    ),
    *(
        "../../../etc/passwd",
        "..\\..\\boot.ini",
        "C:\\nul",
        "file:///etc/passwd",
        "~",
        "x" + "/.." * 50,
    ),
    *(
        "%n%n%s",
        "%00",
        "%0d%0a",
        "{0}",
        "{x.__class__}",
        "{{7*7}}",
        "#{7*7}",
        "<%= 7 %>",
        "${jndi:x}",
    ),
    "<script>alert('sold')</script>",
    '"><img src=x onerror=alert(1)>',
    "<!DOCTYPE a [<!ENTITY b SYSTEM 'x'>]><a>&b;</a>",
    *(
        "&lt;&#0;&amp;",
        "javascript:alert(1)",
        "data:text/html,x",
        "=1+1",
        "@SUM(A1)",
        "+cmd|' /c x'!A1",
    ),
    *("\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x08\x08\x08", "a\rb", "\x9b2J", "[bold]x[/bold]"),
)
FOR_THE_BROKER: Final = (
    *(
        "*",
        ">",
        ".",
        "..",
        "a..b",
        ".a",
        "a.",
        "market.*.bid.>",
        "market.m1.bid.a1",
        "$JS.API.>",
        "$SYS.>",
    ),
    *(
        "_INBOX.a.b",
        "clock.0",
        "shard.0.market.m1.bid.a1",
        "result.m1.a1",
        "{{wildcard(1)}}",
        "$1.bid",
    ),
    *(
        "a\r\nPUB market.m1.grant 2\r\n{}\r\n",
        "NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n",
        "+OK\r\n",
        "PING\r\n",
    ),
)
SENTENCES: Final = (
    "J\u00f6rg k\u00e4uft s\u00fc\u00dfe \u00c4pfel f\u00fcr f\u00fcnf \u20ac",
    "L'\u0153uvre na\u00efve co\u00fbte tr\u00e8s cher",
    "\u0421\u043a\u043e\u043b\u044c\u043a\u043e \u0441\u0442\u043e\u0438\u0442 \u0447\u0430\u0441?",
    "\u03a4\u03b9 \u03ba\u03bf\u03c3\u03c4\u03af\u03b6\u03b5\u03b9;",
    "\u5e02\u573a\u5728\u6bcf\u4e2a\u7a97\u53e3\u7ed3\u7b97",
    "\u5165\u672d\u306f\u7de0\u3081\u5207\u308a\u307e\u3057\u305f",
    "\uc2dc\uc7a5\uc740 \uc5f4\ub824 \uc788\ub2e4",
    "\u0627\u0644\u0633\u0648\u0642 \u0645\u0641\u062a\u0648\u062d 24",
    "\u05d4\u05e9\u05d5\u05e7 \u05e4\u05ea\u05d5\u05d7 24",
    "\u092c\u093e\u091c\u093c\u093e\u0930 \u0916\u0941\u0932\u093e \u0939\u0948",
    "\u0e15\u0e25\u0e32\u0e14\u0e40\u0e1b\u0e34\u0e14\u0e2d\u0e22\u0e39\u0e48",
    "Di\u1ec5n \u0111\u00e0n ch\u1ee3 m\u1edf c\u1eeda",
)
UNICODE: Final = (
    *(
        "\u0130\u0131I\u0307",
        "\u1e9e\u00df\ufb01\ufb03",
        "\u01c4\u01c5\u01c6",
        "\u00e9",
        "e\u0301",
    ),  # case and form
    *(
        "\U0001d41a\U0001d7d9",
        "\uff41\uff11",
        "\u212a\u212b",
        "\u2168",
        "\u00aa\u00ba",
        "\ufdfa",
        "\u0149",
    ),
    "a" + "".join(chr(0x300 + mark % 0x70) for mark in range(200)),  # marks heaped on one letter
    *("\u202eabc\u202c", "\u2066a\u2069", "\u200f", "\u061c", "a\u202ebid"),  # direction
    *(
        "\u200b",
        "\u200c\u200d",
        "\u2060",
        "\ufeff",
        "\u00ad",
        "\u034f",
        "\u180e",
        "\U000e0041",
        "\ufe0f",
    ),
    *(
        "\U0001f600",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\U0001f44d\U0001f3ff",
        "1\ufe0f\u20e3",
    ),
    *("\U0001f1e9\U0001f1ea", "\U0001f1e9", "\U0001f3f4\U000e0067\U000e007f"),
    *(chr(space) for space in (0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)),
    *(chr(control) for control in chain(range(0x20), range(0x7F, 0xA0), (0x2028, 0x2029))),
    *(chr((plane << 16) + last) for plane in range(17) for last in (0xFFFE, 0xFFFF)),
    *("\ue000", "\U000f0000", "\U0010fffd", "\u0378", "\ufffd", "\ufff9a\ufffab\ufffb", "\ufdd0"),
    *(
        "\ud800",
        "\udbff",
        "\udc00",
        "\udfff",
        "\ude00\ud83d",
        "a\ud800b",
        "\udcff\udcfe",
    ),  # half pairs
)
LONG: Final = (
    "x" * 10_000,
    "\u00fc" * 10_000,
    "\x00" * 1000,
    "'" * 1000,
    "\\" * 1001,
    "\U0001f600" * 1000,
)

STRINGS: Final = list(
    dict.fromkeys(
        chain(
            EMPTY_OR_NOT,
            NEARLY_NAMES,
            FOR_SQL,
            FOR_SHELLS_AND_PAGES,
            FOR_THE_BROKER,
            SENTENCES,
            UNICODE,
            LONG,
        )
    )
)
"""All of them, each once."""

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


def as_stored(text: str) -> str:
    """The text as the ledger page says that Postgres keeps it: NUL and half pairs written out."""
    return _UNSTORABLE.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\u{code:04x}" if code else "\\x00"
