# LangChain (`pip install langchain-openai`) through a gateway: a call, a stream and an embedding.
# Set OPENAI_BASE_URL to the gateway and OPENAI_API_KEY to a token of it.
# Embeddings are sent as text (`check_embedding_ctx_length=False`), so that they can be redacted.

import os

from langchain_openai import ChatOpenAI, OpenAIEmbeddings

base_url = os.environ["OPENAI_BASE_URL"]
question = "Write a short note to jane.doe@example.com"

chat = ChatOpenAI(model="gpt-4o-mini", base_url=base_url)
print(chat.invoke(question).content)
for chunk in chat.stream(question):
    print(chunk.content, end="", flush=True)
print()

embeddings = OpenAIEmbeddings(model="text-embedding-3-small", base_url=base_url, check_embedding_ctx_length=False)
print(len(embeddings.embed_query(question)), "dimensions")
