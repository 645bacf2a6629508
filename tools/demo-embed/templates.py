"""Further ways to say a thing, for training only. The lists of statements.py and measures.py are split by checksum; these are not.

The more ways training shows, the more a new way is read for its words and their order instead of being a shape of its own.
"""


def _lines(text):
    return [line.strip() for line in text.strip().split("\n")]


ACTION = {key: _lines(text) for key, text in {
    ("past", True): """{a} had {v:pp} {o}
{o} had been {v:pp} by {a}
it is {a} who {v:past} {o}
it is {o} that {a} {v:past}
{o} is what {a} {v:past}
the one {a} {v:past} was {o}
{a} is the person who {v:past} {o}
by {a}, {o} was {v:pp}
{a} and nobody else {v:past} {o}
{o}: {v:pp} by {a}
{a} just {v:past} {o}
{a} really {v:past} {o}
then {a} {v:past} {o}
{v:pp} by {a} was {o}
the person responsible for {v:ing} {o} was {a}
{a} ended up {v:ing} {o}
who {v:past} {o}? {a} did
whom or what did {a} {v:base}? {o}
{a} finally {v:past} {o}
{o} ended up being {v:pp} by {a}
{a} took the time to {v:base} {o}
the {v:ing} of {o} was the work of {a}""",
    ("past", False): """{a} had not {v:pp} {o}
{o} was never {v:pp} by {a}
it isn't true that {a} {v:past} {o}
by no means did {a} {v:base} {o}
{a} has never {v:pp} {o}
nobody says that {a} {v:past} {o}
{a} did not get round to {v:ing} {o}
it was not {a} who {v:past} {o}
{a} ended up not {v:ing} {o}
{o} had not been {v:pp} by {a}
that {a} {v:past} {o} is not true
{a} refused to {v:base} {o}
{a} failed to {v:base} {o}
whoever {v:past} {o}, it was not {a}
{o} hasn't been {v:pp} by {a}""",
    ("future", True): """{a} will soon {v:base} {o}
{a} shall {v:base} {o}
{a} is set to {v:base} {o}
{a} means to {v:base} {o}
{o} is to be {v:pp} by {a}
before long {a} will {v:base} {o}
{a} is planning to {v:base} {o}
{a} has decided to {v:base} {o}
{a} hopes to {v:base} {o}
{a} is thinking of {v:ing} {o}
{a}'ll {v:base} {o}""",
    ("future", False): """{a} is not planning to {v:base} {o}
{a} does not want to {v:base} {o}
{a} will never {v:base} {o}
{a} has decided not to {v:base} {o}
{o} is not going to be {v:pp} by {a}
{a} intends not to {v:base} {o}
under no circumstances will {a} {v:base} {o}
{a} is not thinking of {v:ing} {o}""",
    ("must", True): """{a} needs to {v:base} {o}
{a} is forced to {v:base} {o}
{a} has got to {v:base} {o}
it is necessary for {a} to {v:base} {o}
{a} cannot avoid {v:ing} {o}
the rules demand that {a} {v:base} {o}
{a} is bound to {v:base} {o}
{a} has an obligation to {v:base} {o}""",
    ("must", False): """{a} doesn't have to {v:base} {o}
{a} doesn't need to {v:base} {o}
{a} is not obliged to {v:base} {o}
it is not necessary for {a} to {v:base} {o}
nobody requires {a} to {v:base} {o}
{o} need not be {v:pp} by {a}
{a} has no obligation to {v:base} {o}""",
    ("may", True): """{a} can {v:base} {o} if they like
{a} is free to {v:base} {o}
{a} is permitted to {v:base} {o}
it is all right for {a} to {v:base} {o}
it is not forbidden for {a} to {v:base} {o}
{a} has the right to {v:base} {o}
nothing keeps {a} from {v:ing} {o}""",
    ("may", False): """{a} is forbidden to {v:base} {o}
{a} is not permitted to {v:base} {o}
{a} has no right to {v:base} {o}
{a} is prohibited from {v:ing} {o}
nobody allows {a} to {v:base} {o}
{o} may not be {v:pp} by {a}""",
    ("please", True): """kindly {v:base} {o}
would you please {v:base} {o}?
will you {v:base} {o}?
it would be nice if you {v:past} {o}
you need to {v:base} {o}
please see to it that {o} is {v:pp}
do {v:base} {o}
make sure to {v:base} {o}
I want you to {v:base} {o}
you are asked to {v:base} {o}""",
    ("please", False): """please don't {v:base} {o}
kindly do not {v:base} {o}
you must not {v:base} {o}
avoid {v:ing} {o}
under no circumstances {v:base} {o}
make sure not to {v:base} {o}
I do not want you to {v:base} {o}
you are asked not to {v:base} {o}""",
    ("how", True): """how does one {v:base} {o}?
what must I do to {v:base} {o}?
show me how to {v:base} {o}
I am looking for a way to {v:base} {o}
which steps do I take to {v:base} {o}?
tell me the steps to {v:base} {o}
a guide for {v:ing} {o}
I do not know how to {v:base} {o}
what do I do in order to {v:base} {o}?
help: {v:ing} {o}
the right way of {v:ing} {o}
{v:ing} {o}: how does it work?""",
    ("why", True): """why has {o} been {v:pp} by {a}?
what was the reason that {a} {v:past} {o}?
what led {a} to {v:base} {o}?
tell me why {a} {v:past} {o}
what drove {a} to {v:base} {o}?
for what reason did {a} {v:base} {o}?
what is the cause of {a} {v:ing} {o}?""",
}.items()}

TRANSFER = {True: _lines("""what {b} {r:past} from {a} was {o}
the thing that {a} {g:past} to {b} was {o}
the person to whom {a} {g:past} {o} was {b}
the person from whom {b} {r:past} {o} was {a}
{b} is the one who {r:past} {o} from {a}
{a} is the one who {g:past} {o} to {b}
from {a}, {b} {r:past} {o}
to {b}, {a} {g:past} {o}
{o} was {r:pp} by {b} from {a}
{b} did {r:base} {o} from {a}
{a} did {g:base} {o} to {b}
it was {o} that {a} {g:past} to {b}
it was {o} that {b} {r:past} from {a}
somebody {g:past} {o} to {b}, namely {a}
{b} had {r:pp} {o} from {a}
{a} had {g:pp} {o} to {b}
it is from {a} that {b} has {r:pp} {o}
{o} is what {b} {r:past} from {a}
{o} is what {a} {g:past} to {b}
by {a}, {o} was {g:pp} to {b}"""), False: _lines("""{a} didn't {g:base} {o} to {b}
{b} didn't {r:base} {o} from {a}
{o} was never {g:pp} to {b} by {a}
{a} hasn't {g:pp} {o} to {b}
it isn't true that {b} {r:past} {o} from {a}
that {a} {g:past} {o} to {b} is not true
{b} had not {r:pp} {o} from {a}
it was not {a} who {g:past} {o} to {b}
{o} was not {r:pp} by {b} from {a}
{a} refused to {g:base} {o} to {b}""")}

NOT_TRUE = _lines("""it isn't true that {s}
that {s} is not true
it is not so that {s}
nobody believes that {s}
it's a lie that {s}
somebody said that {s}, but it is not true
it is a myth that {s}
no: it is not true that {s}
do not believe that {s}""")

COMPARISON = {True: _lines("""next to {b}, {a} is {c}
next to {a}, {b} is {d}
measured against {b}, {a} is {c}
{a} is, compared to {b}, {c}
{a}, compared with {b}, is {c}
{b}, compared with {a}, is {d}
if you compare {a} with {b}, {a} is {c}
if you compare {a} with {b}, {b} is {d}
{a} is {c} in comparison with {b}
{b} is {d} in comparison with {a}
put beside {b}, {a} is {c}
beside {a}, {b} is {d}
{a} is much {c} than {b}
{b} is clearly {d} than {a}
{c} than {b}: that is {a}
{d} than {a}: that is {b}
it is {a} that is {c} than {b}
it is {b} that is {d} than {a}
between {a} and {b}, {b} is the {d} one
between {b} and {a}, {a} is the {c} one
{a} is {c}, {b} is {d}
nobody doubts that {a} is {c} than {b}"""), False: _lines("""{a} isn't any {c} than {b}
{b} isn't {d} than {a}
compared to {a}, {b} isn't {d}
it isn't true that {a} is {c} than {b}
nobody thinks that {b} is {d} than {a}
that {a} is {c} than {b} is not true
next to {b}, {a} is not {c}
it is wrong that {b} is {d} than {a}
if you compare {a} with {b}, {a} is not {c}""")}

PROPERTY = _lines("""{a} is really {p}
{a} is quite {p}
{a} seems {p}
{a} is in no way {q}
{a} is far from {q}
{a} is not at all {q}
{p}: that is {a}
I found {a} {p}
we think {a} {p}
{a} was found to be {p}
{a} has never been {q}
in truth {a} is {p}
no one thinks that {a} is {q}
to say it plainly, {a} is {p}
do not think that {a} is {q}
it isn't true that {a} is {q}
{a}: {p}
it is not the case that {a} is {q}
{a} was {p}, as always
{a} is {p}, not {q}
they call {a} {p}
you will see that {a} is {p}""")

JOINTS = _lines("""{x}, yet {y}
{x}, although {y}
both are true: {x}, {y}
{x} and {y}
{x}, at the same time {y}
first, {x}; second, {y}
{x} - {y}
on the one hand {x}, on the other hand {y}
{x}, whilst {y}
{x} as {y}""")

CLAUSES = _lines("""{a} did {v:base} {o}
{o} got {v:pp} by {a}
{a} had {v:pp} {o}
{o} had been {v:pp} by {a}
it is {a} who {v:past} {o}""")

WRAPPERS = _lines("""I am told that {s}
note: {s}
remember that {s}
{s}, they say
{s}, you know
well, {s}
to be clear, {s}
in short, {s}
in fact, {s}
actually, {s}
it so happens that {s}
{s}, in case you wonder
{s}, that much is known
dear all, {s}
news: {s}
I am sure that {s}
word has it that {s}
someone told me that {s}
{s}, to my knowledge
according to the report, {s}
listen: {s}
we have learned that {s}
you should know that {s}
be informed that {s}
mind that {s}
look, {s}
oh, {s}
{s}, of course
{s}, no doubt
yes, {s}
for your records: {s}
please remember: {s}
{s}, if I am right
it is said that {s}""")
