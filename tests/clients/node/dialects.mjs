// Checks one client for Node with models at upstreams of every dialect, through a running trimtab.
//
// Environment: TRIMTAB_URL and TRIMTAB_KEY as in check.mjs; TRIMTAB_CLIENT, one of openai, anthropic, ai-sdk. The models in
// `models` are scripted: offered a tool they call `get_weather` for Paris and Rome, given the results
// they tell them, asked for a schema they follow it, else they greet. Prints one line a check; exits 1 if any failed, and 77 where the
// client is not installed.

import assert from "node:assert/strict";

process.env.AI_SDK_TELEMETRY = "false";
globalThis.AI_SDK_LOG_WARNINGS = false;

const { TRIMTAB_URL, TRIMTAB_KEY, TRIMTAB_CLIENT } = process.env;
const url = TRIMTAB_URL.replace(/\/+$/, "");
const key = TRIMTAB_KEY ?? "unused";
const models = ["at-openai", "at-azure", "at-responses", "at-anthropic", "at-gemini", "at-bedrock"];
const unsigning = ["at-openai", "at-azure"];
const signing = ["at-anthropic", "at-bedrock"];
const question = "What is the weather in Paris and in Rome?";
const greeting = "Hello from afar.";
const results = { Paris: "Rain", Rome: "Sun" };
const told = "Rain in Paris, sun in Rome.";
const weather = { city: "Paris", degrees: 21 };
const schema = {
  type: "object",
  properties: { city: { type: "string" }, degrees: { type: "integer" } },
  required: ["city", "degrees"],
  additionalProperties: false,
};
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };

async function openai() {
  const { default: OpenAI } = await import("openai");
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0, timeout: 30_000 });
  const tools = [{ type: "function", function: { name: "get_weather", parameters } }];
  const whole = async (ask) => (await client.chat.completions.create(ask)).choices[0];
  const streamed = async (ask) => (await client.chat.completions.stream(ask).finalChatCompletion()).choices[0];
  const respond = (ask) => client.responses.create(ask);
  const responding = (ask) => client.responses.stream(ask).finalResponse();
  return {
    async text(model) {
      for (const ask of [whole, streamed]) {
        const { message, finish_reason } = await ask({ model, messages: [{ role: "user", content: "Hello" }] });
        assert.deepEqual([message.content, finish_reason], [greeting, "stop"]);
      }
    },
    async "tool round trip"(model) {
      for (const ask of [whole, streamed]) {
        const messages = [{ role: "user", content: question }];
        const { message } = await ask({ model, messages, tools });
        const cities = message.tool_calls.map((call) => JSON.parse(call.function.arguments).city);
        assert.deepEqual(cities, ["Paris", "Rome"]);
        const calls = message.tool_calls.map(({ id, type, function: { name, arguments: given } }) => ({ id, type, function: { name, arguments: given } }));
        messages.push({ role: "assistant", content: message.content, tool_calls: calls });
        calls.forEach((call, at) => messages.push({ role: "tool", tool_call_id: call.id, content: results[cities[at]] }));
        assert.equal((await ask({ model, messages, tools })).message.content, told);
      }
    },
    async "structured output"(model) {
      const response_format = { type: "json_schema", json_schema: { name: "weather", strict: true, schema } };
      for (const ask of [whole, streamed]) {
        const { message } = await ask({ model, messages: [{ role: "user", content: "Weather?" }], response_format });
        assert.deepEqual(JSON.parse(message.content), weather);
      }
    },
    async "responses: text"(model) {
      for (const ask of [respond, responding]) {
        const { output_text, usage, status } = await ask({ model, instructions: "Be kind.", input: "Hello" });
        assert.deepEqual([output_text, status], [greeting, "completed"]);
        assert.deepEqual([usage.input_tokens, usage.output_tokens], [100, 9]);
      }
    },
    async "responses: tool round trip"(model) {
      const tools = [{ type: "function", name: "get_weather", parameters, strict: false }];
      for (const ask of [respond, responding]) {
        const input = [{ role: "user", content: question }];
        const { output } = await ask({ model, input, tools });
        const calls = output.filter((item) => item.type === "function_call");
        assert.deepEqual(calls.map((call) => JSON.parse(call.arguments).city), ["Paris", "Rome"]);
        // What the client parsed beside it is its own.
        input.push(...output.map(({ parsed_arguments, ...item }) => item));
        calls.forEach((call) => input.push({ type: "function_call_output", call_id: call.call_id, output: "Rain" }));
        const last = (await ask({ model, input, tools })).output_text;
        // Gemini signs its calls, whose ids carry that.
        assert.equal(last, model === "at-gemini" ? `${told} I remember why.` : told);
      }
    },
    async "responses: structured output"(model) {
      const text = { format: { type: "json_schema", name: "weather", strict: true, schema } };
      for (const ask of [respond, responding]) {
        assert.deepEqual(JSON.parse((await ask({ model, input: "Weather?", text })).output_text), weather);
      }
    },
  };
}

async function anthropic() {
  const { default: Anthropic } = await import("@anthropic-ai/sdk");
  const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0, timeout: 30_000 });
  const tools = [{ name: "get_weather", input_schema: parameters, cache_control: { type: "ephemeral" } }];
  const whole = (ask) => client.messages.create({ max_tokens: 4096, ...ask });
  const streamed = (ask) => client.messages.stream({ max_tokens: 4096, ...ask }).finalMessage();
  return {
    async text(model) {
      for (const ask of [whole, streamed]) {
        const { content, stop_reason } = await ask({ model, messages: [{ role: "user", content: "Hello" }] });
        assert.deepEqual([content[0].text, stop_reason], [greeting, "end_turn"]);
      }
    },
    async "tool round trip with thoughts and a cached tool"(model) {
      for (const ask of [whole, streamed]) {
        const messages = [{ role: "user", content: question }];
        const more = { model, messages, tools, thinking: { type: "enabled", budget_tokens: 1024 } };
        const { content, usage } = await ask(more);
        const calls = content.filter((block) => block.type === "tool_use");
        assert.deepEqual(calls.map((call) => call.input.city), ["Paris", "Rome"]);
        assert.equal(usage.cache_read_input_tokens, signing.includes(model) ? 64 : 0);
        const answers = calls.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: results[call.input.city] }));
        messages.push({ role: "assistant", content }, { role: "user", content: answers });
        const last = (await ask(more)).content.at(-1).text;
        assert.equal(last, unsigning.includes(model) ? told : `${told} I remember why.`);
      }
    },
    async "structured output"(model) {
      const output_config = { format: { type: "json_schema", schema } };
      for (const ask of [whole, streamed]) {
        const { content } = await ask({ model, messages: [{ role: "user", content: "Weather?" }], output_config });
        assert.deepEqual(JSON.parse(content[0].text), weather);
      }
    },
  };
}

/** The Vercel AI SDK by each of the three dialects that it speaks. */
async function aiSdk() {
  const ai = await import("ai");
  const { createOpenAI } = await import("@ai-sdk/openai");
  const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible");
  const { createAnthropic } = await import("@ai-sdk/anthropic");
  const responses = createOpenAI({ baseURL: `${url}/v1`, apiKey: key });
  const compatible = createOpenAICompatible({ name: "trimtab", baseURL: `${url}/v1`, apiKey: key, supportsStructuredOutputs: true, includeUsage: true });
  const messages = createAnthropic({ baseURL: `${url}/v1`, apiKey: key });
  const dialects = { responses: (name) => responses.responses(name), "chat completions": compatible, messages };
  const tool = ai.tool({
    description: "The weather of a city.",
    inputSchema: ai.jsonSchema(parameters),
    execute: async ({ city }) => results[city],
  });
  const checks = {};
  for (const [dialect, provider] of Object.entries(dialects)) {
    // Answers are not kept here, and the SDK must not count on it. It knows no model by these names, and would ask for a tool's call.
    const providerOptions = { openai: { store: false }, anthropic: { structuredOutputMode: "outputFormat" } };
    const more = { maxRetries: 0, providerOptions };
    checks[`${dialect}: text`] = async (name) => {
      const { text, usage } = await ai.generateText({ model: provider(name), prompt: "Hello", ...more });
      assert.deepEqual([text, usage.inputTokens, usage.outputTokens], [greeting, 100, 9]);
      const stream = ai.streamText({ model: provider(name), prompt: "Hello", ...more });
      let pieces = "";
      for await (const piece of stream.textStream) pieces += piece;
      assert.equal(pieces, greeting);
      assert.equal(await stream.finishReason, "stop");
    };
    checks[`${dialect}: tool round trip`] = async (name) => {
      const ask = { model: provider(name), prompt: question, tools: { get_weather: tool }, stopWhen: ai.stepCountIs(3), ...more };
      const whole = await ai.generateText(ask);
      // A model that sees its signature again adds that it remembers.
      assert.deepEqual([whole.text.startsWith(told), whole.steps.length], [true, 2]);
      const stream = ai.streamText(ask);
      await stream.consumeStream();
      assert.ok((await stream.text).startsWith(told));
    };
    checks[`${dialect}: structured output`] = async (name) => {
      const output = ai.Output.object({ schema: ai.jsonSchema(schema) });
      const whole = await ai.generateText({ model: provider(name), prompt: "Weather?", output, ...more });
      assert.deepEqual(whole.output, weather);
      const stream = ai.streamText({ model: provider(name), prompt: "Weather?", output, ...more });
      assert.deepEqual(await stream.output, weather);
    };
  }
  return checks;
}

const prepare = { openai, anthropic, "ai-sdk": aiSdk }[TRIMTAB_CLIENT];
const checks = await prepare().catch((error) => {
  if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
  console.log(`SKIPPED: ${TRIMTAB_CLIENT} for Node is not installed; run \`make clients\``);
  process.exit(77);
});

let failures = 0;
for (const model of models) {
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check(model);
      console.log(`ok    node, ${TRIMTAB_CLIENT}, ${model}: ${name}`);
    } catch (error) {
      failures += 1;
      console.log(`FAIL  node, ${TRIMTAB_CLIENT}, ${model}: ${name}: ${error.stack.split("\n").slice(0, 12).join(" | ")}`);
    }
  }
}
process.exitCode = failures ? 1 : 0;
