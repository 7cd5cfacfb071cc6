#!/usr/bin/env python3
"""Fills the tables and numbers of README.md and docs/ from results/*.tsv, so that none can be stale.

A page has, each on its lines or within a sentence,

    <!-- table NAME --> .. <!-- end -->             every row that NAME.sql selects
    <!-- number NAME.COLUMN --> .. <!-- end -->     one column of its first row

and what stands between is replaced. harness/table/NAME.sql is one query of SQLite. Its tables are the
files of results/, "-" read as "_", and `training`, all of training-RUN.tsv with a column run; the
columns of a result are the headings; `trainings` has for each run its task, tokens and seconds.
Beside SQLite's functions:

    each(order, value)    aggregate: the values in that order, with commas
    interval(k, n)        k right of n: 95 % Clopper-Pearson, in per cent, "97 to 100"
    tokens(n)             16384 as 16K
    rounded(x, digits)    significant digits, thousands apart

Usage: fill.py [--check] [PAGE..]    --check: writes nothing, fails where a page is not what the tables say
"""

import glob
import math
import os
import re
import sqlite3
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MARK = re.compile(r"<!-- (table|number) ([a-z][a-z0-9-]*)(?:\.(\w+))? -->(.*?)<!-- end -->", re.S)


def number(cell):
    """A cell as an integer, else a number, else the text that it is."""
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            pass
    return cell


def at_most(k, n, p):
    """Probability of at most k right of n."""
    if p in (0.0, 1.0):
        return 1.0 if p == 0.0 or k >= n else 0.0
    logs = (math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * math.log(p)
            + (n - i) * math.log1p(-p) for i in range(k + 1))
    return sum(math.exp(x) for x in logs)


def share_where(k, n, probability):
    """The share at which at most k of n has this probability: it falls as the share grows."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if at_most(k, n, middle) > probability else (low, middle)
    return (low + high) / 2


def interval(k, n):
    low = share_where(k - 1, n, 0.975) if k > 0 else 0.0
    high = share_where(k, n, 0.025) if k < n else 1.0
    digits = 1 if n >= 500 else 0
    return f"{100 * low:.{digits}f} to {100 * high:.{digits}f}"


def tokens(n):
    for size, unit in ((1 << 20, "M"), (1 << 10, "K")):
        if n >= size and n % size == 0:
            return f"{n // size}{unit}"
    return str(n)


def rounded(x, digits):
    if x == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(x)))
    return f"{round(x, places):,.{max(places, 0)}f}"


class Each:
    def __init__(self):
        self.pairs = []

    def step(self, order, value):
        self.pairs.append((order, value))

    def finalize(self):
        return ", ".join(str(value) for _, value in sorted(self.pairs)) or None


def read_table(db, path):
    name = os.path.basename(path)[: -len(".tsv")].replace("-", "_")
    with open(path, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    columns = ", ".join(f'"{column}"' for column in rows[0])
    holes = ", ".join("?" * len(rows[0]))
    db.execute(f'create table "{name}" ({columns})')
    db.executemany(f'insert into "{name}" values ({holes})', [[number(c) for c in row] for row in rows[1:]])


# What each training read until its last step, in batches of 32 (passkey) or 16 as all recipes have, and at its speed.
TRAININGS = """
create view trainings as
with steps as (
    select run, task, length, step - lag(step, 1, 0) over (partition by run order by step) as count,
           first_value(tokens_per_s) over (partition by run order by step desc) as speed
    from training)
select run, task, case task when 'passkey' then 32.0 else 16.0 end * sum(length * count) as tokens,
       case task when 'passkey' then 32.0 else 16.0 end * sum(length * count) / max(speed) as seconds
from steps
group by run
"""


def results():
    db = sqlite3.connect(":memory:")
    for path in sorted(glob.glob(os.path.join(ROOT, "results", "*.tsv"))):
        read_table(db, path)
    runs = [name for (name,) in db.execute("select name from sqlite_master where name like 'training\\_%' escape '\\'")]
    shared = "task, step, length, loss, exact_match, tokens_per_s"
    db.execute("create view training as " + " union all ".join(
        f"select '{name.removeprefix('training_')}' as run, {shared} from \"{name}\"" for name in runs))
    db.execute(TRAININGS)
    for name, arguments, function in (("interval", 2, interval), ("tokens", 1, tokens), ("rounded", 2, rounded)):
        db.create_function(name, arguments, function, deterministic=True)
    db.create_aggregate("each", 2, Each)
    return db


def selected(db, name):
    """Headings and rows of harness/table/NAME.sql; a cell that is missing is a dash."""
    with open(os.path.join(HERE, name + ".sql"), encoding="utf-8") as file:
        cursor = db.execute(file.read())
    rows = [["-" if cell is None else str(cell) for cell in row] for row in cursor]
    if not rows:
        raise ValueError("selects no row")
    return [column[0] for column in cursor.description], rows


def table(headings, rows):
    """Markdown; columns of numbers are set to the right."""
    plain = re.compile(r"-|[-\d., %/]+")
    sides = ["---:" if all(plain.fullmatch(cell) for cell in column) else "---" for column in zip(*rows)]
    lines = ["| " + " | ".join(cells) + " |" for cells in [headings] + rows]
    return "\n".join([lines[0], "|" + "|".join(sides) + "|"] + lines[1:])


def filled(db, mark):
    kind, name, column = mark.group(1), mark.group(2), mark.group(3)
    headings, rows = selected(db, name)
    if kind == "table":
        return f"<!-- table {name} -->\n{table(headings, rows)}\n<!-- end -->"
    return f"<!-- number {name}.{column} -->{rows[0][headings.index(column)]}<!-- end -->"


def fill(db, page, check):
    """Marks of a page, and how many of them did not say what the tables say."""
    with open(page, encoding="utf-8") as file:
        text = file.read()
    marks, stale = list(MARK.finditer(text)), 0
    for mark in reversed(marks):
        line = f"{page}:{text.count(chr(10), 0, mark.start()) + 1}"
        if mark.group(1) == "number" and text[: mark.start()].endswith("\n"):
            sys.exit(f"tables: {line}: a line that begins with a number's mark ends its paragraph")
        try:
            new = filled(db, mark)
        except (OSError, sqlite3.Error, ValueError) as error:
            sys.exit(f"tables: {line}: {mark.group(1)} {mark.group(2)}: {error}")
        if new != mark.group(0):
            stale += 1
            text = text[: mark.start()] + new + text[mark.end() :]
            if check:
                print(f"tables: {line}: {mark.group(2)} is not what results/ says (harness/table/fill.py)", file=sys.stderr)
    if len(re.findall(r"<!-- (?:table|number) [a-z]", text)) != len(marks):
        sys.exit(f"tables: {page}: a mark without an end, or not understood")
    if stale and not check:
        with open(page, "w", encoding="utf-8") as file:
            file.write(text)
    return len(marks), stale


def main(arguments):
    check = "--check" in arguments
    pages = [a for a in arguments if not a.startswith("-")]
    pages = pages or ["README.md"] + sorted(glob.glob("docs/*.md", root_dir=ROOT))
    db = results()
    counts = [fill(db, page if os.path.exists(page) else os.path.join(ROOT, page), check) for page in pages]
    marks, stale = (sum(column) for column in zip(*counts))
    print(f"tables: {marks} filled from results/ in {len(pages)} pages, {stale} " + ("stale" if check else "written"))
    return 1 if check and stale else 0


sys.exit(main(sys.argv[1:]))
