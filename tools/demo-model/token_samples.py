"""Prints texts with the ids that training gives them, one JSON object a line, for check-tokens.ts.

The texts are a training run's own (as many batches as asked for), both evaluation sets and odd Unicode.
"""

import argparse
import json
import random
from pathlib import Path

import conversations as talk
import prose
import tokenizer as bpe
import tools as tool_box
from dialogue import Encoder, render, render_prefix

ODD = [
    "", " ", "  ", "\n", "\n\n  \n", "\t x\r\n", "a  b   c    d", "naïve café São Tomé e Príncipe", "日本の首都は東京です。", "Привет, мир!", "مرحبا بالعالم", "שלום",
    "👩‍👩‍👧‍👦🏳️‍🌈 🇧🇷", "e\u0301 vs é", "\u200b\u200d\ufeff", "①②③ ½ ٣٤٥ 一二三", "x²+y³≤∞", "I'm you're we've they'll he'd it's DON'T", "foo_bar-baz/qux\\quux", "<|im_start|>x<|im_end|><tool_call>{}</tool_call>",
    "<|im_start", "a\u00a0b\u2003c", "ZZZZ" * 50, "0123456789" * 20, "🦙" * 20, "\x00\x01\x7f", "𝕳𝖊𝖑𝖑𝖔 𐍈", "{\"a\":[1,2,{\"b\":null}]}", "end with space ", "end with newline\n",
]


def texts(batches, seed):
    rng = random.Random(seed)
    yield from ODD
    for _ in range(400):
        yield "".join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(0xA0, 0x3000), rng.randrange(0x3000, 0xD800), rng.randrange(0xE000, 0x1FFFF)])) for _ in range(rng.randint(1, 40)))
    for name in ("trained", "held-out"):
        for line in (Path(__file__).parent / "eval" / f"{name}.jsonl").read_text().splitlines():
            line = json.loads(line)
            yield line.get("prompt") or render(line["messages"], line.get("tools"), True)
    for _ in range(batches):
        for _ in range(40):
            yield render(talk.plain_branch(rng))
        tools = tool_box.make_tools(rng, rng.randint(1, 6))
        yield render_prefix(prose.system_prompt(rng, rng.randint(50, 5000)), [tool.definition for tool in tools])
        for _ in range(25):
            yield render(talk.tool_branch(rng, tools))
        yield "".join(talk.text_completion(rng))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--batches", type=int, default=300)
    options = parser.parse_args()
    encoder = Encoder(bpe.load(options.tokenizer))
    for text in texts(options.batches, 7):
        print(json.dumps({"text": text, "ids": encoder.encode(text)}))
