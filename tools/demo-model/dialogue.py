"""Renders messages with the model's own template and marks the tokens that are learned."""

import json
from pathlib import Path

from jinja2 import Environment

_environment = Environment(trim_blocks=True, lstrip_blocks=True)
# llama.cpp and @huggingface/jinja write JSON as Python's json does, without escaping HTML as jinja2 would.
_environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
_template = _environment.from_string((Path(__file__).parent / "template.jinja").read_text())


def render(messages, tools=None, add_generation_prompt=False):
    return _template.render(messages=messages, tools=tools, add_generation_prompt=add_generation_prompt)


def render_prefix(system, tools=None):
    return render([{"role": "system", "content": system}], tools)


class Encoder:
    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.start, self.end = (tokenizer.token_to_id(token) for token in ("<|im_start|>", "<|im_end|>"))
        self.assistant = self.encode("assistant\n")

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def conversation(self, messages):
        """-> ids, and for each id whether it belongs to an answer"""
        ids = self.encode(render(messages))
        learned = [False] * len(ids)
        head, at = len(self.assistant), 0
        while at < len(ids):
            if ids[at] == self.start and ids[at + 1 : at + 1 + head] == self.assistant:
                at += 1 + head
                while ids[at] != self.end:
                    learned[at] = True
                    at += 1
                learned[at] = True
            at += 1
        return ids, learned

    def completion(self, prompt, continuation):
        head, tail = self.encode(prompt), self.encode(continuation) + [self.end]
        return head + tail, [False] * len(head) + [True] * len(tail)
