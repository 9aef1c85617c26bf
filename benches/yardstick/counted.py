"""What the counts of instructions share: a gateway with everything on, and the calls that it gets.

Not a program: `scripts/profile-call` and `scripts/counts` import it.
"""

import http.client
import json
import subprocess
import sys
import time

from parts import SECRET, free_port

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
SENTENCE = "The customer asks why the invoice of last month has another amount than the offer that was signed. "


def body_of(kind):
    """The body of a call by its kind."""
    user = SENTENCE * 9
    if kind == "contacts":
        user += "Write to jane.doe@example.com, max@example.org or erika@example.net, or call +49 30 1234567 or +1 415 555 0132."
    if kind == "1 MiB":
        user = SENTENCE * ((1 << 20) // len(SENTENCE))
    messages = [
        {"role": "system", "content": "You answer questions of customers in two sentences. " + SENTENCE * 4},
        {"role": "user", "content": user},
    ]
    body = {"model": "gpt-4o-mini", "messages": messages, "temperature": 0.2}
    if kind.startswith("stream"):
        body.update(stream=True, stream_options={"include_usage": True})
    return json.dumps(body)


def connect(port):
    """A connection to a program that begins under callgrind."""
    for _ in range(900):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        try:
            connection.connect()
            return connection
        except OSError:
            time.sleep(0.1)
    sys.exit("the program under callgrind does not answer")


def gateway(program, provider, folder):
    """The command of a gateway with everything on, and its port."""
    port = free_port()
    (folder / "policies").mkdir()
    (folder / "gateway.yaml").write_text(
        f"listen: 127.0.0.1:{port}\nadmin_listen: 127.0.0.1:{free_port()}\ndata_dir: {folder}/data\n"
    )
    (folder / "policies/all.yaml").write_text(
        f"auth: {{accept: [jwt], jwt: {{secret: {SECRET}, algorithms: [HS256]}}}}\n"
        f'providers: {{mock: {{kind: openai, base_url: "http://{provider}/v1", api_key: k}}}}\n'
        "limits: {requests_per_minute: 600000, burst: 600000}\n"
    )
    return [program, "serve", "--config", folder], port
