"""Texts that every JSON reader must accept, and texts that every one must refuse (RFC 8259).

**Promise:** each text stands alone and fits between two elements of an array, where it is still
what it is. Each value is here bare, in an array and in an object. No text is nearly too deep or too
long.
"""

import json
from collections.abc import Iterator
from typing import Final

NUMBERS: Final = (
    *("0", "-0", "7", "-7", "10", "1234567890", "0.5", "-0.5", "0.0", "123.456", "1.000000000001"),
    *("1e1", "1E1", "1e+1", "1E+1", "1e-1", "1E-1", "0e0", "0E+0", "-0e-0", "0.0e+00", "12.5e007"),
    *("1e400", "-1e400", "1e-400", "1" + "0" * 40, "-" + "9" * 5000, "0." + "3" * 5000),
    *("9007199254740993", "9223372036854775808", "18446744073709551616", "-9223372036854775809"),
)
NO_NUMBERS: Final = (
    *("+1", "++1", "--1", "-", "-a", "- 1", "01", "-01", "00", "0 1", "1 000", "1_000", "1'000"),
    *("1.", "-1.", ".5", "-.5", ".", "1..2", "1.2.3", "1.e1", ".e1", "1.2e", "1e", "1E", "1e+"),
    *("1E-", "1ee1", "1e1e1", "1e1.5", "1e 1", "1e+-1", "0x1", "0X1F", "0o7", "0b1", "0e", "1f"),
    *("1L", "1n", "1%", "$1", "1/2", "NaN", "-NaN", "nan", "Infinity", "-Infinity", "+Infinity"),
    *(
        "inf",
        "-inf",
        "Inf",
        "\u221e",
        "\uff11",
        "\u0661",
        "\u00b2",
        "1\u00a0",
        "\u22121",
        "1\u0430",
    ),
)
TEXTS: Final = (
    '""',
    '"bid"',
    '"a b\u00a0c"',
    '"\\"\\\\\\/\\b\\f\\n\\r\\t"',
    *(f'"\\u{code:04x}"' for code in (*range(0x20), 0x7F, 0x80, 0x85, 0xFF, 0x2028, 0xFEFF)),
    *(f'"\\u{code:04X}"' for code in (0xD800, 0xDBFF, 0xDC00, 0xDFFF, 0xFDD0, 0xFFFE, 0xFFFF)),
    '"\\ud83d\\ude00"',
    '"\\ude00\\ud83d"',
    '"\\ud83dx\\ude00"',
    '"\\ud83d\\ud83d"',
    '"\\\\u0041"',
    *(f'"{chr(code)}"' for code in (0x7F, 0x80, 0x9F, 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF)),
    *(f'"{chr(code)}"' for code in (0xE000, 0x10000, 0x1F600, 0x1FFFF, 0x10FFFF)),
    '"' + "\u00fc" * 3000 + '"',
    '"[{,:}]\'//#"',
)
NO_TEXTS: Final[tuple[bytes, ...]] = (
    *(
        b"'bid'",
        b"`bid`",
        b"bid",
        b'"bid',
        b'bid"',
        b'"""',
        b'"a"b"',
        b'"a" "b"',
        b"\xe2\x80\x9ca\xe2\x80\x9d",
    ),
    *(
        b'"\\"',
        b'"\\',
        b'"\\x41"',
        b'"\\a"',
        b'"\\0"',
        b'"\\\'"',
        b'"\\u"',
        b'"\\u12"',
        b'"\\u123"',
    ),
    *(b'"\\u123g"', b'"\\U00000041"', b'"\\u{41}"', b'"\\u 041"', b'"\\u+041"', b'"\\\xc3\xbc"'),
    *(b'"a' + bytes([code]) + b'b"' for code in range(0x20)),
    *(b'"' + bytes([code]) + b'"' for code in (0x80, 0xBF, 0xC0, 0xC1, 0xF5, 0xFE, 0xFF)),
    *(b'"\xc0\xaf"', b'"\xe0\x80\xaf"', b'"\xf0\x80\x80\xaf"', b'"\xc0\x80"'),  # longer than needed
    *(b'"\xed\xa0\x80"', b'"\xed\xbf\xbf"', b'"\xed\xa0\xbd\xed\xb8\x80"'),  # surrogates
    *(b'"\xf4\x90\x80\x80"', b'"\xf8\x88\x80\x80\x80"'),  # beyond the last code point
    *(b'"\xe2\x82"', b'"\xf0\x9f\x98"', b'"\xc3"', b'"\xc3("', b'"\xe2(\xa1"'),  # cut short
)
LITERALS: Final = ("null", "true", "false")
NO_LITERALS: Final = (
    *("nul", "nulll", "Null", "NULL", "None", "nil", "tru", "truee", "True", "TRUE", "yes", "on"),
    *("fals", "False", "FALSE", "no", "undefined", "void", "n ull", "null\x00", "tr\u00fce", "$x"),
)
SHAPES: Final = (
    *(
        "[]",
        "{}",
        "[[]]",
        "[{}]",
        '{"a":{}}',
        '{"a":[]}',
        "[[],[[]]]",
        '{"":0}',
        '{"a":1,"b":[2,{}]}',
    ),
    *(" [ ] ", "\t{\n}\r", ' { "a" : [ 1 , 2 ] } ', "\n1\n", "\t\r\n null \n\r\t"),
    *(
        '{"a":1,"a":1}',
        '{"a":1,"\\u0061":2}',
        '{"a b":1}',
        '{"\\u0000":1}',
        '{"\\ud800":1}',
        '{"]":"["}',
    ),
    *("[" * 90 + "]" * 90, '{"a":' * 90 + "1" + "}" * 90),
)
NO_SHAPES: Final[tuple[bytes, ...]] = (
    *(b"", b" ", b"\n", b"[", b"]", b"{", b"}", b"[[", b"]]", b"{}}", b"[]]", b"[[]", b"[}", b"{]"),
    *(
        b"[1",
        b"[1,",
        b"[1,]",
        b"[,]",
        b"[,1]",
        b"[1,,2]",
        b"[1 2]",
        b"[1;2]",
        b"[1:2]",
        b"[1}",
        b"(1)",
    ),
    *(b'{"a"}', b'{"a":}', b'{"a":1', b'{"a":1,', b'{"a":1,}', b'{,"a":1}', b'{"a":1,,"b":2}'),
    *(b'{"a" 1}', b'{"a"::1}', b'{"a"=1}', b'{"a":1 "b":2}', b'{"a":1;"b":2}', b'{"a":1]', b"{:1}"),
    *(
        b"{1:2}",
        b"{null:2}",
        b"{a:1}",
        b"{'a':1}",
        b'{["a"]:1}',
        b'{"a","b"}',
        b'{"a":1:2}',
        b"{{}}",
    ),
    *(
        b"{}{}",
        b"[][]",
        b"{} []",
        b"1 2",
        b"null null",
        b"{}x",
        b"[]#",
        b"1//",
        b"[1]//x",
        b"{...}",
    ),
    *(
        b"//x\n1",
        b"/**/1",
        b"1/**/",
        b"#x\n1",
        b"--x\n1",
        b"<a/>",
        b"a=1",
        b"a: 1",
        b"!!int 1",
        b"[1]\\",
    ),
    *(b"\x001", b"1\x00", b"\x0b1", b"\x0c1", b"\x1f1", b"\x7f1", b"\x851", b"1\x1a", b"\x04"),
    *(
        b"\xc2\xa01",
        b"\xc2\x851",
        b"\xe2\x80\xa81",
        b"\xe2\x81\xa01",
        b"\xe3\x80\x801",
        b"\xe1\x9a\x801",
    ),
    *(
        b"\xef\xbb\xbf1",
        b"\xef\xbb\xbf{}",
        b"\xef\xbb\xbf",
        b"\xff",
        b"\xfe\xff",
        b"1\xff",
        b"{\xe9}",
    ),
    *(
        "[1]".encode(coding)
        for coding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le")
    ),
    b"\x1f\x8b\x08\x00",
    b"%PDF-1.7",
    b"\x82\xa1a\x01\xa1b\x02",
)


def _in_places(value: bytes) -> Iterator[bytes]:
    yield value
    yield b"[" + value + b"]"
    yield b'{"k":' + value + b"}"


def _accepted() -> Iterator[bytes]:
    for value in (*NUMBERS, *TEXTS, *LITERALS):
        yield from _in_places(value.encode())
    yield from (shape.encode() for shape in SHAPES)


def _refused() -> Iterator[bytes]:
    no_values = (value.encode() for value in (*NO_NUMBERS, *NO_LITERALS))
    for value in (*no_values, *NO_TEXTS):
        yield from _in_places(value)
    yield from NO_SHAPES


MUST_ACCEPT: Final = list(_accepted())
MUST_REFUSE: Final = list(_refused())


def elements(text: bytes) -> int | None:
    """How many elements the array has that the text is; None for what is no array."""
    document = json.loads(text, parse_int=str)  # Python converts no more than 4 300 digits
    return len(document) if isinstance(document, list) else None
