"""Checks one client for Python with models at upstreams of every dialect, through a running trimtab.

Environment: TRIMTAB_URL and TRIMTAB_KEY as in check.py; TRIMTAB_CLIENT, one of openai, anthropic, langchain, google-genai, or
google-genai-itself, which asks the scripted Gemini at GEMINI_URL directly. The models in MODELS are scripted:
offered a tool they call `get_weather` for Paris and Rome, given the results they tell them, asked for a schema they follow it, else they
greet. Prints one line a check; exits 1 if any failed, and 77 where the client is not installed.
"""

import itertools
import json
import os
import sys

from checks import named, run

os.environ["NO_PROXY"] = "*"  # The server is on this machine.
os.environ["LANGSMITH_TRACING"] = "false"  # LangChain reports to nobody.

URL = os.environ["TRIMTAB_URL"].rstrip("/")
KEY = os.environ.get("TRIMTAB_KEY") or "unused"
MODELS = ["at-openai", "at-azure", "at-responses", "at-anthropic", "at-gemini", "at-bedrock"]
# Where nothing is signed that would come back.
UNSIGNING = ["at-openai", "at-azure"]
# Where a client that sends back what it was given is recognised by the provider's signature.
SIGNING = ["at-anthropic", "at-bedrock"]
# What the thoughts of a model are signed with, where it shows them.
SIGNATURES = {"at-anthropic": "c2lnbmVk", "at-bedrock": "c2lnbmVk", "at-responses": "openai:acme:c2lnbmVk"}
ASK = "What is the weather in Paris and in Rome?"
GREETING = "Hello from afar."
RESULTS = {"Paris": "Rain", "Rome": "Sun"}
TOLD = "Rain in Paris, sun in Rome."
REMEMBERED = TOLD + " I remember why."
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WHOLE_AND_STREAM = [False, True]


def expect(given, wanted, said=""):
    if given != wanted:
        raise AssertionError(f"{given!r} instead of {wanted!r} {said}")


def openai_checks():
    import openai

    client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0, timeout=30)
    function = {"name": "get_weather", "description": "The weather of a city.", "parameters": PARAMETERS}
    tools = [{"type": "function", "function": function}]

    def gathered(model, streams, **ask):
        if not streams:
            return client.chat.completions.create(model=model, **ask).choices[0]
        with client.chat.completions.stream(model=model, **ask) as stream:
            for _ in stream:
                pass
            return stream.get_final_completion().choices[0]

    def text(model):
        ask = {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]}
        for streams in WHOLE_AND_STREAM:
            choice = gathered(model, streams, temperature=0.5, stop=["END"], **ask)
            expect((choice.message.content, choice.finish_reason), (GREETING, "stop"))
        options = {"include_usage": True}
        chunks = list(client.chat.completions.create(model=model, stream=True, stream_options=options, **ask))
        expect("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), GREETING)
        expect((chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens), (100, 9))

    def results(calls):
        city = lambda call: json.loads(call.function.arguments)["city"]  # noqa: E731
        expect([city(call) for call in calls], ["Paris", "Rome"])
        return [{"role": "tool", "tool_call_id": call.id, "content": RESULTS[city(call)]} for call in calls]

    def tool_round_trip(model):
        question = {"role": "user", "content": ASK}
        for streams in WHOLE_AND_STREAM:
            choice = gathered(model, streams, messages=[question], tools=tools)
            expect((choice.finish_reason, choice.message.content), ("tool_calls", "I look."))
            named = lambda call: {"name": call.function.name, "arguments": call.function.arguments}  # noqa: E731
            calls = [{"id": call.id, "type": "function", "function": named(call)} for call in choice.message.tool_calls]
            turns = [question, {"role": "assistant", "content": "I look.", "tool_calls": calls}]
            turns += results(choice.message.tool_calls)
            expect(gathered(model, streams, messages=turns, tools=tools).message.content, TOLD)

    def what_is_sent_back_as_it_came_keeps_its_signatures(model):
        extra = {"thinking": {"type": "enabled", "budget_tokens": 1024}} if model in SIGNING else {}
        ask = {"model": model, "tools": tools, "max_completion_tokens": 4096, "extra_body": extra}
        if model == "at-responses":
            ask["reasoning_effort"] = "low"
        question = {"role": "user", "content": ASK}
        message = client.chat.completions.create(messages=[question], **ask).choices[0].message
        turns = [question, message, *results(message.tool_calls)]
        told = client.chat.completions.create(messages=turns, **ask).choices[0].message.content
        expect(told, TOLD if model in UNSIGNING else REMEMBERED)

    def structured_output(model):
        wanted = {"type": "json_schema", "json_schema": {"name": "weather", "strict": True, "schema": SCHEMA}}
        for streams in WHOLE_AND_STREAM:
            ask = {"messages": [{"role": "user", "content": "Weather?"}], "response_format": wanted}
            answer = json.loads(gathered(model, streams, **ask).message.content)
            expect(answer, {"city": "Paris", "degrees": 21})
        from pydantic import BaseModel

        class Weather(BaseModel):
            city: str
            degrees: int

        parsed = client.chat.completions.parse(model=model, messages=ask["messages"], response_format=Weather)
        expect(parsed.choices[0].message.parsed, Weather(city="Paris", degrees=21))

    def responses(model):
        function = {"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": False}
        items = [{"role": "user", "content": ASK}]
        with client.responses.stream(model=model, input=items, tools=[function]) as stream:
            for _ in stream:
                pass
            answer = stream.get_final_response()
        calls = [item for item in answer.output if item.type == "function_call"]
        expect([json.loads(call.arguments)["city"] for call in calls], ["Paris", "Rome"])
        items += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in answer.output]
        items += [{"type": "function_call_output", "call_id": call.call_id, "output": "Rain"} for call in calls]
        # Gemini signs its calls, whose ids carry that.
        told = REMEMBERED if model == "at-gemini" else TOLD
        expect(client.responses.create(model=model, input=items, tools=[function]).output_text, told)
        wanted = {"format": {"type": "json_schema", "name": "weather", "strict": True, "schema": SCHEMA}}
        answer = client.responses.create(model=model, input="Weather?", text=wanted)
        expect(json.loads(answer.output_text), {"city": "Paris", "degrees": 21})
        with client.responses.stream(model=model, input="Weather?", text=wanted) as stream:
            texts = [event.delta for event in stream if event.type == "response.output_text.delta"]
            expect(json.loads("".join(texts)), {"city": "Paris", "degrees": 21})
        from pydantic import BaseModel

        class Weather(BaseModel):
            city: str
            degrees: int

        parsed = client.responses.parse(model=model, input="Weather?", text_format=Weather).output_parsed
        expect(parsed, Weather(city="Paris", degrees=21))
        with client.responses.stream(model=model, input="Weather?", text_format=Weather) as stream:
            for _ in stream:
                pass
            expect(stream.get_final_response().output_parsed, Weather(city="Paris", degrees=21))

    return [text, tool_round_trip, what_is_sent_back_as_it_came_keeps_its_signatures, structured_output, responses]


def anthropic_checks():
    import anthropic

    client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=30)
    tool = {"name": "get_weather", "description": "The weather of a city.", "input_schema": PARAMETERS}
    thinking = {"type": "enabled", "budget_tokens": 1024}

    def gathered(model, streams, **ask):
        ask = {"model": model, "max_tokens": 4096, **ask}
        if not streams:
            return client.messages.create(**ask)
        with client.messages.stream(**ask) as stream:
            return stream.get_final_message()

    def text(model):
        for streams in WHOLE_AND_STREAM:
            settings = {"temperature": 0.5, "top_k": 5, "stop_sequences": ["END"]}
            ask = {"system": "Be kind.", "extra_body": settings}
            message = gathered(model, streams, messages=[{"role": "user", "content": "Hello"}], **ask)
            expect((message.content[0].text, message.stop_reason), (GREETING, "end_turn"))
            expect((message.usage.input_tokens, message.usage.output_tokens), (100, 9))

    def tool_round_trip(model):
        for streams in WHOLE_AND_STREAM:
            messages = [{"role": "user", "content": ASK}]
            ask = {"tools": [tool], "thinking": thinking}
            message = gathered(model, streams, messages=messages, **ask)
            expect(message.stop_reason, "tool_use")
            calls = [block for block in message.content if block.type == "tool_use"]
            expect([call.input["city"] for call in calls], ["Paris", "Rome"])
            thoughts = [(block.thinking, block.signature) for block in message.content if block.type == "thinking"]
            expect(thoughts, [("Two towns.", SIGNATURES[model])] if model in SIGNATURES else [])
            results = [{"type": "tool_result", "tool_use_id": call.id, "content": RESULTS[call.input["city"]]} for call in calls]
            messages += [{"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
            told = gathered(model, streams, messages=messages, **ask).content[-1].text
            expect(told, TOLD if model in UNSIGNING else REMEMBERED)

    def what_is_marked_is_cached(model):
        mark = {"cache_control": {"type": "ephemeral"}}
        question = [{"type": "text", "text": "Hello"}]
        asks = {
            "system": {"system": [{"type": "text", "text": "Be kind.", **mark}, {"type": "text", "text": "Be brief."}]},
            "question": {"messages": [{"role": "user", "content": [{**question[0], **mark}]}]},
            "tool": {"tools": [{**tool, **mark}]},
        }
        for name, ask in asks.items():
            for streams in WHOLE_AND_STREAM:
                message = gathered(model, streams, **{"messages": [{"role": "user", "content": question}], **ask})
                cached = 64 if model in SIGNING else 0
                expect((message.usage.cache_read_input_tokens, message.usage.input_tokens), (cached, 100 - cached), name)

    def structured_output(model):
        for streams in WHOLE_AND_STREAM:
            wanted = {"format": {"type": "json_schema", "schema": SCHEMA}}
            message = gathered(model, streams, messages=[{"role": "user", "content": "Weather?"}], output_config=wanted)
            expect(json.loads(message.content[0].text), {"city": "Paris", "degrees": 21})

    return [text, tool_round_trip, what_is_marked_is_cached, structured_output]


def langchain_checks():
    import openai
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_openai import ChatOpenAI
    from pydantic import BaseModel

    class Weather(BaseModel):
        """The weather of a city."""

        city: str
        degrees: int

    def get_weather(city: str) -> str:
        """The weather of a city."""
        return RESULTS[city]

    def by_completions(model):
        return ChatOpenAI(model=model, base_url=URL + "/v1", api_key=KEY, max_retries=0, timeout=30)

    def by_responses(model):
        more = {"use_responses_api": True, "output_version": "responses/v1"}
        return ChatOpenAI(model=model, base_url=URL + "/v1", api_key=KEY, max_retries=0, timeout=30, **more)

    def gathered(runnable, streams, ask):
        if not streams:
            return runnable.invoke(ask)
        chunks = list(runnable.stream(ask))
        return sum(chunks[1:], chunks[0])

    def text(model):
        for chat, streams in itertools.product([by_completions, by_responses], WHOLE_AND_STREAM):
            expect(gathered(chat(model), streams, "Hello").text, GREETING)

    def tool_round_trip(model):
        for chat, streams in itertools.product([by_completions, by_responses], WHOLE_AND_STREAM):
            bound = chat(model).bind_tools([get_weather])
            messages = [HumanMessage(ASK)]
            answer = gathered(bound, streams, messages)
            expect([call["args"] for call in answer.tool_calls], [{"city": "Paris"}, {"city": "Rome"}])
            results = [ToolMessage(get_weather(**call["args"]), tool_call_id=call["id"]) for call in answer.tool_calls]
            told = gathered(bound, streams, messages + [answer] + results).text
            # By Responses the ids of calls bring Gemini's signatures back.
            signs = chat is by_responses and model == "at-gemini"
            expect(told, REMEMBERED if signs else TOLD)

    def structured_output(model):
        for chat in [by_completions, by_responses]:
            wanted = chat(model).with_structured_output(Weather, method="json_schema")
            expect(wanted.invoke("Weather?"), Weather(city="Paris", degrees=21))
            expect(list(wanted.stream("Weather?"))[-1], Weather(city="Paris", degrees=21))

    def structured_output_by_a_call(model):
        class GetWeather(BaseModel):
            """The weather of a city."""

            city: str

        called = {**GetWeather.model_json_schema(), "title": "get_weather"}
        for chat in [by_completions, by_responses]:
            wanted = chat(model).with_structured_output(called, method="function_calling")
            # This Claude cannot be made to call a tool, and the caller insists on it.
            if model == "at-anthropic":
                try:
                    wanted.invoke("Weather?")
                except openai.BadRequestError as error:
                    expect("tool_choice" in str(error), True, error)
                    continue
                raise AssertionError("it was answered")
            expect(wanted.invoke("Weather?"), {"city": "Paris"})
            expect(list(wanted.stream("Weather?"))[-1], {"city": "Paris"})

    return [text, tool_round_trip, structured_output, structured_output_by_a_call]


def google_checks():
    from google import genai
    from google.genai import errors, types
    from pydantic import BaseModel

    class Weather(BaseModel):
        city: str
        degrees: int

    def get_weather(city: str) -> str:
        """The weather of a city."""
        return RESULTS[city]

    def client_with(key, version=None):
        options = types.HttpOptions(base_url=URL, timeout=30_000, api_version=version)
        return genai.Client(api_key=key, http_options=options)

    client, beta = client_with(KEY), client_with(KEY, "v1beta")
    off = types.AutomaticFunctionCallingConfig(disable=True)
    city = types.Schema(type="OBJECT", properties={"city": types.Schema(type="STRING")}, required=["city"])
    declared = types.FunctionDeclaration(name="get_weather", description="The weather.", parameters=city)

    def gathered(model, streams, contents, **config):
        """The content as clients keep it, and the answer or the last piece of it."""
        ask = {"model": model, "contents": contents, "config": types.GenerateContentConfig(**config)}
        if not streams:
            answer = client.models.generate_content(**ask)
            return answer.candidates[0].content, answer
        pieces = list(client.models.generate_content_stream(**ask))
        parts = [part for piece in pieces for part in piece.candidates[0].content.parts or []]
        return types.Content(role="model", parts=parts), pieces[-1]

    def said(content):
        return "".join(part.text or "" for part in content.parts if not part.thought)

    def text(model):
        for streams in WHOLE_AND_STREAM:
            config = {"system_instruction": "Be kind.", "temperature": 0.5, "top_k": 5, "stop_sequences": ["END"]}
            content, last = gathered(model, streams, "Hello", **config)
            expect((said(content), last.candidates[0].finish_reason), (GREETING, types.FinishReason.STOP))
            usage = last.usage_metadata
            expect((usage.prompt_token_count, usage.candidates_token_count, usage.total_token_count), (100, 9, 109))
            expect(last.model_version, model)

    def tool_round_trip(model):
        for streams, shows in itertools.product(WHOLE_AND_STREAM, [False, True]):
            thinking = types.ThinkingConfig(thinking_budget=2048, include_thoughts=shows)
            tools = [types.Tool(function_declarations=[declared])]
            config = {"tools": tools, "thinking_config": thinking, "automatic_function_calling": off}
            content, _ = gathered(model, streams, ASK, **config)
            calls = [part.function_call for part in content.parts if part.function_call]
            expect([call.args["city"] for call in calls], ["Paris", "Rome"])
            shown = "".join(part.text for part in content.parts if part.thought)
            expect((shown, said(content)), ("Two towns." if shows and model in SIGNATURES else "", "I look."))
            result = lambda call: {"id": call.id, "name": call.name, "response": {"result": RESULTS[call.args["city"]]}}  # noqa: E731
            results = [types.Part(function_response=types.FunctionResponse(**result(call))) for call in calls]
            question = types.Content(role="user", parts=[types.Part(text=ASK)])
            turns = [question, content, types.Content(role="user", parts=results)]
            told = said(gathered(model, streams, turns, **config)[0])
            expect(told, TOLD if model in UNSIGNING else REMEMBERED, f"(streams: {streams}, shows: {shows})")

    def calls_that_the_client_answers_itself(model):
        # Gemini's signatures come back by themselves, others' where the model was told to think.
        told = REMEMBERED if model == "at-gemini" else TOLD
        expect(client.models.generate_content(model=model, contents=ASK, config={"tools": [get_weather]}).text, told)
        chat = client.chats.create(model=model, config={"tools": [get_weather]})
        pieces = [piece.text or "" for piece in chat.send_message_stream(ASK)]
        expect("".join(pieces).endswith(told), True, pieces)

    def structured_output(model):
        for streams in WHOLE_AND_STREAM:
            for schema in [{"response_schema": Weather}, {"response_json_schema": SCHEMA}]:
                config = {"response_mime_type": "application/json", **schema}
                content, answer = gathered(model, streams, "Weather?", **config)
                expect(json.loads(said(content)), {"city": "Paris", "degrees": 21})
                if not streams and "response_schema" in schema:
                    expect(answer.parsed, Weather(city="Paris", degrees=21))

    def tokens_and_models(model):
        for asked in [client, beta]:
            expect(asked.models.count_tokens(model=model, contents="Hello there").total_tokens > 0, True)
            names = [one.name for one in asked.models.list()]
            expect((f"models/{model}" in names, "models/auto" in names), (True, True), names)
            expect(asked.models.get(model=model).name, f"models/{model}")
            expect(asked.models.generate_content(model=model, contents="Hello").text, GREETING)

    def typed_errors(model):
        cases = [(client_with("wrong"), model, 401, "UNAUTHENTICATED"), (client, model + "-not", 404, "NOT_FOUND")]
        for asked, name, code, status in cases:
            for ask in [asked.models.generate_content, lambda **ask: list(asked.models.generate_content_stream(**ask))]:
                try:
                    ask(model=name, contents="Hello")
                except errors.ClientError as error:
                    expect((error.code, error.status), (code, status), error)
                    continue
                raise AssertionError("it was answered")

    return [text, tool_round_trip, calls_that_the_client_answers_itself, structured_output, tokens_and_models, typed_errors]


def scripted_gemini_checks():
    """Google's client against the scripted Gemini itself: what it takes for an answer is one."""
    from google import genai
    from google.genai import types

    options = types.HttpOptions(base_url=os.environ["GEMINI_URL"].removesuffix("/v1"), api_version="v1")
    client = genai.Client(api_key="unused", http_options=options)
    city = types.Schema(type="OBJECT", properties={"city": types.Schema(type="STRING")}, required=["city"])
    declared = types.FunctionDeclaration(name="get_weather", description="The weather.", parameters=city)
    off = types.AutomaticFunctionCallingConfig(disable=True)
    offered = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declared])], automatic_function_calling=off)

    def text(_):
        expect(client.models.generate_content(model="gemini-3", contents="Hello").text, GREETING)
        pieces = client.models.generate_content_stream(model="gemini-3", contents="Hello")
        expect("".join(piece.text or "" for piece in pieces), GREETING)

    def tool_round_trip(_):
        answer = client.models.generate_content(model="gemini-3", contents=ASK, config=offered)
        expect([call.args["city"] for call in answer.function_calls], ["Paris", "Rome"])
        streamed = client.models.generate_content_stream(model="gemini-3", contents=ASK, config=offered)
        expect([call.args["city"] for piece in streamed for call in piece.function_calls or []], ["Paris", "Rome"])
        parts = [
            types.Part.from_function_response(name=call.name, response={"result": RESULTS[call.args["city"]]})
            for call in answer.function_calls
        ]
        question = types.Content(role="user", parts=[types.Part(text=ASK)])
        turns = [question, answer.candidates[0].content, types.Content(role="user", parts=parts)]
        expect(client.models.generate_content(model="gemini-3", contents=turns, config=offered).text, REMEMBERED)

    def structured_output(_):
        wanted = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=SCHEMA)
        answer = client.models.generate_content(model="gemini-3", contents="Weather?", config=wanted)
        expect(json.loads(answer.text), {"city": "Paris", "degrees": 21})
        expect((answer.usage_metadata.prompt_token_count, answer.usage_metadata.candidates_token_count), (100, 9))

    return [text, tool_round_trip, structured_output]


CLIENTS = {
    "openai": (openai_checks, MODELS),
    "anthropic": (anthropic_checks, MODELS),
    "langchain": (langchain_checks, MODELS),
    "google-genai": (google_checks, MODELS),
    "google-genai-itself": (scripted_gemini_checks, ["gemini itself"]),
}


def main():
    name = os.environ["TRIMTAB_CLIENT"]
    prepare, models = CLIENTS[name]
    try:
        checks = prepare()
    except ImportError as error:
        print(f"SKIPPED: {name} for Python is not installed ({error}); run `make clients`")
        sys.exit(77)
    run([check for model in models for check in named(f"python, {name}, {model}", checks, model)])


if __name__ == "__main__":
    main()
