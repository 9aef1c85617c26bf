# The official Python SDK (`pip install openai`) through a gateway: a call and a stream.
# Set OPENAI_BASE_URL to the gateway and OPENAI_API_KEY to a token of it; nothing else changes.
# The provider receives [REDACTED_EMAIL] in place of the address.

from openai import OpenAI

client = OpenAI()
messages = [{"role": "user", "content": "Write a short note to jane.doe@example.com"}]

answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
print(answer.choices[0].message.content)

for chunk in client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True):
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
