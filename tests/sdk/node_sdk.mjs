// The official Node SDK, unmodified, through a gateway to the simulated provider.
//
// Only OPENAI_BASE_URL and OPENAI_API_KEY are set, as an application would. Prints `ok NAME` for each check.

import assert from "node:assert/strict";
import OpenAI, { toFile } from "openai";

const model = "gpt-4o-mini";
const client = new OpenAI();
const user = (content) => [{ role: "user", content }];

const weather = {
  type: "function",
  function: {
    name: "get_weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

const checks = {
  async chat() {
    const messages = user("Write to jane@example.com [[mock:echo]]");
    const answer = await client.chat.completions.create({ model, messages });
    const said = answer.choices[0].message.content;
    assert.ok(said.startsWith("Write to [") && !said.includes("jane"), said);
    assert.ok(answer.usage.total_tokens > 0 && answer._request_id);
    // An emoji that an application cut in two is passed on, not refused.
    await client.chat.completions.create({ model, messages: user("cut \u{1f600}".slice(0, -1)) });
  },

  async stream() {
    const messages = user("[[mock:chunks=30]]");
    const chunks = [];
    for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) chunks.push(chunk);
    assert.ok(chunks.every((chunk) => chunk.choices.length === 1), "usage was not asked for");
    const words = chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join("").trim().split(" ");
    assert.equal(words.length, 30);
    assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
  },

  async stream_with_usage() {
    const chunks = [];
    const stream = await client.chat.completions.create({
      model,
      messages: user("[[mock:say=hello]]"),
      stream: true,
      stream_options: { include_usage: true },
    });
    for await (const chunk of stream) chunks.push(chunk);
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.ok(chunks.at(-1).usage.completion_tokens > 0);
  },

  async tools() {
    const messages = user("What is the weather in Paris?");
    const first = await client.chat.completions.create({ model, messages, tools: [weather] });
    const call = first.choices[0].message.tool_calls[0];
    assert.deepEqual(JSON.parse(call.function.arguments), { city: "Paris" });
    messages.push(first.choices[0].message, { role: "tool", tool_call_id: call.id, content: "18 degrees" });
    const second = await client.chat.completions.create({ model, messages, tools: [weather] });
    assert.match(second.choices[0].message.content, /18 degrees/);
  },

  async embeddings() {
    const answer = await client.embeddings.create({ model: "text-embedding-3-small", input: ["one", "two"] });
    assert.deepEqual(answer.data.map((item) => item.embedding.length), [1536, 1536]);
    assert.ok(Math.abs(answer.data[0].embedding.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-3);
  },

  async responses() {
    const input = "[[mock:say=one two three]]";
    const whole = await client.responses.create({ model: "gpt-4o", input });
    assert.equal(whole.output_text, "one two three");
    let said = "";
    let completed = false;
    for await (const event of await client.responses.create({ model: "gpt-4o", input, stream: true })) {
      if (event.type === "response.output_text.delta") said += event.delta;
      completed ||= event.type === "response.completed";
    }
    assert.equal(said, "one two three");
    assert.ok(completed);
  },

  async transcription() {
    const bytes = new Uint8Array(100_000).map((_, at) => at % 251);
    const file = await toFile(bytes, "call with jane@example.com.wav", { type: "audio/wav" });
    const prompt = "Names: +1 415 555 0132";
    const { text } = await client.audio.transcriptions.create({ file, model: "gpt-4o-transcribe", prompt });
    assert.ok(text.includes("100000 bytes") && text.includes("Names: [REDACTED_PHONE]"), text);
    assert.ok(!text.includes("jane"), text);
    let streamed = "";
    const stream = await client.audio.transcriptions.create({ file, model: "gpt-4o-transcribe", stream: true });
    for await (const event of stream) if (event.type === "transcript.text.done") streamed = event.text;
    assert.ok(streamed.includes("100000 bytes"), streamed);
  },

  async image_edit() {
    const image = await toFile(new Uint8Array(2000), "a.png", { type: "image/png" });
    const edited = await client.images.edit({ model: "gpt-image-1", image: [image, image], prompt: "a cat" });
    assert.ok(edited.data[0].b64_json && edited.usage.output_tokens > 0);
  },

  async unavailable() {
    // Three attempts of the gateway use the failure up: an SDK that tried again would get an answer.
    const messages = user("[[mock:status=503,times=3,id=node]]");
    const error = await client.chat.completions.create({ model, messages }).then(
      () => assert.fail("the SDK tried again"),
      (error) => error,
    );
    assert.ok(error instanceof OpenAI.InternalServerError, String(error));
    assert.deepEqual([error.status, error.code], [503, "provider_unavailable"]);
    assert.ok(error.requestID);
  },

  async rate_limited() {
    const limited = new OpenAI({ apiKey: process.env.LIMITED_API_KEY, maxRetries: 0 });
    await limited.chat.completions.create({ model, messages: user("hello") });
    await assert.rejects(limited.chat.completions.create({ model, messages: user("hello") }), (error) => {
      assert.ok(error instanceof OpenAI.RateLimitError, String(error));
      assert.ok(Number(error.headers.get("retry-after")) > 0);
      return error.code === "rate_limit_exceeded";
    });
  },

  async refused() {
    const stranger = new OpenAI({ apiKey: process.env.BAD_API_KEY });
    await assert.rejects(async () => await stranger.models.list(), (error) => {
      assert.ok(error instanceof OpenAI.AuthenticationError, String(error));
      return error.code === "invalid_token";
    });
  },
};

for (const [name, check] of Object.entries(checks)) {
  await check();
  console.log("ok", name);
}
