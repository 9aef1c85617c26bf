"""What a newcomer finds on the overview, by what is written there alone.

    python3 tests/page/newcomer.py SETUP

SETUP is a file with JSON: the operators' address, and the three answers: the organisation that cost most yesterday, the reasons
for which calls of yesterday failed with their numbers, and the limit that will be hit next. Prints a line `ok: …` for each
and ends with 1 at the first that differs. Started by `tests/it/page.rs`.
"""

import json
import sys

from browser import Browser, Failed

# The rows of the table with a caption, as texts.
TABLE = """[...document.querySelectorAll('section')].find((s) => s.innerText.startsWith({0}))
    ? [...[...document.querySelectorAll('section')].find((s) => s.innerText.startsWith({0})).querySelectorAll('tbody tr')]
        .map((row) => [...row.cells].map((cell) => cell.innerText.trim())) : null"""


def equal(found, expected, what):
    if found != expected:
        raise Failed(f"{what}: the page has {found!r}, expected {expected!r}")
    print("ok:", what, flush=True)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        setup = json.load(file)
    with Browser() as browser:
        page = browser.page()
        page.open("http://" + setup["operators"] + "/")

        def table(title):
            return page.run(TABLE.format(json.dumps(title)))

        limit = table("Limits that will be hit next")[0]
        equal(limit[:2], setup["limit"], "the limit that will be hit next")
        # By the field of the range, as a person does.
        page.run("document.querySelector('#filters [name=range]').focus()")
        page.run("const range = document.querySelector('#filters [name=range]');"
                 "range.value = [...range.options].find((o) => o.text === 'yesterday').value;"
                 "range.dispatchEvent(new Event('change', {bubbles: true}))")
        page.until("location.search.includes('range=yesterday') && !document.body.classList.contains('busy')")
        page.settle()
        equal(table("Organisations by cost")[0][0], setup["dearest"], "the organisation that cost most yesterday")
        why = [[row[1], int(row[3].split()[-1])] for row in table("Why calls failed")]
        equal(sorted(why), sorted(setup["why"]), "the reasons for which calls failed")


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        print("failed:", error, flush=True)
        sys.exit(1)
