"""Byte-level BPE of the demonstration model, in the form that llama.cpp calls "gpt2", split as GPT-2 does.

Two stages of merges. First ordinary BPE over words *without* their leading space, then one merge
"space + word" for the commonest words of the fixed texts. A word that has to be copied from a question into a
JSON string (` Paris` -> `"Paris"`) therefore keeps the same pieces in both places: copying is copying of ids, which
a model of two million parameters learns from a few thousand examples instead of never.
"""

import json
import re
from collections import Counter
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

SPACE = "Ġ"  # What the byte-level alphabet writes for a space.
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
USER_DEFINED = ["<tools>", "</tools>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]

# llama.cpp's pre-tokenizers "gpt-2" and "trillion" and this one split alike; token_samples.py and check-tokens.ts compare them.
_byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def _pieces(text):
    return [piece for piece, _ in _byte_level.pre_tokenize_str(text)]


def train(texts, word_merges, space_merges, copied_words=()):
    """`copied_words` are words that prompts ask to copy; they get no merge with a space."""
    counts = Counter()
    for text in texts:
        for special in CONTROL + USER_DEFINED:
            text = text.replace(special, "\n")
        counts.update(_pieces(text))

    bare = Counter()
    for piece, count in counts.items():
        word = piece[1:] if piece.startswith(SPACE) else piece
        # Digits stay single: numbers are computed with and copied digit by digit.
        if word and SPACE not in word and not re.search(r"[0-9]", word):
            bare[word] += count
    # A word seen once or twice is made up; its letters would become useless merges.
    bare = Counter({word: count for word, count in bare.items() if count > 2})
    word_model = Tokenizer(models.BPE())
    word_model.pre_tokenizer = pre_tokenizers.Split("\x00", "removed")  # Keeps each piece whole.
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=256 + word_merges, initial_alphabet=alphabet, show_progress=False, min_frequency=2
    )
    # The square root keeps the rarer words in the vocabulary: the few fixed answers would otherwise fill it.
    word_model.train_from_iterator(
        (word for word in sorted(bare) for _ in range(int(bare[word] ** 0.5) + 1)), trainer
    )
    trained = json.loads(word_model.to_str())["model"]
    tokens = [token for token, _ in sorted(trained["vocab"].items(), key=lambda item: item[1])]
    merges = [tuple(merge) for merge in trained["merges"]]

    known = set(tokens)
    copied = set(copied_words)
    # No merge for a single byte: " a" + "qua" would tear "aqua" apart after a space.
    spaced = [
        piece[1:]
        for piece, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        if piece.startswith(SPACE) and len(piece) > 2 and count >= 20 and piece[1:] in known and piece[1:] not in copied
    ][:space_merges]
    for word in spaced:
        merges.append((SPACE, word))
        tokens.append(SPACE + word)
    tokens += CONTROL + USER_DEFINED
    while len(tokens) % 32:
        tokens.append(f"<|unused_{len(tokens)}|>")
    return {"tokens": tokens, "merges": [list(merge) for merge in merges]}


def load(spec):
    if isinstance(spec, (str, Path)):
        spec = json.loads(Path(spec).read_text())
    vocab = {token: index for index, token in enumerate(spec["tokens"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[tuple(m) for m in spec["merges"]]))
    tokenizer.pre_tokenizer = _byte_level
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in CONTROL])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in USER_DEFINED])
    return tokenizer
