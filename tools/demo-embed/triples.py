"""What training sees: an anchor, a text near to it, and texts that look near and are not."""

import random
import re
import string

import statements as st
from lexicon import facts, prose
from measures import MEASURES
from statements import Voice, words

_ACTION, _TRANSFER, _RELATION, _COMPARISON, _PROPERTY, _COORDINATION = (
    st.Action(), st.Transfer(), st.Relation(), st.Comparison(), st.Property(), st.Coordination())
# Percent of the triples; the rest are measures. Training meets those more often in which words change places: they take longest.
_EVALUATED = [(_ACTION, 30), (_TRANSFER, 9), (_RELATION, 10), (_COMPARISON, 9), (_PROPERTY, 9), (_COORDINATION, 5)]
_TRAINED = [(_ACTION, 26), (_TRANSFER, 12), (_RELATION, 13), (_COMPARISON, 13), (_PROPERTY, 11), (_COORDINATION, 6)]


def _frame(rng, held_out, weights=_EVALUATED):
    at = rng.randrange(100)
    for frame, weight in weights:
        if at < weight:
            return frame
        at -= weight
    while True:
        frame = rng.choice(MEASURES)
        if held_out or not frame.held_out:
            return frame


def _seed(rng):
    return rng.getrandbits(48)


class Said(str):
    """A text that remembers which of its words say which slot."""

    spoken = {}


def say(meaning, seed, held_out=False, other=None):
    voice = Voice(random.Random(seed), held_out, other or {})
    text = Said(meaning.frame.say(meaning, voice))
    text.spoken = voice.spoken
    return text, voice.chosen


def paraphrases(rng, held_out, meaning):
    """Two texts with one meaning. The second one comes from the asked side of the split; the first from either."""
    for _ in range(30):
        first, second = _seed(rng), _seed(rng)
        side = held_out and rng.random() < 0.5
        anchor, chosen = say(meaning, first, side)
        near, _ = say(meaning, second, held_out, chosen)
        if _plain(anchor) != _plain(near):
            return anchor, near, first, second, side
    raise st.Exhausted


def _plain(text):
    return re.sub(r"[^a-z0-9 ]", "", text.lower()).strip()


def _false(rng, meaning, held_out, kind=None):
    """A meaning that differs in one point. -> (kind, meaning) or None if the frame has none of that kind"""
    ways = [way for way in meaning.frame.variants(meaning, rng, held_out) if way[1].key() != meaning.key() and (kind is None or way[0] == kind)]
    return rng.choice(ways) if ways else None


def _distinct(rng, anchor, near, meaning, first, second, held_out, side):
    """Says a false meaning: mostly word for word like one of the two others, since that is where mistakes lie."""
    pick = rng.random()
    for _ in range(8):
        if pick < 0.5:
            text, _ = say(meaning, first, side)
        elif pick < 0.75:
            text, _ = say(meaning, second, held_out)
        else:
            text, _ = say(meaning, _seed(rng), held_out and rng.random() < 0.5)
        if _plain(text) not in (_plain(anchor), _plain(near)):
            return text
        pick = 1.0
    return None


def triple(rng, held_out=False, kind=None):
    """(kind, anchor, paraphrase, a different statement, key of the meaning, frame), of the given kind or of any."""
    while True:
        try:
            found = _try_triple(rng, held_out, kind)
        except st.Exhausted:
            continue
        if found:
            return found


def _try_triple(rng, held_out, kind):
    frame = _frame(rng, held_out)
    meaning = frame.sample(rng, held_out)
    if kind == "same-frame":
        false = kind, frame.sample(rng, held_out)
    elif kind == "other-topic":
        other = _frame(rng, held_out)
        false = (kind, other.sample(rng, held_out)) if other is not frame else None
    else:
        false = _false(rng, meaning, held_out, kind)
    if false is None or false[1].key() == meaning.key():
        return None
    anchor, near, first, second, side = paraphrases(rng, held_out, meaning)
    text = _distinct(rng, anchor, near, false[1], first, second, held_out, side)
    return (false[0], anchor, near, text, meaning.key(), frame) if text else None


def contrast(rng, most=3):
    """(anchor, near, [false …], key) with up to `most` statements that differ in one point, each in another."""
    frame = _frame(rng, False, _TRAINED)
    meaning = frame.sample(rng, False)
    ways = list(frame.variants(meaning, rng, False))
    rng.shuffle(ways)
    ways.sort(key=lambda way: way[0] != "swap")
    anchor, near, first, second, side = paraphrases(rng, False, meaning)
    falses, kinds = [], set()
    for kind, way in ways:
        if way.key() == meaning.key() or kind in kinds or len(falses) == most:
            continue
        text = _distinct(rng, anchor, near, way, first, second, False, side)
        if text:
            falses.append(text)
            kinds.add(kind)
    return anchor, near, falses, meaning.key()


# ------------------------------------------------------------------ the other kinds of training pairs

_COMMON = set("""the a an is was are were of to in on at and or by for with that this it who what when where how has have had be been not no do does did from as one there their his her our my
will would can could please you your i we they he she than more most very about which after before into if but so""".split())
_ALPHABETS = [string.ascii_lowercase] * 12 + ["αβγδεζηθικλμνξοπρστυφχψω", "абвгдежзиклмнопрстуфхцчшщыьэюя", string.ascii_lowercase + string.digits, string.digits]


def _word(rng):
    pick = rng.random()
    if pick < 0.35:
        return words.made_up(rng)
    if pick < 0.7:
        return rng.choice(rng.choice([words.NOUNS, words.VERBS, words.ADJECTIVES, words.FIELD_WORDS])).lower()
    if pick < 0.8:
        return words.identifier(rng).lower()
    alphabet = rng.choice(_ALPHABETS)
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(2, 9)))


def _misspelt(rng, word):
    at = rng.randrange(len(word))
    alphabet = next((letters for letters in _ALPHABETS if word[at] in letters), string.ascii_lowercase)
    return word[:at] + rng.choice(alphabet) + word[at + 1:]


def _sprinkle(rng, chosen):
    """Words with common words between them, in letters of any case."""
    out = []
    for word in chosen:
        if rng.random() < 0.3:
            out.append(rng.choice(["the", "a", "of", "and", "in", "is", "with", "for", "to", ","]))
        pick = rng.random()
        out.append(word.capitalize() if pick < 0.2 else word.upper() if pick < 0.25 else word + "s" if pick < 0.3 else word)
    return st.finish(rng, " ".join(out))


def _random_words(rng):
    """Texts of words that mean nothing: near is what shares them. Keeps the model usable for words it has never seen."""
    chosen = [_word(rng) for _ in range(rng.randint(2, 9))]
    kept = chosen[:]
    if len(kept) > 3 and rng.random() < 0.6:
        kept.pop(rng.randrange(len(kept)))
    if rng.random() < 0.4:
        rng.shuffle(kept)
    if rng.random() < 0.3:
        kept.insert(rng.randrange(len(kept) + 1), _word(rng))
    false = chosen[:]
    for at in rng.sample(range(len(false)), max(1, len(false) // rng.choice([2, 2, 3, 1]))):
        false[at] = _misspelt(rng, false[at]) if rng.random() < 0.3 else _word(rng)
    if false == chosen:
        false = [_word(rng) for _ in chosen]
    return _sprinkle(rng, chosen), _sprinkle(rng, kept), [_sprinkle(rng, false)], " ".join(chosen)


def _query(rng):
    """A question or a few words, and the statement that answers it."""
    if rng.random() < 0.55:
        frame = rng.choice([frame for frame in MEASURES if not frame.held_out])
        meaning = frame.sample(rng, False)
        meaning.positive, meaning.extra = True, ()
        query = frame.question(meaning, Voice(rng))
        near, _ = say(meaning, _seed(rng))
        asked = [name for name in meaning.slots if all("{" + name in question for question in frame.questions)]
        # False is the same fact about somebody else; a question does not ask for the rest.
        ways = [way for way in frame.variants(meaning, rng, False) if any(way[1].slots[name] != meaning.slots[name] for name in asked) and way[0] in ("name", "number")]
        false = rng.choice(ways)[1] if ways else frame.sample(rng, False)
        return query, near, [say(false, _seed(rng))[0]], query
    kind, anchor, near, false, key, _ = triple(rng, False, rng.choice(["name", "same-frame", "verb"]))
    found = [word for word in re.findall(r"\w+", anchor) if word.lower() not in _COMMON and len(word) > 2]
    if len(found) < 2:
        return anchor, near, [false], key
    kept = rng.sample(found, min(len(found), rng.randint(2, 4)))
    return " ".join(kept).lower(), anchor, [false], key


def _document(rng):
    """Several statements. Near are the same ones otherwise said and ordered, or one of them alone."""
    count = rng.choice([2, 2, 3, 3, 4, 5, 6])
    parts = [triple(rng, False) for _ in range(count)]
    stop = lambda text: text if text[-1] in ".!?" else text + "."
    document = " ".join(stop(part[1]) for part in parts)
    at = rng.randrange(count)
    if rng.random() < 0.5:
        return parts[at][2], document, [" ".join(stop(part[3] if i == at else part[1]) for i, part in enumerate(parts))], document
    order = list(range(count))
    rng.shuffle(order)
    near = " ".join(stop(parts[i][2]) for i in order)
    false = " ".join(stop(parts[i][3] if rng.random() < 0.7 or i == at else parts[i][2]) for i in order)
    return document, near, [false], document


def _definition(rng):
    term, (aliases, english, *_) = rng.choice(list(facts.DEFINITIONS.items()))
    name = rng.choice([term, *aliases])
    near, _, use = english.partition(" Common use: ")
    asked = rng.choice(["What is {t}?", "Explain {t}", "{t}", "what does {t} mean", "Tell me about {t}.", "define {t}"]).format(t=name)
    return rng.choice([asked, asked, f"What is {name} used for?" if use else asked]), rng.choice([english, near]), [rng.choice(list(facts.DEFINITIONS.values()))[1]], term


def _prose(rng):
    """Two halves of a text belong together, as do a text and a piece of it."""
    text = prose.system_prompt(rng, rng.choice([100, 150, 250]))
    split = text.split(" ")
    if len(split) < 8:
        return _random_words(rng)
    begin = rng.randrange(len(split) // 2)
    piece = " ".join(split[begin:begin + rng.randint(4, max(5, len(split) // 2))])
    return piece, text, [], text


def example(rng):
    """(anchor, near, [false …], key)"""
    while True:
        try:
            return _example(rng)
        except st.Exhausted:
            continue


def _example(rng):
    pick = rng.random()
    if pick < 0.84:
        return contrast(rng)
    if pick < 0.90:
        return _random_words(rng)
    if pick < 0.95:
        return _query(rng)
    if pick < 0.97:
        return _document(rng)
    return _definition(rng) if pick < 0.985 else _prose(rng)
