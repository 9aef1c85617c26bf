"""The dashboard in a real browser, held against the rows of the log.

    python3 tests/page/walk.py SETUP

SETUP is a file with JSON: the operators' address, the applications' address with a bearer, the SQLite file, the tokens of
the operators' side by name, and a text that one organisation has sent. Prints a line `ok: …` for each check and ends with 1
at the first that fails. Started by `tests/it/page.rs`.
"""

import json
import os
import sqlite3
import sys
import urllib.request

from browser import Browser, Failed

HERE = os.path.dirname(os.path.abspath(__file__))
ERRORS = ("provider_error", "timeout", "refused")
PAGES = ["/", "/calls", "/organizations", "/organizations?org=acme", "/providers", "/policy", "/log"]


def ok(text):
    print("ok:", text, flush=True)


def check(condition, text):
    if not condition:
        raise Failed(text)


def equal(found, expected, what):
    check(found == expected, f"{what}: the page has {found!r}, the rows have {expected!r}")


class Walk:
    def __init__(self, setup, browser):
        self.setup, self.browser = setup, browser
        self.url = "http://" + setup["operators"]
        self.rows = sqlite3.connect(f"file:{setup['database']}?mode=ro", uri=True)
        with open(os.path.join(HERE, "node_modules/axe-core/axe.min.js"), encoding="utf-8") as file:
            self.axe = file.read()

    def sql(self, text, *values):
        return self.rows.execute(text, values).fetchall()

    def signed_in(self, name, **options):
        """A page of a principal, who has signed in by keyboard alone."""
        page = self.browser.page(**options)
        page.open(self.url + "/")
        page.until("document.activeElement?.name === 'token'", "the focus in the field of the token")
        page.type(self.setup["tokens"][name])
        page.press("Enter")
        page.until("document.querySelector('#pages a')", "the pages after the sign-in")
        page.settle()
        # The sign-in page is answered with 401, which browsers report.
        page.troubles.clear()
        return page

    # -- figures ----------------------------------------------------------------------------------

    def expected(self, where="1", *values):
        errors = ", ".join(f"'{name}'" for name in ERRORS)
        names = ["calls", "cost", "errors", "tokens", "redactions", "limited", "retried"]
        sums = self.sql(
            f"""SELECT sum(calls), sum(cost_nano_usd) / 1e9, sum(CASE WHEN outcome IN ({errors}) THEN calls ELSE 0 END),
            sum(input_tokens) + sum(output_tokens), sum(redacted_emails + redacted_phones + redacted_other),
            sum(CASE WHEN outcome = 'rate_limited' THEN calls ELSE 0 END), sum(CASE WHEN attempts > 1 THEN calls ELSE 0 END)
            FROM ai_log WHERE {where}""", *values)[0]
        return {name: float(value or 0) for name, value in zip(names, sums)}

    def figures(self, page, where="1", *values):
        for name, value in self.expected(where, *values).items():
            found = float(page.run(f"document.getElementById('figure-{name}').dataset.value"))
            check(abs(found - value) < 1e-9, f"{name}: the page has {found}, the rows have {value}")

    def compare_overview(self):
        page = self.signed_in("operator")
        self.figures(page)
        shown = page.run("[...document.querySelectorAll('#figure-calls .big, #figure-errors .small')].map((e) => e.innerText).join(' ')")
        calls, errors = self.expected()["calls"], self.expected()["errors"]
        check(f"{calls:,.0f}" in shown and f"{errors:,.0f} calls" in shown, f"figures as text: {shown}")
        table = "[...document.querySelectorAll('.{0} tbody tr')].map((r) => [r.cells[0].innerText, ...[...r.querySelectorAll('td[data-value]')].map((c) => Number(c.dataset.value))])"
        for name, column in [("orgs", "org_id"), ("models", "model")]:
            rows = page.run(table.format(name))
            expected = self.sql(
                f"SELECT {column}, sum(cost_nano_usd) / 1e9, sum(calls), sum(CASE WHEN outcome IN {ERRORS} THEN calls ELSE 0 END) FROM ai_log GROUP BY 1")
            expected = {(key or "–"): [cost or 0, calls, errors] for key, cost, calls, errors in expected}
            check(len(rows) == min(8, len(expected)), f"{name}: {rows}")
            costs = [row[1] for row in rows]
            equal(costs, sorted(costs, reverse=True), f"{name} by cost")
            for key, cost, calls, errors, _p95 in rows:
                check(abs(cost - expected[key][0]) < 1e-9 and [calls, errors] == expected[key][1:], f"{name} {key}: {cost} {calls} {errors}, {expected[key]}")
        why = page.run("[...document.querySelectorAll('.failures tbody tr')].map((r) => [r.cells[1].innerText, Number(r.querySelector('[data-value]').dataset.value)])")
        expected = self.sql("SELECT error_code, sum(calls) FROM ai_log WHERE outcome <> 'ok' GROUP BY outcome, error_code, provider")
        equal(sorted(why), sorted([code or "–", calls] for code, calls in expected), "reasons of failures")
        charts = page.run("document.querySelectorAll('figure .u-wrap canvas').length")
        equal(charts, 4, "charts")
        total = page.run("document.querySelector('.plot-calls .u-wrap').getAttribute('aria-label')")
        good = self.sql("SELECT sum(calls) FROM ai_log WHERE outcome = 'ok'")[0][0]
        check(f"ok {good:,}" in total, f"the chart says {total}")
        page.run("document.querySelector('.plot-calls details').open = true")
        cells = page.until("document.querySelectorAll('.plot-calls details td').length && [...document.querySelectorAll('.plot-calls details tbody tr')].map((r) => Number(r.cells[1].innerText.replaceAll(',', '')))")
        equal(sum(cells), good, "the chart's table")
        ok("the overview has the figures of the rows")

        # A name in a table is a filter, and the address has it.
        page.run("document.querySelector('.orgs a[href*=\"org=acme\"]').click()")
        page.until("location.search.includes('org=acme') && !document.body.classList.contains('busy') && document.querySelectorAll('.orgs tbody tr').length === 1")
        self.figures(page, "org_id = 'acme'")
        equal(page.run("document.querySelector('#filters [name=org]').value"), "acme", "the field of the organisation")
        page.open(self.url + "/?outcome=provider_error&range=7d&step=day")
        self.figures(page, "outcome = 'provider_error'")
        page.open(self.url + "/?range=yesterday")
        equal(page.run("Number(document.getElementById('figure-calls').dataset.value)"), 0, "calls of yesterday")
        check("No calls in this range" in page.text(".headline"), "an empty range says so")
        self.clean(page, "overview with filters")
        ok("filters and ranges are in the address, and the figures follow")

    def compare_others(self):
        page = self.signed_in("operator")
        page.open(self.url + "/organizations?sort=calls")
        rows = page.run("[...document.querySelectorAll('#page .card table')][0].querySelectorAll('tbody tr').length")
        equal(rows, self.sql("SELECT count(DISTINCT org_id) FROM ai_log")[0][0], "organisations")
        calls = page.run("[...document.querySelectorAll('#page .card table')[0].rows].slice(1).map((r) => [r.cells[0].innerText, Number(r.cells[2].dataset.value)])")
        expected = self.sql("SELECT org_id, sum(calls) FROM ai_log GROUP BY 1 ORDER BY 2 DESC, 1")
        equal(calls, [list(row) for row in expected], "organisations by calls")
        hit = page.run("[...document.querySelectorAll('section')].find((s) => s.innerText.startsWith('Limits that refused')).querySelector('td[data-value]').dataset.value")
        equal(int(hit), self.sql("SELECT sum(calls) FROM ai_log WHERE limited_by <> ''")[0][0], "calls refused by limits")
        close = page.run("[...document.querySelectorAll('section')].find((s) => s.innerText.startsWith('Limits closest')).innerText")
        check("limited" in close and "requests_per_minute" in close, close)
        page.open(self.url + "/providers")
        shown = page.text("[data-provider=openai]")
        count = self.sql("SELECT sum(calls) FROM ai_log WHERE provider = 'openai'")[0][0]
        check(f"Calls in this range\n{count:,}" in shown, f"{count}: {shown}")
        page.open(self.url + "/log")
        written = page.run("[...document.querySelectorAll('#page tbody tr')].find((r) => r.cells[0].innerText === 'stored').querySelector('[data-value]').dataset.value")
        equal(int(written), self.sql("SELECT count(*) FROM ai_log")[0][0], "rows stored")
        equal(page.run("document.getElementById('figure-lost').dataset.value"), "0", "rows lost")
        page.open(self.url + "/policy")
        check(self.setup["policy_version"] in page.text("#page"), "the version in force")
        check("sk-gateway-own-key" not in page.run("document.documentElement.outerHTML"), "a secret of the policy is shown")
        page.run("document.querySelector('[data-key=reload]').click()")
        page.until("document.querySelector('.state [role=status]')?.innerText.includes('is in force')", "the answer to a reload")
        self.clean(page, "organisations, providers, policy, log")
        ok("the other pages have the figures of the rows")

    # -- calls ------------------------------------------------------------------------------------

    def calls(self):
        page = self.signed_in("operator")
        page.open(self.url + "/calls")
        total = self.sql("SELECT count(*) FROM ai_log")[0][0]
        newest = self.sql("SELECT id FROM ai_log ORDER BY created_at DESC, id DESC")
        links = "[...document.querySelectorAll('#page tbody th a')].map((a) => a.pathname.split('/').pop())"
        found = page.run(links)
        while older := page.run("document.querySelector('a[rel=next]')?.href"):
            page.open(older)
            found += page.run(links)
        equal(found, [row[0] for row in newest], f"the {total} rows, page by page")
        # Search by keyboard: `/`, the text, Enter.
        page.open(self.url + "/")
        page.press("/")
        page.until("document.activeElement.name === 'q'", "the focus in the search")
        page.type(self.setup["secret"])
        page.press("Enter")
        page.until("location.pathname === '/calls' && location.search.includes('q=')")
        page.settle()
        expected = self.sql("SELECT id FROM ai_log WHERE prompt LIKE '%' || ? || '%' ORDER BY created_at DESC, id DESC", self.setup["secret"])
        check(expected, "no row has the text")
        equal(page.run(links), [row[0] for row in expected], "calls with the text")
        page.run("document.querySelector('#page tbody th a').focus()")
        page.press("Enter")
        page.until("location.pathname.startsWith('/calls/')")
        page.settle()
        page.until("document.getElementById('text-prompt')")
        check(self.setup["secret"] in page.text("#text-prompt"), "the text of the call")
        check("mail to " in page.text("#text-prompt") and "@" not in page.text("#text-prompt"), "the text is redacted")
        ok("every call is found, page by page and by its text, by keyboard alone")

        # One that took several attempts.
        [(id, attempts)] = self.sql("SELECT id, attempts FROM ai_log WHERE attempts > 1 AND outcome = 'ok' LIMIT 1")
        page.open(self.url + "/calls/" + id)
        equal(page.run("document.querySelectorAll('#page table tbody tr').length"), attempts, "attempts of a call")
        page.open(self.url + "/calls/00000000-0000-0000-0000-000000000000")
        check("There is no such call" in page.text("#page"), "an unknown call says so")
        self.clean(page, "calls")

        page.open(self.url + "/calls?live=1")
        body = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "the newest of all"}]}).encode()
        request = urllib.request.Request(f"http://{self.setup['apps']}/v1/chat/completions", body,
                                         {"authorization": "Bearer " + self.setup["bearer"], "content-type": "application/json"})
        page.run("document.querySelector('[data-key=live]').focus()")
        urllib.request.urlopen(request).read()
        page.until("document.querySelector('#page tbody')?.innerText.includes('the newest of all')", "the new call in the live list")
        equal(page.run("document.activeElement.dataset.key"), "live", "the focus after an update")
        ok("a new call appears by itself, and the focus stays")

    # -- the policy -------------------------------------------------------------------------------

    def candidate(self):
        """The results of the candidate in shadow, and an edit of it that is refused."""
        expected = {}
        for shadow, calls in self.sql("SELECT shadow, sum(calls) FROM ai_log GROUP BY 1"):
            told = json.loads(shadow) if shadow else {}
            words = {"refused": "refused", "allowed": "allowed", "target": "rerouted", "redacted": "redacted"}
            word = next((word for member, word in words.items() if member in told), "same")
            expected[word] = expected.get(word, 0) + calls
        check({"refused", "allowed", "rerouted", "same"} <= set(expected), f"the candidate decides {expected}")
        page = self.signed_in("operator")
        page.open(self.url + "/policy")
        card = "[...document.querySelectorAll('section')].find((s) => s.innerText.startsWith('Candidate in shadow'))"
        rows = page.run(card + "?.querySelectorAll('tbody tr').length")
        check(rows, f"no results of the candidate: {page.text('#page')}")
        found = page.run(f"[...{card}.querySelectorAll('tbody tr')].map((r) => [r.cells[0].innerText, Number(r.querySelector('[data-value]').dataset.value)])")
        equal(dict(found), expected, "what the candidate would have decided")
        state = page.run("fetch('/api/config').then((r) => r.json()).then((c) => c.shadow)")
        shown = page.run(card + ".innerText")
        check(state["version"] in shown and all(file in shown for file in state["files"]), f"the candidate: {shown}")
        broken = os.path.join(self.setup["shadow"], "broken.yaml")
        with open(broken, "w", encoding="utf-8") as file:
            file.write("limits: {burst: 0}\n")
        page.until("fetch('/api/config').then((r) => r.json()).then((c) => c.shadow.problems.length)", "the refused candidate")
        page.open(self.url + "/policy")
        problems = page.run("document.querySelector('[aria-label=\"Problems of the candidate\"]')?.innerText")
        check(problems and "broken.yaml" in problems, f"the problems of the candidate: {problems}")
        check(state["version"] in page.run(card + ".innerText"), "the candidate before it still judges")
        os.remove(broken)
        page.until("fetch('/api/config').then((r) => r.json()).then((c) => !c.shadow.problems.length)", "the repaired candidate")
        self.clean(page, "the candidate")
        ok("the results of the candidate are those of the rows, and its problems are shown")

    def audit(self):
        """The records of the audit, with the objects of what operators did."""
        page = self.signed_in("operator")
        page.open(self.url + "/policy")
        purged = page.run("fetch('/api/cache/purge?org_id=acme', {method: 'POST'}).then((r) => r.json())")
        equal(purged, {"purged": 0}, "a purge")
        page.open(self.url + "/policy")
        shown = page.run("[...document.querySelectorAll('section')].find((s) => s.innerText.startsWith('Audit')).querySelectorAll('tbody tr').length")
        records = page.run("fetch('/api/audit?limit=50').then((r) => r.json()).then((a) => a.records)")
        equal(shown, len(records), "records of the audit")
        newest = page.run("[...[...document.querySelectorAll('section')].find((s) => s.innerText.startsWith('Audit')).querySelector('tbody tr').cells].map((c) => c.innerText)")
        equal(newest[0], str(records[0]["seq"]), "the newest record")
        check("cache purged" in newest[2] and "operator" in newest[3] and "acme, 0 answers" in newest[5], f"the newest record: {newest}")
        self.clean(page, "audit")
        ok("the audit has what operators did, and by whom")

    # -- every page, in every form ----------------------------------------------------------------

    def clean(self, page, where):
        check(not page.troubles, f"{where}: {page.troubles}")
        elsewhere = [url for url in page.requests if not url.startswith((self.url, "about:", "data:", "chrome"))]
        check(not elsewhere, f"{where} loads {elsewhere}")

    def walk(self):
        call = "/calls/" + self.sql("SELECT id FROM ai_log WHERE outcome = 'ok' ORDER BY id LIMIT 1")[0][0]
        page = self.signed_in("operator")
        for width, dark in [(1280, False), (1280, True), (390, False)]:
            page.look(width, 900, dark)
            for path in [*PAGES, call]:
                page.open(self.url + path)
                where = f"{path} at {width} px, {'dark' if dark else 'light'}"
                equal(page.run("document.querySelectorAll('.loading, #trouble:not([hidden])').length"), 0, where)
                check(page.run("document.documentElement.scrollWidth <= innerWidth"), f"{where} is wider than the window")
                page.run(self.axe + ";0")
                found = page.run("axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations.filter((v) => ['serious', 'critical'].includes(v.impact))"
                                 ".map((v) => v.id + ': ' + v.nodes.map((n) => n.html.slice(0, 160) + ' ' + n.failureSummary).slice(0, 3).join(' | ')))")
                check(not found, f"{where}: {found}")
                self.clean(page, where)
        ok("every page, light, dark and narrow, without a finding")

    def keyboard(self):
        page = self.signed_in("operator")
        page.open(self.url + "/")
        seen = []
        for _ in range(120):
            page.press("Tab")
            seen.append(page.run("(() => { const e = document.activeElement; const box = e.getBoundingClientRect(); return [e.tagName, e.name || e.innerText?.trim().slice(0, 30), box.width > 0, getComputedStyle(e).outlineStyle]; })()"))
            if seen[-1][0] == "BODY":
                break
        equal(seen[0][1], "Skip to content", "the first stop")
        names = [name for _, name, _, _ in seen]
        wanted = ["Overview", "Calls", "Policy", "range", "step", "q", "org", "model", "provider", "route", "outcome", "acme"]
        equal([name for name in wanted if name not in names], [], "stops that the keyboard does not reach")
        check(all(visible and (tag == "BODY" or outline != "none") for tag, _, visible, outline in seen), f"a stop without a mark: {seen}")
        ok("the keyboard reaches everything, and shows where it is")

    # -- roles ------------------------------------------------------------------------------------

    def roles(self):
        secret, row = self.setup["secret"], self.sql("SELECT id FROM ai_log WHERE prompt LIKE '%' || ? || '%' LIMIT 1", self.setup["secret"])[0][0]
        for name, sees in [("viewer", False), ("auditor", True)]:
            page = self.signed_in(name)
            everything = ""
            for path in [*PAGES, "/calls/" + row, "/calls?q=" + secret.replace(" ", "+")]:
                page.open(self.url + path)
                everything += page.run("document.querySelector('main').innerText + [...document.querySelectorAll('main [title]')].map((e) => e.title).join(' ')")
            check((secret in everything.replace(f"“{secret}”", "")) == sees, f"{name}: texts are {'missing' if sees else 'shown'}")
            found = page.run(f"fetch('/api/logs?q={secret.replace(' ', '+')}').then((r) => r.json()).then((r) => r.rows.length)")
            check((found > 0) == sees, f"{name}: a search finds {found} texts")
            check(page.run("!document.querySelector('[data-key=reload]')"), f"{name} is offered a reload")
            self.clean(page, name)
        ok("a viewer sees no text by any path, an auditor does")

        page = self.signed_in("of-acme")
        everything = ""
        for path in ["/", "/calls", "/organizations", "/calls?org=acme", "/organizations?org=acme&sort=calls"]:
            page.open(self.url + path)
            everything += page.run("document.documentElement.outerHTML")
        for path in ["/api/summary?by=org,caller,model", "/api/logs?limit=1000", "/api/summary?by=total", "/api/session", "/api/logs?q=globex", "/api/logs?q=" + secret.replace(" ", "+")]:
            everything += page.run(f"fetch('{path}').then((r) => r.text())")
        check("acme" in everything and "globex" not in everything and secret not in everything, "another organisation is seen")
        self.figures_of_acme(page)
        pages = page.run("[...document.querySelectorAll('#pages a')].map((a) => a.innerText)")
        equal(pages, ["Overview", "Calls", "Organisations"], "pages for one organisation")
        self.clean(page, "of-acme")
        for path in ["/providers", "/policy", "/log", "/?org=globex"]:
            page.open(self.url + path)
            check("You may not see this" in page.text("#trouble") and "globex" not in page.text("#page"), f"{path}: {page.text('main')}")
        for path in ["/api/logs?org_id=globex", "/api/summary?by=day&org=globex", "/api/limits", "/api/providers", "/api/store", "/api/config", "/api/auth", "/metrics"]:
            equal(page.run(f"fetch('{path}').then((r) => r.status)"), 403, path)
        page.open(self.url + "/calls/" + self.sql("SELECT id FROM ai_log WHERE org_id = 'globex' LIMIT 1")[0][0])
        check("There is no such call" in page.text("#page"), "a call of another organisation is shown")
        ok("a principal of one organisation sees not a byte of another")

    def figures_of_acme(self, page):
        page.open(self.url + "/")
        self.figures(page, "org_id = 'acme'")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        setup = json.load(file)
    with Browser() as browser:
        walk = Walk(setup, browser)
        for step in (walk.compare_overview, walk.compare_others, walk.walk, walk.keyboard, walk.roles, walk.candidate, walk.audit, walk.calls):
            step()


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        print("failed:", error, flush=True)
        sys.exit(1)
