"""Writes the built-in demonstration model as a Hugging Face folder: float32 safetensors, tokenizer, configuration.

That is what MAX Serve and other Python servers load, so that they can be tried on a model whose answers make sense, without a
download: the GGUF file is in the repository. Needs `gguf`, `safetensors` and `numpy`, all of which `max[serve]` brings.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import save_file

DEMO_MODEL = Path(__file__).resolve().parents[2] / "models" / "millrace-demo.gguf"

# GGUF's names for the tensors of one layer, and Hugging Face's.
LAYER_TENSORS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def field(reader: gguf.GGUFReader, key: str) -> Any:
    """One value of the file's metadata."""
    found = reader.fields.get(key)
    if found is None:
        raise SystemExit(f"The GGUF file has no `{key}`; this recipe knows files such as models/millrace-demo.gguf.")
    return found.contents()


def model_configuration(reader: gguf.GGUFReader) -> dict[str, Any]:
    """What Hugging Face calls config.json."""
    width, heads = field(reader, "llama.embedding_length"), field(reader, "llama.attention.head_count")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": width,
        "intermediate_size": field(reader, "llama.feed_forward_length"),
        "num_hidden_layers": field(reader, "llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": field(reader, "llama.attention.head_count_kv"),
        "head_dim": width // heads,
        "max_position_embeddings": field(reader, "llama.context_length"),
        "rms_norm_eps": field(reader, "llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": field(reader, "llama.rope.freq_base"),
        "vocab_size": field(reader, "llama.vocab_size"),
        "bos_token_id": field(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": field(reader, "tokenizer.ggml.eos_token_id"),
        "pad_token_id": field(reader, "tokenizer.ggml.padding_token_id"),
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "use_cache": True,
    }


def unpermuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows as Hugging Face's rotary embedding wants them: GGUF's Llama has each pair of a rotation side by side."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def model_weights(reader: gguf.GGUFReader) -> dict[str, np.ndarray]:
    """All tensors under Hugging Face's names, as float32."""
    stored = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32) for t in reader.tensors}
    heads = {
        "attn_q": field(reader, "llama.attention.head_count"),
        "attn_k": field(reader, "llama.attention.head_count_kv"),
    }
    embedding = stored["token_embd.weight"]
    weights = {
        "model.embed_tokens.weight": embedding,
        "model.norm.weight": stored["output_norm.weight"],
        # Written out even where the file shares it with the embedding: not every loader ties them.
        "lm_head.weight": stored.get("output.weight", embedding).copy(),
    }
    for layer in range(field(reader, "llama.block_count")):
        for theirs, ours in LAYER_TENSORS.items():
            tensor = stored[f"blk.{layer}.{theirs}.weight"]
            weights[f"model.layers.{layer}.{ours}.weight"] = (
                unpermuted(tensor, heads[theirs]) if theirs in heads else tensor
            )
    return {name: np.ascontiguousarray(tensor) for name, tensor in weights.items()}


def tokenizer_files(reader: gguf.GGUFReader) -> dict[str, Any]:
    """tokenizer.json and tokenizer_config.json: byte-level BPE that splits as GPT-2 does."""
    tokens, kinds = field(reader, "tokenizer.ggml.tokens"), field(reader, "tokenizer.ggml.token_type")
    normal = int(gguf.TokenType.NORMAL)
    added = [
        {
            "id": index,
            "content": tokens[index],
            "special": kind == int(gguf.TokenType.CONTROL),
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
        }
        for index, kind in enumerate(kinds)
        if kind != normal
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: index for index, token in enumerate(tokens) if kinds[index] == normal},
            "merges": field(reader, "tokenizer.ggml.merges"),
        },
    }
    configuration = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[field(reader, "tokenizer.ggml.bos_token_id")],
        "eos_token": tokens[field(reader, "tokenizer.ggml.eos_token_id")],
        "pad_token": tokens[field(reader, "tokenizer.ggml.padding_token_id")],
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": field(reader, "llama.context_length"),
        "chat_template": field(reader, "tokenizer.chat_template"),
    }
    return {"tokenizer.json": tokenizer, "tokenizer_config.json": configuration}


def write_folder(source: Path, folder: Path) -> None:
    """Writes everything that a server needs to load `source`."""
    reader = gguf.GGUFReader(source)
    if field(reader, "general.architecture") != "llama":
        raise SystemExit(f"{source} is no Llama: this recipe knows that architecture only.")
    folder.mkdir(parents=True, exist_ok=True)
    configuration = model_configuration(reader)
    generation = {key: configuration[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    files = {"config.json": configuration, "generation_config.json": generation, **tokenizer_files(reader)}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    # Loaders ask for the format, and refuse a file that does not tell.
    save_file(model_weights(reader), str(folder / "model.safetensors"), metadata={"format": "pt"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gguf", type=Path, default=DEMO_MODEL, help="the model (default: the built-in one)")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    options = parser.parse_args()
    write_folder(options.gguf, options.out)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
