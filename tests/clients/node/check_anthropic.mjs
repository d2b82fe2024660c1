// Checks that the official Anthropic client for Node works against a running trimtab.
//
// Environment: TRIMTAB_URL, such as http://127.0.0.1:8080; TRIMTAB_KEY, a caller key, where the server asks for one; TRIMTAB_SCRIPTED=1
// where the models `cheap` and `dear` are scripted to call tools, whole and in a stream. Prints one line a check; exits 1 if any failed,
// and 77 where the client is not installed.

import assert from "node:assert/strict";

const Anthropic = await import("@anthropic-ai/sdk").then((module) => module.default, () => {
  console.log("SKIPPED: the Anthropic client for Node is not installed; run `make clients`");
  process.exit(77);
});

const { TRIMTAB_URL, TRIMTAB_KEY, TRIMTAB_SCRIPTED } = process.env;
const baseURL = TRIMTAB_URL.replace(/\/+$/, "");
const connect = (apiKey) => new Anthropic({ baseURL, apiKey, maxRetries: 0, timeout: 30_000 });
const client = connect(TRIMTAB_KEY ?? "unused");
const messages = [{ role: "user", content: "Which is larger, 9.11 or 9.9? Answer in one sentence." }];
const ask = { model: "auto", max_tokens: 256, messages };
const tool = {
  name: "get_weather",
  description: "The weather of a city.",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

async function failsWith(kind, word, call) {
  const error = await call.then(() => assert.fail("it succeeded"), (error) => error);
  assert.ok(error instanceof kind, `${error}`);
  assert.equal(error.error.error.type, word);
  return error;
}

const plain = {
  async "message is answered by a real model"() {
    const { data, response } = await client.messages.create(ask).withResponse();
    assert.ok(data.content[0].text);
    assert.equal(data.stop_reason, "end_turn");
    assert.equal(response.headers.get("x-trimtab-model"), data.model);
    assert.match(response.headers.get("x-trimtab-decision-id"), /^dec_[0-9a-f]{32}$/);
  },

  async "stream gathers to a message"() {
    const stream = client.messages.stream(ask);
    let text = "";
    stream.on("text", (delta) => (text += delta));
    const message = await stream.finalMessage();
    assert.ok(text);
    assert.equal(message.content[0].text, text);
    assert.ok(message.usage.output_tokens > 0);
  },

  async "tokens are counted"() {
    assert.ok((await client.messages.countTokens({ model: "auto", messages })).input_tokens > 5);
  },

  async "unknown model is refused by name"() {
    const call = client.messages.create({ ...ask, model: "no-such-model" });
    assert.match((await failsWith(Anthropic.NotFoundError, "not_found_error", call)).message, /no-such-model/);
  },
};

const scripted = {
  async "tools are called where the upstream does"() {
    const whole = await client.messages.create({ ...ask, model: "cheap", tools: [tool] });
    const streamed = await client.messages.stream({ ...ask, model: "dear", tools: [tool] }).finalMessage();
    for (const message of [whole, streamed]) {
      const calls = message.content.filter((block) => block.type === "tool_use");
      assert.deepEqual(calls.map((call) => call.input.city), ["Paris", "Rome"]);
      assert.equal(message.stop_reason, "tool_use");
    }
  },
};

const checks = TRIMTAB_SCRIPTED === "1" ? scripted : plain;
if (TRIMTAB_KEY) {
  checks["wrong key is refused"] = async () => {
    await failsWith(Anthropic.AuthenticationError, "authentication_error", connect("wrong-key").messages.create(ask));
  };
}

let failures = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok    node, anthropic: ${name}`);
  } catch (error) {
    failures += 1;
    console.log(`FAIL  node, anthropic: ${name}: ${error.message.split("\n")[0]}`);
  }
}
process.exitCode = failures ? 1 : 0;
