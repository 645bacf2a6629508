"""
Writes the built-in demonstration model as an OpenVINO model: the folder that OpenVINO's tools and servers know.

GenAI converts the GGUF file and keeps what it made; the tokenizer is converted from the folder that
`tools/max-serve/make_test_model.py` writes. Needs, besides requirements.txt: `pip install gguf safetensors transformers`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import openvino as ov
import openvino_genai as genai
from openvino_tokenizers import convert_tokenizer
from transformers import AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]
DEMO_MODEL = ROOT / "models" / "millrace-demo.gguf"
HUGGING_FACE_RECIPE = ROOT / "tools" / "max-serve" / "make_test_model.py"


def write_network(source: Path, folder: Path) -> None:
    """openvino_model.xml and .bin: GenAI writes them beside the GGUF file it reads."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / source.name
        shutil.copyfile(source, copy)
        config = genai.SchedulerConfig()
        config.num_kv_blocks = 1
        genai.ContinuousBatchingPipeline(str(copy), config, "CPU", {"enable_save_ov_model": True})
        for name in ("openvino_model.xml", "openvino_model.bin"):
            shutil.copyfile(Path(place) / name, folder / name)


def write_tokenizer(hugging_face: Path, folder: Path) -> None:
    """openvino_tokenizer.xml and openvino_detokenizer.xml."""
    tokenizer = AutoTokenizer.from_pretrained(hugging_face)
    converted = convert_tokenizer(tokenizer, with_detokenizer=True)
    for name, model in zip(("openvino_tokenizer", "openvino_detokenizer"), converted, strict=True):
        ov.save_model(model, folder / f"{name}.xml")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gguf", type=Path, default=DEMO_MODEL, help="the model (default: the built-in one)")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    write_network(options.gguf, options.out)
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, str(HUGGING_FACE_RECIPE), "--gguf", str(options.gguf), "--out", place]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        write_tokenizer(Path(place), options.out)
        for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
            shutil.copyfile(Path(place) / name, options.out / name)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
