#!/usr/bin/env python3
"""Reads a .bscope file: what each cell cost, which questions it got wrong, what its links carried.

usage: results.py FILE.bscope

With pandas the tables are data frames, ready for more; without it the same queries print plain rows.
"""
import pathlib
import sqlite3
import sys

QUERIES = {
    "Seconds, accuracy and memory of each cell":
        """SELECT strategy, batch, status, count(*) AS repeats, avg(seconds) AS seconds, avg(acc_norm) AS acc_norm,
                  avg(tokens_per_s) AS tokens_per_s, max(largest_peak_bytes) AS peak_bytes
           FROM cell_results GROUP BY study, strategy, batch, status ORDER BY study, strategy, batch""",
    "Questions that most cells get wrong":
        """SELECT id, count(*) AS answers, sum(is_right_norm) AS right FROM item_results
           GROUP BY id ORDER BY avg(is_right_norm), id LIMIT 5""",
    "Bytes sent: by formula, where they were copied, by the link's counter":
        """SELECT strategy, batch, device_name, kind, sum(predicted_tx_bytes) AS predicted,
                  sum(counted_tx_bytes) AS counted, sum(link_tx_bytes) AS link
           FROM link_results GROUP BY strategy, batch, device, kind ORDER BY strategy, batch, device""",
    "Where the time went":
        """SELECT name, count(*) AS times, sum(seconds) AS seconds FROM phase_times
           GROUP BY name ORDER BY sum(seconds) DESC LIMIT 10""",
    "Time series":
        """SELECT host, device, name, unit, sum(count) AS readings, min(min) AS min, max(max) AS max
           FROM sample_means GROUP BY series ORDER BY series LIMIT 10""",
}


def open_for_reading(path):
    """A file's name is no URI: ?, # and % are quoted. mode=ro: a reader never makes or changes the file."""
    return sqlite3.connect(pathlib.Path(path).resolve().as_uri() + "?mode=ro", uri=True)


def rows(database, query):
    """A data frame where pandas is there, otherwise a list that starts with the names of the columns."""
    try:
        import pandas
        return pandas.read_sql(query, database)
    except ImportError:
        cursor = database.execute(query)
        return [tuple(column[0] for column in cursor.description), *cursor]


def shown(table):
    if isinstance(table, list):
        return "\n".join("\t".join("NULL" if value is None else str(value) for value in row) for row in table)
    return table.to_string(index=False)


def main():
    if len(sys.argv) != 2 or not pathlib.Path(sys.argv[1]).is_file():
        sys.exit("usage: results.py FILE.bscope")
    database = open_for_reading(sys.argv[1])
    if database.execute("PRAGMA user_version").fetchone()[0] < 2:
        sys.exit(f"{sys.argv[1]} is of version 1, which has no views; batchscope merge FILE -o NEW makes one that has")
    for title, query in QUERIES.items():
        print(f"{title}\n{shown(rows(database, query))}\n")


if __name__ == "__main__":
    main()
