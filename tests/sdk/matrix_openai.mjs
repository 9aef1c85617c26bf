// The official OpenAI SDK for Node, unmodified, against a gateway in front of any kind of provider.
//
// As matrix_openai.py: prints one JSON object with the results of each feature.

import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const model = "assistant";
const person = "I am jane.doe@example.com, call me at +1 415 555 0132. [[mock:input=100,cached=60,output=40]]";
const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==";
const question = `${person} What is the weather in Paris, and the time in Tokyo?`;
const client = new OpenAI({ maxRetries: 0 });
const place = z.object({ city: z.string(), kind: z.string(), tags: z.array(z.string()) });
const user = (content) => [{ role: "user", content }];
const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const names = ["get_weather", "get_time"];
let calls = 0;

const chat = (body) => (calls++, client.chat.completions.create({ model, ...body }));
const respond = (body) => (calls++, client.responses.create({ model, store: false, ...body }));
const usage = ({ usage }) => [usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens, usage.completion_tokens];
const responseUsage = ({ usage }) => [usage.input_tokens, usage.input_tokens_details.cached_tokens, usage.output_tokens];

async function whole() {
  calls++;
  const messages = [{ role: "system", content: "Be brief." }, ...user(person)];
  const { data, response } = await client.chat.completions.create({ model, messages, seed: 7, stop: ["END"] }).withResponse();
  const [said] = data.choices;
  const lost = response.headers.get("x-tollgate-translation") ?? "";
  return { lost, text: said.message.content, finish: said.finish_reason, usage: usage(data) };
}

async function stream() {
  let [text, finish, last] = ["", null, null];
  const chunks = await chat({ messages: user(person), stream: true, stream_options: { include_usage: true } });
  for await (const chunk of chunks) {
    last = chunk;
    for (const choice of chunk.choices) {
      text += choice.delta.content ?? "";
      finish = choice.finish_reason ?? finish;
    }
  }
  return { text, finish, usage: usage(last) };
}

async function tools(streamed, options = {}) {
  const functions = names.map((name) => ({
    type: "function",
    function: { name, description: name, strict: true, parameters },
  }));
  const messages = user(question);
  const ask = async () => {
    const body = { messages, tools: functions, ...options };
    if (!streamed) return (await chat(body)).choices[0];
    calls++;
    return (await client.chat.completions.stream({ model, ...body }).finalChatCompletion()).choices[0];
  };
  const first = await ask();
  const { parsed, ...message } = first.message;
  // The stream's helper adds what it has parsed.
  for (const call of message.tool_calls) delete call.function.parsed_arguments;
  messages.push(message);
  const made = message.tool_calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]);
  message.tool_calls.forEach((call, index) =>
    messages.push({ role: "tool", tool_call_id: call.id, content: `result ${index}` }),
  );
  const second = await ask();
  return { calls: made, finish: first.finish_reason, text: second.message.content };
}

async function structured() {
  calls++;
  const answer = await client.chat.completions.parse({
    model,
    messages: user(`${person} I live in Rome`),
    response_format: zodResponseFormat(place, "Place"),
  });
  return answer.choices[0].message.parsed;
}

async function vision() {
  const parts = [
    { type: "text", text: `What is this? ${person}` },
    { type: "image_url", image_url: { url: `data:image/png;base64,${png}` } },
  ];
  return (await chat({ messages: user(parts) })).choices[0].message.content;
}

async function reasoning() {
  const messages = user(person);
  const { message } = (await chat({ messages, reasoning_effort: "high" })).choices[0];
  messages.push(message, ...user(`And now? ${person}`));
  const second = await chat({ messages, reasoning_effort: "high" });
  return { text: message.content, next: second.choices[0].message.content };
}

async function responses() {
  const answer = await respond({ input: person, instructions: "Be brief." });
  calls++;
  let said = "";
  const events = client.responses.stream({ model, store: false, input: person });
  for await (const event of events) if (event.type === "response.output_text.delta") said += event.delta;
  const final = await events.finalResponse();
  return {
    text: answer.output_text,
    status: answer.status,
    usage: responseUsage(answer),
    stream: said,
    stream_usage: responseUsage(final),
  };
}

async function responseTools(streamed) {
  const functions = names.map((name) => ({ type: "function", name, description: name, strict: true, parameters }));
  const input = user(question);
  const options = {
    tools: functions,
    reasoning: { effort: "high", summary: "auto" },
    include: ["reasoning.encrypted_content"],
  };
  const ask = async () => {
    if (!streamed) return respond({ input, ...options });
    calls++;
    return client.responses.stream({ model, store: false, input, ...options }).finalResponse();
  };
  const first = await ask();
  const made = first.output.filter((item) => item.type === "function_call");
  const thought = first.output.some((item) => item.type === "reasoning" && item.summary.length > 0);
  for (const { parsed_arguments, ...item } of first.output) input.push(item);
  made.forEach((call, index) =>
    input.push({ type: "function_call_output", call_id: call.call_id, output: `result ${index}` }),
  );
  const called = made.map((call) => [call.name, JSON.parse(call.arguments)]);
  return { calls: called, thought, text: (await ask()).output_text };
}

async function responseStructured() {
  calls++;
  const answer = await client.responses.parse({
    model,
    store: false,
    input: `${person} I live in Rome`,
    text: { format: zodTextFormat(place, "Place") },
  });
  return answer.output_parsed;
}

const results = {
  chat: await whole(),
  stream: await stream(),
  tools: await tools(false),
  tools_stream: await tools(true),
  tools_reasoning: await tools(false, { reasoning_effort: "high" }),
  tools_reasoning_stream: await tools(true, { reasoning_effort: "high" }),
  structured: await structured(),
  vision: await vision(),
  reasoning: await reasoning(),
  responses: await responses(),
  response_tools: await responseTools(false),
  response_tools_stream: await responseTools(true),
  response_structured: await responseStructured(),
};
console.log(JSON.stringify({ calls, counts: 0, results }));
