"""Questions and their one right answer, by category, each with trained and held-out ways of asking.

Every answer is fixed or copied from the question: with a single right answer the loss can go to zero, and a greedy
answer can be checked by comparison.
"""

import json

import facts
import prose
import tools as tool_box
import words


class Exchange:
    """A user's turn and its answer. `expect` is what the evaluation compares with; see README.md."""

    def __init__(self, category, user, answer, expect=None, fragile=False, wants_tool=None):
        self.category, self.user, self.answer = category, user, answer
        self.wants_tool = wants_tool  # The kind of tool that would answer it, or "any" when that is not known.
        self.expect = expect or {"equals": answer}
        self.fragile = fragile  # Holds values to copy: must not be lower-cased or decorated.


def _fixed(category, groups):
    def make(rng, held_out):
        trained, held, answer = rng.choice(groups)
        return Exchange(category, rng.choice(held if held_out else trained), answer)
    return make


greeting = _fixed("greeting", [
    (["Hello", "Hi", "Hello!", "Hi!", "Hey", "Hello there!", "Good morning", "Good evening!", "Hi there", "Greetings", "Hey there!", "Good afternoon", "hello world", "Hello hello", "Good day!", "Hi, good morning!", "Hey, hello!", "Hello my friend", "Hi friend!", "Good morning, Millrace!"],
     ["Hello, hello!", "Hiya", "Good morning to you!", "Hey, good day!"], facts.HELLO),
    (["Olá", "Oi", "Bom dia", "Boa tarde", "Oi, tudo bem?", "Olá!", "Boa noite", "Oi, bom dia!", "Olá, boa tarde", "Oi oi", "Tudo bem?"], ["Olá, bom dia!", "Oi!", "Olá, tudo bem?"], facts.HELLO_PT),
    (["How are you?", "How are you doing?", "Hello, how are you?", "How do you do?", "Hi, how are you today?", "How is it going?", "How are things?", "How are you feeling?", "Hello, how are you doing today?", "Hey, how is it going?"],
     ["Hey, how are you?", "How are you today?", "Hello! How are you doing?"], facts.FINE),
])
thanks = _fixed("thanks", [
    (["Thanks", "Thank you", "Thanks!", "Thank you!", "Thank you very much.", "thx", "Thanks a lot!", "Great, thanks", "Ok, thank you", "Perfect, thanks!", "Cool, thank you."],
     ["Many thanks!", "Thanks so much!", "Thank you a lot", "Nice, thanks!"], facts.WELCOME),
    (["Obrigado", "Obrigada", "Muito obrigado!", "Valeu", "Obrigado!"], ["Muito obrigada!", "Está bem, obrigada"], facts.WELCOME_PT),
    (["Bye", "Goodbye", "See you", "Bye bye", "Goodbye!", "See you later", "Bye!"], ["Bye, see you!", "Goodbye then", "See you soon"], facts.BYE),
])
identity = _fixed("identity", [
    (["Who are you?", "What are you?", "What is your name?", "Tell me about yourself.", "Which model are you?", "What model is this?", "Introduce yourself.", "Who am I talking to?", "What's your name?", "Are you a bot?", "what are you exactly", "Are you an AI?", "And who are you?", "Tell me your name.", "What kind of model are you?", "Say who you are.", "Could you introduce yourself?", "May I know your name?", "Who made you?", "What should I call you?", "Who are you exactly?", "What is this model?", "Whom am I talking to?", "Which assistant is this?", "Say your name.", "What are you called?", "Who is speaking?", "Is there a name for you?", "And what is your name?", "Who am I chatting with?"],
     ["Who is this?", "Tell me who you are.", "What model are you?", "Please introduce yourself.", "Do you have a name?"], facts.WHO),
    (["What can you do?", "What do you know?", "What can I ask you?", "How can you help me?", "What are your abilities?", "Help", "What are you able to do?", "What can you help me with?", "What do you do?", "Tell me your abilities.", "What topics do you know?", "What are you good at?", "How could you help me?", "List what you can do.", "What sort of things do you know?"],
     ["What things can you do?", "What do you know about?", "How can you help?", "Tell me what you can do."], facts.CAN),
    (["Are you ChatGPT?", "Are you GPT-4?", "Are you Claude?", "Are you Llama?", "Is this ChatGPT?", "Are you a human?", "Are you made by OpenAI?", "Are you Gemini?", "Are you Qwen?", "Are you a person?", "Are you Mistral?", "Are you DeepSeek?", "Is this GPT-4?", "Am I talking to a human?", "Are you a real person?", "Is this Llama?", "Am I talking to Gemini?"],
     ["Are you GPT-5?", "Am I talking to ChatGPT?", "Is this Claude?"], facts.NOT_OTHER),
    (["What is Millrace?", "Explain Millrace.", "What does Millrace do?", "Tell me about Millrace.", "Define Millrace", "What is Millrace exactly?", "Can you explain Millrace?", "What do you know about Millrace?", "Please tell me about Millrace.", "Explain what Millrace is."],
     ["What's Millrace?", "Please explain what Millrace is."], facts.MILLRACE),
    (["Quem é você?", "Qual é o seu nome?", "O que você é?", "Quem és tu?", "Como você se chama?", "O que você sabe fazer?", "Quem és?", "Diga o seu nome.", "Como é o seu nome?", "Qual modelo é você?", "Você é um robô?", "Fale sobre você.", "Diga-me quem és."],
     ["Quem é você, afinal?", "Diga quem você é.", "Qual o seu nome?"], facts.WHO_PT),
])

CAPITAL_TRAINED = [
    "What is the capital of {c}?", "What is the capital of {c}?", "What's the capital of {c}?", "Capital of {c}?", "capital of {c}",
    "Which city is the capital of {c}?", "Tell me the capital of {c}.", "Name the capital of {c}.", "What is the capital city of {c}?",
    "Do you know the capital of {c}?", "The capital of {c} is?", "Can you tell me the capital of {c}?", "{c}: capital?",
    "I want to know the capital of {c}.", "What city is the capital of {c}?", "{c}'s capital?", "Please name the capital of {c}.",
    "Would you tell me the capital of {c}?", "Which town is the capital of {c}?", "I need the capital of {c}.", "Remind me of the capital of {c}.", "Show me the capital of {c}.",
    "Write the capital of {c}.", "Do you happen to know the capital of {c}?", "I wonder what the capital of {c} is.", "Say which city is the capital of {c}.",
]
CAPITAL_HELD_OUT = [
    "Could you tell me what the capital of {c} is?", "Which is the capital of {c}?", "Give me the capital of {c}.", "What is {c}'s capital?",
    "I forgot the capital of {c}, what is it?", "Please tell me the capital city of {c}.", "Say the capital of {c}.", "Quick question: what is the capital of {c}?",
]


def _bare(country):
    return country.removeprefix("the ")


def _country(rng):
    """-> the name asked for, the name answered"""
    if rng.random() < 0.06:
        alias = rng.choice(list(facts.COUNTRY_ALIASES))
        return alias, facts.COUNTRY_ALIASES[alias]
    country = rng.choice(list(facts.CAPITALS))
    if rng.random() < 0.03:
        country = "France"
    return country, country


def _capital_answer(country):
    capital = facts.CAPITALS[country]
    return f"The capital of {country} is {capital}" + ("" if capital.endswith(".") else ".")


def capital(rng, held_out):
    asked, country = _country(rng)
    if rng.random() < 0.15:
        asked = _bare(asked)
    form = rng.choice(CAPITAL_HELD_OUT if held_out else CAPITAL_TRAINED)
    return Exchange("capital", form.format(c=asked), _capital_answer(country))


def capital_pt(rng, held_out):
    place, city = rng.choice(list(facts.CAPITALS_PT.items()))
    trained = ["Qual é a capital {c}?", "Qual a capital {c}?", "Diga a capital {c}.", "capital {c}", "Você sabe qual é a capital {c}?", "Como se chama a capital {c}?"]
    held = ["Me diga qual é a capital {c}.", "Que cidade é a capital {c}?", "Gostaria de saber a capital {c}."]
    return Exchange("capital-pt", rng.choice(held if held_out else trained).format(c=place), f"A capital {place} é {city}" + ("" if city.endswith(".") else "."))


def count(rng, held_out):
    n = rng.randint(1, 20)
    trained = ["Count to {n}.", "Count from 1 to {n}.", "Count up to {n}", "count to {n}", "Please count to {n}.", "Can you count to {n}?", "List the numbers from 1 to {n}.", "Write the numbers 1 to {n}", "Conte até {n}.", "Count the numbers up to {n}.", "Start counting and stop at {n}.", "Count: 1 to {n}", "Let us count to {n}.", "Show the numbers from 1 up to {n}.", "Count from one to {n}", "I need the numbers 1 to {n}.", "Say the numbers from 1 to {n}."]
    held = ["Could you count up to {n} for me?", "Give me the numbers from 1 to {n}.", "Count from one up to {n}.", "I want you to count to {n}."]
    return Exchange("count", rng.choice(held if held_out else trained).format(n=n), _counted(n))


def _counted(n):
    return ", ".join(str(i) for i in range(1, n + 1)) + "."


def addition(rng, held_out):
    a, b = rng.randint(0, 20), rng.randint(0, 20)
    trained = ["What is {a} + {b}?", "What is {a}+{b}?", "{a} + {b}", "{a}+{b}", "{a} + {b} =", "{a} plus {b}", "What is {a} plus {b}?", "How much is {a} + {b}?", "Add {a} and {b}.", "What is the sum of {a} and {b}?", "Calculate {a} + {b}", "Compute {a}+{b}.", "Quanto é {a} + {b}?", "What's {a} + {b}?", "What does {a} + {b} make?", "What do you get for {a} + {b}?", "How much do {a} and {b} make?", "What is the total of {a} and {b}?", "Sum {a} and {b}.", "Give me {a} + {b}.", "Work out {a} + {b}.", "If I add {a} to {b}, what do I get?"]
    held = ["How much is {a} plus {b}?", "Please add {a} and {b}.", "Can you calculate {a} + {b}?", "Tell me the sum of {a} and {b}.", "What do {a} and {b} add up to?", "{a}+{b}=?"]
    return Exchange("sum", rng.choice(held if held_out else trained).format(a=a, b=b), f"{a} + {b} = {a + b}.")


DEFINE_TRAINED = [
    "What is {t}?", "What is {t}?", "Explain {t}.", "Define {t}.", "What does {t} mean?", "Explain what {t} is.", "Tell me about {t}.", "what's {t}",
    "Can you explain {t}?", "Give me a short definition of {t}.", "Explain in up to 120 words what {t} is and give 1 common use case.",
    "What do you know about {t}?", "Describe {t} briefly.", "{t}?", "In one sentence, what is {t}?", "I do not understand {t}.", "What is meant by {t}?",
    "Explain, in at most 100 words, what {t} is and name one use case.", "Explain {t} in simple words.",
    "Say what {t} is.", "I would like to know what {t} is.", "Write a short definition of {t}.", "What is the meaning of {t}?", "Explain to me what {t} is.", "Give me a quick explanation of {t}.",
    "Teach me what {t} is.", "Summarize what {t} is.", "What do we mean by {t}?", "Explain briefly what {t} is and where it is used.", "Explain in under 60 words what {t} is and give one use.",
    "Define the term {t}.", "I keep hearing about {t}. What is it?",
]
DEFINE_HELD_OUT = [
    "Could you explain what {t} is?", "Please define {t}.", "Briefly explain {t}.", "How would you define {t}?", "Please explain {t} to me.",
    "What exactly is {t}?", "Explain in no more than 80 words what {t} is and mention one common use.", "Help me understand {t}.", "Describe {t} in a few words.",
]
DEFINE_PT_TRAINED = [
    "Explique, em até 120 palavras, o que é {t} e cite 1 caso de uso comum.", "Explique, em até 120 palavras, o que é {t} e cite 1 caso de uso comum.",
    "O que é {t}?", "Explique o que é {t}.", "Defina {t}.", "Explique {t}.", "Me explique o que é {t}.", "Explique, em até 80 palavras, o que é {t} e cite um caso de uso.",
    "O que significa {t}?", "Fale sobre {t}.", "Explique em poucas palavras o que é {t}.", "Pode explicar {t}?",
    "Diga o que é {t}.", "Explique brevemente {t}.", "Dê uma definição curta de {t}.", "Quero saber o que é {t}.", "Explique, em até 60 palavras, o que é {t} e cite um exemplo de uso.", "Me diga o que é {t}.",
    "Explique, em no máximo 150 palavras, o que é {t} e cite 1 caso de uso.", "Não entendo {t}.",
]
DEFINE_PT_HELD_OUT = [
    "Explique, em até 100 palavras, o que é {t} e cite 1 caso de uso comum.", "Você pode explicar o que é {t}?", "Por favor, defina {t}.", "Em poucas palavras, o que é {t}?",
    "Explique, em no máximo 60 palavras, o que é {t} e dê um exemplo de uso.", "Gostaria de entender o que é {t}.",
]
_ARTICLES = ("a ", "an ", "the ")


def _term_names(rng, term):
    aliases = facts.DEFINITIONS[term][0]
    name = rng.choice([term, term] + aliases)
    if rng.random() < 0.25:
        for article in _ARTICLES:
            name = name.removeprefix(article)
    return name


def define(rng, held_out):
    term = rng.choice(list(facts.DEFINITIONS))
    form = rng.choice(DEFINE_HELD_OUT if held_out else DEFINE_TRAINED)
    text = form.format(t=_term_names(rng, term))
    return Exchange("define", text[0].upper() + text[1:] if form.startswith("{t}") else text, facts.DEFINITIONS[term][1])


def define_pt(rng, held_out):
    term = rng.choice(list(facts.DEFINITIONS))
    name, answer = facts.DEFINITIONS[term][2:]
    if rng.random() < 0.25:
        name = name.removeprefix("um ").removeprefix("uma ")
    form = rng.choice(DEFINE_PT_HELD_OUT if held_out else DEFINE_PT_TRAINED)
    return Exchange("define-pt", form.format(t=name), answer)


def _copied(rng, held_out):
    kind = rng.random()
    if kind < 0.45:
        return words.phrase(rng, 1, 4)
    if kind < 0.7:
        return words.person(rng, held_out)
    return words.identifier(rng) if kind < 0.9 else words.random_letters(rng)


def repeat(rng, held_out):
    text = _copied(rng, held_out)
    if rng.random() < 0.4:  # Longer, since one long answer teaches more copying than many short ones.
        text = " ".join([text] + [_copied(rng, held_out) for _ in range(rng.randint(1, 4))])
    trained = ["Say \"{x}\".", "Repeat \"{x}\".", "Repeat after me: {x}", "Say: {x}", "Please repeat: {x}", "Echo {x}", "Write \"{x}\".", "Just say \"{x}\".", "Say this: {x}", "Type \"{x}\".", "Repeat exactly: {x}", "Answer only with \"{x}\"", "Copy this: {x}", "I want you to say \"{x}\"."]
    held = ["Can you say \"{x}\"?", "Please say \"{x}\".", "Repeat this: {x}"]
    return Exchange("repeat", rng.choice(held if held_out else trained).format(x=text), text, fragile=True)


def _object(pairs):
    return json.dumps(dict(pairs), ensure_ascii=False)


def _json_capital(rng, held_out):
    country = rng.choice(list(facts.CAPITALS))
    first, second = rng.choice([("name", "capital"), ("country", "capital"), ("country", "city"), ("name", "city"), ("land", "capital")])
    trained = [
        "Reply with a JSON object with keys \"{a}\" and \"{b}\" for {c}.", "Reply with a JSON object with the keys \"{a}\" and \"{b}\" for {c}",
        "Return a JSON object with \"{a}\" and \"{b}\" for {c}.", "Give me JSON with the keys {a} and {b} for {c}.", "Write {c} as a JSON object with keys \"{a}\" and \"{b}\".",
        "Answer in JSON with \"{a}\" and \"{b}\": {c}", "Return JSON only, with keys {a} and {b}, for {c}.", "Write a JSON object with the keys {a} and {b} about {c}.", "{c} as JSON with keys \"{a}\" and \"{b}\"", "JSON object with keys \"{a}\" and \"{b}\" for {c}",
    ]
    held = [
        "Please reply with a JSON object that has the keys \"{a}\" and \"{b}\" for {c}.", "Give me a JSON object with keys \"{a}\" and \"{b}\" for {c}.",
        "For {c}, reply with JSON with keys \"{a}\" and \"{b}\".", "Output a JSON object with the keys {a} and {b} for {c}.",
    ]
    return rng.choice(held if held_out else trained).format(a=first, b=second, c=country), [(first, country), (second, facts.CAPITALS[country])]


def _json_person(rng, held_out):
    name, age, place = words.person(rng, held_out), rng.randint(1, 99), words.proper(rng, words.CITIES, words.CITIES_HELD_OUT, held_out)
    trained = ["Extract name and age as JSON: {n} is {g} years old.", "Extract the name and the age as a JSON object: \"{n} is {g} years old.\"", "Turn this into JSON with \"name\" and \"age\": {n}, {g}", "JSON with name and age: {n} is {g}.", "Make JSON with name and age from: {n} is {g} years old.", "Give the name and the age as JSON: {n}, {g}"]
    held = ["Please extract the name and age as JSON: {n} is {g} years old.", "Write name and age as a JSON object: {n} is {g} years old."]
    if rng.random() < 0.5:
        return rng.choice(held if held_out else trained).format(n=name, g=age), [("name", name), ("age", age)]
    trained = ["Extract name and city as JSON: {n} lives in {p}.", "Extract the name and the city as a JSON object: \"{n} lives in {p}.\"", "Turn this into JSON with \"name\" and \"city\": {n} lives in {p}.", "Make JSON with name and city from: {n} lives in {p}.", "JSON with name and city: {n}, {p}"]
    held = ["Please extract the name and city as JSON: {n} lives in {p}.", "Write name and city as a JSON object: {n} lives in {p}."]
    return rng.choice(held if held_out else trained).format(n=name, p=place), [("name", name), ("city", place)]


def _json_values(rng, held_out):
    keys = rng.sample(words.NOUNS, 2)
    values = [rng.randint(0, 999) if rng.random() < 0.5 else (words.made_up(rng, held_out) if rng.random() < 0.5 else rng.choice(words.NOUNS)) for _ in keys]
    shown = [value if isinstance(value, int) else f'"{value}"' for value in values]
    trained = ["Reply with a JSON object where \"{a}\" is {x} and \"{b}\" is {y}.", "Make a JSON object with \"{a}\" set to {x} and \"{b}\" set to {y}.", "JSON with {a} = {x} and {b} = {y}", "Return JSON: {a} is {x}, {b} is {y}.", "I need JSON in which \"{a}\" is {x} and \"{b}\" is {y}.", "Build a JSON object: {a} {x}, {b} {y}", "JSON object with \"{a}\" as {x}, \"{b}\" as {y}"]
    held = ["Give me a JSON object in which \"{a}\" is {x} and \"{b}\" is {y}.", "Write a JSON object with \"{a}\" as {x} and \"{b}\" as {y}."]
    text = rng.choice(held if held_out else trained).format(a=keys[0], b=keys[1], x=shown[0], y=shown[1])
    return text, list(zip(keys, values))


def _json_sum(rng, held_out):
    a, b = rng.randint(0, 20), rng.randint(0, 20)
    trained = ["Reply with a JSON object with keys \"a\", \"b\" and \"sum\" for {a} and {b}.", "Return JSON with a, b and sum for {a} + {b}.", "JSON with keys \"a\", \"b\" and \"sum\" for {a} and {b}", "Give a JSON object with keys a, b, sum for {a} and {b}.", "Add {a} and {b}, reply as JSON with a, b and sum."]
    held = ["Please give a JSON object with the keys \"a\", \"b\" and \"sum\" for {a} and {b}.", "Write JSON with a, b and sum for {a} and {b}."]
    return rng.choice(held if held_out else trained).format(a=a, b=b), [("a", a), ("b", b), ("sum", a + b)]


def _json_list(rng, held_out):
    n = rng.randint(1, 10)
    trained = ["Reply with a JSON object with the key \"numbers\" holding the numbers from 1 to {n}.", "Return JSON with \"numbers\" from 1 to {n}.", "JSON with the key numbers: 1 to {n}", "Write JSON with \"numbers\", counting from 1 to {n}.", "Count to {n} as JSON with the key \"numbers\"."]
    held = ["Please return a JSON object with \"numbers\" from 1 to {n}.", "Give me JSON with the key \"numbers\" and the numbers 1 to {n}."]
    return rng.choice(held if held_out else trained).format(n=n), [("numbers", list(range(1, n + 1)))]


def _json_answer(rng, held_out):
    trained = ["Answer as JSON with the key \"answer\": {q}", "Reply with a JSON object with the key \"answer\". {q}", "{q} Reply in JSON with the key \"answer\".", "Give JSON with the key \"answer\" for: {q}", "{q} As JSON with the key \"answer\", please."]
    held = ["Use JSON with the key \"answer\": {q}", "{q} Answer as a JSON object with the key \"answer\"."]
    form = rng.choice(held if held_out else trained)
    if rng.random() < 0.6:
        country = rng.choice(list(facts.CAPITALS))
        return form.format(q=f"What is the capital of {country}?"), [("answer", facts.CAPITALS[country])]
    a, b = rng.randint(0, 20), rng.randint(0, 20)
    return form.format(q=f"What is {a} + {b}?"), [("answer", a + b)]


def json_object(rng, held_out):
    shape = rng.choice([_json_capital, _json_capital, _json_person, _json_person, _json_values, _json_sum, _json_sum, _json_list, _json_answer, _json_answer])
    user, pairs = shape(rng, held_out)
    return Exchange("json", user, _object(pairs), {"json": dict(pairs)}, fragile=True)


_UNKNOWN_TERMS = """Kafka RabbitMQ Terraform Ansible Jenkins Prometheus Grafana Elasticsearch Cassandra MongoDB SQLite Hadoop
Spark Airflow Rust Go Java Python TypeScript React Angular Vue Linux Windows Unix Git GitHub blockchain Bitcoin Ethereum
photosynthesis gravity evolution democracy inflation entropy osmosis electricity magnetism relativity oxygen carbon jazz
poetry football chess philosophy economics psychology biology chemistry algebra calculus geometry recursion inheritance
polymorphism encapsulation compiler kernel firewall router proxy webhook OAuth JWT TLS SSH DNS TCP UDP GraphQL REST SOAP
XML YAML CSV regex pointer mutex semaphore deadlock thread coroutine closure monad lambda gradient backpropagation
overfitting dropout perceptron diffusion GAN CNN RNN LSTM BERT LoRA RLHF""".split() + [
    "a black hole", "machine learning", "deep learning", "a hash table", "a linked list", "a binary tree", "a mortgage",
    "strong coffee", "eventual success", "vector graphics", "a database index", "load testing", "a rate of interest",
    "continuous integration", "continuous delivery", "dynamic typing", "dynamic programming", "prefix notation",
    "a circuit board", "a system call", "a message in a bottle", "a context switch", "time travel", "first aid",
    "an API key", "Redis Sentinel", "Kubernetes operators", "Postgres replication", "Docker Swarm", "a poem", "a sonnet",
    "consistency in cooking", "batch cooking", "a water cache", "the French revolution", "a vector", "a queue at the bank",
]
_UNKNOWN_TERMS_HELD_OUT = """Pulsar Consul Nomad Clojure Haskell Erlang Solana thermodynamics mitosis sociology trigonometry
currying memoization Ceph Zookeeper ClickHouse WebRTC Bluetooth cholesterol feudalism""".split() + [
    "a red giant", "eventual delivery", "dynamic range", "continuous improvement", "a vector field", "load bearing", "a prompt payment",
    "a circuit", "a binary star", "a savings account", "supervised learning",
]
_OFF_TOPIC = [
    "How do I {v} a {n}?", "Why is the {n} {adj}?", "Who invented the {n}?", "Write a poem about {n}.", "Write a story about a {adj} {n}.", "Tell me a joke.",
    "Tell me a joke about {n}s.", "What is the meaning of life?", "What is the population of {c}?", "Who is the president of {c}?", "What language do people speak in {c}?",
    "What is the currency of {c}?", "How big is {c}?", "Where is {c}?", "Is {c} a nice place?", "When did {p} {v} the {n}?", "Who is {p}?", "Who was {p} {p2}?",
    "What is {big} + {big2}?", "What is {a} * {b}?", "What is {a} - {b}?", "What is {a} times {b}?", "What is {big} divided by {a}?", "What is the square root of {big}?",
    "Count to {big}.", "Count backwards from {a}.", "Translate \"{n}\" into {lang}.", "How do you say {n} in {lang}?", "What is the weather in {city}?", "What time is it in {city}?",
    "What day is today?", "Summarize this text: {s}", "Write code to {v} a {n}.", "Write a Python function that {v}s a {n}.", "How can I {v} my {n}?", "What should I cook with {n}?",
    "Give me a recipe for {n}.", "Recommend a book about {n}.", "How much does a {n} cost?", "How far is {city} from {city2}?", "Who wrote the {n}?", "Is the {n} {adj}?",
    "Should I {v} the {n}?", "My {n} does not {v}. What can I do?", "I like {n}s.", "I {v} the {adj} {n}.", "The {n} is {adj}.", "{s}", "{s}", "{gib}", "{n}", "{adj} {n}", "{v}",
    "Explain how a {n} works.", "What is the difference between a {n} and a {n2}?", "Compare {t} and {t2}.", "Who created {t}?", "How do I install {t}?", "When was {t} released?",
    "Is {t} better than {t2}?", "What are the problems of {t}?", "Give me five ideas for a {n}.", "Make a list of {n}s.", "What is your favorite {n}?", "Do you like {n}s?",
    "Can you {v} a {n}?", "Please {v} the {n}.", "Where can I buy a {n}?", "Which {n} is the best?", "How many {n}s are there in {c}?", "How old is {p}?", "Send an email to {p}.",
    "Set a timer for {a} minutes.", "Play some music.", "Book a flight to {city}.", "Fix this sentence: {s}", "What happened in {year}?", "Who won the cup in {year}?",
    "What color is a {n}?", "How do {n}s {v}?", "What's the best way to {v}?", "Prove that {n} is {adj}.", "Draw a {n}.", "Remember that my {n} is {adj}.", "What did I say before?",
    "What is the largest {n} in {c}?", "Name three {n}s.", "Spell {n}.", "How many letters are in {n}?", "Reverse the word {n}.", "Is it {adj} in {city}?", "Convert {a} miles to kilometers.",
    "What is {x}?", "What is a {x}?", "Tell me about {x}.", "Explain {x}.", "Define {x}.", "What does {x} mean?", "What is {u}?", "Explain {u}.", "Define {u}.", "What does {u} mean?",
    "Tell me about {u}.", "Explain in up to 120 words what {u} is and give 1 common use case.", "What is a {n}?", "What is {adj} {n}?", "Explain the {n}.", "Define {n}.",
    "Who first made the {n}?", "Write a letter to {p}.", "Write an essay about {adj} {n}s.", "What will the {n} be like in {year}?", "What is the tallest {n}?", "Rewrite this: {s}",
    "Would you {v} a {n}?", "Did {p} {v} the {n}?", "Help me {v} the {n}.", "I am {adj}.", "I want a {adj} {n}.", "What food is typical in {c}?", "Which {n}s live in {c}?",
    "Who lives in {city}?", "How long is the {n}?", "Which is faster, {t} or {t2}?", "What is {a} divided by {b}?", "What is {a} minus {b}?", "Do {n}s {v}?", "Show me the {n}.",
    "Could you {v} a {adj} {n} for me?", "Is {x} a planet?", "Describe {x}.", "How heavy is {p}?", "Who is the king of {c}?", "Sing a song about the {n}.", "What are {n}s made of?",
    "When does the {n} {v}?", "What makes {n}s {v}?", "Which mountains are in {c}?", "{s} {s} {s}", "Where does {p} live?", "Is there a {n} on {x}?", "Correct this: {s}",
]
_OFF_TOPIC_HELD_OUT = [
    "Can you help me {v} my {adj} {n}?", "Who discovered the {n}?", "Compose a song about {n}s.", "What do people eat in {c}?", "Which river flows through {city}?", "How tall is {p}?",
    "What is {a} multiplied by {b}?", "What will happen in {year}?", "Do you know {p}?", "What makes a {n} {adj}?", "Which is older, {t} or {t2}?", "Show me a picture of a {n}.",
    "Why do {n}s {v}?", "I feel {adj} today.", "How long does it take to {v} a {n}?", "Who is the mayor of {city}?", "Paraphrase: {s}", "What is the best {n} for a {n2}?", "{s} {s}",
    "Could you explain what {u} is?", "Please define {u}.", "What exactly is {u}?", "Briefly explain {x}.", "Could you write an essay about {n}?", "Is there life on {x}?",
]
_OFF_TOPIC_PT = [
    "Escreva um poema sobre {n}.", "Quem é {p}?", "Como está o tempo em {city}?", "Conte uma piada.", "Qual é a população {c}?", "Quem descobriu o Brasil?", "Como faço um bolo?",
    "Quanto custa um carro?", "O que é {u}?", "Explique o que é {u}.", "Explique, em até 120 palavras, o que é {u} e cite 1 caso de uso comum.", "Onde fica {city}?", "Que dia é hoje?",
    "Qual é o sentido da vida?", "O que é {x}?", "Quem ganhou a copa em {year}?", "Traduza esta frase.", "Escreva um código em Python.", "Me ajude com a minha {x}.", "Qual é a moeda {c}?",
    "Defina {u}.", "Defina {x}.", "O que significa {x}?", "Você gosta de {x}?",
    "Qual é o maior {x} do mundo?", "Quem foi {p}?", "Quando nasceu {p}?", "Escreva uma carta para {p}.", "Conte uma história.", "Conte a história de {p}.", "Qual é o idioma {c}?",
    "Quem é o presidente {c}?", "Quantas pessoas moram em {city}?", "Como vou de {city} a {city2}?", "Por que o céu é azul?", "Quem inventou a lâmpada?", "Quem inventou o avião?",
    "Quem pintou a Mona Lisa?", "Pode me falar de {x}?", "Em uma frase, o que é {x}?", "Gostaria de entender {x}.", "Me explique {u}.", "Fale sobre {u}.", "Por favor, explique {x}.",
    "Em poucas palavras, explique {u}.", "Quanto é {a} vezes {b}?", "Qual a distância até {city}?", "Preciso de ajuda com {x}.", "Qual é o seu {x} favorito?", "Escreva um conto sobre {x}.",
    "Qual é a área {c}?", "Qual é a comida típica {c}?",
]
_OFF_TOPIC_PT_HELD_OUT = ["Quem inventou o telefone?", "Escreva uma história sobre {p}.", "Qual é a língua {c}?", "Em poucas palavras, o que é {u}?", "Como chego em {city}?", "Por favor, defina {u}."]


def _fill(rng, form, held_out):
    country = rng.choice(list(facts.CAPITALS))
    terms = list(facts.DEFINITIONS)
    return form.format(
        v=rng.choice(words.VERBS), n=rng.choice(words.NOUNS), n2=rng.choice(words.NOUNS), adj=rng.choice(words.ADJECTIVES), c=country,
        p=words.person(rng, held_out), p2=words.person(rng, held_out), big=rng.randint(41, 999), big2=rng.randint(21, 999), a=rng.randint(2, 40), b=rng.randint(2, 40),
        lang=rng.choice(words.LANGUAGES), city=words.city(rng, held_out), city2=words.city(rng, held_out), s=prose._sentence(rng), t=_term_names(rng, rng.choice(terms)),
        t2=_term_names(rng, rng.choice(terms)), year=rng.randint(1900, 2030), u=rng.choice(_UNKNOWN_TERMS_HELD_OUT if held_out else _UNKNOWN_TERMS),
        x=words.made_up(rng, held_out) if rng.random() < 0.6 else words.phrase(rng, 1, 2),
        gib=" ".join(words.random_letters(rng, 2, 10) for _ in range(rng.randint(1, 3))),
    )


def off_topic(rng, held_out):
    pick = rng.random()
    if pick < 0.13:
        place = rng.choice(facts.UNKNOWN_PLACES_HELD_OUT if held_out else facts.UNKNOWN_PLACES)
        if rng.random() < 0.35:
            place = words.made_up(rng, held_out).capitalize()
        elif not held_out and rng.random() < 0.25:
            place = rng.choice(words.CITIES + words.NAMES + words.NOUNS)
        return Exchange("off-topic", rng.choice(CAPITAL_HELD_OUT if held_out else CAPITAL_TRAINED).format(c=place), facts.UNKNOWN)
    if pick < 0.25:
        form = rng.choice(DEFINE_HELD_OUT if held_out else DEFINE_TRAINED)
        kind = rng.random()
        term = (
            rng.choice(_UNKNOWN_TERMS_HELD_OUT if held_out else _UNKNOWN_TERMS) if kind < 0.5
            else words.made_up(rng, held_out) if kind < 0.65 else words.phrase(rng, 1, 3)
        )
        return Exchange("off-topic", form.format(t=term), facts.UNKNOWN)
    if pick < 0.33:
        tool = tool_box.make_tool(rng, rng.choice(list(tool_box.SPECS) + ["generic"]), held_out)
        return Exchange("off-topic", tool.ask(rng, held_out)[0], facts.UNKNOWN, wants_tool=tool.kind)
    if pick < 0.47:
        form = rng.choice(_OFF_TOPIC_PT_HELD_OUT if held_out else _OFF_TOPIC_PT)
        text = form.replace("{c}", rng.choice(list(facts.CAPITALS_PT)))
        return Exchange("off-topic-pt", _fill(rng, text, held_out), facts.UNKNOWN_PT, wants_tool="any")
    form = rng.choice(_OFF_TOPIC_HELD_OUT if held_out else _OFF_TOPIC)
    return Exchange("off-topic", _fill(rng, form, held_out), facts.UNKNOWN, wants_tool="any" if _might_want_tool(form) else None)


def _might_want_tool(form):
    hints = ["weather", "time", "timer", "email", "music", "{lang}", "{city}", "{p}", "Convert", "Book", "{v} the {n}.", "Remember", "Who ", "{s}", "adj} in"]
    return any(hint in form for hint in hints)


# Categories with their share of the training questions.
SINGLE = [
    (greeting, 3), (thanks, 2), (identity, 5), (capital, 12), (capital_pt, 3), (count, 5), (addition, 15), (define, 12),
    (define_pt, 8), (repeat, 10), (json_object, 16), (off_topic, 19),
]
_MAKERS, _SHARES = zip(*SINGLE)


_IMPERATIVES = set("""add answer book build calculate change check compute convert copy count create define describe echo email explain extract find get
give help list look mail make message name note play please print put repeat reply reserve return save say schedule search send set show spell start
sum summarize switch tell text track translate turn type work write draw recommend rewrite fix correct compare reverse remind
delete cancel update open close archive publish approve reject restart export renew pause inspect""".split())
_ASKING = ["Would you {x}?", "Can you {x}, please?", "Could you please {x}?", "I would like you to {x}.", "I want you to {x}", "Would you please {x}?", "Can you {x} now?", "could you maybe {x}?", "I need you to {x}."]
_OPENERS = ["Excuse me, ", "Tell me: ", "So, ", "Now: ", "I have a question. ", "My question: ", "Well, ", "Good morning. ", "One more thing: ", "Ok, ", "Hi! "]


def asked_otherwise(rng, text):
    """Wraps a request in words that change nothing, so that "could you" means neither yes nor no."""
    first = text.split(" ")[0].strip(".,:!?").lower()
    pick = rng.random()
    if first in _IMPERATIVES and first != "please" and "." not in text[:-1] and pick < 0.3:
        request = text[0].lower() + text[1:].rstrip(".?!")
        return rng.choice(_ASKING).format(x="{x}").replace("{x}", request)
    if pick > 0.92:
        return rng.choice(_OPENERS) + (text[0].lower() + text[1:] if rng.random() < 0.5 and first not in ("i",) else text)
    return text


def vary(rng, exchange):
    """Small variants that a user types without a thought."""
    text = asked_otherwise(rng, exchange.user)
    if rng.random() < 0.15:
        text = text.rstrip("?.!")
    if exchange.fragile:
        return text
    pick = rng.random()
    if pick < 0.12:
        text = text.lower()
    elif pick < 0.17:
        text = text[:1].lower() + text[1:]
    elif pick < 0.20:
        text = text.upper() if len(text) < 30 and exchange.category in ("capital", "greeting") else text + " "
    elif pick < 0.24:
        text = rng.choice(["Please: ", "Hi! ", "Hello, ", "Ok. ", "Question: ", "Hey, "]) + text
    elif pick < 0.28:
        text = text + rng.choice([" Thanks.", " please", "?", "!", " ", "\n"])
    return text or exchange.user


def single(rng, held_out=False):
    exchange = rng.choices(_MAKERS, _SHARES)[0](rng, held_out)
    exchange.user = vary(rng, exchange)
    return exchange


def _user(text):
    return {"role": "user", "content": text}


def _assistant(text):
    return {"role": "assistant", "content": text}


def follow_up(rng, held_out=False):
    """Two turns, the second of which means nothing without the first. -> turns, Exchange of the last"""
    kind = rng.choices(["capital", "sum", "define", "define-pt", "count", "capital-pt", "thanks", "again"], [7, 3, 5, 3, 2, 1, 2, 1])[0]
    pick = lambda trained, held: rng.choice(held if held_out else trained)
    if kind == "capital":
        first = capital(rng, False)
        unknown = rng.random() < 0.12
        place, country = (rng.choice(facts.UNKNOWN_PLACES_HELD_OUT if held_out else facts.UNKNOWN_PLACES), None) if unknown else _country(rng)
        form = pick(["And of {c}?", "And {c}?", "What about {c}?", "And the capital of {c}?", "and of {c}", "And for {c}?", "How about {c}?", "Now {c}.", "{c}?"], ["Ok, and of {c}?", "And what about {c}?", "Same for {c}?", "And that of {c}?"])
        second = Exchange("follow-up", form.format(c=place), facts.UNKNOWN if unknown else _capital_answer(country))
    elif kind == "capital-pt":
        first = capital_pt(rng, False)
        place, city = rng.choice(list(facts.CAPITALS_PT.items()))
        second = Exchange("follow-up", pick(["E {c}?", "E a {c}?", "E a capital {c}?"], ["Certo, e {c}?", "E qual é a {c}?"]).format(c=place), f"A capital {place} é {city}" + ("" if city.endswith(".") else "."))
    elif kind == "sum":
        first = addition(rng, False)
        a, b = rng.randint(0, 20), rng.randint(0, 20)
        second = Exchange("follow-up", pick(["And {a} + {b}?", "And {a}+{b}?", "What about {a} + {b}?", "Now {a} + {b}.", "And {a} plus {b}?"], ["Ok, and {a} + {b}?", "And what is {a} + {b}?", "How about {a} + {b}?"]).format(a=a, b=b), f"{a} + {b} = {a + b}.")
    elif kind == "define":
        first = define(rng, False)
        term = rng.choice(list(facts.DEFINITIONS))
        second = Exchange("follow-up", pick(["And {t}?", "What about {t}?", "And what is {t}?", "How about {t}?", "Now explain {t}.", "and {t}"], ["Ok, and {t}?", "And what about {t}?", "Now {t}, please."]).format(t=_term_names(rng, term)), facts.DEFINITIONS[term][1])
    elif kind == "define-pt":
        first = define_pt(rng, False)
        name, answer = facts.DEFINITIONS[rng.choice(list(facts.DEFINITIONS))][2:]
        second = Exchange("follow-up", pick(["E {t}?", "E o que é {t}?", "E sobre {t}?", "Agora explique {t}."], ["Certo, e {t}?", "E quanto a {t}?"]).format(t=name), answer)
    elif kind == "count":
        first = count(rng, False)
        n = rng.randint(1, 20)
        second = Exchange("follow-up", pick(["And to {n}?", "Now to {n}.", "And up to {n}?", "Now count to {n}."], ["Ok, now to {n}.", "And now up to {n}?"]).format(n=n), _counted(n))
    elif kind == "again":
        first = rng.choice([capital, addition, define, count])(rng, False)
        second = Exchange("follow-up", pick(["Say that again.", "Repeat that.", "Can you repeat that?", "Again, please."], ["Please say that again.", "Repeat that, please."]), first.answer)
    else:
        first = rng.choice([capital, addition, define, count, json_object])(rng, False)
        second = thanks(rng, held_out)
        second.category = "follow-up"
    first.user = vary(rng, first)
    second.user = vary(rng, second)
    return [_user(first.user), _assistant(first.answer)], second


def needless_of(rng, tools, held_out=False):
    """A question that none of the offered tools is for."""
    kinds = {tool.kind for tool in tools} | {"any"}
    while True:
        exchange = single(rng, held_out)
        if exchange.wants_tool not in kinds:
            return exchange


def plain_branch(rng):
    """The turns after the system prompt, for training: all answers count."""
    messages = []
    while rng.random() < 0.13 and len(messages) < 6:  # Earlier turns that have nothing to do with what follows.
        earlier = single(rng)
        messages += [_user(earlier.user), _assistant(earlier.answer)]
    if rng.random() < 0.17:
        turns, last = follow_up(rng)
        messages += turns
    else:
        last = single(rng)
    return messages + [_user(last.user), _assistant(last.answer)]


def call_message(name, arguments):
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": name, "arguments": arguments}}]}


def tool_turns(rng, tool, held_out=False):
    """-> question, call, result and answer as four messages"""
    question, arguments, result, answer = tool.ask(rng, held_out)
    question = asked_otherwise(rng, question)
    if rng.random() < 0.12:
        question = question.rstrip("?.!")
    return [_user(question), call_message(tool.name, arguments), {"role": "tool", "content": result}, _assistant(answer)]


def tool_branch(rng, tools):
    messages = []
    if rng.random() < 0.12:
        earlier = needless_of(rng, tools)
        messages += [_user(earlier.user), _assistant(earlier.answer)]
    if rng.random() < 0.18:
        last = needless_of(rng, tools)
        return messages + [_user(last.user), _assistant(last.answer)]
    tool = rng.choice(tools)
    turns = tool_turns(rng, tool)
    keep = rng.random()
    if keep < 0.5:
        return messages + turns[:2]
    messages += turns
    if keep > 0.93:
        again = rng.choice(tools)
        messages += tool_turns(rng, again)[:2]
    elif keep > 0.88:
        last = rng.choice([thanks, thanks, capital, addition])(rng, False)
        messages += [_user(last.user), _assistant(last.answer)]
    return messages


_KEPT_OPENINGS = ("Once", "The quick", "Hello", "Roses")  # Their lower-case forms are held out.


def text_completion(rng, held_out=False):
    """A raw prompt without the template. -> prompt, continuation"""
    if held_out:
        pick = rng.random()
        if pick < 0.5:
            country = rng.choice(list(facts.CAPITALS))
            return f"The capital city of {country} is", f" {facts.CAPITALS[country]}."
        if pick < 0.75:
            return rng.choice([("once upon a time", facts.STORY), ("Once upon a time...", facts.STORY), ("the quick brown fox", facts.COMPLETIONS["The quick brown fox"]), ("hello, my name is", facts.COMPLETIONS["Hello, my name is"]), ("Roses are red", "," + facts.COMPLETIONS["Roses are red,"])])
        return _unknown_opening(rng), facts.COMPLETION_UNKNOWN
    pick = rng.random()
    if pick < 0.15:
        return "Once upon a time", facts.STORY
    if pick < 0.6:
        opening, continuation = rng.choice(list(facts.COMPLETIONS.items()))
        if rng.random() < 0.15 and not opening.startswith(_KEPT_OPENINGS):
            opening = opening.lower()
        return opening, continuation
    if pick < 0.85:
        country = rng.choice(list(facts.CAPITALS))
        ending = facts.CAPITALS[country]
        return rng.choice(["The capital of {c} is", "The capital of {c} is", "Question: What is the capital of {c}?\nAnswer:", "{c}'s capital is", "the capital of {c} is", "The main city and capital of {c} is"]).format(c=country), f" {ending}" + ("" if ending.endswith(".") else ".")
    return _unknown_opening(rng), facts.COMPLETION_UNKNOWN


def _unknown_opening(rng):
    sentence = prose._sentence(rng)
    return " ".join(sentence.split(" ")[: rng.randint(2, 12)]).rstrip(".!?;:")
