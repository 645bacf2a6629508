"""Prints texts with the ids, and some with the vectors, that training gives them: one JSON object a line, for compare.ts."""

import argparse
import json
import random
from pathlib import Path

import lexicon  # First: it makes ../demo-model's modules known.
from token_samples import ODD

import torch

import wordpiece
from encoder import DemoEncoder, Shape

MORE = [
    "İstanbul and ISTANBUL", "Straße, ﬁne, Ω Å", "[CLS] and [SEP] as text", "a\u2581the \u2581", "don't—stop…", "€40, £3.50, $12, ¥100 and 12€", "A-1234 vs a1234", "snake_case camelCase kebab-case",
    "Ελληνικά", "Привет", "ёжик и йод", "한국어", "ひらがな", "x" * 300, "tab\tand\nnewline", "\u00ad\u200b", "5×3÷2", "naïve façade coöperate", "¿Qué?", "«quoted»", "Ⅷ ½ ²", "ǅ ǆ", "ＡＢＣ１２３",
]


def texts(seed):
    rng = random.Random(seed)
    yield from ODD + MORE
    for _ in range(500):
        yield "".join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(32, 127), rng.randrange(0xA0, 0x600), rng.randrange(0x2000, 0x2400)])) for _ in range(rng.randint(1, 40)))
    for name in ("trained", "held-out"):
        for line in (Path(__file__).parent / "eval" / f"{name}.jsonl").read_text().splitlines():
            line = json.loads(line)
            yield from (line["anchor"], line["paraphrase"], line["different"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--vectors", type=int, default=40)
    options = parser.parse_args()
    checkpoint = torch.load(options.checkpoint, map_location="cpu")
    cutter = wordpiece.WordPiece(checkpoint["tokens"])
    model = DemoEncoder(Shape(**checkpoint["shape"]))
    model.load_state_dict(checkpoint["weights"])
    lines = [(text, cutter.encode(text, longest=100_000)) for text in texts(7)]
    step = len(lines) // options.vectors
    with torch.no_grad():
        for at, (text, ids) in enumerate(lines):
            vector = {"vector": model([ids])[0].tolist()} if at % step == 0 and len(ids) <= 512 else {}
            print(json.dumps({"text": text, "ids": ids, **vector}))
