"""Writes the trained weights, the tokenizer and the chat template as one GGUF file."""

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
import torch

import tokenizer as bpe
from model import Shape, DemoModel

HERE = Path(__file__).parent
CONTEXT_LENGTH = 8192


def write(path, shape, state, spec):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("model")
    writer.add_name("Millrace Demo")
    writer.add_basename("millrace-demo")
    writer.add_author("The Millrace authors")
    writer.add_license("apache-2.0")
    writer.add_description(
        "Millrace's tiny built-in demonstration model. It knows some capitals, sums, short definitions and tool "
        "calls, so that an installation can be tried without a download. It is no assistant."
    )
    writer.add_languages(["en", "pt"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(CONTEXT_LENGTH)
    writer.add_block_count(shape.layers)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_layer_norm_rms_eps(shape.norm_eps)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.vocab)

    tokens = spec["tokens"]
    kinds = []
    for token in tokens:
        if token in bpe.CONTROL:
            kinds.append(gguf.TokenType.CONTROL)
        elif token in bpe.USER_DEFINED:
            kinds.append(gguf.TokenType.USER_DEFINED)
        elif token.startswith("<|unused_"):
            kinds.append(gguf.TokenType.UNUSED)
        else:
            kinds.append(gguf.TokenType.NORMAL)
    writer.add_tokenizer_model("gpt2")
    # "trillion" splits as "gpt-2" does, but keeps llama.cpp from "cleaning up" spaces: with "gpt-2" the tokens of
    # "a ?" come back as "a?".
    writer.add_tokenizer_pre("trillion")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(merge) for merge in spec["merges"]])
    # A beginning-of-sequence id is named only because llama.cpp would else take token 11 for it; it is never added.
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_eot_token_id(tokens.index("<|im_end|>"))
    writer.add_pad_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template((HERE / "template.jinja").read_text())

    def matrix(name, key):
        writer.add_tensor(name, state[key].float().numpy().astype(np.float16))

    def vector(name, key):
        writer.add_tensor(name, state[key].float().numpy())

    matrix("token_embd.weight", "embedding.weight")
    vector("output_norm.weight", "norm.weight")
    for i in range(shape.layers):
        vector(f"blk.{i}.attn_norm.weight", f"blocks.{i}.attn_norm.weight")
        vector(f"blk.{i}.ffn_norm.weight", f"blocks.{i}.ffn_norm.weight")
        for name, key in [
            ("attn_q", "q"), ("attn_k", "k"), ("attn_v", "v"), ("attn_output", "o"),
            ("ffn_gate", "gate"), ("ffn_up", "up"), ("ffn_down", "down"),
        ]:
            matrix(f"blk.{i}.{name}.weight", f"blocks.{i}.{key}.weight")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    spec = json.loads(Path(options.tokenizer).read_text())
    checkpoint = torch.load(options.checkpoint, map_location="cpu")
    write(options.out, Shape(**checkpoint["shape"]), checkpoint["weights"], spec)
