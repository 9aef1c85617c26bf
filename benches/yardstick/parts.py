"""What the measurements of `scripts/` share: building, processes on a core of their own, and benches/RESULTS.md.

Not a program: `scripts/bench` and `scripts/bench-streams` import it.
"""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import platform
import re
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
YARD = ROOT / "benches/yardstick"
BUILT = ROOT / "target/yardstick"
RESULTS = ROOT / "benches/RESULTS.md"
CARGO = os.environ.get("CARGO", "cargo")
SECRET = "benchmark-secret-of-enough-bytes"
TICKS = os.sysconf("SC_CLK_TCK")


def step(text):
    print(f"== {text}", file=sys.stderr, flush=True)


def build():
    step("building (profile dist)")
    subprocess.run([CARGO, "build", "--profile", "dist", "--locked", "--quiet"], cwd=ROOT, check=True)
    for crate in ("barehyper", "mock", "lg"):
        subprocess.run(
            [CARGO, "build", "--release", "--locked", "--quiet", "--target-dir", str(BUILT)], cwd=YARD / crate, check=True
        )


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def token():
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    claims = {"org_id": "bench", "sub": "bench", "exp": int(time.time()) + 3600}
    signed = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
    return (signed + b"." + part(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest())).decode()


class Program:
    """A process on a core of its own."""

    def __init__(self, name, core, command, environment=None, log=None):
        self.name = name
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), *map(str, command)],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log or subprocess.DEVNULL,
            text=True,
        )

    def cpu(self):
        """Seconds of CPU that it and its children have used so far, all threads, user and system."""
        used = 0
        pids = [self.process.pid]
        while pids:
            pid = pids.pop()
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                used += int(fields[11]) + int(fields[12])
                for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                    pids += map(int, (task / "children").read_text().split())
            except FileNotFoundError:
                pass
        return used / TICKS

    def settled_cpu(self):
        """The same once nothing is at work any more: rows that are stored later belong to their calls."""
        before = self.cpu()
        for _ in range(20):
            time.sleep(0.3)
            now = self.cpu()
            if now - before < 0.011:
                return now
            before = now
        return before

    def memory(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def wait_for(port):
    for _ in range(200):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}")


OPENAI = 'openai: {kind: openai, base_url: "http://PROVIDER/v1", api_key: sk-bench}'
# The same mock behind Anthropic's messages: a chat call is translated there and back.
ANTHROPIC = (
    'claude: {kind: anthropic, base_url: "http://PROVIDER/v1", api_key: sk-bench}}\n'
    "routing: {default: [{provider: claude, model: claude-sonnet-4-5}]"
)


def start_tollgate(folder, provider, providers=OPENAI):
    """Tollgate with everything on, on core 0, and its port."""
    config = folder / "config"
    (config / "policies").mkdir(parents=True)
    port = free_port()
    (config / "gateway.yaml").write_text(
        f"listen: 127.0.0.1:{port}\nadmin_listen: 127.0.0.1:{free_port()}\ndata_dir: {folder}/data\nlog: {{level: warn}}\n"
    )
    (config / "policies/all.yaml").write_text(
        f'auth: {{accept: [jwt], jwt: {{secret: "{SECRET}"}}}}\n'
        f"providers: {{{providers.replace('PROVIDER', provider)}}}\n"
        "limits: {requests_per_minute: 10000000, burst: 10000000}\n"
    )
    log = open(folder / "tollgate.log", "w")
    return Program("tollgate", 0, [ROOT / "target/dist/tollgate", "serve", "--config", config], log=log), port


def load(port, body, seconds, sse, connections, rate=0):
    """Runs the load generator, in a closed loop or at so many calls a second, and gives what it found."""
    command = [
        "taskset", "-c", "1", BUILT / "release/yardstick-lg", "--url", f"http://127.0.0.1:{port}/v1/chat/completions",
        "--conns", connections, "--secs", seconds, "--warmup", "0.2", "--body", body, "--rate", rate,
        "--header", f"authorization: Bearer {token()}", "--header", "content-type: application/json",
    ] + (["--sse"] if sse else [])
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode:
        sys.exit(f"the load generator failed: {done.stderr}")
    return json.loads(done.stdout.splitlines()[0])


def machine():
    """The commit, the day and the machine, as a heading's first line tells them."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    return f"commit `{commit}`, {time.strftime('%Y-%m-%d')}, {model}, Linux {platform.release()}, {os.cpu_count()} cores"


def write_chapter(report):
    """Puts a report, which begins with its heading `# …`, in the place of the chapter of that heading; keeps the others."""
    heading = report.split("\n", 1)[0]
    old = RESULTS.read_text() if RESULTS.exists() else ""
    chapters = [text.strip() + "\n" for text in re.split(r"^(?=# )", old, flags=re.MULTILINE) if text.strip()]
    places = [i for i, text in enumerate(chapters) if text.startswith(heading + "\n")]
    if places:
        chapters[places[0]] = report
    else:
        chapters.append(report)
    RESULTS.write_text("\n".join(chapters))
    step("written to benches/RESULTS.md")
