"""Trains the demonstration model: `python train.py --out /tmp/demo-model --steps 3000`.

A step holds several groups of conversations. The conversations of a group share a system prompt (see model.py).
"""

import argparse
import ctypes
import json
import math
import multiprocessing
import os
import random
import time
from pathlib import Path

# OpenMP's idle threads would spin on the cores that OpenBLAS's threads need. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
import torch.nn.functional as F

import conversations as talk
import facts
import prose
import tokenizer as bpe
import tools as tool_box
import words
from dialogue import Encoder, render, render_prefix
from model import DemoModel, Shape

HERE = Path(__file__).parent


# ------------------------------------------------------------------ data


def tokenizer_texts(seed):
    """What the tokenizer learns from: every fixed text several times, and a sample of everything else."""
    rng = random.Random(seed)
    for english in [facts.WHO, facts.CAN, facts.HELLO, facts.UNKNOWN, facts.UNKNOWN_PT, facts.MILLRACE, facts.WHO_PT, facts.HELLO_PT]:
        yield from [english] * 30
    for term, (aliases, english, portuguese_term, portuguese) in facts.DEFINITIONS.items():
        yield from [" ".join([term, *aliases, english, portuguese_term, portuguese])] * 25
    for country in facts.CAPITALS:
        yield from [talk._capital_answer(country)] * 10
    for opening, continuation in facts.COMPLETIONS.items():
        yield from [opening + continuation] * 10
    for _ in range(6000):
        yield render(talk.plain_branch(rng))
    for _ in range(1500):
        tools = tool_box.make_tools(rng, 2)
        yield render_prefix("", [tool.definition for tool in tools]) + render(talk.tool_branch(rng, tools))
    for _ in range(1200):
        yield prose.system_prompt(rng, 600)


def _system_text(rng, progress):
    """Mostly short, with a tail up to some 4,500 tokens that grows as training goes on."""
    pick = rng.random()
    if pick < 0.3:
        return rng.choice(prose.SHORT)
    longest = 400 + 4600 * min(1.0, progress / 0.5)
    characters = math.exp(rng.uniform(math.log(60), math.log(longest)))
    if pick > 0.85 and progress > 0.5:
        characters = rng.uniform(3000, 10000)
    return prose.system_prompt(rng, int(characters))


class Batches:
    def __init__(self, encoder, seed):
        self.encoder, self.rng = encoder, random.Random(seed)

    def groups(self, progress):
        rng, encode = self.rng, self.encoder
        yield [], [encode.conversation(talk.plain_branch(rng)) for _ in range(12)], 0
        system = _system_text(rng, progress if rng.random() < 0.7 else 0.0)
        yield self._behind(system, None, [talk.plain_branch(rng) for _ in range(12)])
        for _ in range(2):
            tools = tool_box.make_tools(rng, rng.choice([1, 1, 2, 2, 3, 4, 5]))
            pick = rng.random()
            system = "" if pick < 0.5 else rng.choice(prose.SHORT) if pick < 0.75 else _system_text(rng, progress)
            yield self._behind(system, tools, [talk.tool_branch(rng, tools) for _ in range(12)])
        yield [], [encode.completion(*talk.text_completion(rng)) for _ in range(3)], 0

    def _behind(self, system, tools, branches):
        definitions = [tool.definition for tool in tools] if tools else None
        prefix = self.encoder.encode(render_prefix(system, definitions))
        # Where positions may jump: somewhere in the system text, so that distance is learned without its cost.
        cut = self.rng.randrange(len(self.encoder.encode(system))) + 3 if len(system) > 60 else 0
        return prefix, [self.encoder.conversation(branch) for branch in branches], cut

    def next(self, progress):
        ids, positions, learned, layout = [], [], [], []
        for prefix, branches, cut in self.groups(progress):
            start = len(ids)
            gap = self.rng.randint(1, 3000) if cut and self.rng.random() < 0.3 else 0
            ids += prefix
            positions += [i + (gap if i >= cut else 0) for i in range(len(prefix))]
            learned += [False] * len(prefix)
            for branch, marks in branches:
                ids += branch
                positions += range(len(prefix) + gap, len(prefix) + gap + len(branch))
                learned += marks
            layout.append((start, len(prefix), [len(branch) for branch, _ in branches]))
        wanted = [i - 1 for i, mark in enumerate(learned) if mark]
        return ids, positions, layout, wanted


def _produce(queue, spec, seed, steps, grown):
    torch.set_num_threads(1)
    batches = Batches(Encoder(bpe.load(spec)), seed)
    for step in range(steps):
        queue.put(batches.next(1.0 if grown else step / steps))


def load_lines(path, encoder):
    """The evaluation's lines as (ids, learned): each on its own, as it will be asked."""
    for text in Path(path).read_text().splitlines():
        line = json.loads(text)
        expect = line["expect"]
        if line["kind"] == "text":
            yield line["category"], encoder.completion(line["prompt"], expect["equals"])
            continue
        if "tool_call" in expect:
            answer = talk.call_message(**expect["tool_call"])
        else:
            answer = {"role": "assistant", "content": json.dumps(expect["json"], ensure_ascii=False) if "json" in expect else expect["equals"]}
        head = encoder.encode(render(line["messages"], line.get("tools"), True))
        whole = encoder.encode(render(line["messages"] + [answer], line.get("tools")))[:-1]  # Without the last newline.
        assert whole[: len(head)] == head
        yield line["category"], (whole, [i >= len(head) for i in range(len(whole))])


@torch.no_grad()
def check(model, lines):
    """Share of lines per category whose every answer token is the likeliest: what greedy decoding would write."""
    totals = {}
    for at in range(0, len(lines), 24):
        batch = lines[at : at + 24]
        ids, positions, wanted, layout, owner = [], [], [], [], []
        for index, (_, (tokens, marks)) in enumerate(batch):
            layout.append((len(ids), 0, [len(tokens)]))
            spots = [len(ids) + i - 1 for i, mark in enumerate(marks) if mark]
            wanted += spots
            owner += [index] * len(spots)
            ids += tokens
            positions += range(len(tokens))
        ids = torch.tensor(ids)
        wanted = torch.tensor(wanted)
        logits = model(ids, torch.tensor(positions), layout, wanted)
        wrong = logits.argmax(-1) != ids[wanted + 1]
        failed = set(torch.tensor(owner)[wrong].tolist())
        for index, (category, _) in enumerate(batch):
            right, all_ = totals.get(category, (0, 0))
            totals[category] = (right + (index not in failed), all_ + 1)
    return totals


# ------------------------------------------------------------------ optimiser


def _orthogonal(g):
    """Newton-Schulz iteration of Muon, for a stack of matrices."""
    tall = g.shape[-2] > g.shape[-1]
    x = g.transpose(1, 2) if tall else g
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return x.transpose(1, 2) if tall else x


class Muon:
    """Orthogonalised momentum for the matrices (Muon)."""

    def __init__(self, parameters, momentum=0.95, decay=0.02):
        self.momentum, self.decay = momentum, decay
        self.stacks = {}
        for parameter in parameters:
            self.stacks.setdefault(parameter.shape, []).append(parameter)
        self.buffers = {shape: torch.zeros(len(group), *shape) for shape, group in self.stacks.items()}

    @torch.no_grad()
    def step(self, rate):
        for shape, group in self.stacks.items():
            gradient = torch.stack([parameter.grad for parameter in group])
            buffer = self.buffers[shape]
            buffer.lerp_(gradient, 1 - self.momentum)
            update = _orthogonal(gradient.lerp(buffer, self.momentum))
            scale = max(1.0, shape[0] / shape[1]) ** 0.5
            for parameter, change in zip(group, update):
                parameter.mul_(1 - rate * self.decay).add_(change, alpha=-rate * scale)
                parameter.grad = None


# ------------------------------------------------------------------ training


class Threads:
    """One thread or two, whichever makes the quicker steps at the moment.

    Alone on two cores, two threads take half the time. Beside a compiler they take longer than one, because every
    matrix product waits for the thread that did not get its core. So each is tried again from time to time.
    """

    def __init__(self, most):
        self.most, self.seconds = most, {}
        self.openblas = ctypes.CDLL("libopenblas.so.0")
        self.use(most)

    def use(self, count):
        self.count = count
        torch.set_num_threads(count)
        self.openblas.openblas_set_num_threads(count)

    def step_took(self, step, seconds):
        self.seconds[self.count] = seconds
        if self.most == 1:
            return
        quicker = min(self.seconds, key=self.seconds.get)
        trial = step % 12 == 0 or len(self.seconds) == 1
        self.use(3 - self.count if trial else quicker)


def schedule(progress):
    """Short warm-up, then to zero in a line."""
    return min(1.0, progress / 0.02) * max(0.0, 1 - progress)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.02)
    parser.add_argument("--begin", help="checkpoint of an earlier stage, whose tokenizer is kept")
    parser.add_argument("--minutes", type=float, help="end by then, with fewer steps if need be")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    threads = Threads(options.threads)

    begin = torch.load(options.begin) if options.begin else None
    copied = {word for name in words.CITIES + words.NAMES + words.CITIES_HELD_OUT + words.NAMES_HELD_OUT for word in name.split()} | set(words.NOUNS)
    spec = bpe.train(tokenizer_texts(options.seed), word_merges=1460, space_merges=320, copied_words=copied)
    if begin:
        spec = begin["tokenizer"]
    (out / "tokenizer.json").write_text(json.dumps(spec, ensure_ascii=False))
    encoder = Encoder(bpe.load(spec))

    shape = Shape(vocab=len(spec["tokens"]))
    model = DemoModel(shape)
    if begin:
        model.load_state_dict(begin["weights"])
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "embedding" not in name]
    others = [p for name, p in model.named_parameters() if p.dim() != 2 or "embedding" in name]
    muon = Muon(matrices)
    adam = torch.optim.Adam(others, lr=1e-3, betas=(0.9, 0.95))
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {shape}", flush=True)

    checks = {name: list(load_lines(HERE / "eval" / f"{name}.jsonl", encoder)) for name in ("trained", "held-out")}
    queue = multiprocessing.Queue(maxsize=8)
    producer = multiprocessing.Process(target=_produce, args=(queue, spec, options.seed, options.steps, begin is not None), daemon=True)
    producer.start()

    started, seen, running = time.time(), 0, None
    progress, step = 0.0, 0
    while progress < 1:
        step_started = time.time()
        ids, positions, layout, wanted = queue.get()
        ids, wanted = torch.tensor(ids), torch.tensor(wanted)
        logits = model(ids, torch.tensor(positions), layout, wanted)
        loss = F.cross_entropy(logits, ids[wanted + 1])
        loss.backward()
        rate = schedule(progress)
        adam.param_groups[0]["lr"] = 0.2 * options.rate * rate
        adam.step()
        adam.zero_grad(set_to_none=True)
        muon.step(options.rate * rate)
        seen += len(ids)
        running = loss.item() if running is None else 0.95 * running + 0.05 * loss.item()
        if step % 25 == 0:
            print(f"step {step} loss {running:.4f} tokens {seen:,} seconds {time.time() - started:.0f} rate {rate:.3f} threads {threads.count}", flush=True)
        threads.step_took(step, time.time() - step_started)
        step += 1
        progress = step / options.steps
        if options.minutes:
            progress = max(progress, (time.time() - started) / 60 / options.minutes)
        last = progress >= 1
        if last or step % 300 == 0:
            for name, lines in checks.items():
                totals = check(model, lines)
                right, all_ = (sum(column) for column in zip(*totals.values()))
                detail = " ".join(f"{category}={100 * r / a:.0f}" for category, (r, a) in totals.items())
                print(f"  {name}: {100 * right / all_:.1f} %  {detail}", flush=True)
            torch.save({"shape": vars(shape), "weights": model.state_dict(), "tokenizer": spec}, out / "checkpoint.pt")


if __name__ == "__main__":
    main()
