// Refusals of long request bodies, as the official Node SDK sees them: each arrives, whatever the size of the body.
//
// OPENAI_BASE_URL, BAD_API_KEY, OPENAI_API_KEY and LIMITED_API_KEY are set. Prints `ok NAME` for each check.

import assert from "node:assert/strict";
import { File } from "node:buffer";
import OpenAI, { toFile } from "openai";

// Debian 12 has Node 18, where `File` is not a global yet; the SDK needs it for uploads.
globalThis.File ??= File;

const client = (apiKey) => new OpenAI({ apiKey, maxRetries: 0 });
const sizes = [1, 100, 1 << 10, 4 << 10, 50 << 10].map((kib) => kib << 10);
const chat = (content) => ({ model: "gpt-4o-mini", messages: [{ role: "user", content }] });

async function refused(status, call) {
  await assert.rejects(call, (error) => {
    assert.equal(error.status, status, String(error.cause ?? error));
    assert.ok(error.code, String(error));
    return true;
  });
}

const tries = (size) => (size > 10 << 20 ? 3 : 10);

for (const size of sizes) {
  const text = "x".repeat(size);
  for (let n = 0; n < tries(size); n++) {
    await refused(401, () => client(process.env.BAD_API_KEY).chat.completions.create(chat(text)));
    await refused(429, async () => {
      // The first call may be the one that is allowed.
      if (size === sizes[0] && n === 0) await client(process.env.LIMITED_API_KEY).chat.completions.create(chat("hi"));
      await client(process.env.LIMITED_API_KEY).chat.completions.create(chat(text));
    });
    const file = await toFile(Buffer.alloc(size), "a.jsonl");
    await refused(403, () => client(process.env.OPENAI_API_KEY).files.create({ file, purpose: "batch" }));
    await refused(401, () => client(process.env.BAD_API_KEY).files.create({ file, purpose: "batch" }));
  }
  console.log(`ok ${size}`);
}
