# LlamaIndex (`pip install llama-index-llms-openai-like`) through a gateway: a call and a stream.
# Set OPENAI_BASE_URL to the gateway and OPENAI_API_KEY to a token of it.
# The provider receives [REDACTED_EMAIL] in place of the address.

import os

from llama_index.llms.openai_like import OpenAILike

llm = OpenAILike(
    model="gpt-4o-mini",
    api_base=os.environ["OPENAI_BASE_URL"],
    api_key=os.environ["OPENAI_API_KEY"],
    is_chat_model=True,
)
print(llm.complete("Write a short note to jane.doe@example.com").text)
for part in llm.stream_complete("Write a short note to jane.doe@example.com"):
    print(part.delta, end="", flush=True)
print()
