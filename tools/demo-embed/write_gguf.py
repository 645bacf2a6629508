"""Writes the trained weights and the vocabulary as one GGUF file."""

import argparse

import gguf
import numpy as np
import torch

import wordpiece
from encoder import Shape

MEAN = gguf.PoolingType.MEAN


def write(path, shape, state, tokens):
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_type("model")
    writer.add_name("Millrace Demo Embed")
    writer.add_basename("millrace-demo-embed")
    writer.add_author("The Millrace authors")
    writer.add_license("apache-2.0")
    writer.add_description(
        "Millrace's tiny built-in embedding model. It tells paraphrases of short English statements from different "
        "statements, so that an installation can be tried without a download. It is no search engine."
    )
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(shape.context)
    writer.add_block_count(shape.layers)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_layer_norm_eps(shape.norm_eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(MEAN)

    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_type_count(1)
    writer.add_token_list(tokens)
    control = {wordpiece.UNKNOWN: gguf.TokenType.UNKNOWN}
    writer.add_token_types([control.get(i, gguf.TokenType.CONTROL) if i < len(wordpiece.CONTROL) else gguf.TokenType.NORMAL for i in range(len(tokens))])
    writer.add_bos_token_id(wordpiece.BEGIN)
    writer.add_unk_token_id(wordpiece.UNKNOWN)
    writer.add_sep_token_id(wordpiece.END)
    writer.add_pad_token_id(wordpiece.PAD)
    writer.add_mask_token_id(wordpiece.MASK)

    def exact(name, key):
        writer.add_tensor(name, state[key].float().numpy())

    def layer(name, key, half=True):
        weight = state[f"{key}.weight"].float().numpy()
        writer.add_tensor(f"{name}.weight", weight.astype(np.float16) if half else weight)
        exact(f"{name}.bias", f"{key}.bias")

    writer.add_tensor("token_embd.weight", state["tokens.weight"].float().numpy().astype(np.float16))
    exact("position_embd.weight", "positions.weight")
    layer("token_embd_norm", "norm", half=False)
    for i in range(shape.layers):
        for name, key in [("attn_q", "q"), ("attn_k", "k"), ("attn_v", "v"), ("attn_output", "o"), ("ffn_up", "up"), ("ffn_down", "down")]:
            layer(f"blk.{i}.{name}", f"blocks.{i}.{key}")
        layer(f"blk.{i}.attn_output_norm", f"blocks.{i}.attn_norm", half=False)
        layer(f"blk.{i}.layer_output_norm", f"blocks.{i}.out_norm", half=False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    checkpoint = torch.load(options.checkpoint, map_location="cpu")
    write(options.out, Shape(**checkpoint["shape"]), checkpoint["weights"], checkpoint["tokens"])
