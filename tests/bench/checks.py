"""Checks the scripts that measure: the load generator, the arguments and reports of `scripts/bench`, and the drawings.

    checks.py        builds the load generator and runs all checks; exits with 1 at the first that fails

Measures no gateway. The checks of latencies have lower bounds only, so that a busy machine does not fail them.
"""

import asyncio
import contextlib
import importlib.machinery
import importlib.util
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benches/yardstick"))

import flame
import parts
import plot

LG = parts.BUILT / "release/yardstick-lg"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


def script(name):
    """A script of scripts/ as a module."""
    loader = importlib.machinery.SourceFileLoader(name.replace("-", "_"), str(ROOT / "scripts" / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    # Data classes look for their module there.
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


class Provider:
    """Answers calls until one of a given number, and then does as told: stands still for a time, or never answers again."""

    def __init__(self, turn_at=None, stall=0.0, is_silent=False):
        self.turn_at, self.stall, self.is_silent = turn_at, stall, is_silent
        self.calls, self.tokens = 0, []
        self.is_up = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True).start()
        assert self.is_up.wait(20), "the provider does not listen"

    async def serve(self):
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self.is_up.set()
        await asyncio.Event().wait()

    async def answer(self, reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line)
                await reader.readexactly(int(fields[b"content-length"]))
                self.calls += 1
                self.tokens.append(fields.get(b"authorization"))
                if self.calls == self.turn_at:
                    # The whole process: no call is answered meanwhile.
                    time.sleep(self.stall)
                if self.turn_at and self.calls >= self.turn_at and self.is_silent:
                    # Until the client closes.
                    await reader.read()
                    return
                writer.write(ANSWER)


def load(provider, *options):
    with tempfile.NamedTemporaryFile() as body:
        body.write(b'{"model":"m"}')
        body.flush()
        command = [LG, "--url", provider.url, "--body", body.name, *map(str, options)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def a_stall_shows_in_an_open_loop():
    # 1,000 calls in two seconds. Those of half a second are due while the provider stands still: a quarter of all, and
    # they wait for 250 ms on average. A loop that waits for answers would see ten slow calls, one on each connection.
    provider = Provider(turn_at=400, stall=0.5)
    found = load(provider, "--rate", 500, "--conns", 10, "--secs", 2, "--warmup", 0.1)
    latency = found["lat_us"]
    assert 995 <= latency["n"] <= 1005, f"every call that was due counts once: {found}"
    assert found["status"] == {"200": latency["n"]} and not found["errors"], found
    assert latency["p99"] >= 400_000 and latency["max"] >= 490_000, f"the stall is hidden: {latency}"
    assert latency["p90"] >= 200_000, f"calls that were due in the stall are left out: {latency}"


def a_stall_at_the_end_is_not_cut_off():
    provider = Provider(turn_at=400, is_silent=True)
    found = load(provider, "--rate", 500, "--conns", 10, "--secs", 1.5, "--warmup", 0.1, "--grace", 0.5)
    latency, unanswered = found["lat_us"], found["errors"].get("unanswered", 0)
    assert 745 <= latency["n"] <= 755, f"every call that was due counts once: {found}"
    assert unanswered == latency["n"] - found["done"] and unanswered >= 300, f"{found}"
    assert latency["p99"] >= 1_000_000, f"calls without an answer have waited: {latency}"


def each_call_has_the_next_header():
    provider = Provider()
    with tempfile.NamedTemporaryFile("w") as lines:
        lines.write("authorization: a\nauthorization: b\nauthorization: c\n")
        lines.flush()
        options = ["--header-lines", lines.name, "--first-line", 1, "--requests", 7, "--conns", 1, "--warmup", 0]
        found = load(provider, *options)
    assert found["issued"] == 7 and provider.tokens == [b"b", b"c", b"a", b"b", b"c", b"a", b"b"], provider.tokens


def samples_are_those_of_the_percentiles():
    with tempfile.NamedTemporaryFile() as body:
        body.write(b"{}")
        body.flush()
        found, samples = parts.open_loop(Provider().url, body.name, 0.5, 4, 400, [])
    assert len(samples) == found["lat_us"]["n"] > 190 and samples == sorted(samples), found
    # Whole microseconds in one, tenths in the other.
    assert abs(parts.quantiles(samples)["p99"] - found["lat_us"]["p99"]) < 0.11, found


def quantiles_are_calls_that_happened():
    found = parts.quantiles(range(1, 1001))
    assert found == {"p50": 500, "p90": 900, "p99": 990, "p99.9": 999, "max": 1000}, found
    assert parts.quantiles([7]) == dict.fromkeys(found, 7)


def arguments_of_bench(*given):
    bench = script("bench")
    before, sys.argv = sys.argv, ["bench", *given]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return bench.read_arguments(), ""
    except SystemExit as end:
        assert end.code == 2, end.code
        return None, said.getvalue()
    finally:
        sys.argv = before


def targets_are_on_this_machine_and_have_their_own_headers():
    pid = str(parts.os.getpid())
    read, _ = arguments_of_bench(
        "--target", "one=http://localhost:4000", "--header", "a: 1", "--header", "b: 2", "--pid", pid,
        "--target", f"two=http://127.0.0.1:9/x/y?q=1,pid={pid}", "--target", "three=http://[::1]:8",
    )
    one, two, three = (read.targets[name] for name in ("one", "two", "three"))
    assert one.url == "http://127.0.0.1:4000/v1/chat/completions" and one.headers == ["a: 1", "b: 2"], one
    assert one.options() == ["--header", "a: 1", "--header", "b: 2"] and one.process.pid == int(pid), one
    assert two.url == "http://127.0.0.1:9/x/y?q=1" and two.headers == [] and two.process.cpu() > 0, two
    assert three.url == "http://[::1]:8/v1/chat/completions" and three.process is None, three
    wrong = {
        ("--header", "a: 1"): "before it",
        ("--target", "http://127.0.0.1:1"): "NAME=URL",
        ("--target", "a=http://127.0.0.1:1", "--target", "a=http://127.0.0.1:2"): "NAME=URL",
        ("--target", "a=http://192.0.2.1:1"): "loopback",
        ("--target", "a=http://example.com"): "loopback",
        ("--target", "a=https://127.0.0.1:1"): "loopback",
        ("--target", "a=http://127.0.0.1:x"): "loopback",
        ("--target", "a=http://127.0.0.1:1,pid=999999999"): "no process",
    }
    for given, words in wrong.items():
        read, said = arguments_of_bench(*given)
        assert read is None and words in said, (given, said)


def a_result(bench):
    """A result as `scripts/bench` makes it, with a gateway whose process is not known."""
    facts = {"commit": "abc", "day": "2026-12-01", "processor": "P", "kernel": "K", "cores": 2, "build": "profile dist"}
    figures = {
        bench.BASE: {"cpu_us": [10.0, 12.0, 11.0], "per_second": [100.0]},
        "tollgate": {"cpu_us": [22.0, 20.0, 33.0], "per_second": [50.0]},
        "other": {"cpu_us": [], "per_second": [7.0]},
    }
    latency = {"p50": 1.0, "p90": 2.0, "p99": 3.0, "p99.9": 40.0, "max": 500.0, "calls": 10, "per_second": 9.0, "unanswered": 0}
    return {
        "made": facts,
        "settings": {"rounds": 3, "seconds": 1, "connections": 64, "rate": 1000},
        "parts": [{"name": "chat", "title": "A call", "unit": "call", "figures": figures}],
        "latency_ms": {"tollgate": latency, "other": {**latency, "unanswered": 4}},
        "memory_mib": {"tollgate": {"idle": 20.0, "after": 40.0}},
    }


def reports_and_charts_have_the_figures():
    bench = script("bench")
    result = a_result(bench)
    report = bench.report_of(result)
    for line in (
        "| tollgate | 22.0 | 20.0 | 33.0 | 2.00 | 50 |",
        "| other | – | – | – | – | 7 |",
        "| tollgate | 1.00 | 2.00 | 3.00 | 40.00 | 500.00 | 10 | 9 |",
        "| other | 1.00 | 2.00 | 3.00 | 40.00 | 500.00 | 10 (4 without an answer) | 9 |",
        "tollgate 20 MiB before, 40 after",
    ):
        assert line in report, (line, report)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        bench.write_svg(result, folder / "all.svg")
        bench.write_svg(result, folder / "each")
        drawn = [folder / "all.svg", *sorted((folder / "each").iterdir())]
        assert [path.name for path in drawn] == ["all.svg", "cost-chat.svg", "latency.svg"], drawn
        texts = ["".join(xml.etree.ElementTree.parse(path).getroot().itertext()) for path in drawn]
    assert "22.0 (2.00 ×)" in texts[0] and "22.0 (2.00 ×)" in texts[1] and "p99.9" in texts[0] and "p99.9" in texts[2]


def ticks_are_round_and_hold_all_values():
    cases = [(0.07, 0.08), (3, 3), (9.7, 10), (41, 50), (1234, 1250)]
    for high, last in cases:
        ticks = plot.linear_ticks(high)
        assert ticks[0] == 0 and abs(ticks[-1] - last) < 1e-9 and 4 <= len(ticks) <= 8, (high, ticks)
    for low, high in [(0.24, 10.8), (12, 4019), (3, 3), (1, 10), (0.02, 90_000)]:
        ticks = plot.log_ticks(low, high)
        assert ticks == sorted(ticks) and ticks[0] <= low * 1.0001 and ticks[-1] >= high * 0.9999, (low, high, ticks)
        assert 2 <= len(ticks) <= 10, ticks
    assert [plot.text_of(n) for n in (0, 0.5, 2, 12.5, 1024, 250_000)] == ["0", "0.5", "2", "12.5", "1,024", "250,000"]
    assert [plot.bytes_text(n) for n in (512, 1024, 1 << 22)] == ["512 B", "1 KiB", "4 MiB"]


def bodies_of_the_curves_have_their_size():
    curves = script("bench-curves")
    for size in curves.CURVES["body"].points:
        assert len(curves.body_of("body", size)) == size
    assert len(curves.body_of("connections", 1)) == len(curves.body_of("events", 200)) == 1536
    assert len(set(curves.names(1000))) == 1000


def stacks_are_folded_cut_and_drawn():
    flames = script("flame-graphs")
    samples = """tollgate 12
\tffffffff82012345 tcp_sendmsg
\t          fde9d __writev
\t         114dbe3 <A<T; 2> as B>::poll
\t         11e3c5d tokio::runtime::runtime::Runtime::block_on
\t         ddd14d tollgate::cli::serve::run

ailog 13
\t         1519308 sqlite3_step
\tffffffffffffffff [unknown]
"""
    stacks, whole = flames.folded(samples, pathlib.Path("/x/tollgate"))
    block_on = "tokio::runtime::runtime::Runtime::block_on"
    assert stacks == {f"main thread;{block_on};<A<T, 2> as B>::poll;__writev;tcp_sendmsg_[k]": 1, "thread ailog;sqlite3_step": 1}
    assert whole == 0.5, whole
    assert flame.shares(stacks)["kernel"] == 0.5 and flame.shares(stacks)["SQLite"] == 0.5
    cut = flame.pruned({"a;b;c": 90, "a;b;d": 9, "a;e": 1}, 0.05)
    assert cut == {"a": 1, "a;b;c": 90, "a;b;d": 9}, cut
    svg = flame.drawn("title <1>", cut, "note")
    titles = [node.text for node in xml.etree.ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["a: 100.0 %, 100 samples", "b: 99.0 %, 99 samples", "c: 90.0 %, 90 samples", "d: 9.0 %, 9 samples"], titles


def committed_drawings_follow_from_their_data():
    for name in ("bench-curves", "flame-graphs"):
        done = subprocess.run([ROOT / "scripts" / name, "--check"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    # A drawing of other data is another one.
    curves = script("bench-curves")
    data = json.loads((curves.DATA / "body.json").read_text())
    before = curves.chart(data)
    data["points"][0][curves.OURS][0] *= 3
    assert curves.chart(data) != before


CHECKS = [
    a_stall_shows_in_an_open_loop,
    a_stall_at_the_end_is_not_cut_off,
    each_call_has_the_next_header,
    samples_are_those_of_the_percentiles,
    quantiles_are_calls_that_happened,
    targets_are_on_this_machine_and_have_their_own_headers,
    reports_and_charts_have_the_figures,
    ticks_are_round_and_hold_all_values,
    bodies_of_the_curves_have_their_size,
    stacks_are_folded_cut_and_drawn,
    committed_drawings_follow_from_their_data,
]


def main():
    parts.build(gateway=False, crates=("lg",))
    for check in CHECKS:
        print(check.__name__, flush=True)
        check()


main()
