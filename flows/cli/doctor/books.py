"""The audit of the books as checks of the doctor."""

from collections.abc import Iterator

from connectors.postgres.reads.books import audit_books
from flows.cli.doctor.checks import Finding, Verdict
from flows.cli.doctor.servers import running_servers
from flows.runtime.settings import Settings
from state.errors import BooksBroken, WalrasError

HINT = "`walras audit` names the rows"


def examine_books(settings: Settings) -> Iterator[Finding]:
    """Check the ledger of the servers that run; without one there is nothing to check."""
    dsn = running_servers(settings).postgres_dsn
    if dsn is None:
        return
    try:
        verdicts = audit_books(dsn, market=None, progress=lambda _doing, _done, _total: None)
    except WalrasError as failure:
        found = f"{failure.what}: {failure.detail}"
        yield Finding("books", Verdict.FAIL, found, failure.hint, failure.exit_code)
        return
    for verdict in verdicts:
        if verdict.violations:
            found = f"{verdict.violations:,} times not: {verdict.promise}"
            yield Finding("books", Verdict.FAIL, found, HINT, BooksBroken.exit_code)
        else:
            yield Finding("books", Verdict.OK, verdict.promise)
