"""Chromium without a window, driven by the DevTools protocol over two pipes.

No port is opened and nothing is installed besides Chromium. Guarantees: every wait has a deadline; errors of the page,
violations of its content security policy and failed loads are kept, so that a test can look at them. Does not: judge.
"""

import base64
import json
import os
import selectors
import shutil
import subprocess
import tempfile
import time

DEADLINE_S = 30
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


class Failed(Exception):
    """The page, or a wait for it, failed."""


class Browser:
    def __init__(self):
        program = next((path for path in map(shutil.which, CHROMIUM) if path), None)
        if program is None:
            raise Failed("chromium is missing: run scripts/test")
        self.folder = tempfile.mkdtemp(prefix="tollgate-page-")
        commands_read, self.commands = os.pipe()
        self.answers, answers_write = os.pipe()
        arguments = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
            "--no-default-browser-check", "--force-color-profile=srgb", "--remote-debugging-pipe", "--user-data-dir=" + self.folder, "about:blank",
        ]
        # Chromium reads commands from descriptor 3 and writes answers to 4.
        shell = f'exec "$0" "$@" 3<&{commands_read} 4>&{answers_write} 2>/dev/null'
        self.process = subprocess.Popen(["bash", "-c", shell, program, *arguments], pass_fds=(commands_read, answers_write),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        os.close(commands_read)
        os.close(answers_write)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.answers, selectors.EVENT_READ)
        self.buffer = b""
        self.number = 0
        self.pages = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def send(self, method, session=None, **parameters):
        """The result of a command."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        number, end = self.number, time.monotonic() + DEADLINE_S
        while True:
            answer = self.read(end, method)
            if answer.get("id") == number:
                if "error" in answer:
                    raise Failed(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def read(self, end, what):
        """The next message; events go to their page."""
        while b"\0" not in self.buffer:
            if not self.selector.select(max(0, end - time.monotonic())):
                raise Failed(f"no answer to {what}")
            piece = os.read(self.answers, 1 << 20)
            if not piece:
                raise Failed("chromium has ended")
            self.buffer += piece
        message, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(message)
        page = self.pages.get(message.get("sessionId"))
        if page and "method" in message:
            page.event(message["method"], message["params"])
        return message

    def page(self, **options):
        """A page of its own: no cookies of others."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, session, **options)


class Page:
    def __init__(self, browser, session, width=1280, height=900, dark=False):
        self.browser, self.session = browser, session
        self.troubles, self.requests = [], []
        browser.pages[session] = self
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(domain + ".enable")
        self.send("Audits.enable")
        self.look(width, height, dark)

    def send(self, method, **parameters):
        return self.browser.send(method, self.session, **parameters)

    def event(self, method, p):
        if method == "Runtime.exceptionThrown":
            details = p["exceptionDetails"]
            self.troubles.append("exception: " + details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and p["type"] in ("error", "warning", "assert"):
            self.troubles.append("console: " + " ".join(str(a.get("value", a.get("description"))) for a in p["args"]))
        elif method == "Log.entryAdded" and p["entry"]["level"] in ("error", "warning"):
            self.troubles.append(f"{p['entry']['source']}: {p['entry']['text']} {p['entry'].get('url', '')}")
        elif method == "Audits.issueAdded":
            self.troubles.append("issue: " + json.dumps(p["issue"])[:400])
        elif method == "Network.requestWillBeSent":
            self.requests.append(p["request"]["url"])

    def look(self, width, height, dark):
        """Size and colour scheme."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.send("Emulation.setEmulatedMedia", media="", features=[scheme, still])

    def run(self, script):
        """The value of a script; it may be a promise."""
        result = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise Failed(f"{script[:200]}: {result['exceptionDetails'].get('exception', {}).get('description')}")
        return result["result"].get("value")

    def until(self, script, what=None):
        """Waits until a script is true; returns its value."""
        end = time.monotonic() + DEADLINE_S
        while True:
            try:
                value = self.run(script)
            except Failed as error:
                # The document is being replaced.
                value, last = None, error
            # An element comes as {}.
            if value or value == {}:
                return value
            if time.monotonic() > end:
                raise Failed(f"waited for: {what or script}; the page has: {self.run('document.body.innerText')[:1500]}")
            time.sleep(0.02)

    def open(self, url):
        """Opens an address, and waits until the page has its figures."""
        self.send("Page.navigate", url=url)
        self.settle()

    def settle(self):
        self.until("document.readyState === 'complete' && (document.getElementById('updated')?.textContent || !document.getElementById('trouble')?.hidden"
                   " || !document.getElementById('page')) && !document.body.classList.contains('busy')", "the page's figures")

    def text(self, selector):
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? null")

    def press(self, key, **more):
        codes = {"Tab": (9, ""), "Enter": (13, "\r"), "Escape": (27, ""), " ": (32, " ")}
        code, text = codes.get(key, (0, key))
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text if kind == "keyDown" else "", **more)

    def type(self, text):
        self.send("Input.insertText", text=text)

    def picture(self, path, whole=False):
        options = {}
        if whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            options = {"captureBeyondViewport": True, "clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}
        image = self.send("Page.captureScreenshot", format="png", **options)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(image))
