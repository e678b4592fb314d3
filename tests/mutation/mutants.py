"""All mutants, in the order of a bid's way: the definition first, then the fast way.

Promise: `before` stands exactly once in its file, so that a mutant whose source has moved is seen
at once (test_mutants) and never silently tests nothing.
"""

from tests.mutation.clearing import CLEARING
from tests.mutation.columns import ADMISSION, CLEARING_COLUMNS, DECODING
from tests.mutation.judging import JUDGING

MUTANTS = [*JUDGING, *CLEARING, *DECODING, *ADMISSION, *CLEARING_COLUMNS]
