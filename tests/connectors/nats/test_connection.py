"""An outage as its operator sees it: logged when it begins and ends, an error at its limit."""

import asyncio
import logging

import pytest
from nats.errors import NoRespondersError
from nats.js.errors import APIError

from connectors.nats.connection import Retry, translate_errors
from state.errors import LogReplaced, ServerUnreachable
from walras_client.nats.errors import Disconnected


def retry(*, limit_s: float = 60.0) -> Retry:
    return Retry("the log cannot be read", hint="Wait", limit_s=limit_s, at_limit=LogReplaced)


def test_an_outage_is_logged_when_it_begins_and_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A line for each attempt buries all others; none at the end leaves an operator guessing."""
    caplog.set_level(logging.INFO)

    async def two_outages() -> None:
        reading = retry()
        reading.reset()
        for attempts in (2, 1):
            for _ in range(attempts):
                await reading.wait(Disconnected())
            reading.reset()

    asyncio.run(two_outages())
    begins = "the log cannot be read, retrying: the connection was lost"
    ends = "recovered after 0 s: the log cannot be read"
    assert [begins, ends] * 2 == [record.getMessage() for record in caplog.records]


def test_at_the_limit_the_error_says_what_failed_and_for_how_long() -> None:
    """A flow that retries for ever is up for its supervisor and down for everyone else."""
    with pytest.raises(LogReplaced) as error:
        asyncio.run(retry(limit_s=0.0).wait(Disconnected()))
    assert ("the log cannot be read", "the connection was lost (given up after 0 s)", "Wait") == (
        error.value.what,
        error.value.detail,
        error.value.hint,
    )


@pytest.mark.parametrize(
    ("failure", "detail"),
    [
        (NoRespondersError(), "nats://host: no responders"),
        (APIError(code=500, err_code=10077, description="full"), "nats://host: full (code 10077)"),
    ],
)
def test_what_nats_fails_with_is_an_unreachable_server(failure: Exception, detail: str) -> None:
    """A traceback of the network tells an operator nothing of what to do."""
    with pytest.raises(ServerUnreachable) as error, translate_errors("no", of="nats://host"):
        raise failure
    assert detail == error.value.detail


def test_other_errors_are_left_as_they_are() -> None:
    """A mistake of ours that is reported as an outage is waited for, and never found."""
    with pytest.raises(KeyError), translate_errors("no", of="nats://host"):
        raise KeyError
