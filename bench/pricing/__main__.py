"""Write the tables of docs/pricing.md and draw its pictures.

python -m bench.pricing
"""

import re
from pathlib import Path
from typing import Final

from bench.pricing.plots import draw
from bench.pricing.tables import tables

DOCS: Final = Path(__file__).parents[2] / "docs"
PAGE: Final = DOCS / "pricing.md"


def main() -> None:
    """Replace what stands between the marks of each table, and the pictures."""
    made = tables()
    page = PAGE.read_text(encoding="utf-8")
    for name, table in made.items():
        page = with_table(page, name, table)
    PAGE.write_text(page, encoding="utf-8")
    draw(DOCS / "img")


def with_table(page: str, name: str, table: str) -> str:
    """The page with this table between its marks."""
    begin, end = f"<!-- table {name} -->\n", "\n<!-- end -->"
    marked = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    page, found = marked.subn(lambda _match: f"{begin}{table}{end}", page)
    assert found == 1, f"{PAGE} has {found} places for the table {name}"
    return page


if __name__ == "__main__":
    main()
