// The Vercel AI SDK (`npm install ai @ai-sdk/openai`) through a gateway: a call and a stream.
// Set OPENAI_BASE_URL to the gateway and OPENAI_API_KEY to a token of it.
// The provider receives [REDACTED_EMAIL] in place of the address.

import { createOpenAI } from "@ai-sdk/openai";
import { generateText, streamText } from "ai";

const gateway = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const prompt = "Write a short note to jane.doe@example.com";

const { text } = await generateText({ model: gateway.chat("gpt-4o-mini"), prompt });
console.log(text);

const { textStream } = streamText({ model: gateway.responses("gpt-4o-mini"), prompt });
for await (const part of textStream) process.stdout.write(part);
console.log();
