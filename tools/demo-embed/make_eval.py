"""Writes eval/trained.jsonl and eval/held-out.jsonl: triples of every kind, seeded."""

import json
import random
from pathlib import Path

import triples

COUNTS = {"trained": (False, 101, 60), "held-out": (True, 202, 240)}

if __name__ == "__main__":
    folder = Path(__file__).parent / "eval"
    folder.mkdir(exist_ok=True)
    for name, (held_out, seed, count) in COUNTS.items():
        rng = random.Random(seed)
        with open(folder / f"{name}.jsonl", "w") as file:
            for kind in triples.st.KINDS:
                for _ in range(count):
                    _, anchor, near, far, _, frame = triples.triple(rng, held_out, kind)
                    file.write(json.dumps({"kind": kind, "frame": frame.name, "unknown_frame": getattr(frame, "held_out", False), "anchor": anchor, "paraphrase": near, "different": far}, ensure_ascii=False) + "\n")
