"""Checks that the official Anthropic client for Python works against a running trimtab.

Environment: TRIMTAB_URL, such as http://127.0.0.1:8080; TRIMTAB_KEY, a caller key, where the server asks for one; TRIMTAB_SCRIPTED=1
where the models `cheap` and `dear` are scripted to call tools, whole and in a stream. Prints one line a check; exits 1 if any failed, and
77 where the client is not installed.
"""

import os
import sys

from checks import expect, named, run

os.environ["NO_PROXY"] = "*"  # The server is on this machine.

try:
    import anthropic
except ImportError:
    print("SKIPPED: the Anthropic client for Python is not installed; run `make clients`")
    sys.exit(77)

URL = os.environ["TRIMTAB_URL"].rstrip("/")
KEY = os.environ.get("TRIMTAB_KEY")
MESSAGES = [{"role": "user", "content": "Which is larger, 9.11 or 9.9? Answer in one sentence."}]
ASK = {"model": "auto", "max_tokens": 256, "messages": MESSAGES}
ALWAYS = ["x-trimtab-decision-id", "x-trimtab-model", "x-trimtab-tier", "x-trimtab-reason", "request-id"]
TOOL = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}

client = anthropic.Anthropic(base_url=URL, api_key=KEY or "unused", max_retries=0, timeout=30)


def fails_with(kind, word, call):
    """Runs a call that must fail with an error of this class and in Anthropic's shape, and returns it."""
    try:
        call()
    except kind as error:
        expect(error.body["type"] == "error" and error.body["error"]["type"] == word, error.body)
        expect(error.body["request_id"] == error.request_id, error.body)
        return error
    raise AssertionError("it succeeded")


def models_are_listed():
    names = [model.id for model in client.models.list()]
    expect("auto" in names and any(not name.startswith("auto") for name in names), names)
    expect(client.models.retrieve(names[-1]).display_name == names[-1], names[-1])
    fails_with(anthropic.NotFoundError, "not_found_error", lambda: client.models.retrieve("no-such-model"))


def message_is_answered_by_a_real_model():
    raw = client.messages.with_raw_response.create(**ASK, system="Be brief.")
    answer = raw.parse()
    expect(answer.content[0].type == "text" and answer.content[0].text, answer)
    expect((answer.role, answer.stop_reason) == ("assistant", "end_turn"), answer)
    expect(answer.usage.output_tokens > 0, answer.usage)
    for name in ALWAYS:
        expect(raw.headers.get(name), f"no header {name} among {sorted(raw.headers.keys())}")
    expect(raw.headers["x-trimtab-model"] == answer.model, answer.model)


def stream_has_named_events():
    events = list(client.messages.create(**ASK, stream=True))
    types = [event.type for event in events]
    expect(types[:2] == ["message_start", "content_block_start"], types)
    expect(types[-3:] == ["content_block_stop", "message_delta", "message_stop"], types)
    expect(set(types[2:-3]) == {"content_block_delta"}, types)


def stream_helper_gathers_the_message():
    with client.messages.stream(**ASK) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    expect(text and message.content[0].text == text, message)
    expect(message.stop_reason == "end_turn" and message.usage.output_tokens > 0, message)


def answer_is_cut_at_max_tokens():
    expect(client.messages.create(**{**ASK, "max_tokens": 5}).stop_reason == "max_tokens", "it is not")


def dial_of_one_asks_for_the_strongest_tier():
    raw = client.messages.with_raw_response.create(**ASK, extra_body={"trimtab": {"quality": 1}})
    expect(raw.headers["x-trimtab-reason"] == "strongest_asked", raw.headers["x-trimtab-reason"])


def images_and_tools_are_taken():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    messages = [{"role": "user", "content": [image, {"type": "text", "text": "What is this?"}]}]
    answer = client.messages.create(model="auto", max_tokens=64, messages=messages, tools=[TOOL], tool_choice={"type": "auto"})
    expect(answer.content, answer)


def tokens_are_counted():
    counted = client.messages.count_tokens(model="auto", messages=MESSAGES, tools=[TOOL])
    expect(counted.input_tokens > 20, counted)


def errors_are_typed():
    unknown = lambda: client.messages.create(**{**ASK, "model": "no-such-model"})  # noqa: E731
    error = fails_with(anthropic.NotFoundError, "not_found_error", unknown)
    expect("no-such-model" in error.message, error.message)
    empty = lambda: client.messages.create(**{**ASK, "messages": []})  # noqa: E731
    fails_with(anthropic.BadRequestError, "invalid_request_error", empty)


def wrong_key_is_refused():
    stranger = anthropic.Anthropic(base_url=URL, api_key="wrong-key", max_retries=0, timeout=30)
    fails_with(anthropic.AuthenticationError, "authentication_error", lambda: stranger.messages.create(**ASK))


def bearer_key_is_taken():
    bearer = anthropic.Anthropic(base_url=URL, auth_token=KEY or "unused", max_retries=0, timeout=30)
    expect(bearer.messages.create(**ASK).content, "no content")


def tools_are_called_where_the_upstream_does():
    whole = client.messages.create(**{**ASK, "model": "cheap"}, tools=[TOOL])
    with client.messages.stream(**{**ASK, "model": "dear"}, tools=[TOOL]) as stream:
        streamed = stream.get_final_message()
    for message in (whole, streamed):
        calls = [block for block in message.content if block.type == "tool_use"]
        expect([call.input["city"] for call in calls] == ["Paris", "Rome"], message)
        expect(message.stop_reason == "tool_use", message.stop_reason)
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "Rain"} for call in calls]
        turns = [{"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
        again = client.messages.create(model="cheap", max_tokens=64, messages=MESSAGES + turns, tools=[TOOL])
        expect(again.content, "no answer to the results")


CHECKS = [
    models_are_listed,
    message_is_answered_by_a_real_model,
    stream_has_named_events,
    stream_helper_gathers_the_message,
    answer_is_cut_at_max_tokens,
    dial_of_one_asks_for_the_strongest_tier,
    images_and_tools_are_taken,
    tokens_are_counted,
    errors_are_typed,
    bearer_key_is_taken,
]
if os.environ.get("TRIMTAB_SCRIPTED") == "1":  # The upstreams of these checks only ever call tools.
    CHECKS = [tools_are_called_where_the_upstream_does]


if __name__ == "__main__":
    run(named("python, anthropic", CHECKS + ([wrong_key_is_refused] if KEY else [])))
