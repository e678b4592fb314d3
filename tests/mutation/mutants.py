"""All mutants: the core in the order of a bid's life, then its fast way.

Promise: `before` stands exactly once in its file, so that a mutant whose source has moved is seen
at once (test_mutants) and never silently tests nothing.
"""

from tests.mutation.clearing import CLEARING
from tests.mutation.columns import FAST
from tests.mutation.judging import JUDGING

MUTANTS = [*JUDGING, *CLEARING, *FAST]
