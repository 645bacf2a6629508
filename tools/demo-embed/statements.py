"""Statements, other ways to say the same, and statements that differ in one point.

A frame is a kind of statement. It draws a meaning, lists the meanings that differ from it in one point, and says a
meaning in one of several ways. What is kept for evaluation is decided by checksums, never by choice: see `kept_back`.
"""

import random
import zlib
from dataclasses import dataclass, field, replace

import lexicon as lex
import templates as further
from lexicon import words

KINDS = ["negation", "swap", "number", "name", "verb", "same-frame", "other-topic"]


# ------------------------------------------------------------------ the split


def kept_back(text, every):
    """Whether this word, pair or template is kept for evaluation: about one in `every`, fixed for ever by its letters."""
    return zlib.crc32(text.encode()) % every == 0


def pair_kept_back(one, other):
    """Two ways to say a thing that training never shows as the two sides of a paraphrase."""
    return one != other and kept_back("|".join(sorted((one, other))), 4)


def share(items, held_out, every=5):
    """The items of one side of the split; all of them if that side would be empty."""
    chosen = [item for item in items if kept_back(str(item), every) == held_out]
    return chosen or list(items)


def templates(items, held_out, more=()):
    """A quarter of the templates, at least one of three or more, are kept for evaluation. `more` are training's alone."""
    if len(items) < 3:
        return items
    ordered = sorted(items, key=lambda item: zlib.crc32(item.encode()))
    count = max(1, round(len(items) / 4))
    return ordered[:count] if held_out else ordered[count:] + list(more)


class Exhausted(Exception):
    """One side of the split has too few words for what was asked; the caller draws something else."""


def fresh(make, fits):
    """Draws until it fits. A side with a single word of a class would otherwise be asked for another one for ever."""
    for _ in range(60):
        value = make()
        if fits(value):
            return value
    raise Exhausted


_SHARES = {}


def draw(rng, items, held_out, every=5):
    """One item of its side of the split. `items` has to live as long as the program."""
    key = (id(items), held_out)
    if key not in _SHARES:
        _SHARES[key] = share(items, held_out, every)
    return rng.choice(_SHARES[key])


# ------------------------------------------------------------------ inflection

_DOUBLED = set("stop plan ship hug pet admit submit swap drop zip bin wrap pat shred refer sum unplug rub".split())
_VOWELS = "aeiou"


def _past_of(word):
    if word.endswith("e"):
        return word + "d"
    if word.endswith("y") and word[-2] not in _VOWELS:
        return word[:-1] + "ied"
    return word + word[-1] + "ed" if word in _DOUBLED or word in ("get", "cut") else word + "ed"


def _ing_of(word):
    if word == "be":
        return "being"
    if word.endswith("e") and not word.endswith("ee"):
        return word[:-1] + "ing"
    doubled = word in _DOUBLED or word in ("get", "cut", "put", "set", "run", "shut", "let", "begin", "hit")
    return word + word[-1] + "ing" if doubled else word + "ing"


def inflect(verb, form):
    """`put/put/put off` and `go/went/gone to`: forms of the first word, then the rest."""
    head, *rest = verb.split(" ")
    parts = head.split("/")
    base = parts[0]
    past = parts[1] if len(parts) > 1 else _past_of(base)
    participle = parts[2] if len(parts) > 2 else past
    word = {"base": base, "past": past, "pp": participle, "ing": _ing_of(base)}[form]
    if word == "be" and form == "past":
        word = "was"
    return " ".join([word, *rest])


# ------------------------------------------------------------------ values of slots


@dataclass
class Voice:
    """One rendering. `other` holds what the other side of the paraphrase chose, so that kept pairs can be kept apart."""

    rng: random.Random
    held_out: bool = False
    other: dict = field(default_factory=dict)
    chosen: dict = field(default_factory=dict)
    spoken: dict = field(default_factory=dict)  # What was said for each slot: training learns which words play which part.

    def pick(self, place, ways, known=True):
        """One of the `ways`. Of a meaning that training never shows (not `known`), both sides use the same words: nothing
        could tell that other ones mean the same. Kept pairs are of three ways or more, so that each was seen with another."""
        ways = list(ways)
        before = self.other.get(place)
        if before is not None and self.held_out and not known:
            ways = [before]
        elif before is not None and len(ways) == 2 and self.rng.random() < 0.5:
            ways = [way for way in ways if way != before]
        elif before is not None and len(ways) > 2:
            if not self.held_out:
                ways = [way for way in ways if not pair_kept_back(before, way)] or [before]
            else:
                kept = [way for way in ways if pair_kept_back(before, way)]
                ways = kept if kept and self.rng.random() < 0.7 else ways
            if len(ways) > 1 and self.rng.random() < 0.5:
                ways = [way for way in ways if way != before] or ways
        self.chosen[place] = self.rng.choice(ways)
        return self.chosen[place]


def _number(rng, n):
    if 0 <= n <= 20 and rng.random() < 0.4:
        return lex.NUMBER_WORDS[n]
    return f"{n:,}" if n >= 1000 and rng.random() < 0.4 else str(n)


def _clock(rng, minutes):
    hour, minute = divmod(minutes, 60)
    half = "am" if hour < 12 else "pm"
    twelve = hour % 12 or 12
    ways = [f"{hour}:{minute:02d}", f"{hour:02d}:{minute:02d}", f"{twelve}:{minute:02d} {half}"]
    if minute == 0:
        part = "in the morning" if hour < 12 else "in the afternoon" if hour < 18 else "in the evening"
        ways += [f"{twelve} {half}", f"{twelve} {half}", f"{lex.NUMBER_WORDS[twelve]} o'clock {part}", f"{lex.NUMBER_WORDS[twelve]} {part}"]
    return rng.choice(ways)


def _date(rng, month, day):
    name = lex.MONTHS[month]
    ending = {1: "st", 2: "nd", 3: "rd"}.get(day % 10 if day not in (11, 12, 13) else 0, "th")
    return rng.choice([f"{name} {day}", f"{day} {name}", f"the {day}{ending} of {name}", f"{name} {day}{ending}"])


def say_value(voice, place, value):
    voice.spoken[place] = said = _say_value(voice, place, value)
    return said


def _say_value(voice, place, value):
    kind, data = value
    rng = voice.rng
    if kind == "concept":
        before, synonyms = data
        return f"{before} {voice.pick(place, synonyms, not kept_back(str(synonyms), 8))}".strip()
    if kind == "bare":
        return voice.pick(place, data, not kept_back(str(data), 8))
    if kind == "number":
        return _number(rng, data)
    if kind == "money":
        amount, unit = data
        word, sign = {"EUR": ("euros", "€"), "USD": ("dollars", "$"), "GBP": ("pounds", "£")}[unit]
        return rng.choice([f"{_number(rng, amount)} {word}", f"{_number(rng, amount)} {word}", f"{sign}{amount}", f"{unit} {amount}", f"{amount} {unit}"])
    if kind == "clock":
        return _clock(rng, data)
    if kind == "date":
        return _date(rng, *data)
    return data  # A name, an id, a year: one way to say it.


def _made_up(rng, held_out):
    pick = 1.0 if held_out else rng.random()
    if pick < 0.2:
        return words.random_letters(rng).capitalize()
    if pick < 0.65:
        # Two halves of real ones: short, and of the pieces that real names have.
        begin, end = (draw(rng, rng.choice([lex.PERSONS, lex.CITIES, lex.SURNAMES, words.NOUNS]), False) for _ in range(2))
        return (begin[:rng.randint(1, 4)] + end[-rng.randint(1, 4):]).replace(" ", "").capitalize()
    return words.made_up(rng, held_out).capitalize()


def person(rng, held_out):
    name = draw(rng, lex.PERSONS, held_out)
    # Made-up names teach that any letters can be a name.
    if rng.random() < (0.12 if held_out else 0.4):
        name = _made_up(rng, held_out)
    if rng.random() < 0.2:
        name += " " + draw(rng, lex.SURNAMES, held_out)
    return "name", name


def somebody(rng, held_out):
    if rng.random() < 0.75:
        return person(rng, held_out)
    kind = "role" if rng.random() < 0.7 else "team"
    return "concept", (rng.choice(["the", "the", "our", "my", "her", "his", "the new", "the old"]), draw(rng, lex.THINGS[kind], held_out, 8))


def city(rng, held_out):
    return "name", _made_up(rng, held_out) if rng.random() < (0.1 if held_out else 0.4) else draw(rng, lex.CITIES, held_out)


def company(rng, held_out):
    first = words.made_up(rng, held_out).capitalize() if rng.random() < 0.5 else draw(rng, lex.SURNAMES, held_out)
    return "name", f"{first} {draw(rng, lex.COMPANY_KINDS, held_out, 6)}"


_NOUNS = [(noun,) for noun in words.NOUNS]


def thing(rng, kind, held_out):
    """A thing of a class with an article and perhaps an adjective; the article is part of the meaning."""
    article = rng.choice(["the", "the", "the", "the", "my", "our", "her", "his", "their", "this"])
    pick = rng.random()
    if pick < 0.15:
        article += " " + draw(rng, lex.COLORS if kind == "goods" and rng.random() < 0.6 else lex.QUALITIES, held_out, 6)
    elif pick < 0.22:
        article += " " + draw(rng, words.ADJECTIVES, held_out, 6)
    if not held_out and rng.random() < 0.15:
        return "concept", (article, (_made_up(rng, False).lower(),))
    if (rng.random() < 0.12 and kind in ("goods", "device", "document", "software", "data", "room")):
        return "concept", (article, draw(rng, _NOUNS, held_out, 6))
    return "concept", (article, draw(rng, lex.THINGS[kind], held_out, 8))


def value_of(rng, kind, held_out):
    """Slot kinds of the measured frames: `person`, `thing:goods`, `number:2:40`, `money:5:900`, `bare:drink`, …"""
    name, *rest = kind.split(":")
    if name == "person":
        return person(rng, held_out)
    if name == "somebody":
        return somebody(rng, held_out)
    if name == "city":
        return city(rng, held_out)
    if name == "company":
        return company(rng, held_out)
    if name == "thing":
        return thing(rng, rest[0], held_out)
    if name == "bare":
        return "bare", draw(rng, lex.THINGS[rest[0]], held_out, 8)
    if name == "weather":
        return "bare", rng.choice(lex.WEATHER)
    if name == "color":
        return "name", draw(rng, lex.COLORS, held_out, 6)
    if name == "language":
        return "name", draw(rng, lex.LANGUAGES, held_out)
    if name == "river":
        return "name", draw(rng, lex.RIVERS, held_out)
    if name == "number":
        low, high = map(int, rest)
        n = rng.randint(low, high)
        return "number", n - n % 10 if n > 200 and rng.random() < 0.5 else n
    if name == "money":
        low, high = map(int, rest)
        n = rng.randint(low, high)
        return "money", (n - n % 10 if n > 200 and rng.random() < 0.5 else n, rng.choice(["EUR", "EUR", "USD", "GBP"]))
    if name == "clock":
        return "clock", rng.randint(5, 22) * 60 + rng.choice([0, 0, 0, 15, 30, 45])
    if name == "date":
        return "date", (rng.randrange(12), rng.randint(1, 28))
    if name == "day":
        return "name", rng.choice(lex.DAYS)
    if name == "month":
        return "name", rng.choice(lex.MONTHS)
    if name == "year":
        return "year", str(rng.randint(1850, 2030))
    if name == "id":
        return "id", words.identifier(rng)
    raise ValueError(kind)


_NUMERIC = {"number", "money", "clock", "date", "year", "id"}


def another(rng, kind, value, held_out):
    """Another value of the same kind. Numbers are often near to the first, as mistakes are."""
    if value[0] == "number" and rng.random() < 0.5:
        near = value[1] + rng.choice([-3, -2, -1, 1, 2, 3, 10, -10, 100])
        if near > 0:
            return "number", near
    if value[0] == "money" and rng.random() < 0.3:
        return "money", (value[1][0] + rng.choice([1, 5, 10, 100]), value[1][1])
    return fresh(lambda: value_of(rng, kind, held_out), lambda other: other != value)


# ------------------------------------------------------------------ meanings


@dataclass
class Meaning:
    frame: object
    slots: dict
    positive: bool = True
    extra: tuple = ()  # What else belongs to it and stays at the edge of the sentence: a time, a place.

    def key(self):
        return repr((self.frame.name, sorted(self.slots.items()), self.positive, self.extra))

    def with_slot(self, name, value):
        return replace(self, slots={**self.slots, name: value})


TIMES = {
    "past": """yesterday|last week|last month|last year|this morning|last night|on Monday|on Tuesday|on Friday|in March|in July|in October|two days ago|three years ago|
an hour ago|in 2019|in 2021|last summer|on Sunday evening|at noon|last winter|in the spring""".replace("\n", "").split("|"),
    "future": "tomorrow|next week|next month|next year|tonight|on Saturday|on Thursday|in May|in September|soon|in two days|next summer|at noon".split("|"),
}


def _extra(rng, tense, held_out):
    pick = rng.random()
    if pick < 0.55:
        return ()
    if pick < 0.8:
        return (rng.choice(TIMES[tense]),)
    place = ("in " + city(rng, held_out)[1]) if rng.random() < 0.7 else rng.choice(["at home", "at work", "in the office", "abroad", "at the station", "in the village"])
    return (place,)


WRAPPERS = [
    "I heard that {s}", "please note that {s}", "for your information, {s}", "as you know, {s}", "they say that {s}", "we can confirm that {s}",
    "{s}, apparently", "{s}, as far as I know", "hey, {s}", "we would like to inform you that {s}", "it is true that {s}", "the fact is that {s}",
    "I was told that {s}", "just so you know: {s}", "reportedly, {s}", "it turns out that {s}", "{s}, I believe", "I think that {s}",
    "it is certain that {s}", "by the way, {s}", "let me tell you that {s}", "{s}, it seems", "everybody knows that {s}", "indeed, {s}",
]
_PLAIN = 0.65


def wrap(voice, sentence, extra, may_wrap=True):
    """Puts the extras at an edge, perhaps a phrase around it, and letters and stops as people do or don't write them."""
    rng = voice.rng
    for part in extra:
        sentence = f"{part}, {sentence}" if rng.random() < 0.35 else f"{sentence} {part}"
    if may_wrap and rng.random() > _PLAIN:
        sentence = rng.choice(templates(WRAPPERS, voice.held_out, further.WRAPPERS)).format(s=sentence)
    return finish(rng, sentence)


def finish(rng, sentence):
    sentence = sentence.strip()
    if rng.random() < 0.85:
        sentence = sentence[0].upper() + sentence[1:]
        if sentence[-1] not in "?!.":
            sentence += "." if rng.random() < 0.9 else "!"
    elif rng.random() < 0.5:
        sentence = sentence.lower()
    return sentence


def _fill(voice, template, values):
    """`{a}` says a slot, `{v:past}` a verb in a form."""
    out = template
    for name, say in values.items():
        for form in ("", ":base", ":past", ":pp", ":ing"):
            mark = "{" + name + form + "}"
            if mark in out:
                out = out.replace(mark, say(form[1:]) if form else say(""))
    return out


# ------------------------------------------------------------------ frames of verbs

_SVO = {
    ("past", True): ["{a} {v:past} {o}", "{a} {v:past} {o}", "{o} was {v:pp} by {a}", "it was {a} who {v:past} {o}", "{a} has {v:pp} {o}", "the one who {v:past} {o} was {a}",
        "what {a} {v:past} was {o}", "{o} got {v:pp} by {a}", "{a} was the one to {v:base} {o}", "{o} has been {v:pp} by {a}", "{a} did {v:base} {o}",
        "somebody {v:past} {o}, namely {a}", "{v:ing} {o} was done by {a}", "it was {o} that {a} {v:past}", "the person that {v:past} {o} is {a}", "{a} went and {v:past} {o}"],
    ("past", False): ["{a} did not {v:base} {o}", "{a} didn't {v:base} {o}", "{o} was not {v:pp} by {a}", "{a} never {v:past} {o}", "{a} has not {v:pp} {o}", "it is not true that {a} {v:past} {o}",
        "{o} wasn't {v:pp} by {a}", "{a} hasn't {v:pp} {o}", "{a} was not the one who {v:past} {o}", "at no time did {a} {v:base} {o}", "it is false that {a} {v:past} {o}", "{o} has not been {v:pp} by {a}"],
    ("future", True): ["{a} will {v:base} {o}", "{a} is going to {v:base} {o}", "{o} will be {v:pp} by {a}", "{a} is about to {v:base} {o}", "{a} intends to {v:base} {o}", "{a} plans to {v:base} {o}",
        "it is {a} who will {v:base} {o}", "{o} is going to be {v:pp} by {a}", "{a} wants to {v:base} {o}"],
    ("future", False): ["{a} will not {v:base} {o}", "{a} won't {v:base} {o}", "{a} is not going to {v:base} {o}", "{o} will not be {v:pp} by {a}", "{a} does not intend to {v:base} {o}", "{a} has no plans to {v:base} {o}",
        "{o} won't be {v:pp} by {a}"],
    ("must", True): ["{a} must {v:base} {o}", "{a} has to {v:base} {o}", "{a} is required to {v:base} {o}", "{o} must be {v:pp} by {a}", "{a} is obliged to {v:base} {o}", "it is {a}'s duty to {v:base} {o}", "{o} has to be {v:pp} by {a}"],
    ("must", False): ["{a} need not {v:base} {o}", "{a} does not have to {v:base} {o}", "{a} is not required to {v:base} {o}", "there is no need for {a} to {v:base} {o}", "{o} does not have to be {v:pp} by {a}"],
    ("may", True): ["{a} may {v:base} {o}", "{a} is allowed to {v:base} {o}", "{a} has permission to {v:base} {o}", "{o} may be {v:pp} by {a}", "nothing forbids {a} to {v:base} {o}", "it is permitted for {a} to {v:base} {o}"],
    ("may", False): ["{a} must not {v:base} {o}", "{a} is not allowed to {v:base} {o}", "{a} may not {v:base} {o}", "{a} has no permission to {v:base} {o}", "it is forbidden for {a} to {v:base} {o}", "{o} must not be {v:pp} by {a}"],
    ("please", True): ["please {v:base} {o}", "could you {v:base} {o}?", "can you please {v:base} {o}?", "I would like you to {v:base} {o}", "{v:base} {o}, please", "would you mind {v:ing} {o}?", "{o} should be {v:pp}, please", "be so kind as to {v:base} {o}",
        "we ask you to {v:base} {o}", "I need you to {v:base} {o}", "you should {v:base} {o}"],
    ("please", False): ["please do not {v:base} {o}", "don't {v:base} {o}", "do not {v:base} {o}", "you should not {v:base} {o}", "{o} should not be {v:pp}, please", "please refrain from {v:ing} {o}", "I ask you not to {v:base} {o}", "never {v:base} {o}, please"],
    ("how", True): ["how do I {v:base} {o}?", "how can I {v:base} {o}?", "what is the way to {v:base} {o}?", "please tell me how to {v:base} {o}", "I want to know how to {v:base} {o}", "could you explain how to {v:base} {o}?", "what do I have to do to {v:base} {o}?",
        "steps to {v:base} {o}", "instructions for {v:ing} {o}", "how should {o} be {v:pp}?", "I need help with {v:ing} {o}", "is there a guide to {v:ing} {o}?", "how to {v:base} {o}", "what are the steps for {v:ing} {o}?"],
    ("why", True): ["why did {a} {v:base} {o}?", "what was {a}'s reason for {v:ing} {o}?", "for what reason was {o} {v:pp} by {a}?", "what made {a} {v:base} {o}?", "how come {a} {v:past} {o}?", "why was {o} {v:pp} by {a}?"],
}
_MOODS = ["past"] * 9 + ["future"] * 3 + ["must", "may"] + ["please"] * 2 + ["how"] * 3 + ["why"]
_VERB_CLASSES = ["person"] * 5 + [name for name in lex.VERBS if name != "person"]


def _say_verb(voice, place, synonyms):
    chosen = voice.pick(place, synonyms, not kept_back(str(synonyms), 9))
    return lambda form: inflect(chosen, form)


class Action:
    """Somebody does something with something: past, future, duty, permission, request, question."""

    name = "action"

    def sample(self, rng, held_out):
        kind = rng.choice(_VERB_CLASSES)
        mood = rng.choice(_MOODS)
        agent = somebody(rng, held_out)
        target = self._target(rng, kind, held_out, agent)
        extra = _extra(rng, "past", held_out) if mood == "past" else _extra(rng, "future", held_out) if mood == "future" else ()
        slots = {"mood": mood, "class": kind, "v": self._verb(rng, kind, held_out), "o": target, "a": agent if mood not in ("please", "how") else ("name", "")}
        positive = rng.random() < (0.8 if (mood, False) in _SVO else 1.1)
        return Meaning(self, slots, positive, extra)

    def _verb(self, rng, kind, held_out):
        # Mostly verbs of the training, so that synonyms can be known; some that training never shows.
        every = lex.VERBS[kind]
        if held_out and rng.random() < 0.75:
            return draw(rng, every, False, 9)
        # A made-up verb teaches that what is done is the same in every form of an unknown word.
        if not held_out and rng.random() < 0.1:
            return (_made_up(rng, False).lower(),)
        return draw(rng, every, held_out, 9)

    def _target(self, rng, kind, held_out, agent):
        return fresh(lambda: somebody(rng, held_out) if kind == "person" else thing(rng, kind, held_out), lambda target: target != agent)

    def variants(self, meaning, rng, held_out):
        slots = meaning.slots
        if (slots["mood"], False) in _SVO:
            yield "negation", replace(meaning, positive=not meaning.positive)
        if slots["class"] == "person" and slots["a"][1]:
            if slots["v"][0] not in lex.SYMMETRIC:
                yield "swap", meaning.with_slot("a", slots["o"]).with_slot("o", slots["a"])
        yield "verb", meaning.with_slot("v", fresh(lambda: self._verb(rng, slots["class"], held_out), lambda verb: verb != slots["v"]))
        if slots["mood"] in ("past", "future", "must", "may") and rng.random() < 0.3:
            other = rng.choice([mood for mood in ("past", "future", "must", "may") if mood != slots["mood"]])
            yield "verb", replace(meaning.with_slot("mood", other), extra=())
        if rng.random() < 0.5 and slots["a"][1]:
            yield "name", meaning.with_slot("a", fresh(lambda: somebody(rng, held_out), lambda agent: agent not in (slots["a"], slots["o"])))
        else:
            yield "name", meaning.with_slot("o", fresh(lambda: self._target(rng, slots["class"], held_out, slots["a"]), lambda target: target != slots["o"]))
        if meaning.extra and slots["mood"] in ("past", "future"):
            extra = fresh(lambda: _extra(rng, slots["mood"], held_out), lambda extra: extra and extra != meaning.extra)
            yield "name", replace(meaning, extra=extra)

    def say(self, meaning, voice):
        slots = meaning.slots
        template = voice.rng.choice(templates(_SVO[slots["mood"], meaning.positive], voice.held_out, further.ACTION[slots["mood"], meaning.positive]))
        verb = _say_verb(voice, "v", slots["v"])
        values = {"v": verb, "a": lambda _: say_value(voice, "a", slots["a"]), "o": lambda _: say_value(voice, "o", slots["o"])}
        return wrap(voice, _fill(voice, template, values), meaning.extra, slots["mood"] not in ("please", "how", "why"))


class Transfer:
    """Somebody gives somebody something; the other gets it."""

    name = "transfer"
    positive = ["{a} {g:past} {o} to {b}", "{b} {r:past} {o} from {a}", "{o} was {g:pp} to {b} by {a}", "it was {a} who {g:past} {o} to {b}", "it was {b} who {r:past} {o} from {a}", "the one who {r:past} {o} from {a} was {b}",
        "{a} has {g:pp} {o} to {b}", "it was to {b} that {a} {g:past} {o}", "it was from {a} that {b} {r:past} {o}", "what {a} {g:past} to {b} was {o}", "{b} has {r:pp} {o} from {a}", "the one who {g:past} {o} to {b} was {a}"]
    negative = ["{a} did not {g:base} {o} to {b}", "{b} did not {r:base} {o} from {a}", "{o} was not {g:pp} to {b} by {a}", "{a} never {g:past} {o} to {b}", "{b} never {r:past} {o} from {a}", "{a} has not {g:pp} {o} to {b}",
        "it is not true that {a} {g:past} {o} to {b}", "{b} has not {r:pp} {o} from {a}"]

    def sample(self, rng, held_out):
        a = somebody(rng, held_out)
        b = fresh(lambda: somebody(rng, held_out), lambda b: b != a)
        kind = rng.choice(["goods", "document", "food", "device", "goods"])
        slots = {"a": a, "b": b, "o": thing(rng, kind, held_out), "kind": kind, "which": rng.randrange(len(lex.TRANSFERS))}
        return Meaning(self, slots, rng.random() < 0.85, _extra(rng, "past", held_out))

    def variants(self, meaning, rng, held_out):
        slots = meaning.slots
        yield "negation", replace(meaning, positive=not meaning.positive)
        yield "swap", meaning.with_slot("a", slots["b"]).with_slot("b", slots["a"])
        yield "swap", meaning.with_slot("a", slots["b"]).with_slot("b", slots["a"])
        which = rng.choice([i for i in range(len(lex.TRANSFERS)) if not set(lex.TRANSFERS[i][0] + lex.TRANSFERS[i][1]) & set(lex.TRANSFERS[slots["which"]][0] + lex.TRANSFERS[slots["which"]][1])])
        yield "verb", meaning.with_slot("which", which)
        place = rng.choice(["a", "b", "o"])
        make = (lambda: thing(rng, slots["kind"], held_out)) if place == "o" else (lambda: somebody(rng, held_out))
        yield "name", meaning.with_slot(place, fresh(make, lambda other: other not in (slots["a"], slots["b"], slots["o"])))

    def say(self, meaning, voice):
        slots = meaning.slots
        gives, gets = lex.TRANSFERS[slots["which"]]
        template = voice.rng.choice(templates(self.positive if meaning.positive else self.negative, voice.held_out, further.TRANSFER[meaning.positive]))
        values = {"g": _say_verb(voice, "g", gives), "r": _say_verb(voice, "r", gets)}
        values |= {name: (lambda _, name=name: say_value(voice, name, slots[name])) for name in "abo"}
        return wrap(voice, _fill(voice, template, values), meaning.extra)


# ------------------------------------------------------------------ relations, comparisons, properties


def _two(rng, kind, held_out):
    make = {"person": person, "city": city}.get(kind, lambda rng, held_out: thing(rng, kind, held_out))
    a = make(rng, held_out)
    return a, fresh(lambda: make(rng, held_out), lambda b: a[1] != b[1] and (a[0] == "name" or a[1][1] != b[1][1]))


def _third(rng, kind, held_out, slots):
    return fresh(lambda: _two(rng, kind, held_out)[0], lambda other: other not in slots.values())


class Relation:
    """a stands to b as b, the other way round, to a."""

    name = "relation"
    negative = ["it is not true that {s}", "it is false that {s}", "it is not the case that {s}", "nobody can say that {s}", "it is wrong that {s}", "it's a mistake to think that {s}", "contrary to what is said, it is not so that {s}"]

    def sample(self, rng, held_out):
        which = rng.randrange(len(lex.RELATIONS))
        a, b = _two(rng, lex.RELATIONS[which][2], held_out)
        return Meaning(self, {"a": a, "b": b, "which": which}, rng.random() < 0.85)

    def variants(self, meaning, rng, held_out):
        slots = meaning.slots
        kind = lex.RELATIONS[slots["which"]][2]
        yield "negation", replace(meaning, positive=not meaning.positive)
        for _ in range(3):
            yield "swap", meaning.with_slot("a", slots["b"]).with_slot("b", slots["a"])
        yield "verb", meaning.with_slot("which", rng.choice([i for i, line in enumerate(lex.RELATIONS) if i != slots["which"] and (line[2] == kind or kind not in ("person", "city", "event"))]))
        yield "name", meaning.with_slot(rng.choice("ab"), _third(rng, kind, held_out, slots))

    def say(self, meaning, voice):
        slots = meaning.slots
        forward, back, _ = lex.RELATIONS[slots["which"]]
        sentence = voice.pick("phrase", forward + back)
        values = {name: (lambda _, name=name: say_value(voice, name, slots[name])) for name in "ab"}
        sentence = _fill(voice, sentence, values)
        if not meaning.positive:
            return finish(voice.rng, voice.rng.choice(templates(self.negative, voice.held_out, further.NOT_TRUE)).format(s=sentence))
        return wrap(voice, sentence, ())


def _sides(line):
    return {word for part in line[:4] for word in part.split("|")}


class Comparison:
    name = "comparison"
    positive = ["{a} is {c} than {b}", "{b} is {d} than {a}", "compared with {b}, {a} is {c}", "compared with {a}, {b} is {d}", "of {a} and {b}, {a} is the {c} one", "{b} is not as {p} as {a}", "{a} is not as {q} as {b}",
        "in comparison to {a}, {b} is {d}", "when it comes to {a} and {b}, {b} is {d}", "{a} is the {c} one, {b} the {d}", "of the two, {a} is {c} and {b} is {d}"]
    negative = ["{a} is not {c} than {b}", "{b} is not {d} than {a}", "it is not true that {a} is {c} than {b}", "it is false that {b} is {d} than {a}", "compared with {b}, {a} is not {c}", "{a} isn't {c} than {b}", "nobody would say that {a} is {c} than {b}"]

    def sample(self, rng, held_out):
        which = rng.randrange(len(lex.COMPARISONS))
        a, b = _two(rng, lex.COMPARISONS[which][4], held_out)
        return Meaning(self, {"a": a, "b": b, "which": which}, rng.random() < 0.85)

    def variants(self, meaning, rng, held_out):
        slots = meaning.slots
        yield "negation", replace(meaning, positive=not meaning.positive)
        for _ in range(3):
            yield "swap", meaning.with_slot("a", slots["b"]).with_slot("b", slots["a"])
        here = lex.COMPARISONS[slots["which"]]
        yield "verb", meaning.with_slot("which", rng.choice([i for i, line in enumerate(lex.COMPARISONS) if not _sides(line) & _sides(here)]))
        yield "name", meaning.with_slot(rng.choice("ab"), _third(rng, here[4], held_out, slots))

    def say(self, meaning, voice):
        slots = meaning.slots
        p, c, q, d, _ = lex.COMPARISONS[slots["which"]]
        template = voice.rng.choice(templates(self.positive if meaning.positive else self.negative, voice.held_out, further.COMPARISON[meaning.positive]))
        values = {"p": lambda _: p, "q": lambda _: q, "c": lambda _: voice.pick("c", c.split("|")), "d": lambda _: voice.pick("d", d.split("|"))}
        values |= {name: (lambda _, name=name: say_value(voice, name, slots[name])) for name in "ab"}
        return wrap(voice, _fill(voice, template, values), ())


class Property:
    name = "property"
    positive = ["{a} is {p}", "{a} is {p}", "{a} is not {q}", "{a} isn't {q}", "{a} turned out to be {p}", "the truth about {a} is: {p}", "how {p} {a} is!", "everyone finds {a} {p}", "what {a} is, is {p}", "nobody would call {a} {q}",
        "{a} is anything but {q}", "you will find {a} {p}", "{a} can be described as {p}", "one thing about {a}: {p}"]

    def sample(self, rng, held_out):
        which = rng.randrange(len(lex.OPPOSITES))
        kind = rng.choice(lex.OPPOSITES[which][2])
        a = self._subject(rng, kind, held_out)
        return Meaning(self, {"a": a, "which": which, "kind": kind}, rng.random() < 0.5)

    def _subject(self, rng, kind, held_out):
        return city(rng, held_out) if kind == "city" else somebody(rng, held_out) if kind == "person" else thing(rng, kind, held_out)

    def variants(self, meaning, rng, held_out):
        slots = meaning.slots
        # The opposite property is the negated statement.
        yield "negation", replace(meaning, positive=not meaning.positive)
        here = lex.OPPOSITES[slots["which"]]
        others = [i for i, (one, two, kinds) in enumerate(lex.OPPOSITES) if slots["kind"] in kinds and not set(one + two) & set(here[0] + here[1])]
        if others:
            yield "verb", meaning.with_slot("which", rng.choice(others))
        yield "name", meaning.with_slot("a", fresh(lambda: self._subject(rng, slots["kind"], held_out), lambda other: other != slots["a"]))

    def say(self, meaning, voice):
        slots = meaning.slots
        one, two, _ = lex.OPPOSITES[slots["which"]]
        if not meaning.positive:
            one, two = two, one
        template = voice.rng.choice(templates(self.positive, voice.held_out, further.PROPERTY))
        values = {"p": lambda _: voice.pick("p", one), "q": lambda _: voice.pick("q", two), "a": lambda _: say_value(voice, "a", slots["a"])}
        return wrap(voice, _fill(voice, template, values), ())


class Coordination:
    """One did this, the other that: the same words mean something else when the names change places."""

    name = "coordination"
    joints = ["{x}, and {y}", "{x}, while {y}", "{x}; {y}", "{x}. {y}", "{x}, but {y}", "{x}, whereas {y}", "not only {x}, {y} as well"]

    def sample(self, rng, held_out):
        a, b = _two(rng, "person", held_out)
        kind = rng.choice([name for name in lex.VERBS if name != "person"])
        verb, other = rng.sample(share(lex.VERBS[kind], False, 9), 2)
        o = thing(rng, kind, held_out)
        p = fresh(lambda: thing(rng, kind, held_out), lambda p: p[1][1] != o[1][1])
        return Meaning(self, {"a": a, "b": b, "o": o, "p": p, "v": verb, "w": other if rng.random() < 0.5 else verb})

    def variants(self, meaning, rng, held_out):
        slots = meaning.slots
        yield "swap", meaning.with_slot("a", slots["b"]).with_slot("b", slots["a"])
        yield "swap", meaning.with_slot("o", slots["p"]).with_slot("p", slots["o"])
        yield "name", meaning.with_slot("a", _third(rng, "person", held_out, slots))

    def say(self, meaning, voice):
        slots, rng = meaning.slots, voice.rng
        verbs = {"v": _say_verb(voice, "v", slots["v"]), "w": _say_verb(voice, "w", slots["w"])}
        values = verbs | {name: (lambda _, name=name: say_value(voice, name, slots[name])) for name in "abop"}
        forms = templates(["{a} {v:past} {o}", "{o} was {v:pp} by {a}", "it was {a} who {v:past} {o}", "{a} has {v:pp} {o}"], voice.held_out, further.CLAUSES)
        one = _fill(voice, rng.choice(forms), values)
        two = _fill(voice, rng.choice(forms).replace("{a}", "{b}").replace("{v", "{w").replace("{o}", "{p}"), values)
        if rng.random() < 0.5:
            one, two = two, one
        return wrap(voice, rng.choice(templates(self.joints, voice.held_out, further.JOINTS)).format(x=one, y=two), ())
