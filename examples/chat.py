"""The official Python SDK through a gateway. Set OPENAI_BASE_URL and OPENAI_API_KEY; nothing else changes."""

from openai import OpenAI

client = OpenAI()
messages = [{"role": "user", "content": "Write a short note to jane.doe@example.com"}]

answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
print(answer.choices[0].message.content)

for chunk in client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True):
    print(chunk.choices[0].delta.content or "", end="", flush=True)
print()
