"""The official OpenAI SDK, unmodified, against a gateway in front of any kind of provider.

Takes OPENAI_BASE_URL and OPENAI_API_KEY, and prints one JSON object: the results of each feature. They must be the same
whatever provider answers. Each prompt has personal data, and a marker that sets the usage that the provider reports.
"""

import json

from openai import OpenAI
from pydantic import BaseModel

MODEL = "assistant"
PERSON = "I am jane.doe@example.com, call me at +1 415 555 0132. [[mock:input=100,cached=60,output=40]]"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
TOOLS = ["get_weather", "get_time"]
QUESTION = f"{PERSON} What is the weather in Paris, and the time in Tokyo?"
client = OpenAI(max_retries=0)
calls = 0


class Place(BaseModel):
    city: str
    kind: str
    tags: list[str]


def counted(function, **arguments):
    global calls
    calls += 1
    return function(model=MODEL, **arguments)


def schema():
    return {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }


def user(text):
    return [{"role": "user", "content": text}]


def usage(answer):
    usage = answer.usage
    return [usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens, usage.completion_tokens]


def usage_of_response(answer):
    usage = answer.usage
    return [usage.input_tokens, usage.input_tokens_details.cached_tokens, usage.output_tokens]


def chat():
    raw = counted(
        client.chat.completions.with_raw_response.create,
        messages=[{"role": "system", "content": "Be brief."}, *user(PERSON)],
        seed=7,
        stop=["END"],
    )
    answer = raw.parse()
    lost = raw.headers.get("x-tollgate-translation", "")
    said = answer.choices[0]
    return {"lost": lost, "text": said.message.content, "finish": said.finish_reason, "usage": usage(answer)}


def stream():
    text, last = "", None
    chunks = counted(
        client.chat.completions.create,
        messages=user(PERSON),
        stream=True,
        stream_options={"include_usage": True},
    )
    finish = None
    for chunk in chunks:
        last = chunk
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    return {"text": text, "finish": finish, "usage": usage(last)}


def tools(streamed, **options):
    functions = [
        {"type": "function", "function": {"name": name, "description": name, "strict": True, "parameters": schema()}}
        for name in TOOLS
    ]
    messages = user(QUESTION)

    def ask():
        if not streamed:
            return counted(client.chat.completions.create, messages=messages, tools=functions, **options)
        with counted(client.chat.completions.stream, messages=messages, tools=functions, **options) as stream:
            for _ in stream:
                pass
            return stream.get_final_completion()

    first = ask().choices[0]
    made = [[call.function.name, json.loads(call.function.arguments)] for call in first.message.tool_calls]
    message = first.message.model_dump(exclude_none=True)
    for call in message["tool_calls"]:
        call.pop("index", None)
        call["function"].pop("parsed_arguments", None)
    message.pop("parsed", None)
    messages.append(message)
    for index, call in enumerate(message["tool_calls"]):
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": f"result {index}"})
    second = ask().choices[0]
    return {"calls": made, "finish": first.finish_reason, "text": second.message.content}


def forced():
    functions = [{"type": "function", "function": {"name": name, "parameters": schema()}} for name in TOOLS]
    choice = {"type": "function", "function": {"name": "get_time"}}
    answer = counted(
        client.chat.completions.create, messages=user(f"Hello from Rome. {PERSON}"), tools=functions, tool_choice=choice
    )
    return [call.function.name for call in answer.choices[0].message.tool_calls]


def structured():
    answer = counted(
        client.chat.completions.parse, messages=user(f"{PERSON} I live in Rome"), response_format=Place
    )
    return answer.choices[0].message.parsed.model_dump()


def vision():
    parts = [
        {"type": "text", "text": f"What is this? {PERSON}"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
    ]
    return counted(client.chat.completions.create, messages=user(parts)).choices[0].message.content


def reasoning():
    messages = user(PERSON)
    first = counted(client.chat.completions.create, messages=messages, reasoning_effort="high")
    message = first.choices[0].message
    messages += [message.model_dump(exclude_none=True), *user(f"And now? {PERSON}")]
    second = counted(client.chat.completions.create, messages=messages, reasoning_effort="high")
    return {"text": message.content, "next": second.choices[0].message.content}


def responses():
    whole = counted(client.responses.create, input=PERSON, instructions="Be brief.", store=False)
    with counted(client.responses.stream, input=PERSON, store=False) as stream:
        said = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    return {
        "text": whole.output_text,
        "status": whole.status,
        "usage": usage_of_response(whole),
        "stream": said,
        "stream_usage": usage_of_response(final),
    }


def response_tools(streamed):
    functions = [
        {"type": "function", "name": name, "description": name, "strict": True, "parameters": schema()}
        for name in TOOLS
    ]
    items = user(QUESTION)
    options = {
        "tools": functions,
        "store": False,
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
    }

    def ask():
        if not streamed:
            return counted(client.responses.create, input=items, **options)
        with counted(client.responses.stream, input=items, **options) as stream:
            for _ in stream:
                pass
            return stream.get_final_response()

    first = ask()
    made = [item for item in first.output if item.type == "function_call"]
    thought = [part.text for item in first.output if item.type == "reasoning" for part in item.summary]
    for item in first.output:
        plain = item.model_dump(exclude_none=True)
        plain.pop("parsed_arguments", None)
        items.append(plain)
    for index, call in enumerate(made):
        items.append({"type": "function_call_output", "call_id": call.call_id, "output": f"result {index}"})
    return {
        "calls": [[call.name, json.loads(call.arguments)] for call in made],
        "thought": bool("".join(thought)),
        "text": ask().output_text,
    }


def response_structured():
    answer = counted(client.responses.parse, input=f"{PERSON} I live in Rome", text_format=Place, store=False)
    return answer.output_parsed.model_dump()


def response_vision():
    parts = [
        {"type": "input_text", "text": f"What is this? {PERSON}"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
    ]
    return counted(client.responses.create, input=user(parts), store=False).output_text


results = {
    "chat": chat(),
    "stream": stream(),
    "tools": tools(False),
    "tools_stream": tools(True),
    "tools_reasoning": tools(False, reasoning_effort="high"),
    "tools_reasoning_stream": tools(True, reasoning_effort="high"),
    "forced": forced(),
    "structured": structured(),
    "vision": vision(),
    "reasoning": reasoning(),
    "responses": responses(),
    "response_tools": response_tools(False),
    "response_tools_stream": response_tools(True),
    "response_structured": response_structured(),
    "response_vision": response_vision(),
}
print(json.dumps({"calls": calls, "counts": 0, "results": results}))
