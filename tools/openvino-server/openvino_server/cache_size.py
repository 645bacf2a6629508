"""How many tokens the cache may hold, so that a machine's memory holds them."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import openvino as ov

log = logging.getLogger("openvino-server")

# An element has two at most; the CPU plugin's usual has one, and some more for its scale.
ELEMENT_BYTES = 2
# The rest is for what is computed, for other programs, and for what is not foreseen.
SHARE_OF_MEMORY = 0.75
# With less, no answer worth having comes about.
TOKENS_LEAST = 256


def affordable_tokens(path: Path, wanted: int, *, context: int, sequences: int) -> int:
    """
    `wanted`, or fewer where the free memory holds no more.

    The cache begins small and grows with use, prefixes of past answers included, until it is full: without a bound that memory
    allows, it ends when the system kills the process. Of a GGUF file and elsewhere than on Linux nothing is known, nor bounded.

    Raises MemoryError where hardly any tokens can be held.
    """
    each, free = token_bytes(path), available_bytes()
    if each is None or free is None:
        return wanted
    held = math.floor(free * SHARE_OF_MEMORY / each)
    if held >= wanted:
        return wanted
    if held < TOKENS_LEAST:
        raise MemoryError(f"{free >> 20:,} MB are free, which hold {held} tokens of its cache; {TOKENS_LEAST} are the least.")
    log.warning(
        "The cache may hold %d tokens, and not the %d of %d sequences with %d each: %d MB are free, and a token takes up to %d "
        "bytes. Answers wait where it is full; fewer sequences or a shorter context need less.",
        *(held, wanted, sequences, context, free >> 20, each),
    )
    return held


def token_bytes(path: Path) -> int | None:
    """What a token takes in the cache at most; None where that can't be told beforehand."""
    network = path / "openvino_model.xml"
    if not network.is_file():
        return None
    elements = 0
    for node in ov.Core().read_model(network).get_ops():
        if node.get_type_name() == "ReadValue":
            # Batch and length have no size of their own: heads and their width remain.
            elements += math.prod(size.get_length() for size in node.get_output_partial_shape(0) if size.is_static)
    return elements * ELEMENT_BYTES or None


def available_bytes(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Memory that can be had without swapping; None where the system doesn't tell."""
    try:
        for line in meminfo.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1_024
    except (OSError, ValueError):
        return None
    return None
