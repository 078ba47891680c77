"""Tables as Parquet files, written so that a file is either whole or absent.

The only module that imports DuckDB. Knows no folder layout and no meaning of columns. Nothing is executed
that a file brings: names are quoted, and no extension is ever loaded.
"""

import os
from collections.abc import Mapping, Sequence
from functools import cache
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sim.errors import RunError
from sim.study.interrupts import interrupts_deferred
from sim.study.tables import Column, Table, canonical

if TYPE_CHECKING:
    import duckdb

_SQL_TYPES = {"O": "VARCHAR", "i": "BIGINT", "f": "DOUBLE"}


def connect() -> "duckdb.DuckDBPyConnection":
    """An in-memory connection with one thread that reaches neither the network nor any extension."""
    import duckdb

    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    return duckdb.connect(":memory:", config=settings)


@cache
def _shared_connection() -> "duckdb.DuckDBPyConnection":
    """What all reads and writes of this process have cursors of: a new one takes 8 ms, as long as reading a column."""
    return connect()


def quoted_name(name: str) -> str:
    """An SQL identifier for any text."""
    return '"' + name.replace('"', '""') + '"'


def quoted_text(text: str) -> str:
    """An SQL literal for any text."""
    return "'" + text.replace("'", "''") + "'"


def write_table(path: Path, table: Table) -> None:
    """Write a table under a temporary name, make it durable, then give it its name.

    Raises OSError if the file system refuses; nothing is left behind then.
    """
    write_canonical(path, canonical(table))


@interrupts_deferred()  # DuckDB swallows a KeyboardInterrupt that is raised inside it: Ctrl-C would be lost
def write_canonical(path: Path, columns: Table) -> None:
    """The same of a table whose columns are in their stored form already, as `merge` leaves them."""
    import duckdb

    temporary = path.with_name(f".{path.name}.tmp")
    target = quoted_text(str(temporary.absolute()))
    try:
        with _shared_connection().cursor() as connection:
            rows, casts = _encoded(connection, columns)
            connection.register("rows_to_write", rows)
            connection.execute(f"COPY (SELECT {', '.join(casts)} FROM rows_to_write) TO {target} (FORMAT parquet)")
        publish(temporary, path)
    except duckdb.Error as error:
        raise OSError(f"{path}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _encoded(connection: "duckdb.DuckDBPyConnection", columns: Table) -> tuple[Table, list[str]]:
    """Columns of numbers only, and the SQL that makes the table of them.

    Texts are handed over once per content and by number in the rows: of an array of objects DuckDB looks for Pandas at
    each value, on the disk where Pandas is not installed. So it does for each statement: all columns have one list.
    """
    rows: Table = {}
    casts = []
    numbers: dict[str, int] = {}
    for i, (name, values) in enumerate(columns.items()):
        source = f"c{i}"
        rows[source] = values
        if values.dtype.kind == "O":
            texts = values.tolist()
            for text in dict.fromkeys(texts):
                numbers.setdefault(text, len(numbers))
            rows[source] = np.fromiter(map(numbers.__getitem__, texts), np.int64, len(texts))
            source = f"getvariable('texts')[{source} + 1]" if texts else "NULL"
        casts.append(f"CAST({source} AS {_SQL_TYPES[values.dtype.kind]}) AS {quoted_name(name)}")
    if numbers:
        connection.execute("SET VARIABLE texts = $1", [list(numbers)])
    return rows, casts


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) the same way: whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def publish(temporary: Path, path: Path) -> None:
    """Flush a finished file to the disk, then rename it; the rename itself is made durable too."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    if os.name == "posix":
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


@interrupts_deferred()
def read_table(path: Path, columns: Sequence[str] = (), equal: Mapping[str, object] | None = None) -> Table:
    """Read a table as it was written (NaN for NULL).

    Parameters
    ----------
    path : Path
    columns : what to read; all by default. Nothing else is decoded.
    equal : only rows whose columns have these values.

    Raises RunError with the path if it cannot be read.
    """
    import duckdb

    # DuckDB takes * ? [ in a path for a pattern; escaped, they stand for themselves.
    source = quoted_text(escape(str(path.absolute())))
    wanted = ", ".join(map(quoted_name, columns)) or "*"
    condition = " AND ".join(f"{quoted_name(column)} = ?" for column in equal or {}) or "true"
    query = f"SELECT {wanted} FROM read_parquet({source}) WHERE {condition}"
    try:
        with _shared_connection().cursor() as connection:
            found = connection.execute(query, list((equal or {}).values())).fetchnumpy()
    except duckdb.Error as error:
        raise RunError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    return canonical({name: _unmasked(values) for name, values in found.items()})


@interrupts_deferred()
def shape_of(path: Path) -> tuple[int, list[str]]:
    """Number of rows and names of the columns of a stored table; raises RunError if the file cannot be read."""
    import duckdb

    source = quoted_text(escape(str(path.absolute())))
    try:
        with _shared_connection().cursor() as connection:
            found = connection.execute(f"SELECT count(*) FROM read_parquet({source})").fetchone()
            columns = connection.execute(f"SELECT * FROM read_parquet({source}) LIMIT 0").description
    except duckdb.Error as error:
        raise RunError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    return int(found[0]) if found else 0, [str(column[0]) for column in columns or ()]


def _unmasked(values: Column) -> Column:
    if isinstance(values, np.ma.MaskedArray):  # DuckDB stores NaN of a NumPy array as NULL
        return values.filled(np.nan if values.dtype.kind == "f" else "")
    return values
