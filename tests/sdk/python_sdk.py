"""The official Python SDK, unmodified, through a gateway to the simulated provider.

Only OPENAI_BASE_URL and OPENAI_API_KEY are set, as an application would. Prints `ok NAME` for each check.
"""

import asyncio
import json
import os

import openai
from openai import AsyncOpenAI, OpenAI

MODEL = "gpt-4o-mini"
client = OpenAI()


def user(text):
    return [{"role": "user", "content": text}]


def chat():
    answer = client.chat.completions.create(model=MODEL, messages=user("Write to jane@example.com [[mock:echo]]"))
    said = answer.choices[0].message.content
    assert said.startswith("Write to [") and "jane" not in said, said
    assert answer.usage.total_tokens > 0 and answer._request_id, answer


def stream():
    stream = client.chat.completions.create(model=MODEL, messages=user("[[mock:chunks=30]]"), stream=True)
    chunks = list(stream)
    assert all(chunk.choices for chunk in chunks), "usage was not asked for"
    words = "".join(chunk.choices[0].delta.content or "" for chunk in chunks).split()
    assert len(words) == 30, words
    assert chunks[-1].choices[0].finish_reason == "stop", chunks[-1]


async def stream_with_usage():
    async with AsyncOpenAI() as asynchronous:
        stream = await asynchronous.chat.completions.create(
            model=MODEL, messages=user("[[mock:say=hello]]"), stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens > 0, chunks[-1]


def tools():
    weather = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    messages = user("What is the weather in Paris?")
    first = client.chat.completions.create(model=MODEL, messages=messages, tools=[weather])
    call = first.choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Paris"}, call
    messages += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"}]
    second = client.chat.completions.create(model=MODEL, messages=messages, tools=[weather])
    assert "18 degrees" in second.choices[0].message.content, second


def embeddings():
    answer = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    assert [len(item.embedding) for item in answer.data] == [1536, 1536], "the SDK asks for base64 and decodes it"
    assert abs(sum(x * x for x in answer.data[0].embedding) - 1) < 1e-3


def responses():
    whole = client.responses.create(model="gpt-4o", input="[[mock:say=one two three]]")
    assert whole.output_text == "one two three", whole
    with client.responses.stream(model="gpt-4o", input="[[mock:say=one two three]]") as stream:
        said = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert said == "one two three" and stream.get_final_response().usage.output_tokens > 0, said


def transcription():
    sound = ("call with jane@example.com.wav", b"RIFF\0\0\0\0WAVE" + bytes(range(256)) * 400, "audio/wav")
    said = client.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=sound, prompt="Names: +1 415 555 0132", timestamp_granularities=["word"]
    ).text
    assert "102412 bytes" in said and "Names: [REDACTED_PHONE]" in said and "jane" not in said, said
    plain = client.audio.translations.create(model="whisper-1", file=sound, response_format="text")
    assert "translation of call with [REDACTED_EMAIL]" in plain, plain
    with client.audio.transcriptions.with_streaming_response.create(
        model="gpt-4o-transcribe", file=sound, stream=True
    ) as answer:
        text = answer.read().decode()
    assert "transcript.text.done" in text and "102412 bytes" in text, text


def image_edit():
    picture = ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(2000), "image/png")
    edited = client.images.edit(model="gpt-image-1", image=[picture, picture], prompt="a cat", n=1)
    assert edited.data[0].b64_json and edited.usage.output_tokens > 0, edited


def unavailable():
    # Three attempts of the gateway use the failure up: an SDK that tried again would get an answer.
    try:
        client.chat.completions.create(model=MODEL, messages=user("[[mock:status=503,times=3,id=python]]"))
    except openai.InternalServerError as error:
        assert error.status_code == 503 and error.code == "provider_unavailable" and error.request_id, error
        assert "temporarily" in error.message or "unavailable" in error.message, error.message
    else:
        raise AssertionError("the SDK tried again")


def rate_limited():
    limited = OpenAI(api_key=os.environ["LIMITED_API_KEY"], max_retries=0)
    limited.chat.completions.create(model=MODEL, messages=user("hello"))
    try:
        limited.chat.completions.create(model=MODEL, messages=user("hello"))
    except openai.RateLimitError as error:
        assert error.code == "rate_limit_exceeded" and int(error.response.headers["retry-after"]) > 0, error
    else:
        raise AssertionError("not limited")


def refused():
    try:
        OpenAI(api_key=os.environ["BAD_API_KEY"]).models.list()
    except openai.AuthenticationError as error:
        assert error.code == "invalid_token", error
    else:
        raise AssertionError("not refused")


CHECKS = [chat, stream, stream_with_usage, tools, embeddings, responses, transcription, image_edit]
for check in CHECKS + [unavailable, rate_limited, refused]:
    result = check()
    if asyncio.iscoroutine(result):
        asyncio.run(result)
    print("ok", check.__name__, flush=True)
