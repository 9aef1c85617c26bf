#!/usr/bin/env python3
"""rows.py FILE: the rows of a Parquet file as JSON lines, first as PyArrow reads them, then as DuckDB does.

Each reader begins with a line of its name, the number of its row groups and the types of the columns."""
import datetime, decimal, json, sys

import duckdb
import pyarrow.parquet as parquet


def plain(value):
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.") + "%03dZ" % (value.microsecond // 1000)
    return format(value, "f") if isinstance(value, decimal.Decimal) else value


def show(reader, groups, types, rows):
    print(json.dumps({"reader": reader, "groups": groups, "types": types}))
    for row in rows:
        print(json.dumps({name: plain(value) for name, value in row.items()}))


path = sys.argv[1]
file = parquet.ParquetFile(path)
types = {field.name: str(field.type) for field in file.schema_arrow}
show("pyarrow", file.num_row_groups, types, file.read().to_pylist())

connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
# Without the package pytz DuckDB gives no aware datetime: ask for the text.
described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [path]).fetchall()
types = {name: kind for name, kind, *_ in described}
columns = ", ".join(
    "strftime(%s, '%%Y-%%m-%%dT%%H:%%M:%%S.%%gZ') AS %s" % (name, name) if kind.startswith("TIMESTAMP") else name
    for name, kind in types.items())
found = connection.execute("SELECT %s FROM read_parquet(?)" % columns, [path])
names = [column[0] for column in found.description]
groups = connection.execute("SELECT count(DISTINCT row_group_id) FROM parquet_metadata(?)", [path]).fetchone()[0]
found = connection.execute("SELECT %s FROM read_parquet(?)" % columns, [path])
show("duckdb", groups, types, [dict(zip(names, row)) for row in found.fetchall()])
