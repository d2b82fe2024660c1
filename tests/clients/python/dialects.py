"""Checks one client for Python with models at upstreams of every dialect, through a running trimtab.

Environment: TRIMTAB_URL and TRIMTAB_KEY as in check.py; TRIMTAB_CLIENT, one of openai, anthropic, langchain, google-genai; GEMINI_URL, the
scripted Gemini, which Google's own client asks directly. The models in MODELS are scripted:
offered a tool they call `get_weather` for Paris and Rome, given the results they tell them, asked for a schema they follow it, else they
greet. Prints one line a check; exits 1 if any failed, and 77 where the client is not installed.
"""

import json
import os
import sys

from checks import named, run

os.environ["NO_PROXY"] = "*"  # The server is on this machine.
os.environ["LANGSMITH_TRACING"] = "false"  # LangChain reports to nobody.

URL = os.environ["TRIMTAB_URL"].rstrip("/")
KEY = os.environ.get("TRIMTAB_KEY") or "unused"
MODELS = ["at-openai", "at-responses", "at-anthropic", "at-gemini", "at-bedrock"]
# Where a client that sends back what it was given is recognised by the provider's signature.
SIGNING = ["at-anthropic", "at-bedrock"]
# What the thoughts of a model are signed with, where it shows them.
SIGNATURES = {"at-anthropic": "c2lnbmVk", "at-bedrock": "c2lnbmVk", "at-responses": "openai:c2lnbmVk"}
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
        expect(told, TOLD if model == "at-openai" else REMEMBERED)

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
            expect(told, TOLD if model == "at-openai" else REMEMBERED)

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

    def chat(model):
        return ChatOpenAI(model=model, base_url=URL + "/v1", api_key=KEY, max_retries=0, timeout=30)

    def text(model):
        expect(chat(model).invoke("Hello").content, GREETING)
        expect("".join(chunk.content for chunk in chat(model).stream("Hello")), GREETING)

    def tool_round_trip(model):
        bound = chat(model).bind_tools([get_weather])
        for streams in WHOLE_AND_STREAM:
            def ask(messages):
                if not streams:
                    return bound.invoke(messages)
                chunks = list(bound.stream(messages))
                return sum(chunks[1:], chunks[0])

            messages = [HumanMessage(ASK)]
            answer = ask(messages)
            expect([call["args"] for call in answer.tool_calls], [{"city": "Paris"}, {"city": "Rome"}])
            results = [ToolMessage(get_weather(**call["args"]), tool_call_id=call["id"]) for call in answer.tool_calls]
            expect(ask(messages + [answer] + results).content, TOLD)

    def structured_output(model):
        wanted = chat(model).with_structured_output(Weather, method="json_schema")
        expect(wanted.invoke("Weather?"), Weather(city="Paris", degrees=21))

    return [text, tool_round_trip, structured_output]


def google_checks():
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
    "google-genai": (google_checks, ["gemini itself"]),
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
