"""All mutants: the core (the definition, then the fast way), how it is run, and its edges.

Promise: `before` stands exactly once in its file, so that a mutant whose source has moved is seen
at once (test_mutants) and never silently tests nothing.
"""

from tests.mutation.clearing import CLEARING
from tests.mutation.columns import FAST
from tests.mutation.connectors import CONNECTORS
from tests.mutation.judging import JUDGING
from tests.mutation.lifecycle import LIFECYCLE
from tests.mutation.metering import METERING

MUTANTS = [*JUDGING, *CLEARING, *FAST, *METERING, *LIFECYCLE, *CONNECTORS]
