"""Which messages are traced is decided at the door, by every process alike."""

import pytest

from otel.propagation import Door, parse, span_id

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def head(value: str) -> bytes:
    return f"NATS/1.0\r\nNats-Msg-Id: 1\r\ntraceparent: {value}\r\n\r\n".encode()


@pytest.mark.parametrize("flags", ["01", "03", "ff"])
def test_a_sampled_message_names_its_parent(flags: str) -> None:
    """A parent that is misread breaks the trace in two."""
    assert (int(TRACE, 16), int(SPAN, 16)) == parse(head(f"00-{TRACE}-{SPAN}-{flags}"))


@pytest.mark.parametrize(
    "value",
    [
        f"00-{TRACE}-{SPAN}-00",
        f"00-{TRACE}-{SPAN}-02",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-x",
        "nonsense",
        "",
    ],
)
def test_everything_else_is_not_traced(value: str) -> None:
    """Whatever an agent writes there must not stop the reader, nor cost a span."""
    assert parse(head(value)) is None
    assert [] == Door(1.0).sampled([head(value), b"", b"\xff\xfe traceparent"])


def test_the_share_depends_on_the_trace_alone() -> None:
    """Two processes, or one before and after a crash, must agree; a sender must not decide."""
    heads = [head(f"00-{number * 0x9E3779B97F4A7C15 + 1:032x}-{SPAN}-01") for number in range(4000)]
    some = Door(0.25).sampled(heads)
    assert some == Door(0.25).sampled(heads)
    assert 800 < len(some) < 1200
    assert {place for place, _ in some} <= {place for place, _ in Door(0.5).sampled(heads)}
    assert [] == Door(0.0).sampled(heads)
    assert len(heads) == len(Door(1.0).sampled(heads))


def test_ids_follow_from_the_place() -> None:
    """A span that is made again after a crash must be the same span, and no other's."""
    assert span_id("log", "bid", 7, 0) == span_id("log", "bid", 7, 0)
    places = [("log", "bid", 7, 1), ("log", "bid", 8, 0), ("log2", "bid", 7, 0), ("log", "x", 7, 0)]
    assert 4 == len({span_id(*place) for place in places})
