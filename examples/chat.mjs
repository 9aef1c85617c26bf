// The official Node SDK (`npm install openai`) through a gateway: a call and a stream.
// Set OPENAI_BASE_URL to the gateway and OPENAI_API_KEY to a token of it; nothing else changes.
// The provider receives [REDACTED_EMAIL] in place of the address.

import OpenAI from "openai";

const client = new OpenAI();
const model = "gpt-4o-mini";
const messages = [{ role: "user", content: "Write a short note to jane.doe@example.com" }];

const answer = await client.chat.completions.create({ model, messages });
console.log(answer.choices[0].message.content);

for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
  process.stdout.write(chunk.choices[0].delta.content ?? "");
}
console.log();
