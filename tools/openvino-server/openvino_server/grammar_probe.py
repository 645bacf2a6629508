"""
Finds out whether OpenVINO GenAI can make a grammar, before the model that everybody uses has to.

It makes a grammar when the first token of an answer is chosen, and a schema that it can't express fails there, in the middle of
a step: from then on every step of that pipeline fails, and with it every answer. Nor can the making be stopped when it takes
too long. So each grammar is tried first, in a process of its own that can be killed, on a model of one layer with a head of 16
numbers around the same tokenizer. A failure there costs that one request.

    python -m openvino_server.grammar_probe PATH     reads specifications, a line each, and answers each with a line
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino_genai as genai
from openvino import opset13 as ops

from .parent import die_with_parent

WIDTH = 16
CACHE_BLOCKS = 4
# What everybody waits for when the model itself makes the grammar, once more.
GRAMMAR_SECONDS_MAX = 3
START_SECONDS_MAX = 120
# The library keeps every grammar it has made. A process that has made so many is replaced.
GRAMMARS_MAX = 256

Specification = dict[str, Any]


def structured_output(specification: Specification) -> genai.StructuredOutputConfig:
    """GenAI's own form of what `Model` asks for: one of its kinds with a text, or calls of tools."""
    kinds = genai.StructuredOutputConfig
    if specification["kind"] != "calls":
        return kinds(**{specification["kind"]: specification["text"]})
    tags = [kinds.Tag(head, kinds.JSONSchema(schema), tail) for head, schema, tail in specification["tags"]]
    return kinds(
        compound_grammar=kinds.TriggeredTags(
            triggers=specification["triggers"],
            tags=tags,
            at_least_one=specification["must_call"],
            stop_after_first=specification["once"],
        )
    )


class GrammarProbe:
    """
    Ownership: owns the process, and ends it.

    Concurrency: used by one thread at a time.
    """

    def __init__(self, model: Path) -> None:
        self._model = model
        self._process: subprocess.Popen[str] | None = None
        self._replies: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._asked = 0

    def complaint_about(self, specification: Specification) -> str | None:
        """Why no grammar can be made of it, or None."""
        if self._process is None or self._asked >= GRAMMARS_MAX:
            self.close()
            self._start()
        self._asked += 1
        reply = self._ask(json.dumps(specification))
        if reply is None:
            self.close()
            return f"that takes longer than {GRAMMAR_SECONDS_MAX} s, or breaks the library; make it simpler"
        complaint = json.loads(reply)["complaint"]
        return None if complaint is None else str(complaint)

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def _start(self) -> None:
        self._asked = 0
        # A new one for each process: the reader of the last may still write into the old.
        self._replies = queue.SimpleQueue()
        process = subprocess.Popen(
            [sys.executable, "-m", "openvino_server.grammar_probe", str(self._model.resolve())],
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # The library complains there of what is being tried here.
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._process = process
        threading.Thread(target=_read_lines, args=(process, self._replies), daemon=True).start()
        if self._reply(START_SECONDS_MAX) is None:
            self.close()
            raise RuntimeError("The process that tries grammars does not start.")

    def _ask(self, line: str) -> str | None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except OSError:
            return None
        return self._reply(GRAMMAR_SECONDS_MAX)

    def _reply(self, seconds: float) -> str | None:
        try:
            return self._replies.get(timeout=seconds)
        except queue.Empty:
            return None


def _read_lines(process: subprocess.Popen[str], replies: queue.SimpleQueue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        # The library may write there too.
        if line.startswith("{"):
            replies.put(line)
    replies.put(None)


class _SmallestPipeline:
    """The other side: what makes grammars and nothing else."""

    def __init__(self, model: Path) -> None:
        self._tokenizer = genai.Tokenizer(str(model))
        self._vocabulary = len(self._tokenizer.get_vocab())
        self._pipeline = self._open()

    def complaint_about(self, specification: Specification) -> str | None:
        config = genai.GenerationConfig()
        config.max_new_tokens = 1
        config.eos_token_id = self._tokenizer.get_eos_token_id()
        try:
            config.structured_output_config = structured_output(specification)
            # Kept until the end: a request whose handle is gone is dropped, and no grammar made.
            handle = self._pipeline.add_request(0, ov.Tensor(np.array([[0]], dtype=np.int64)), config)
            while self._pipeline.has_non_finished_requests():
                self._pipeline.step()
            if handle.get_status() != genai.GenerationStatus.FINISHED:
                return "it could not be tried"
        except Exception as error:
            # One that has failed is not trusted again; another takes some 50 ms.
            self._pipeline = self._open()
            return told_by(error)
        return None

    def _open(self) -> genai.ContinuousBatchingPipeline:
        config = genai.SchedulerConfig()
        config.num_kv_blocks = CACHE_BLOCKS
        config.max_num_seqs = 1
        config.enable_prefix_caching = False
        with tempfile.TemporaryDirectory() as folder:
            ov.save_model(smallest_model(self._vocabulary), Path(folder) / "openvino_model.xml", compress_to_fp16=False)
            return genai.ContinuousBatchingPipeline(folder, self._tokenizer, config, "CPU")


def _serve(model: Path) -> None:
    die_with_parent()
    # A terminal's Ctrl-C is for who started us; that our input ends is for us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipeline = _SmallestPipeline(model)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps({"complaint": pipeline.complaint_about(json.loads(line))}), flush=True)
    os._exit(0)


def told_by(error: Exception) -> str:
    """The last line of what OpenVINO tells, without the places in its own source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[-1] if lines else type(error).__name__
    for mark in (".cc:", ".cpp:", ".hpp:", ".h:"):
        at = text.rfind(mark)
        if at >= 0:
            # Behind it stand the line's number and a colon.
            text = text[at + len(mark) :].split(":", 1)[-1].strip()
    return text[:300]


def smallest_model(vocabulary: int) -> ov.Model:
    """The least that GenAI accepts as a language model: ids in, attention over a cache, scores out, all of them zero."""
    # GenAI looks them up by the names of the nodes and by those of their tensors.
    inputs = {
        name: ops.parameter(shape, kind, name=name)
        for name, shape, kind in (
            ("input_ids", [-1, -1], np.int64),
            ("attention_mask", [-1, -1], np.int64),
            ("position_ids", [-1, -1], np.int64),
            ("beam_idx", [-1], np.int32),
        )
    }
    for name, node in inputs.items():
        node.output(0).get_tensor().set_names({name})
    ids, mask, beam = inputs["input_ids"], inputs["attention_mask"], inputs["beam_idx"]
    zero, one = ops.constant(0, dtype=np.int64), ops.constant(np.array([1], dtype=np.int64))
    embedded = ops.gather(ops.constant(np.zeros((vocabulary, WIDTH), np.float32)), ids, zero)
    batch = _size(ids, 0)

    def head() -> ov.Node:
        projected = ops.matmul(embedded, ops.constant(np.eye(WIDTH, dtype=np.float32)), False, False)
        split = ops.reshape(projected, ops.constant(np.array([0, 0, 1, WIDTH], dtype=np.int64)), True)
        return ops.transpose(split, ops.constant(np.array([0, 2, 1, 3], dtype=np.int64)))

    empty = ops.broadcast(
        ops.constant(np.float32(0)),
        ops.concat([batch, ops.constant(np.array([1, 0, WIDTH], dtype=np.int64))], 0),
    )
    kept, sinks = [], []
    for name in ("key", "value"):
        info = ov.op.util.VariableInfo()
        info.data_shape = ov.PartialShape([-1, 1, -1, WIDTH])
        info.data_type = ov.Type.f32
        info.variable_id = f"past_key_values.0.{name}"
        variable = ov.op.util.Variable(info)
        past = ops.gather(ops.read_value(empty, variable), beam, zero)
        both = ops.concat([past, head()], 2)
        kept.append(both)
        sinks.append(ops.assign(both, variable))
    seen = ops.unsqueeze(ops.convert(mask, "f32"), ops.constant(np.array([1, 2], dtype=np.int64)))
    hidden = ops.multiply(ops.subtract(seen, ops.constant(np.float32(1))), ops.constant(np.float32(1e9)))
    shape = ops.concat([batch, one, _size(ids, 1), _size(mask, 1)], 0)
    attended = ops.scaled_dot_product_attention(head(), kept[0], kept[1], ops.broadcast(hidden, shape, "BIDIRECTIONAL"))
    joined = ops.reshape(
        ops.transpose(attended, ops.constant(np.array([0, 2, 1, 3], dtype=np.int64))),
        ops.constant(np.array([0, 0, WIDTH], dtype=np.int64)),
        True,
    )
    scores = ops.matmul(ops.add(embedded, joined), ops.constant(np.zeros((vocabulary, WIDTH), np.float32)), False, True)
    scores.output(0).get_tensor().set_names({"logits"})
    return ov.Model([ops.result(scores)], sinks, list(inputs.values()), "probe")


def _size(node: ov.Node, axis: int) -> ov.Node:
    """One dimension of a shape, as a list of one number."""
    return ops.gather(ops.shape_of(node), ops.constant(np.array([axis], dtype=np.int64)), ops.constant(0, dtype=np.int64))


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
