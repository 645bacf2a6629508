"""The WordPiece tokenizer, cutting texts as llama.cpp's tokenizer "bert" does (its `llm_tokenizer_wpm_session`).

A text is lower-cased and loses its accents; spaces and punctuation end words; a word is cut into the longest pieces of
the vocabulary from its left. A word with a letter that no piece has becomes [UNK] as a whole. As in the GGUF file, a
piece that begins a word starts with U+2581 here and other pieces are bare (BERT's files write "##" before the latter).
"""

import string
import unicodedata
from collections import Counter

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

CONTROL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNKNOWN, BEGIN, END, MASK = range(5)
START = "\u2581"

_LETTERS = string.ascii_lowercase + "αβγδεζηθικλμνξοπρσςτυφχψω" + "абвгдежзиклмнопрстуфхцчшщъыьэюяєђћ" + "ßæœøłđıþð"
_SIGNS = "€£¥°²³½×÷±→©®™µ"


def _is_chinese(code):
    return any(low <= code <= high for low, high in (
        (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)))


def words_of(text):
    words = [""]
    for char in unicodedata.normalize("NFD", text):
        category = unicodedata.category(char)
        if char.isspace():
            if words[-1]:
                words.append("")
            continue
        if category in ("Cc", "Cf") or char == "\ufffd" or category[0] == "M":
            continue
        lower = char.lower()
        lower = lower if len(lower) == 1 else char
        if category[0] == "P" or (ord(char) < 0x7F and category[0] == "S") or _is_chinese(ord(char)):
            if words[-1]:
                words.append("")
            words[-1] = lower
            words.append("")
        else:
            words[-1] += lower
    return [word for word in words if word]


def train(texts, size):
    """Pieces for the commonest words, and every letter and sign by itself. Digits stay single: numbers are compared."""
    counts = Counter()
    for text in texts:
        counts.update(word for word in words_of(text) if word.isascii() and word.isalpha())
    tokens = CONTROL + [START + mark for mark in string.punctuation] + [START + c for c in string.digits + _LETTERS + _SIGNS] + list(string.digits + _LETTERS + _SIGNS)
    model = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    model.pre_tokenizer = pre_tokenizers.Split("\x00", "removed")  # Keeps each word whole.
    trainer = trainers.WordPieceTrainer(vocab_size=size, min_frequency=3, show_progress=False, special_tokens=["[UNK]"])
    # The square root keeps the rarer words in the vocabulary.
    model.train_from_iterator((word for word in sorted(counts) for _ in range(int(counts[word] ** 0.5))), trainer)
    known = set(tokens)
    for piece, _ in sorted(model.get_vocab().items(), key=lambda item: item[1]):
        piece = piece[2:] if piece.startswith("##") else START + piece
        if piece not in known and piece != START + "[UNK]":
            tokens.append(piece)
    return tokens[:size]


class WordPiece:
    def __init__(self, tokens):
        self.tokens = tokens
        self.ids = {token: i for i, token in enumerate(tokens) if i >= len(CONTROL)}
        self.longest = max(map(len, tokens))
        self.cache = {}

    def pieces(self, word, rng=None):
        """With `rng`, a word may be cut shorter than need be, so that training meets the pieces of rare words."""
        if rng is None and word in self.cache:
            return self.cache[word]
        marked, at, out = START + word, 0, []
        while at < len(marked):
            ends = [end for end in range(min(len(marked), at + self.longest), at, -1) if marked[at:end] in self.ids]
            if not ends:
                out = [UNKNOWN]
                break
            end = ends[0] if rng is None or rng.random() < 0.6 else rng.choice(ends)
            out.append(self.ids[marked[at:end]])
            at = end
        if rng is None and len(self.cache) < 200_000:
            self.cache[word] = out
        return out

    def encode(self, text, rng=None, torn=0.0, longest=512):
        ids = [BEGIN]
        for word in words_of(text):
            ids += self.pieces(word, rng if torn and rng.random() < torn else None)
        return ids[:longest - 1] + [END]
