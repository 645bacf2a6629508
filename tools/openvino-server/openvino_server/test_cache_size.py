"""The cache is as large as it is wanted, or as memory allows."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import numpy as np
import pytest

if importlib.util.find_spec("openvino_genai") is None:
    pytest.skip("openvino-genai is not installed", allow_module_level=True)

import openvino as ov

from . import cache_size
from .cache_size import affordable_tokens, available_bytes, token_bytes
from .grammar_probe import WIDTH, smallest_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One layer with one head: a key and a value for each token."""
    ov.save_model(smallest_model(8), tmp_path / "openvino_model.xml", compress_to_fp16=False)
    return tmp_path


def test_a_token_takes_its_keys_and_values(folder: Path) -> None:
    assert token_bytes(folder) == 2 * WIDTH * np.dtype(np.float16).itemsize


def test_is_what_is_wanted_or_what_memory_holds(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(cache_size, "available_bytes", lambda: 64 * 4_000)
    assert affordable_tokens(folder, 3_000, context=1_000, sequences=3) == 3_000
    assert caplog.text == ""
    assert affordable_tokens(folder, 3_001, context=3_001, sequences=1) == 3_000
    assert "3000 tokens, and not the 3001 of 1 sequences" in caplog.text
    monkeypatch.setattr(cache_size, "available_bytes", lambda: 64 * 300)
    with pytest.raises(MemoryError, match="which hold 225 tokens"):
        affordable_tokens(folder, 3_000, context=1_000, sequences=3)


def test_is_what_is_wanted_where_nothing_is_known(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert affordable_tokens(tmp_path / "model.gguf", 10**12, context=10, sequences=1) == 10**12
    monkeypatch.setattr(cache_size, "available_bytes", lambda: None)
    assert affordable_tokens(folder, 10**12, context=10, sequences=1) == 10**12


@pytest.mark.parametrize(
    ("text", "bytes_free"),
    [("MemTotal: 9 kB\nMemAvailable:   4 kB\n", 4_096), ("", None), ("MemAvailable: many", None)],
)
def test_reads_what_is_free(tmp_path: Path, text: str, bytes_free: int | None) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(text)
    assert available_bytes(meminfo) == bytes_free
    assert available_bytes(tmp_path / "none") is None
