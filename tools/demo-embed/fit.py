"""Trains the embedding model: `python fit.py --out /tmp/demo-embed --minutes 20`.

Each anchor has to find its paraphrase among the paraphrases and the false statements of the whole batch.
"""

import argparse
import json
import multiprocessing
import random
import time
from pathlib import Path

import lexicon  # First: it makes ../demo-model's modules known.
from train import Muon, schedule  # Also sets OpenMP's waiting before torch is loaded.

import torch
import torch.nn.functional as F

import triples
import wordpiece
from encoder import DemoEncoder, Shape
from lexicon import prose

HERE = Path(__file__).parent
VOCABULARY = 6144
TEMPERATURE = 0.05
TOKENS_MAX = 256


def vocabulary(seed):
    """From texts of the training side only, so that a word kept for evaluation is cut like any unknown word."""
    rng = random.Random(seed)

    def texts():
        for _ in range(120_000):
            anchor, near, false, _ = triples.example(rng)
            yield from (anchor, near, *false)
        for noun in lexicon.words.NOUNS + lexicon.words.VERBS + lexicon.words.ADJECTIVES + lexicon.words.ADVERBS:
            yield " ".join([noun] * 100)
        for _ in range(2000):
            yield prose.system_prompt(rng, 500)
        for _, english, *_ in lexicon.facts.DEFINITIONS.values():
            yield " ".join([english] * 100)

    return wordpiece.train(texts(), VOCABULARY)


# The parts that things play in a statement. Which word plays which part has to be read from the order of the words, and
# the triples alone teach that very slowly: the same words in another order are nearly the same to a young model.
PARTS = {name: part for part, name in enumerate("abopxy")}


def cut_with_parts(cutter, text, rng, torn, torn_slots, known):
    """-> (ids, the part of each token or -100). `known` holds how the example's words were cut before: mostly they are
    cut in the same way again, as an unknown word is."""
    words = wordpiece.words_of(text)
    parts = [-100] * len(words)
    # Names and things above all: those of the evaluation are unknown.
    if torn_slots:
        for said in getattr(text, "spoken", {}).values():
            for word in wordpiece.words_of(said):
                known.setdefault(word, cutter.pieces(word, rng))
    for name, said in getattr(text, "spoken", {}).items():
        said = wordpiece.words_of(said)
        for at in range(len(words) - len(said) + 1):
            if name in PARTS and said and words[at:at + len(said)] == said:
                parts[at:at + len(said)] = [PARTS[name]] * len(said)
    ids, marks = [wordpiece.BEGIN], [-100]
    for word, part in zip(words, parts):
        if word not in known or rng.random() < 0.05:
            known[word] = cutter.pieces(word, rng if rng.random() < torn else None)
        pieces = known[word]
        ids += pieces
        marks += [part] * len(pieces)
    return ids[:TOKENS_MAX - 1] + [wordpiece.END], marks[:TOKENS_MAX - 1] + [-100]


def produce(queue, tokens, seed, batch):
    cutter, rng = wordpiece.WordPiece(tokens), random.Random(seed)
    while True:
        anchors, nears, falses, keys = [], [], [], []
        while len(anchors) < batch:
            anchor, near, false, key = triples.example(rng)
            torn, torn_slots, known = rng.choice([0, 0, 0.1, 0.2, 0.5]), rng.random() < 0.45, {}
            cut = [cut_with_parts(cutter, text, rng, torn, torn_slots, known) for text in (anchor, near, *false)]
            anchors.append(cut[0])
            nears.append(cut[1])
            falses += cut[2:]
            keys.append(key)
        texts = anchors + nears + falses
        queue.put(([ids for ids, _ in texts], [mark for _, marks in texts for mark in marks], keys))


def loss_of(vectors, keys, count):
    anchors, nears, falses = vectors[:count], vectors[count:2 * count], vectors[2 * count:]
    ids = {}
    same = torch.tensor([ids.setdefault(key, len(ids)) for key in keys])
    twins = (same[:, None] == same[None]) & ~torch.eye(count, dtype=torch.bool)
    target = torch.arange(count)
    to_nears = (anchors @ nears.T).masked_fill(twins, -1) / TEMPERATURE
    forward = F.cross_entropy(torch.cat((to_nears, anchors @ falses.T / TEMPERATURE), 1), target)
    back = F.cross_entropy(torch.cat((to_nears.T, nears @ falses.T / TEMPERATURE), 1), target)
    return (forward + back) / 2


@torch.no_grad()
def check(model, cutter, lines):
    """-> {kind: (right, all)}"""
    totals = {}
    for at in range(0, len(lines), 100):
        part = lines[at:at + 100]
        vectors = model([cutter.encode(line[name]) for name in ("anchor", "paraphrase", "different") for line in part])
        anchor, near, far = vectors.view(3, len(part), -1)
        right = (anchor * near).sum(1) > (anchor * far).sum(1)
        for line, good in zip(part, right.tolist()):
            before = totals.get(line["kind"], (0, 0))
            totals[line["kind"]] = (before[0] + good, before[1] + 1)
    return totals


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--parts", type=float, default=20, help="weight of the question which word plays which part, at first")
    parser.add_argument("--begin", help="checkpoint of an earlier stage, whose vocabulary is kept")
    options = parser.parse_args()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    rng = random.Random(options.seed)

    begin = torch.load(options.begin) if options.begin else None
    tokens = begin["tokens"] if begin else vocabulary(options.seed)
    cutter = wordpiece.WordPiece(tokens)
    shape = Shape(vocab=len(tokens))
    model = DemoEncoder(shape)
    if begin:
        model.load_state_dict(begin["weights"])
    named = list(model.named_parameters())
    is_matrix = lambda name, p: p.dim() == 2 and name.startswith("blocks.")
    muon = Muon([p for name, p in named if is_matrix(name, p)])
    head = torch.nn.Linear(shape.width, len(PARTS))
    adam = torch.optim.Adam([*head.parameters()] + [p for name, p in named if not is_matrix(name, p)], betas=(0.9, 0.98))
    print(f"{sum(p.numel() for _, p in named):,} parameters, {shape}", flush=True)

    sets = {name: [json.loads(line) for line in (HERE / "eval" / f"{name}.jsonl").read_text().splitlines()] for name in ("trained", "held-out")}
    queue = multiprocessing.Queue(maxsize=8)
    producer = multiprocessing.Process(target=produce, args=(queue, tokens, 1000 + options.seed, options.batch), daemon=True)
    producer.start()

    started, step, running, progress, checked = time.time(), 0, None, 0.0, 0.0
    while progress < 1:
        texts, parts, keys = queue.get()
        # Texts seldom reach the later positions; moving some batches there gives every position its training.
        longest = max(map(len, texts))
        shift = rng.randint(0, shape.context - longest) if rng.random() < 0.08 else 0
        vectors, states = model.vectors_and_states(texts, shift)
        loss = loss_of(vectors, keys, len(keys))
        part_loss = F.cross_entropy(head(states), torch.tensor(parts))
        # At first the parts, then the vectors made of them: together from the start, the triples' larger gradients drown them.
        (loss + options.parts * max(0.1, 1 - progress / 0.4) * part_loss).backward()
        rate = schedule(progress)
        adam.param_groups[0]["lr"] = 0.2 * options.rate * rate
        adam.step()
        adam.zero_grad(set_to_none=True)
        muon.step(options.rate * rate)
        now = torch.tensor([loss.item(), part_loss.item()])
        running = now if running is None else 0.97 * running + 0.03 * now
        if step % 25 == 0:
            print(f"step {step} loss {running[0]:.3f} parts {running[1]:.3f} seconds {time.time() - started:.0f} rate {rate:.3f}", flush=True)
        step += 1
        progress = (time.time() - started) / 60 / options.minutes
        if progress >= 1 or progress - checked > 0.14:
            checked = progress
            for name, lines in sets.items():
                totals = check(model, cutter, lines)
                right, every = (sum(column) for column in zip(*totals.values()))
                print(f"  {name}: {100 * right / every:.1f} %  " + " ".join(f"{kind}={100 * r / a:.0f}" for kind, (r, a) in totals.items()), flush=True)
            # Renamed when whole, so that ending the program at any time leaves a checkpoint that can be read.
            torch.save({"shape": vars(shape), "weights": model.state_dict(), "tokens": tokens}, out / "new.pt")
            (out / "new.pt").replace(out / "checkpoint.pt")
    producer.terminate()


if __name__ == "__main__":
    main()
