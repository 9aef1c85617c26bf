"""Sign-in at an OpenID provider in a real browser.

    python3 tests/page/oidc.py SETUP

SETUP is a file with JSON: the operators' address, the provider's origin, and of each person the group to choose there, the
text that the page shows of them and the pages that they see. Prints a line `ok: …` for each person and ends with 1 at the
first that does not arrive. Started by `tests/it/oidc.rs`.
"""

import json
import sys

from browser import Browser, Failed


def equal(found, expected, what):
    if found != expected:
        raise Failed(f"{what}: {found!r}, expected {expected!r}")


def sign_in(browser, setup, person):
    url = "http://" + setup["operators"]
    page = browser.page()
    # The address that somebody wanted before they had to sign in.
    page.open(url + "/?range=7d")
    equal(page.run("document.querySelector('[name=token]')"), None, "a field for a token")
    page.run("document.querySelector('a[href^=\"/sign-in/oidc\"]').click()")
    page.until(f"location.origin === {json.dumps(setup['issuer'])} && document.getElementById({json.dumps(person['group'])})", "the provider")
    page.run(f"document.getElementById({json.dumps(person['group'])}).click()")
    page.until(f"location.origin === {json.dumps(url)} && document.querySelector('#pages a')", "the page after the sign-in")
    page.settle()
    equal(page.run("location.pathname"), "/", "the address")
    equal(page.text("#who"), person["who"], "name and role")
    equal(page.run("[...document.querySelectorAll('#pages a')].map((a) => a.innerText)"), person["pages"], "the pages")
    equal(page.run("Number(document.getElementById('figure-calls').dataset.value)"), person["calls"], "the calls that are seen")
    equal(page.run("document.cookie"), "", "cookies that scripts can read")
    equal(page.run("fetch('/api/reload', {method: 'POST'}).then((r) => r.status)"), person["reload"], "a reload of the policies")
    # The session holds when the page is loaded anew.
    page.open(url + "/calls")
    page.settle()
    equal(page.text("#who"), person["who"], "name and role on another page")
    print("ok:", person["who"], flush=True)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        setup = json.load(file)
    for person in setup["people"]:
        # Each with cookies of its own.
        with Browser() as browser:
            sign_in(browser, setup, person)


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        print("failed:", error, flush=True)
        sys.exit(1)
