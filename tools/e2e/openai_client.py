"""The official OpenAI client against a running hob: whole, streamed, cancelled, refused.

Usage: openai_client.py BASE_URL MODEL
"""

import json
import sys
import time
import urllib.error
import urllib.request

import openai

base_url, model = sys.argv[1], sys.argv[2]
client = openai.OpenAI(base_url=f"{base_url}/v1", api_key="none", max_retries=0)
question = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]


def health():
    with urllib.request.urlopen(f"{base_url}/health") as answer:
        return json.load(answer)


def told(path):
    with urllib.request.urlopen(f"{base_url}{path}") as answer:
        return answer.headers["content-type"], answer.read().decode()


def check_energy(usage):
    """hob's own figures stand beside the standard's, and the client keeps them."""
    own = usage.model_extra["hob"]
    assert own["energy_joules"] > 0, own
    assert own["energy_basis"] in ("counter", "sensor", "modelled"), own
    assert all(own[f"{name}_ms"] >= 0 for name in ("queue", "prefill", "decode")), own
    assert 0 < own["busy_ms"] <= own["prefill_ms"] + own["decode_ms"] + 50, own


def metric(text, name, label=""):
    """The sum of a metric's samples that have a label."""
    lines = [line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
    assert lines, f"no {name}"
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if label in line)


assert [m.id for m in client.models.list()] == [model]
assert client.models.retrieve(model).id == model

whole = client.chat.completions.create(
    model=model, messages=question, temperature=0, max_tokens=32, logprobs=True, top_logprobs=2
)
text = whole.choices[0].message.content
assert "Paris" in text, text
assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
assert whole.choices[0].finish_reason in ("stop", "length")
check_energy(whole.usage)
logprobs = whole.choices[0].logprobs.content
assert logprobs and all(p.logprob <= 0 and len(p.top_logprobs) == 2 for p in logprobs)
assert all(p.logprob == p.top_logprobs[0].logprob for p in logprobs), "greedy takes the best"

chunks = list(
    client.chat.completions.create(
        model=model, messages=question, temperature=0, max_tokens=32, stream=True,
        stream_options={"include_usage": True},
    )
)
streamed = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
assert streamed == text, (streamed, text)
assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
assert chunks[0].choices[0].delta.role == "assistant"
check_energy(chunks[-1].usage)

completion = client.completions.create(model=model, prompt="One, two, three,", max_tokens=8, temperature=0)
assert "four" in completion.choices[0].text, completion.choices[0].text

stopped = client.completions.create(
    model=model, prompt="One, two, three,", max_tokens=16, temperature=0, stop=[" five"]
)
assert "five" not in stopped.choices[0].text and stopped.choices[0].finish_reason == "stop"

# A call that is asked for comes, whole and in pieces, and its arguments are JSON.
weather = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
asked = dict(
    model=model,
    messages=[{"role": "user", "content": "What is the weather in Paris?"}],
    tools=[weather],
    tool_choice={"type": "function", "function": {"name": "get_weather"}},
    temperature=0,
    max_tokens=64,
)
called = client.chat.completions.create(**asked).choices[0]
assert called.finish_reason == "tool_calls" and called.message.content is None, called
[call] = called.message.tool_calls
assert call.function.name == "get_weather" and call.id, call
assert isinstance(json.loads(call.function.arguments), dict), call
pieces = list(client.chat.completions.create(**asked, stream=True))
deltas = [d for c in pieces for d in c.choices[0].delta.tool_calls or []]
assert deltas[0].function.name == "get_weather" and all(d.index == 0 for d in deltas), deltas
assert "".join(d.function.arguments for d in deltas) == call.function.arguments, deltas
assert pieces[-1].choices[0].finish_reason == "tool_calls"
# Nobody asked this stream for its usage; the joules stand beside.
assert pieces[-1].usage is None and pieces[-1].model_extra["hob"]["energy_joules"] > 0, pieces[-1]
result = {"role": "tool", "tool_call_id": call.id, "content": "It rains in Paris."}
answered = asked["messages"] + [called.message.model_dump(exclude_none=True), result]
then = client.chat.completions.create(**{**asked, "messages": answered, "tool_choice": "none"})
assert "rain" in then.choices[0].message.content, then
try:
    client.chat.completions.create(**{**asked, "tools": []})
    raise AssertionError("a call of a tool that was not offered was promised")
except openai.BadRequestError as error:
    assert error.param == "tool_choice" and "no tool named" in error.message, error

# The arguments of a call that is asked for fit the tool's schema; with several tools the model chooses.
weather["function"]["parameters"] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 30},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 7},
    },
    "required": ["city", "unit", "days"],
    "additionalProperties": False,
}
clock = {"type": "function", "function": {"name": "get_time", "description": "The time of day"}}


def check_call(call, names):
    assert call.function.name in names, call
    found = json.loads(call.function.arguments)
    if call.function.name == "get_time":
        assert found == {}, call
        return
    assert list(found) == ["city", "unit", "days"] and len(found["city"]) <= 30, call
    assert found["unit"] in ("celsius", "fahrenheit") and 1 <= found["days"] <= 7, call


for temperature in (0, 1.5):
    sampled = {**asked, "temperature": temperature, "seed": 3, "max_tokens": 300}
    held = client.chat.completions.create(**sampled).choices[0]
    assert held.finish_reason == "tool_calls", held
    [call] = held.message.tool_calls
    check_call(call, ["get_weather"])
    offered = {**sampled, "tools": [weather, clock], "tool_choice": "required"}
    held = client.chat.completions.create(**offered, parallel_tool_calls=False).choices[0]
    assert held.finish_reason == "tool_calls" and held.message.content is None, held
    [call] = held.message.tool_calls
    check_call(call, ["get_weather", "get_time"])
    # Beside a constraint the answer calls, or says what fits.
    offered = {**offered, "tool_choice": "auto", "parallel_tool_calls": False}
    either = client.chat.completions.create(**offered, extra_body={"guided_choice": ["no", "yes"]})
    either = either.choices[0]
    if either.message.tool_calls:
        check_call(either.message.tool_calls[0], ["get_weather", "get_time"])
    else:
        assert either.message.content in ("no", "yes"), either
try:
    odd = {"name": "odd", "parameters": {"properties": {"a": {"not": {}}}}}
    odd = {"type": "function", "function": odd}
    client.chat.completions.create(**{**asked, "tools": [odd], "tool_choice": "required"})
    raise AssertionError("a tool whose schema is not supported was promised")
except openai.BadRequestError as error:
    assert error.param == "tools" and "tool `odd`" in error.message, error
    assert "`not`" in error.message, error

# What an answer must fit, it fits, at a temperature at which this model writes nonsense.
person = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "kind": {"enum": ["person", "place"]},
    },
    "required": ["name", "age", "kind"],
    "additionalProperties": False,
}
wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": person, "strict": True}}
for temperature in (0, 1.5):
    held = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Who was Ada Lovelace? Answer in JSON."}],
        response_format=wanted, temperature=temperature, seed=7, max_tokens=200,
    ).choices[0]
    assert held.finish_reason == "stop", held
    found = json.loads(held.message.content)
    assert list(found) == ["name", "age", "kind"] and found["kind"] in ("person", "place"), found
    assert isinstance(found["age"], int) and 0 <= found["age"] <= 150 and len(found["name"]) <= 40, found
chosen = client.completions.create(
    model=model, prompt="The sky is", max_tokens=16, temperature=0,
    extra_body={"grammar": 'root ::= " " ("green" | "red")'},
).choices[0]
assert chosen.text in (" green", " red") and chosen.finish_reason == "stop", chosen
try:
    broken = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"not": {}}}}
    client.chat.completions.create(model=model, messages=question, response_format=broken)
    raise AssertionError("a schema that is not supported was accepted")
except openai.BadRequestError as error:
    assert error.param == "response_format" and "`not`" in error.message, error

# A page of this machine may ask; one of another site may not, not even send.
def as_page(origin, method="GET"):
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    request = urllib.request.Request(f"{base_url}/v1/models", headers=headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.headers


status, headers = as_page("http://localhost:3000")
assert (status, headers["access-control-allow-origin"]) == (200, "http://localhost:3000"), headers
status, headers = as_page("http://localhost:3000", "OPTIONS")
assert status == 204 and "POST" in headers["access-control-allow-methods"], headers
for method in ("GET", "OPTIONS"):
    status, headers = as_page("https://evil.example", method)
    assert status == 403 and "access-control-allow-origin" not in headers, (status, headers)

# A client that goes away frees its place: ask for a very long answer, leave after three chunks.
stream = client.completions.create(
    model=model, prompt="Once upon a time", max_tokens=4000, temperature=0.8, seed=1, stream=True,
    logit_bias={"2": -100, "0": -100},
)
for _, chunk in zip(range(3), stream):
    pass
assert health()["running"] == 1
stream.close()
deadline = time.monotonic() + 5
while health()["running"]:
    assert time.monotonic() < deadline, "the generation went on after its client had left"

for arguments, status, word in [
    (dict(model="other", messages=question), 404, "other"),
    (dict(model=model, messages=[]), 400, "messages"),
    (dict(model=model, messages=question, temperature=-1), 400, "temperature"),
    (dict(model=model, messages=question, n=3), 400, "n"),
    (dict(model=model, messages=[{"role": "user", "content": "word " * 9000}]), 400, "context"),
]:
    try:
        client.chat.completions.create(**arguments)
    except openai.APIStatusError as error:
        assert error.status_code == status and word in error.message, error
    else:
        raise AssertionError(f"{arguments} was answered")

kind, metrics = told("/metrics")
assert kind == "text/plain; version=0.0.4; charset=utf-8", kind
made = whole.usage.completion_tokens
assert metric(metrics, "hob:generation_tokens_total") >= 2 * made
assert metric(metrics, "hob:requests_ended_total", 'finished_reason="cancelled"') == 1
assert metric(metrics, "hob:requests_ended_total") == metric(
    metrics, "hob:e2e_request_latency_seconds_count"
)
assert metric(metrics, "hob:prefix_cache_hits_total") > 0, "the second question was the first"
assert metric(metrics, "hob:engine_busy_seconds_total") > 0
status = json.loads(told("/hob/status")[1])
assert status["models"][0]["name"] == model and status["models"][0]["recent"]
assert metric(metrics, "hob:kv_cache_pages") == sum(
    status["models"][0][f"pages_{state}"] for state in ("used", "cached", "free")
)
for text in (metrics, json.dumps(status)):
    assert "Paris" not in text and "France" not in text, "a word of a prompt or an answer"

print("openai client: whole, streamed, logprobs, completions, stop, cancel, refusals, energy and metrics are right")
