"""The official Anthropic SDK, unmodified, against a gateway in front of any kind of provider.

As matrix_openai.py: takes ANTHROPIC_BASE_URL and ANTHROPIC_AUTH_TOKEN, prints one JSON object with the results of each feature.
"""

import json

from anthropic import Anthropic
from pydantic import BaseModel

MODEL = "assistant"
PERSON = "I am jane.doe@example.com, call me at +1 415 555 0132. [[mock:input=100,cached=60,output=40]]"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
QUESTION = f"{PERSON} What is the weather in Paris, and the time in Tokyo?"
client = Anthropic(max_retries=0)
calls, counts = 0, 0


class Place(BaseModel):
    city: str
    kind: str
    tags: list[str]


def counted(function, **arguments):
    global calls
    calls += 1
    return function(model=MODEL, max_tokens=4000, **arguments)


def user(content):
    return [{"role": "user", "content": content}]


def text(message):
    return "".join(block.text for block in message.content if block.type == "text")


def usage(message):
    # Cached tokens are counted beside the input.
    return [message.usage.input_tokens, message.usage.cache_read_input_tokens, message.usage.output_tokens]


def whole():
    raw = counted(
        client.messages.with_raw_response.create, messages=user(PERSON), system="Be brief.", stop_sequences=["END"]
    )
    message = raw.parse()
    lost = raw.headers.get("x-tollgate-translation", "")
    return {"lost": lost, "text": text(message), "stop": message.stop_reason, "usage": usage(message)}


def stream():
    with counted(client.messages.stream, messages=user(PERSON)) as stream:
        said = "".join(stream.text_stream)
        final = stream.get_final_message()
    return {"text": said, "stop": final.stop_reason, "usage": usage(final)}


def tools(streamed, **options):
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    functions = [
        {"name": name, "description": name, "input_schema": schema} for name in ("get_weather", "get_time")
    ]
    messages = user(QUESTION)

    def ask():
        if not streamed:
            return counted(client.messages.create, messages=messages, tools=functions, **options)
        with counted(client.messages.stream, messages=messages, tools=functions, **options) as stream:
            return stream.get_final_message()

    first = ask()
    made = [block for block in first.content if block.type == "tool_use"]
    messages.append({"role": "assistant", "content": first.content})
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": f"result {index}"}
        for index, block in enumerate(made)
    ]
    messages += user(results)
    second = ask()
    return {
        "calls": [[block.name, block.input] for block in made],
        "stop": first.stop_reason,
        "text": text(second),
    }


def structured():
    answer = counted(client.messages.parse, messages=user(f"{PERSON} I live in Rome"), output_format=Place)
    return answer.parsed_output.model_dump()


def vision():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    parts = [{"type": "text", "text": f"What is this? {PERSON}"}, image]
    return text(counted(client.messages.create, messages=user(parts)))


def thinking():
    messages = user(PERSON)
    options = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}
    first = counted(client.messages.create, messages=messages, **options)
    messages += [{"role": "assistant", "content": first.content}, *user(f"And now? {PERSON}")]
    second = counted(client.messages.create, messages=messages, **options)
    return {"text": text(first), "next": text(second)}


def count_tokens():
    global counts
    counts += 1
    return client.messages.count_tokens(model=MODEL, messages=user(PERSON)).input_tokens


THINKING = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}
results = {
    "whole": whole(),
    "stream": stream(),
    "tools": tools(False),
    "tools_stream": tools(True),
    "tools_thinking": tools(False, **THINKING),
    "tools_thinking_stream": tools(True, **THINKING),
    "structured": structured(),
    "vision": vision(),
    "thinking": thinking(),
    "count_tokens": count_tokens(),
}
print(json.dumps({"calls": calls, "counts": counts, "results": results}))
