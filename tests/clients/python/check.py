"""Checks that the official OpenAI client for Python works against a running trimtab.

Environment: TRIMTAB_URL, such as http://127.0.0.1:8080; TRIMTAB_KEY, a caller key, where the server asks for one;
TRIMTAB_EXPECT_TOOL_CALLS=1 where the upstream answers tools with a tool call; TRIMTAB_SCRIPTED=1 where the models `cheap` and `dear` are
scripted to call tools, whole and in a stream. Prints one line a check; exits 1 if any failed.
"""

import json
import os

from checks import expect, named, run

os.environ["NO_PROXY"] = "*"  # The server is on this machine.

import openai  # noqa: E402

URL = os.environ["TRIMTAB_URL"].rstrip("/") + "/v1"
KEY = os.environ.get("TRIMTAB_KEY")
MESSAGES = [{"role": "user", "content": "Which is larger, 9.11 or 9.9? Answer in one sentence."}]
ALWAYS = ["x-trimtab-decision-id", "x-trimtab-model", "x-trimtab-tier", "x-trimtab-reason", "x-trimtab-latency-us"]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

client = openai.OpenAI(base_url=URL, api_key=KEY or "unused", max_retries=0, timeout=30)


def fails_with(kinds, call):
    """Runs a call that must fail, and returns its error, which must have OpenAI's shape."""
    try:
        call()
    except kinds as error:
        expect(isinstance(error.body, dict), f"the error has no body: {error!r}")
        for field in ("message", "type", "param", "code"):
            expect(field in error.body, f"the error has no {field}: {error.body}")
        return error
    raise AssertionError("it succeeded")


def expect_headers(headers, model):
    for name in ALWAYS:
        expect(headers.get(name), f"no header {name} among {sorted(headers.keys())}")
    expect(headers["x-trimtab-decision-id"].startswith("dec_"), headers["x-trimtab-decision-id"])
    expect(headers["x-trimtab-model"] == model, f"header says {headers['x-trimtab-model']}, body says {model}")


def models_are_listed():
    names = [model.id for model in client.models.list()]
    expect("auto" in names, names)
    expect("auto:economy" in names and "auto:balanced" in names and "auto:quality" in names, names)
    real = [name for name in names if not name.startswith("auto")]
    expect(real, names)
    return real


def completion_is_answered_by_a_real_model():
    raw = client.chat.completions.with_raw_response.create(model="auto", messages=MESSAGES)
    answer = raw.parse()
    expect(answer.model in models_are_listed(), answer.model)
    expect(answer.choices[0].message.content, "no content")
    expect(answer.choices[0].finish_reason == "stop", answer.choices[0].finish_reason)
    expect(answer.usage.total_tokens > 0, answer.usage)
    expect_headers(raw.headers, answer.model)


def named_model_passes_straight_through():
    name = models_are_listed()[0]
    raw = client.chat.completions.with_raw_response.create(model=name, messages=MESSAGES)
    expect(raw.parse().model == name, raw.parse().model)
    expect(raw.headers["x-trimtab-reason"] == "named", raw.headers["x-trimtab-reason"])


def stream_without_usage_has_only_choices():
    chunks = list(client.chat.completions.create(model="auto", messages=MESSAGES, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    expect(text, "no content")
    expect(all(chunk.choices for chunk in chunks), "a chunk without choices")
    expect(all(chunk.usage is None for chunk in chunks), "usage that was not asked for")
    expect(chunks[-1].choices[0].finish_reason == "stop", chunks[-1])
    expect(len({chunk.model for chunk in chunks}) == 1, "the model changes")


def stream_with_usage_ends_in_it():
    options = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="auto", messages=MESSAGES, stream=True, stream_options=options))
    last = chunks[-1]
    expect(last.choices == [], last)
    expect(last.usage is not None and last.usage.total_tokens > 0, last)


def stream_carries_the_headers():
    raw = client.chat.completions.with_raw_response.create(model="auto", messages=MESSAGES, stream=True)
    chunks = list(raw.parse())
    expect_headers(raw.headers, chunks[0].model)
    expect(raw.headers["content-type"].startswith("text/event-stream"), raw.headers["content-type"])


def dial_of_one_asks_for_the_strongest_tier():
    def tier(quality):
        body = {"trimtab": {"quality": quality}}
        raw = client.chat.completions.with_raw_response.create(model="auto", messages=MESSAGES, extra_body=body)
        return raw.headers["x-trimtab-tier"], raw.headers["x-trimtab-reason"]

    strong, weak = tier(1), tier(0)
    expect(strong[1] == "strongest_asked", strong)
    expect(weak[1] == "cheapest_asked", weak)
    expect(strong[0] != weak[0], (strong, weak))


def tools_pass_through():
    answer = client.chat.completions.create(model="auto", messages=MESSAGES, tools=[TOOL], tool_choice="auto")
    choice = answer.choices[0]
    for call in choice.message.tool_calls or []:
        expect(call.function.name == "get_weather", call)
        json.loads(call.function.arguments)
    if os.environ.get("TRIMTAB_EXPECT_TOOL_CALLS") == "1":
        expect(choice.message.tool_calls, choice)
        expect(choice.finish_reason == "tool_calls", choice.finish_reason)
    else:
        expect(choice.message.tool_calls or choice.message.content, choice)


def unknown_model_is_refused_by_name():
    kinds = (openai.NotFoundError, openai.BadRequestError)
    error = fails_with(kinds, lambda: client.chat.completions.create(model="no-such-model", messages=MESSAGES))
    expect("no-such-model" in error.message, error.message)
    expect(error.body["param"] == "model", error.body)


def dial_out_of_range_is_refused():
    body = {"trimtab": {"quality": 7}}
    call = lambda: client.chat.completions.create(model="auto", messages=MESSAGES, extra_body=body)  # noqa: E731
    error = fails_with(openai.BadRequestError, call)
    expect("quality" in str(error.body["param"]), error.body)


def empty_messages_are_refused():
    error = fails_with(openai.BadRequestError, lambda: client.chat.completions.create(model="auto", messages=[]))
    expect("messages" in str(error.body["param"]), error.body)


def wrong_key_is_refused():
    stranger = openai.OpenAI(base_url=URL, api_key="wrong-key", max_retries=0, timeout=30)
    fails_with(openai.AuthenticationError, lambda: stranger.chat.completions.create(model="auto", messages=MESSAGES))


FUNCTION = {"type": "function", **TOOL["function"]}


def response_is_answered_by_a_real_model():
    raw = client.responses.with_raw_response.create(model="auto", input="Which is larger, 9.11 or 9.9?", store=False)
    answer = raw.parse()
    expect(answer.status == "completed" and answer.output_text, answer)
    expect(answer.usage.total_tokens > 0, answer.usage)
    expect_headers(raw.headers, answer.model)


def response_stream_has_typed_events():
    events = list(client.responses.create(model="auto", input=MESSAGES, tools=[FUNCTION], stream=True))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    expect(events[0].type == "response.created" and events[-1].type == "response.completed", events)
    expect(text and text == events[-1].response.output_text, events[-1])
    expect([event.sequence_number for event in events] == list(range(len(events))), "the numbers have gaps")


def response_stream_helper_gathers_the_answer():
    with client.responses.stream(model="auto", input=MESSAGES) as stream:
        done = [event for event in stream if event.type == "response.output_text.done"]
        expect(done and done[0].text == stream.get_final_response().output_text, done)


def response_that_needs_a_memory_is_refused():
    call = lambda: client.responses.create(model="auto", input="Go on.", previous_response_id="resp_1")  # noqa: E731
    error = fails_with(openai.BadRequestError, call)
    expect(error.body["param"] == "previous_response_id", error.body)


def response_calls_functions_where_the_upstream_does():
    """The model `cheap` answers whole and `dear` in a stream, each with two calls of `get_weather`."""
    ask = {"input": MESSAGES, "tools": [FUNCTION]}
    whole = client.responses.create(model="cheap", **ask)
    with client.responses.stream(model="dear", **ask) as stream:
        streamed = [event for event in stream][-1].response
    for answer in (whole, streamed):
        calls = [item for item in answer.output if item.type == "function_call"]
        expect([json.loads(call.arguments)["city"] for call in calls] == ["Paris", "Rome"], answer)
        outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": "Rain"} for call in calls]
        again = MESSAGES + [item.model_dump(exclude_none=True) for item in answer.output] + outputs
        expect(client.responses.create(model="cheap", input=again, tools=[FUNCTION]).output, "no answer to the results")


CHECKS = [
    models_are_listed,
    completion_is_answered_by_a_real_model,
    named_model_passes_straight_through,
    stream_without_usage_has_only_choices,
    stream_with_usage_ends_in_it,
    stream_carries_the_headers,
    dial_of_one_asks_for_the_strongest_tier,
    tools_pass_through,
    unknown_model_is_refused_by_name,
    dial_out_of_range_is_refused,
    empty_messages_are_refused,
    response_is_answered_by_a_real_model,
    response_stream_has_typed_events,
    response_stream_helper_gathers_the_answer,
    response_that_needs_a_memory_is_refused,
]
if os.environ.get("TRIMTAB_SCRIPTED") == "1":  # The upstreams of these checks only ever call tools.
    CHECKS = [response_calls_functions_where_the_upstream_does]


if __name__ == "__main__":
    run(named("python", CHECKS + ([wrong_key_is_refused] if KEY else [])))
