"""Refusals of long request bodies, as the official Python SDK sees them: each arrives, whatever the size of the body.

OPENAI_BASE_URL, BAD_API_KEY, OPENAI_API_KEY and LIMITED_API_KEY are set. Prints `ok NAME` for each check.
"""

import os

import openai

clients = {
    name: openai.OpenAI(api_key=os.environ[name], max_retries=0)
    for name in ("BAD_API_KEY", "LIMITED_API_KEY", "OPENAI_API_KEY")
}


def chat(name, content):
    clients[name].chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": content}])


def refused(status, call):
    try:
        call()
    except openai.APIStatusError as error:
        assert error.status_code == status and error.code, error
    else:
        raise AssertionError(f"not refused with {status}")


# Uses up the limit.
chat("LIMITED_API_KEY", "hi")
# The connections are used again: none of them may be closed unannounced.
for size in (1 << 10, 100 << 10, 1 << 20, 4 << 20, 50 << 20):
    text = "x" * size
    for _ in range(100 if size < 1 << 20 else 3):
        refused(401, lambda: chat("BAD_API_KEY", text))
        refused(429, lambda: chat("LIMITED_API_KEY", text))
    refused(403, lambda: clients["OPENAI_API_KEY"].files.create(file=("a.jsonl", b"x" * size), purpose="batch"))
    print(f"ok {size}")
