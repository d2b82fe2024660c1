// Checks that the official OpenAI client for Node works against a running trimtab.
//
// Environment: TRIMTAB_URL, such as http://127.0.0.1:8080; TRIMTAB_KEY, a caller key, where the server asks for one;
// TRIMTAB_EXPECT_TOOL_CALLS=1 where the upstream answers tools with a tool call. Prints one line a check; exits 1 if any failed.

import assert from "node:assert/strict";
import OpenAI from "openai";

const { TRIMTAB_URL, TRIMTAB_KEY, TRIMTAB_EXPECT_TOOL_CALLS } = process.env;
const baseURL = `${TRIMTAB_URL.replace(/\/+$/, "")}/v1`;
const connect = (apiKey) => new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 30_000 });
const client = connect(TRIMTAB_KEY ?? "unused");
const messages = [{ role: "user", content: "Which is larger, 9.11 or 9.9? Answer in one sentence." }];
const always = ["x-trimtab-decision-id", "x-trimtab-model", "x-trimtab-tier", "x-trimtab-reason", "x-trimtab-latency-us"];
const tool = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather of a city.",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

const ask = (body) => client.chat.completions.create({ model: "auto", messages, ...body });

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

/** Waits for a call that must fail, and returns its error, which must have OpenAI's shape. */
async function failsWith(kinds, call) {
  const error = await call.then(() => assert.fail("it succeeded"), (error) => error);
  assert.ok(kinds.some((kind) => error instanceof kind), `${error}`);
  for (const field of ["message", "type", "param", "code"]) assert.ok(field in error.error, `no ${field}: ${error}`);
  return error;
}

function expectHeaders(headers, model) {
  for (const name of always) assert.ok(headers.get(name), `no header ${name}`);
  assert.match(headers.get("x-trimtab-decision-id"), /^dec_[0-9a-f]{32}$/);
  assert.equal(headers.get("x-trimtab-model"), model);
}

async function realModels() {
  const names = (await client.models.list()).data.map((model) => model.id);
  return { names, real: names.filter((name) => !name.startsWith("auto")) };
}

const checks = {
  async "models are listed"() {
    const { names, real } = await realModels();
    for (const name of ["auto", "auto:economy", "auto:balanced", "auto:quality"]) assert.ok(names.includes(name), `${names}`);
    assert.ok(real.length > 0);
  },

  async "completion is answered by a real model"() {
    const { data, response } = await ask({}).withResponse();
    assert.ok((await realModels()).real.includes(data.model), data.model);
    assert.ok(data.choices[0].message.content);
    assert.equal(data.choices[0].finish_reason, "stop");
    assert.ok(data.usage.total_tokens > 0);
    expectHeaders(response.headers, data.model);
  },

  async "named model passes straight through"() {
    const [name] = (await realModels()).real;
    const { data, response } = await ask({ model: name }).withResponse();
    assert.equal(data.model, name);
    assert.equal(response.headers.get("x-trimtab-reason"), "named");
  },

  async "stream without usage has only choices"() {
    const { data, response } = await ask({ stream: true }).withResponse();
    const chunks = await collect(data);
    assert.ok(chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""));
    assert.ok(chunks.every((chunk) => chunk.usage == null), "usage that was not asked for");
    assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
    expectHeaders(response.headers, chunks[0].model);
  },

  async "stream with usage ends in it"() {
    const chunks = await collect(await ask({ stream: true, stream_options: { include_usage: true } }));
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.ok(chunks.at(-1).usage.total_tokens > 0);
  },

  async "dial of one asks for the strongest tier"() {
    const reason = async (quality) => {
      const { response } = await ask({ trimtab: { quality } }).withResponse();
      return response.headers.get("x-trimtab-reason");
    };
    assert.equal(await reason(1), "strongest_asked");
    assert.equal(await reason(0), "cheapest_asked");
  },

  async "tools pass through"() {
    const { message, finish_reason } = (await ask({ tools: [tool], tool_choice: "auto" })).choices[0];
    for (const call of message.tool_calls ?? []) {
      assert.equal(call.function.name, "get_weather");
      JSON.parse(call.function.arguments);
    }
    if (TRIMTAB_EXPECT_TOOL_CALLS === "1") assert.equal(finish_reason, "tool_calls");
    else assert.ok(message.tool_calls || message.content);
  },

  async "unknown model is refused by name"() {
    const error = await failsWith([OpenAI.NotFoundError, OpenAI.BadRequestError], ask({ model: "no-such-model" }));
    assert.match(error.message, /no-such-model/);
    assert.equal(error.error.param, "model");
  },

  async "dial out of range is refused"() {
    const error = await failsWith([OpenAI.BadRequestError], ask({ trimtab: { quality: 7 } }));
    assert.match(String(error.error.param), /quality/);
  },

  async "empty messages are refused"() {
    const error = await failsWith([OpenAI.BadRequestError], ask({ messages: [] }));
    assert.match(String(error.error.param), /messages/);
  },
};

if (TRIMTAB_KEY) {
  checks["wrong key is refused"] = async () => {
    const call = connect("wrong-key").chat.completions.create({ model: "auto", messages });
    await failsWith([OpenAI.AuthenticationError], call);
  };
}

let failures = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok    node: ${name}`);
  } catch (error) {
    failures += 1;
    console.log(`FAIL  node: ${name}: ${error.message.split("\n")[0]}`);
  }
}
process.exitCode = failures ? 1 : 0;
