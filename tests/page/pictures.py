"""Pictures of the operators' pages after the demo, for the documentation (see scripts/screenshots):

    python3 tests/page/pictures.py ADDRESS DATABASE FOLDER

The demo takes a few seconds, so its charts have a single bar. Its sums are copied into the 23 hours before, more by day
than by night, before the pictures of a day are taken; the calls themselves are those of the demo.
"""

import random
import sqlite3
import sys
from datetime import datetime, timedelta, timezone

from browser import Browser

# Name, path, size, dark.
DAY = [
    ("dashboard", "/", (1280, 1130), False),
    ("dashboard-dark", "/", (1280, 1130), True),
    ("dashboard-phone", "/", (390, 844), False),
    ("dashboard-organizations", "/organizations", (1280, 640), False),
    ("dashboard-providers", "/providers", (1280, 820), False),
]
NOW = [
    ("dashboard-calls", "/calls?range=1h", (1280, 640), False),
    ("dashboard-call", None, (1280, 900), False),
    ("dashboard-policy", "/policy", (1280, 640), False),
]


def spread(path):
    """Copies the sums of the last hour into the hours before."""
    database = sqlite3.connect(path, timeout=10)
    rng = random.Random(7)

    def measures(table, keys):
        names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        return [name for name in names if name not in keys]

    hour = database.execute("SELECT day, hour FROM ai_hourly ORDER BY 1 DESC, 2 DESC LIMIT 1").fetchone()
    last = datetime.fromisoformat(hour[0]).replace(hour=hour[1], tzinfo=timezone.utc)
    groups = [row[0] for row in database.execute("SELECT grp FROM ai_hourly WHERE day = ? AND hour = ?", hour)]
    digests = ["latency_digest", "first_token_digest"]
    of_hour = measures("ai_hourly", ["day", "hour", "grp", "newest", *digests])
    of_day = measures("ai_daily", ["day", "series", "outcome", *digests])

    def scaled_digest(digest, times):
        """An entry is 2,048 times the number of calls, plus the bucket."""
        entries = [int(entry) for entry in digest.split(",")] if digest else []
        return ",".join(str((entry // 2048 * times) * 2048 + entry % 2048 + rng.randrange(0, 9)) for entry in entries) or None

    of_group = {
        grp: database.execute(f"SELECT {', '.join(digests)} FROM ai_hourly WHERE day = ? AND hour = ? AND grp = ?", (*hour, grp)).fetchone()
        for grp in groups
    }
    for before in range(1, 24):
        at = last - timedelta(hours=before)
        day = at.date().isoformat()
        busy = 1 + 2.2 * max(0, 1 - abs(at.hour - 13) / 7)
        for grp in groups:
            times = max(1, round(busy * rng.uniform(0.6, 1.4)))
            scaled = ", ".join(f"{name} * {times}" for name in of_hour)
            names = ", ".join(of_hour)
            database.execute(f"INSERT OR IGNORE INTO ai_hourly (day, hour, grp, {names}) SELECT ?, ?, grp, {scaled} FROM ai_hourly"
                             " WHERE day = ? AND hour = ? AND grp = ?", (day, at.hour, *hour, grp))
            database.execute("UPDATE ai_hourly SET latency_digest = ?, first_token_digest = ? WHERE day = ? AND hour = ? AND grp = ?",
                             (*(scaled_digest(digest, times) for digest in of_group[grp]), day, at.hour, grp))
    names = ", ".join([*of_day, *digests])
    sums = ", ".join([*(f"sum(h.{name})" for name in of_day), *(f"group_concat(h.{name})" for name in digests)])
    database.execute("DELETE FROM ai_daily")
    database.execute(f"INSERT INTO ai_daily (day, series, outcome, {names}) SELECT h.day, g.series, g.outcome, {sums} FROM ai_hourly h"
                     " JOIN ai_groups g ON g.grp = h.grp GROUP BY 1, 2, 3")
    database.commit()


def pictures(browser, address, folder, wanted):
    page = browser.page()
    for name, path, (width, height), dark in wanted:
        page.look(width, height, dark)
        if path is None:
            page.open(address + "/calls?range=1h&outcome=ok&provider=anthropic")
            path = page.run("document.querySelector('#page tbody th a').pathname")
        page.open(address + path)
        page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        if page.run("!document.getElementById('trouble').hidden"):
            sys.exit(f"{name}: {page.text('#trouble')}")
        page.picture(f"{folder}/{name}.png")


def main(address, database, folder):
    with Browser() as browser:
        pictures(browser, address.rstrip("/"), folder, NOW)
        spread(database)
        pictures(browser, address.rstrip("/"), folder, DAY)


main(*sys.argv[1:])
