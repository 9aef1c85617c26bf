"""What the measurements of `scripts/` share: building, processes on a core of their own, and benches/RESULTS.md.

Not a program: `scripts/bench`, `scripts/bench-streams` and others import it.
"""

import array
import base64
import hashlib
import hmac
import json
import math
import os
import pathlib
import platform
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
YARD = ROOT / "benches/yardstick"
BUILT = ROOT / "target/yardstick"
PROGRAM = ROOT / "target/dist/tollgate"
RESULTS = ROOT / "benches/RESULTS.md"
CARGO = os.environ.get("CARGO", "cargo")
SECRET = "benchmark-secret-of-enough-bytes"
TICKS = os.sysconf("SC_CLK_TCK")


def step(text):
    print(f"== {text}", file=sys.stderr, flush=True)


def build(gateway=True, crates=("barehyper", "mock", "lg")):
    """The gateway, unless a build of it exists, and the yardsticks."""
    if gateway:
        step("building (profile dist)")
        subprocess.run([CARGO, "build", "--profile", "dist", "--locked", "--quiet"], cwd=ROOT, check=True)
    for crate in crates:
        subprocess.run(
            [CARGO, "build", "--release", "--locked", "--quiet", "--target-dir", str(BUILT)], cwd=YARD / crate, check=True
        )


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def raise_descriptors(count):
    """For this process and those it starts; the gateway raises its own too."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        sys.exit(f"{count} file descriptors are needed, and the system gives {hard}: raise ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def token(org="bench"):
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    claims = {"org_id": org, "sub": "bench", "exp": int(time.time()) + 3600}
    signed = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
    return (signed + b"." + part(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest())).decode()


class Watched:
    """A process on this machine, whoever started it."""

    def __init__(self, pid):
        self.pid = pid

    def family(self):
        """Its id and those of the processes that it started, and so on."""
        found, open_pids = [], [self.pid]
        while open_pids:
            pid = open_pids.pop()
            try:
                for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                    open_pids += map(int, (task / "children").read_text().split())
                found.append(pid)
            except (FileNotFoundError, ProcessLookupError):
                pass
        return found

    def cpu(self):
        """Seconds of CPU that it and its children have used so far, all threads, user and system."""
        used = 0
        for pid in self.family():
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                used += int(fields[11]) + int(fields[12])
            except (FileNotFoundError, ProcessLookupError):
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
        """MiB of its resident set and of its children's; pages that they share count for each."""
        total = 0
        for pid in self.family():
            try:
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                total += next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))
            except (FileNotFoundError, ProcessLookupError):
                pass
        return total


class Program(Watched):
    """A process of ours on a core of its own."""

    def __init__(self, name, core, command, environment=None, log=None):
        self.name = name
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), *map(str, command)],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log or subprocess.DEVNULL,
        )
        super().__init__(self.process.pid)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


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


def start_tollgate(folder, provider, providers=OPENAI, more="", program=None):
    """Tollgate with everything on, on core 0, and its port. `more` are further lines of its policy."""
    config = folder / "config"
    (config / "policies").mkdir(parents=True)
    port = free_port()
    (config / "gateway.yaml").write_text(
        f"listen: 127.0.0.1:{port}\nadmin_listen: 127.0.0.1:{free_port()}\ndata_dir: {folder}/data\nlog: {{level: warn}}\n"
    )
    (config / "policies/all.yaml").write_text(
        f'auth: {{accept: [jwt], jwt: {{secret: "{SECRET}"}}}}\n'
        f"providers: {{{providers.replace('PROVIDER', provider)}}}\n"
        "limits: {requests_per_minute: 10000000, burst: 10000000}\n" + more
    )
    with open(folder / "tollgate.log", "w") as log:
        return Program("tollgate", 0, [program or PROGRAM, "serve", "--config", config], log=log), port


def start_mock(port=0):
    """The simulated provider, on core 1, and its address."""
    port = port or free_port()
    address = f"127.0.0.1:{port}"
    mock = Program("mock", 1, [BUILT / "release/yardstick-mock"], {"MOCK_ADDR": address})
    wait_for(port)
    return mock, address


def start_bare(provider, client="legacy"):
    """A bare hyper proxy on core 0, and its port."""
    port = free_port()
    environment = {"BARE_ADDR": f"127.0.0.1:{port}", "BARE_UPSTREAM": provider, "BARE_CLIENT": client}
    bare = Program(client, 0, [BUILT / "release/yardstick-barehyper"], environment)
    wait_for(port)
    return bare, port


def load_url(url, body, seconds, connections, *options):
    """Runs the load generator with more of its options, and gives what it found."""
    command = [
        "taskset", "-c", "1", BUILT / "release/yardstick-lg", "--url", url,
        "--conns", connections, "--secs", seconds, "--warmup", "0.2", "--body", body, *options,
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode:
        sys.exit(f"the load generator failed: {done.stderr}")
    return json.loads(done.stdout.splitlines()[0])


def load(port, body, seconds, sse, connections, rate=0):
    """Loads a gateway of ours, in a closed loop or at so many calls a second."""
    options = ["--rate", rate, "--header", f"authorization: Bearer {token()}"] + (["--sse"] if sse else [])
    return load_url(f"http://127.0.0.1:{port}/v1/chat/completions", body, seconds, connections, *options)


def open_loop(url, body, seconds, connections, rate, options):
    """Calls at a constant rate: what the load generator found, and each call's latency in µs, the lowest first."""
    with tempfile.NamedTemporaryFile(prefix="tollgate-samples-") as file:
        found = load_url(url, body, seconds, connections, "--rate", rate, "--samples", file.name, *options)
        samples = array.array("I")
        samples.frombytes(pathlib.Path(file.name).read_bytes())
    if found["done"] and not samples:
        sys.exit("the load generator is of an older commit and gives no latencies: run this without --no-build once")
    return found, [sample / 10 for sample in samples]


QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


def quantiles(samples):
    """The latencies, in the unit of the samples, that so many of a hundred calls do not exceed."""
    if not samples:
        return {}
    ordered = sorted(samples)
    return {name: ordered[max(math.ceil(len(ordered) * share), 1) - 1] for name, share in QUANTILES.items()}


def made(program=None):
    """The commit, the day and the machine, as data. Of a program that was given, its commit is what the checkout has."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "unknown")
    build = f"a build that was given ({pathlib.Path(program).name})" if program else "profile dist"
    return {
        "commit": commit, "day": time.strftime("%Y-%m-%d"), "processor": model,
        "kernel": platform.release(), "cores": os.cpu_count(), "build": build,
    }


def machine(facts=None):
    """The commit, the day and the machine, as a heading's first line tells them."""
    facts = facts or made()
    text = f"commit `{facts['commit']}`, {facts['day']}, {facts['processor']}, Linux {facts['kernel']}, {facts['cores']} cores"
    return text if facts["build"] == "profile dist" else f"{text}, {facts['build']}"


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
