"""Checks legacy completions, embeddings and replays from the cache with the official OpenAI client for Python.

Environment: TRIMTAB_URL; TRIMTAB_KEY, a caller key, where the server asks for one. The server has `[cache] responses = "exact"`, one embedding model, and an upstream that is scripted to answer, in this
order: a whole completion, a stream, a whole completion, a stream. Prints one line a check; exits 1 if any failed.
"""

import os

from checks import expect, named, run

os.environ["NO_PROXY"] = "*"  # The server is on this machine.

import openai  # noqa: E402

URL = os.environ["TRIMTAB_URL"].rstrip("/") + "/v1"
client = openai.OpenAI(base_url=URL, api_key=os.environ.get("TRIMTAB_KEY") or "unused", max_retries=0, timeout=15)


def legacy_completion_is_answered():
    answer = client.completions.create(model="cheap", prompt="Say hello", max_tokens=9)
    expect(answer.choices[0].text == "Hello there", answer)
    expect(answer.object == "text_completion" and answer.usage.total_tokens == 12, answer)


def legacy_completion_is_streamed():
    chunks = list(client.completions.create(model="cheap", prompt="Stream hello", max_tokens=9, stream=True))
    expect("".join(chunk.choices[0].text for chunk in chunks) == "Hello", chunks)
    expect(chunks[-1].choices[0].finish_reason == "stop", chunks[-1])


def embeddings_are_answered():
    answer = client.embeddings.create(model="embed", input=["one", "two"])
    expect([len(item.embedding) for item in answer.data] == [2, 2], answer)
    expect(answer.model == "embed" and answer.usage.prompt_tokens == 1000, answer)


def ask(text, **options):
    messages = [{"role": "user", "content": text}]
    return client.chat.completions.with_raw_response.create(model="cheap", messages=messages, **options)


def text_of(raw):
    return "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse() if chunk.choices)


def whole_answer_is_replayed_as_a_stream():
    first = ask("Say hello again")
    expect(first.headers["x-trimtab-cache"] == "miss", first.headers)
    replay = ask("Say hello again", stream=True, stream_options={"include_usage": True})
    expect(replay.headers["x-trimtab-cache"] == "hit", replay.headers)
    chunks = list(replay.parse())
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    expect(text == first.parse().choices[0].message.content == "Hello again", chunks)
    expect(chunks[-1].usage.total_tokens == 12 and chunks[-1].choices == [], chunks[-1])


def stream_fills_the_cache_for_both_ways_of_answering():
    first = ask("Say goodbye", stream=True)
    expect(text_of(first) == "Bye.", "the stream")
    replay = ask("Say goodbye", stream=True)
    expect(replay.headers["x-trimtab-cache"] == "hit" and text_of(replay) == "Bye.", "the replay")
    whole = ask("Say goodbye")
    expect(whole.headers["x-trimtab-cache"] == "hit", whole.headers)
    expect(whole.parse().choices[0].message.content == "Bye.", whole.parse())


def only_if_cached_without_a_hit_is_a_typed_error():
    try:
        ask("Never asked", extra_body={"trimtab": {"cache": "only-if-cached"}})
    except openai.InternalServerError as error:
        expect(error.status_code == 504 and error.body["code"] == "not_cached", error)
        return
    raise AssertionError("it succeeded")


CHECKS = [
    legacy_completion_is_answered,
    legacy_completion_is_streamed,
    embeddings_are_answered,
    whole_answer_is_replayed_as_a_stream,
    stream_fills_the_cache_for_both_ways_of_answering,
    only_if_cached_without_a_hit_is_a_typed_error,
]


if __name__ == "__main__":
    run(named("python", CHECKS))
