"""The network: llama.cpp's `bert` architecture, with the mean over a text's tokens as its vector."""

import ctypes
import hashlib
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F

_source = Path(__file__).parent / "attention.c"
_binary = Path(tempfile.gettempdir()) / f"demo-embed-{hashlib.sha256(_source.read_bytes()).hexdigest()[:16]}.so"
if not _binary.exists():
    subprocess.run(["cc", "-O3", "-march=native", "-mprefer-vector-width=512", "-ffast-math", "-fopenmp", "-shared", "-fPIC", str(_source), "-o", str(_binary), "-lmvec", "-lm"], check=True)
_library = ctypes.CDLL(str(_binary))


def _at(tensor):
    return ctypes.c_void_p(tensor.data_ptr())


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, begins):
        heads, size = q.shape[1:]
        assert size == 32, "attention.c is written for heads of width 32"
        lengths = (begins[1:] - begins[:-1]).long()
        ends = (heads * lengths * lengths).cumsum(0)
        weights_at = torch.cat((torch.zeros(1, dtype=torch.long), ends))
        out, weights = torch.empty_like(q), torch.empty(int(ends[-1]))
        _library.attention(_at(q), _at(k), _at(v), _at(out), _at(weights), _at(weights_at), _at(begins), len(lengths), heads)
        ctx.save_for_backward(q, k, v, weights, weights_at, begins)
        return out

    @staticmethod
    def backward(ctx, grad):
        q, k, v, weights, weights_at, begins = ctx.saved_tensors
        grad = grad.contiguous()
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        _library.attention_gradient(_at(q), _at(k), _at(v), _at(weights), _at(weights_at), _at(grad), _at(dq), _at(dk), _at(dv), _at(begins), len(begins) - 1, q.shape[1])
        return dq, dk, dv, None


class _Linear(torch.autograd.Function):
    """In bfloat16, which takes half the time where the processor has it; the weights themselves stay exact."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        x, weight = x.bfloat16(), weight.bfloat16()
        ctx.save_for_backward(x, weight)
        return (x @ weight.T).float().add_(bias)

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        half = grad.bfloat16()
        return (half @ weight).float(), (half.T @ x).float(), grad.sum(0)


def _linear(x, *layers):
    """Several layers of one input at once. Exact outside of training, as llama.cpp nearly is."""
    weight, bias = (layers[0].weight, layers[0].bias) if len(layers) == 1 else (torch.cat([f.weight for f in layers]), torch.cat([f.bias for f in layers]))
    return _Linear.apply(x, weight, bias) if torch.is_grad_enabled() else F.linear(x, weight, bias)


@dataclass
class Shape:
    vocab: int
    width: int = 192
    layers: int = 3
    heads: int = 6
    hidden: int = 512
    context: int = 512
    norm_eps: float = 1e-5


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.heads = shape.heads
        self.q, self.k, self.v, self.o = (nn.Linear(shape.width, shape.width) for _ in range(4))
        self.attn_norm = nn.LayerNorm(shape.width, shape.norm_eps)
        self.up, self.down = nn.Linear(shape.width, shape.hidden), nn.Linear(shape.hidden, shape.width)
        self.out_norm = nn.LayerNorm(shape.width, shape.norm_eps)

    def forward(self, x, begins):
        q, k, v = (part.contiguous().view(len(x), self.heads, 32) for part in _linear(x, self.q, self.k, self.v).chunk(3, 1))
        x = self.attn_norm(x + _linear(_Attention.apply(q, k, v, begins).flatten(1), self.o))
        return self.out_norm(x + _linear(F.gelu(_linear(x, self.up), approximate="tanh"), self.down))


class DemoEncoder(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(shape.vocab, shape.width)
        self.positions = nn.Embedding(shape.context, shape.width)
        self.norm = nn.LayerNorm(shape.width, shape.norm_eps)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        nn.init.normal_(self.tokens.weight, std=0.05)
        # Waves, so that positions that training seldom sees are near to their neighbours.
        half = shape.width // 2
        angle = torch.arange(shape.context)[:, None] * 10000.0 ** (-torch.arange(half) / half)
        self.positions.weight.data = 0.03 * torch.cat((angle.sin(), angle.cos()), 1)
        for block in self.blocks:
            for linear in (block.q, block.k, block.v, block.o, block.up, block.down):
                nn.init.zeros_(linear.bias)
            nn.init.normal_(block.o.weight, std=0.02)
            nn.init.normal_(block.down.weight, std=0.02)

    def forward(self, texts, shift=0):
        """The vectors, of length 1, of texts given as lists of token ids."""
        return self.vectors_and_states(texts, shift)[0]

    def vectors_and_states(self, texts, shift=0):
        """Also what the last layer makes of every token, of one text after another. `shift` moves the positions."""
        lengths = torch.tensor([len(text) for text in texts])
        begins = F.pad(lengths.cumsum(0), (1, 0)).int()
        ids = torch.tensor([token for text in texts for token in text])
        owner = torch.arange(len(texts)).repeat_interleave(lengths)
        positions = torch.arange(len(ids)) - begins[:-1].long()[owner] + shift
        x = self.norm(self.tokens(ids) + self.positions(positions))
        for block in self.blocks:
            x = block(x, begins)
        sums = torch.zeros(len(texts), x.shape[1]).index_add_(0, owner, x)
        return F.normalize(sums / lengths[:, None], dim=1), x
