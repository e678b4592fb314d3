"""A mutant is one named mistake: a text of the product, and what a tired hand made of it."""

from dataclasses import dataclass

ADMIT, ALLOCATE, CLEAR = "operators/admit.py", "operators/allocate.py", "operators/clear.py"
ADMIT_COLUMNS, CLEAR_COLUMNS = "operators/admit_columns.py", "operators/clear_columns.py"
ORDER_BOOK = "operators/order_book.py"
CUT, DECODE, JOIN = "operators/windows.py", "operators/decode.py", "operators/join_prices.py"
COLUMNS, STRICT = "operators/columns.py", "operators/strict.py"
SETTLE, ANNOUNCE, DIGEST = "operators/settle.py", "operators/results.py", "operators/digest.py"
BOOK, MARKET, SEEN = "state/accounts.py", "state/market.py", "state/dedupe.py"
NUMBERS = "state/names.py"
METER, METERED, LOTS = "operators/meter.py", "operators/metering.py", "state/lots.py"
METER_ROWS = "connectors/postgres/ledger/meter_rows.py"
READ_METERS = "connectors/postgres/ledger/read_meters.py"
NAMES = "schemas/walras_schemas/names.py"
KEYED, SHUTDOWN = "operators/keyed.py", "flows/runtime/shutdown.py"
SUPERVISOR, PROCESSES = "flows/runtime/supervisor.py", "flows/runtime/processes.py"
CHILD = "flows/runtime/child_process.py"
WORKER, ROUTE = "flows/runtime/worker.py", "flows/allocation.py"
SOURCE, READER = "connectors/nats/source.py", "connectors/nats/reader.py"
RESULTS_PUBLISHER = "connectors/nats/results_publisher.py"
MISSING_WINDOWS = "connectors/nats/missing_windows.py"
WRITER, TRANSACTION = "connectors/postgres/writer.py", "connectors/postgres/ledger/transaction.py"
UPSERTS = "connectors/postgres/ledger/upserts.py"

# The sharpest first: they answer soonest, and say the most about what is wrong.
SHARP = ["clear", "allocate", "settle", "windows", "join_prices", "results", "guards", "precedence"]
BROAD = ["replay", "columns", "properties", "decode", "two_ways", "alone", "truthfulness"]
WHOLE = ["machine", "twin"]
_core, _fast = (
    tuple(f"tests/operators/test_{name}.py" for name in names)
    for names in (SHARP, [*BROAD, *WHOLE])
)
CORE_TESTS = (*_core, "tests/stories", *_fast)
DECODING_TESTS = ("tests/operators/test_columns.py", "tests/operators/test_decode.py")
ADMISSION_TESTS = tuple(
    f"tests/operators/test_{name}.py"
    for name in ("guards", "allocate", "precedence", "two_ways", "twin")
)
CLEARING_TESTS = tuple(
    f"tests/operators/test_{name}.py"
    for name in ("clear", "settle", "guards", "properties", "two_ways")
)
METER_TESTS = (
    "tests/operators/test_meter.py",
    "tests/operators/test_meter_precedence.py",
    "tests/stories",
)
REAL_WINDOWS_TESTS = ("tests/connectors/postgres/ledger/test_real_windows.py",)
GOLDEN_TESTS = ("tests/golden",)
LIFECYCLE_TESTS = (
    "tests/operators/test_keyed.py",
    "tests/flows/runtime/test_shutdown.py",
    "tests/flows/runtime/test_supervisor.py",
    "tests/flows/runtime/test_child_process.py",
    "tests/flows/runtime/test_processes.py",
)
NATS_TESTS = (
    "tests/connectors/nats/test_source.py",
    "tests/connectors/nats/test_results_publisher.py",
)
POSTGRES_TESTS = (
    "tests/connectors/postgres/test_close.py",
    "tests/connectors/postgres/test_writer.py",
    "tests/connectors/postgres/ledger/test_transaction.py",
    "tests/connectors/postgres/ledger/test_claim.py",
)
CRASH_TESTS = ("tests/crash/test_failpoints.py",)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mistake."""

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...] = CORE_TESTS
    """Where it has to be noticed."""
