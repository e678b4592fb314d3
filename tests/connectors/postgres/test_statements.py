"""SQL has one place: short statements beside their use, longer ones in files with names."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import connectors
from connectors.postgres.statements import FOLDER

CODE: Final = sorted(Path(connectors.__path__[0]).glob("**/*.py"))
STATEMENT: Final = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|COPY)\b")
SHORT_LINES: Final = 4


def long_statements(source: str) -> Iterator[str]:
    """The SQL literals of a Python file that belong in files of their own."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=str(text)) if STATEMENT.match(text):
                if len(text.strip().splitlines()) > SHORT_LINES:
                    yield text


def read_by(source: str) -> Iterator[str]:
    """The files of statements that a Python file reads."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id="read_statement"), args=[ast.Constant(value=str(name))]):
                yield name


def test_each_file_is_read_once() -> None:
    """A statement that nothing runs any more is still read, and mended, by people."""
    files = [file.stem for file in FOLDER.iterdir()]
    assert sorted(files) == sorted(name for file in CODE for name in read_by(file.read_text()))


def test_long_statements_are_in_files() -> None:
    """With two places for the same kind of statement, a change of a table misses one of them."""
    assert [] == [text for file in CODE for text in long_statements(file.read_text())]


def test_a_long_statement_is_found() -> None:
    """A search that finds nothing anywhere would let every statement pass."""
    assert [] == list(long_statements('QUERY = "SELECT 1"'))
    assert 1 == len(list(long_statements('QUERY = """\nSELECT\n1,\n2,\n3,\n4\n"""')))
