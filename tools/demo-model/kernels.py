"""Compiles kernels.c with the system's C compiler and gives its operations to torch."""

import ctypes
import hashlib
import subprocess
import tempfile
from pathlib import Path

import torch

_source = Path(__file__).parent / "kernels.c"
_binary = Path(tempfile.gettempdir()) / f"demo-model-{hashlib.sha256(_source.read_bytes()).hexdigest()[:16]}.so"
if not _binary.exists():
    subprocess.run(["cc", "-O3", "-march=native", "-mprefer-vector-width=512", "-ffast-math", "-fopenmp", "-shared", "-fPIC", str(_source), "-o", str(_binary), "-lmvec", "-lm"], check=True)
_library = ctypes.CDLL(str(_binary))


def _at(tensor):
    return ctypes.c_void_p(tensor.data_ptr())


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, rope, segments):
        tokens, heads, size = q.shape
        assert size == 32, "kernels.c is written for heads of width 32"
        out, lse = torch.empty_like(q), torch.empty(heads, tokens)
        _library.attention(_at(q), _at(k), _at(v), _at(rope), _at(out), _at(lse), tokens, heads, _at(segments), len(segments))
        ctx.save_for_backward(q, k, v, rope, out, lse, segments)
        return out

    @staticmethod
    def backward(ctx, grad):
        q, k, v, rope, out, lse, segments = ctx.saved_tensors
        grad = grad.contiguous()
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        _library.attention_gradient(
            _at(q), _at(k), _at(v), _at(rope), _at(out), _at(lse), _at(grad), _at(dq), _at(dk), _at(dv),
            q.shape[0], q.shape[1], _at(segments), len(segments),
        )
        return dq, dk, dv, None, None


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, eps):
        out, inverse = torch.empty_like(x), torch.empty(len(x))
        _library.rms_norm(_at(x), _at(weight), _at(out), _at(inverse), *x.shape, ctypes.c_float(eps))
        ctx.save_for_backward(x, weight, inverse)
        return out

    @staticmethod
    def backward(ctx, grad):
        x, weight, inverse = ctx.saved_tensors
        grad = grad.contiguous()
        dx, dweight = torch.empty_like(x), torch.zeros(2, x.shape[1])
        _library.rms_norm_gradient(_at(x), _at(weight), _at(inverse), _at(grad), _at(dx), _at(dweight), *x.shape)
        return dx, dweight.sum(0), None


class _SwiGlu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gate, up):
        out = torch.empty_like(gate)
        _library.swiglu(_at(gate), _at(up), _at(out), ctypes.c_long(gate.numel()))
        ctx.save_for_backward(gate, up)
        return out

    @staticmethod
    def backward(ctx, grad):
        gate, up = ctx.saved_tensors
        grad = grad.contiguous()
        dgate, dup = torch.empty_like(gate), torch.empty_like(up)
        _library.swiglu_gradient(_at(gate), _at(up), _at(grad), _at(dgate), _at(dup), ctypes.c_long(gate.numel()))
        return dgate, dup


attention, rms_norm, swiglu = _Attention.apply, _RmsNorm.apply, _SwiGlu.apply
