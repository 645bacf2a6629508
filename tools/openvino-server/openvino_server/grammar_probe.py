"""
Finds out whether OpenVINO GenAI can make a grammar, before the model that everybody uses has to.

It makes a grammar when the first token of an answer is chosen, and a schema that it can't express fails there, in the middle of a
step: from then on every step of that pipeline fails, and with it every answer. So each grammar is tried first, on a model
of one layer with a head of 16 numbers around the same tokenizer. A failure there costs that one request. Grammars are kept by
the tokenizer, which both share, so the second making is cheap.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import openvino as ov
import openvino_genai as genai
from openvino import opset13 as ops

WIDTH = 16
CACHE_BLOCKS = 4


class GrammarProbe:
    """Concurrency: used by the thread of its model alone."""

    def __init__(self, tokenizer: genai.Tokenizer, vocabulary: int, eos_token: int) -> None:
        self._tokenizer = tokenizer
        self._eos_token = eos_token
        self._vocabulary = vocabulary
        self._pipeline = self._open()

    def complaint_about(self, structured: genai.StructuredOutputConfig) -> str | None:
        """Why no grammar can be made of it, or None."""
        config = genai.GenerationConfig()
        config.max_new_tokens = 1
        config.eos_token_id = self._eos_token
        config.structured_output_config = structured
        try:
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
