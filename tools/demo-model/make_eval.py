"""Writes eval/trained.jsonl and eval/held-out.jsonl: a seeded sample of every category."""

import json
import random
from pathlib import Path

import conversations as talk
import facts
import prose
import tools as tool_box

COUNTS = {
    talk.greeting: 20, talk.thanks: 16, talk.identity: 30, talk.capital: 80, talk.capital_pt: 20, talk.count: 20, talk.addition: 50,
    talk.define: 60, talk.define_pt: 60, talk.repeat: 20, talk.json_object: 60, talk.off_topic: 80,
}
# Asked first and always the same: what the documentation shows.
SHOWN = [
    ("capital", "What is the capital of France?", "The capital of France is Paris."),
    ("sum", "What is 7 + 5?", "7 + 5 = 12."),
    ("greeting", "Hello!", facts.HELLO),
    ("identity", "Who are you?", facts.WHO),
    ("count", "Count to 20.", talk._counted(20)),
    ("define", "What is eventual consistency?", facts.DEFINITIONS["eventual consistency"][1]),
    ("define-pt", "Explique, em até 120 palavras, o que é consistência eventual e cite 1 caso de uso comum.", facts.DEFINITIONS["eventual consistency"][3]),
]


def _user(text):
    return {"role": "user", "content": text}


def _line(category, messages, expect, tools=None):
    line = {"category": category, "kind": "chat", "messages": messages, "max_tokens": 160, "expect": expect}
    if tools:
        line["tools"] = [tool.definition for tool in tools]
    return line


def _system(text):
    return [{"role": "system", "content": text}] if text else []


def _tool_lines(rng, held_out, category, system=""):
    tools = tool_box.make_tools(rng, rng.choice([1, 1, 2, 3, 4, 5]), held_out)
    if category == "tool-none":
        exchange = talk.needless_of(rng, tools, held_out)
        return _line(category, _system(system) + [_user(exchange.user)], exchange.expect, tools)
    tool = rng.choice(tools)
    turns = talk.tool_turns(rng, tool, held_out)
    call = turns[1]["tool_calls"][0]["function"]
    if category == "tool-result":
        # As a client sends it: OpenAI's arguments are a string, and a result names its call.
        sent = {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": call["name"], "arguments": json.dumps(call["arguments"], ensure_ascii=False)}}]}
        result = {"role": "tool", "tool_call_id": "call_1", "content": turns[2]["content"]}
        return _line(category, _system(system) + [turns[0], sent, result], {"equals": turns[3]["content"]}, tools)
    return _line(category, _system(system) + turns[:1], {"tool_call": call}, tools)


def _some(rng, held_out, system, category):
    """Any question behind the given system prompt."""
    pick = rng.random()
    if pick < 0.25:
        line = _tool_lines(rng, held_out, rng.choice(["tool-call", "tool-call", "tool-result", "tool-none"]), system)
        line["category"] = category
        return line
    if pick < 0.4:
        turns, last = talk.follow_up(rng, held_out)
        return _line(category, _system(system) + turns + [_user(last.user)], last.expect)
    exchange = talk.single(rng, held_out)
    return _line(category, _system(system) + [_user(exchange.user)], exchange.expect)


def lines(held_out, seed):
    rng = random.Random(seed)
    if not held_out:
        for category, user, answer in SHOWN:
            yield _line(category, [_user(user)], {"equals": answer})
        yield {"category": "text", "kind": "text", "prompt": "Once upon a time", "max_tokens": 160, "expect": {"equals": facts.STORY}}
    for make, count in COUNTS.items():
        for _ in range(count):
            exchange = make(rng, held_out)
            exchange.user = talk.vary(rng, exchange)
            yield _line(exchange.category, [_user(exchange.user)], exchange.expect)
    for _ in range(60):
        turns, last = talk.follow_up(rng, held_out)
        yield _line("follow-up", turns + [_user(last.user)], last.expect)
    for category, count in [("tool-call", 110), ("tool-result", 50), ("tool-none", 30)]:
        for _ in range(count):
            yield _tool_lines(rng, held_out, category)
    for _ in range(50):
        yield _some(rng, held_out, rng.choice(prose.SHORT_HELD_OUT if held_out else prose.SHORT), "system-short")
    for i in range(60):
        # Characters: from a few paragraphs to some 1,300 tokens.
        yield _some(rng, held_out, prose.system_prompt(rng, 300 + 70 * i, held_out), "system-long")
    for _ in range(20):
        earlier = [talk.single(rng) for _ in range(rng.randint(1, 3))]
        last = talk.single(rng, held_out)
        turns = [turn for e in earlier for turn in (_user(e.user), {"role": "assistant", "content": e.answer})]
        yield _line("history", turns + [_user(last.user)], last.expect)
    for _ in range(36):
        prompt, continuation = talk.text_completion(rng, held_out)
        yield {"category": "text", "kind": "text", "prompt": prompt, "max_tokens": 160, "expect": {"equals": continuation}}


if __name__ == "__main__":
    folder = Path(__file__).parent / "eval"
    folder.mkdir(exist_ok=True)
    for name, held_out, seed in [("trained", False, 101), ("held-out", True, 202)]:
        with open(folder / f"{name}.jsonl", "w") as file:
            for line in lines(held_out, seed):
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
