"""The network: llama.cpp's `llama` architecture, written so that many short questions share one long system prompt.

A group of training examples is one prefix (the system turn with its tools, perhaps empty) and several branches (the
turns that follow it). The prefix is computed once and every branch attends to it, as a prefix cache does when serving.
Twelve questions of 60 tokens behind 1,300 tokens of prompt are 2,000 tokens of work instead of 16,000.
"""

from dataclasses import dataclass

import torch
import torch.nn as nn

from kernels import attention, rms_norm, swiglu


@dataclass
class Shape:
    vocab: int
    width: int = 192
    layers: int = 5
    heads: int = 6
    hidden: int = 512
    rope_base: float = 10000.0
    norm_eps: float = 1e-5


def rope_table(positions, shape):
    """[tokens, 32]: cosine and sine of each pair in turn. Pairs are neighbours, as llama.cpp rotates them."""
    half = shape.width // shape.heads // 2
    angle = positions.float()[:, None] * shape.rope_base ** (-torch.arange(half) / half)
    return torch.stack((angle.cos(), angle.sin()), -1).flatten(1).contiguous()


def segments_of(groups):
    """Groups are (start, prefix length, branch lengths). -> rows of (from, to, prefix from, prefix to)"""
    rows = []
    for start, prefix, branches in groups:
        rows.append((start, start + prefix, start, start))
        at = start + prefix
        for length in branches:
            rows.append((at, at + length, start, start + prefix))
            at += length
    return torch.tensor(rows, dtype=torch.int32)


class RmsNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return rms_norm(x, self.weight, self.eps)


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.heads = shape.heads
        self.attn_norm = RmsNorm(shape.width, shape.norm_eps)
        self.ffn_norm = RmsNorm(shape.width, shape.norm_eps)
        self.q, self.k, self.v, self.o = (nn.Linear(shape.width, shape.width, bias=False) for _ in range(4))
        self.gate = nn.Linear(shape.width, shape.hidden, bias=False)
        self.up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x, rope, segments):
        h = self.attn_norm(x)
        q, k, v = (f(h).view(len(h), self.heads, -1) for f in (self.q, self.k, self.v))
        x = x + self.o(attention(q, k, v, rope, segments).flatten(1))
        h = self.ffn_norm(x)
        return x + self.down(swiglu(self.gate(h), self.up(h)))


class DemoModel(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocab, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = RmsNorm(shape.width, shape.norm_eps)
        nn.init.normal_(self.embedding.weight, std=0.02)
        for block in self.blocks:
            nn.init.zeros_(block.o.weight)
            nn.init.zeros_(block.down.weight)

    def forward(self, ids, positions, groups, wanted):
        """Logits at the offsets `wanted` only: the loss looks at nothing but the answers."""
        x = self.embedding(ids)
        rope, segments = rope_table(positions, self.shape), segments_of(groups)
        for block in self.blocks:
            x = block(x, rope, segments)
        return self.norm(x[wanted].contiguous()) @ self.embedding.weight.T
