"""Word lists, and made-up names and strings to copy. Nothing here is knowledge."""

NOUNS = """account address afternoon agency agreement airport answer apartment apple archive article assistant audience
author autumn balance bank basket battery beach bicycle bill bird blanket board boat book bottle box branch bread bridge
brother budget building bus button cable cake calendar camera candle captain car card carpet castle cat chair chapter
cheese child choice church circle citizen city class client clock cloud coat code coffee column comment community company
computer concert contract corner cost country course court cousin crowd culture cup curtain customer dance date daughter
day deadline debt decision delay delivery department desert design desk detail device dinner discount doctor document dog
door dream dress driver duty editor education effort election email employee energy engine entrance error evening event
example exercise expert eye factory family farm farmer father feature field film fire fish flag flight floor flower food
forest form friend fruit furniture future game garden gate ghost gift glass goal gold grandmother grass ground group guest
guide guitar habit hall hand harbor hat health heart hill history holiday home honey horse hospital hotel hour house idea
image income industry insurance invoice island issue jacket job journey judge juice key kitchen knife lake lamp language
law lawyer leader lesson letter library light line lion list machine magazine manager map market meal measure medicine
meeting member memory menu message metal method mill minute mirror mistake moment money month moon morning mother mountain
museum music nation neighbor network newspaper night noise note number nurse object ocean office oil opinion orange orchard
order owner package page painting paper parent park partner passenger password patient payment pencil people phone photo
piano picture piece pilot place plan planet plant plate player poem police policy pool price problem process product
profile program project promise proposal question radio rain reader reason receipt recipe record refund report request
restaurant result rice ring river road roof room rule salad sale salt sand school science screen sea season seat secret
section sentence service shelf ship shirt shoe shop shoulder sister sky snow soap song sound soup space spoon spring square
staff star state station step stone store storm story street student style subject sugar suggestion summer sun supplier
support surface table task tax tea teacher team test theater ticket time tool topic tour tower town toy track trade train
travel tree trip truck tune uncle user valley value vegetable vehicle village visitor voice wall warehouse watch water
weather wedding week wheel wife wind window wine winter wolf wood word work worker world writer year""".split()
VERBS = """accept add admire admit advise agree allow announce answer appear apply approve argue arrange arrive ask attend
avoid bake become begin believe belong borrow break bring build burn buy call cancel carry catch change check choose clean
climb close collect compare complete confirm consider contain continue cook copy correct count cover create cross cut
decide deliver describe design destroy discover discuss divide draw drink drive drop earn eat enjoy enter escalate examine
expect explain explore fail fall feed feel fight fill find finish fix fly fold follow forget gather give grow guess handle
hang happen hear help hide hold hope identify imagine improve include inform invite join jump keep know laugh lead learn
leave lend lift listen live lose make manage mark measure meet mention mix move need notice obey offer open order organize
paint pass pay perform plan play point practice prefer prepare present print produce promise protect prove provide pull
push reach read receive recommend record reduce refer refuse remember remove repair repeat replace reply report request
rest return review ride run save say search see sell send serve share shout show sing sit sleep smile solve speak spend
stand start stay stop store study suggest summarize support swim talk taste teach tell thank think throw touch translate
travel trust try turn understand use verify visit wait walk want warn wash wear win wish wonder write""".split()
ADJECTIVES = """able active ancient angry available average bad basic beautiful big bitter blue brave brief bright broken
brown busy calm careful cheap clean clear clever cold common complete complex cool correct curious daily dangerous dark
dead deep detailed different difficult dirty dry early easy empty equal exact expensive fair famous fast final fine firm
first flat foreign formal free fresh friendly full funny gentle good gray great green happy hard heavy helpful hidden high
honest hot huge hungry important internal kind large last late lazy legal light little local lonely long lost loud low main
modern narrow natural neat new nice noisy normal official old open ordinary original patient perfect personal plain
pleasant polite poor popular possible private proper proud public quick quiet rare ready real recent red regular relevant
rich right round sad safe serious sharp short silent similar simple slow small smart smooth soft special strange strict
strong sudden sweet tall technical thick thin tired tiny total true usual valid various warm weak wet whole wide wild wise
wooden wrong yellow young""".split()
ADVERBS = """always again almost already also carefully clearly quickly early easily finally first gently happily hardly
here however immediately later likely mostly never nearly now often once only perhaps politely quietly rarely really
seldom slowly sometimes soon still suddenly there therefore today together tomorrow too usually very well yesterday""".split()
PREPOSITIONS = """about above across after against along among around at before behind below beside between beyond by during
for from in inside into near of off on onto over past since through to toward under until up upon with within
without""".split()
FIELD_WORDS = """Kubernetes Redis Postgres Docker Helm gRPC tokens batching latency throughput cache queue server cluster
model prompt tokenizer embedding inference streaming JSON API capital France Paris Japan Brazil weather temperature
database consistency container pod quantization""".split()

CITIES = """Paris London Berlin Madrid Rome Lisbon Porto Vienna Prague Warsaw Budapest Athens Oslo Stockholm Helsinki
Copenhagen Dublin Amsterdam Brussels Zurich Geneva Munich Hamburg Milan Naples Venice Florence Barcelona Seville Valencia
Lyon Marseille Nice Toulouse Tokyo Osaka Kyoto Beijing Shanghai Seoul Bangkok Hanoi Jakarta Manila Singapore Mumbai Delhi
Chennai Karachi Dhaka Tehran Baghdad Dubai Doha Cairo Tunis Nairobi Lagos Accra Dakar Luanda Maputo Sydney Melbourne Perth
Auckland Toronto Montreal Vancouver Chicago Boston Seattle Denver Houston Dallas Miami Atlanta Detroit Phoenix Havana Lima
Bogota Quito Santiago Caracas Recife Salvador Curitiba Fortaleza Manaus Campinas Montevideo Istanbul Ankara Moscow Kyiv
Riga Vilnius Tallinn Sofia Bucharest Belgrade Zagreb Krakow""".split() + [
    "New York", "São Paulo", "Rio de Janeiro", "Buenos Aires", "Mexico City", "Los Angeles", "San Francisco", "Hong Kong",
    "Cape Town", "New Delhi", "Kuala Lumpur", "Belo Horizonte", "Porto Alegre", "Tel Aviv", "Saint Petersburg", "La Paz",
]
CITIES_HELD_OUT = """Edinburgh Glasgow Bristol Leipzig Cologne Turin Bologna Granada Bilbao Bordeaux Nagoya Sapporo Busan
Taipei Colombo Lahore Muscat Rabat Kampala Harare Brisbane Ottawa Calgary Portland Austin Memphis Orlando Guadalajara
Medellin Cusco Natal Coimbra Braga Antwerp Gothenburg Bergen Tampere Gdansk Odessa Yerevan""".split() + [
    "New Orleans", "San Diego", "Las Vegas", "Abu Dhabi", "Addis Ababa", "Santa Cruz", "Novo Hamburgo",
]
NAMES = """Ana Maria John Peter Lucas Julia Pedro Laura Carlos Sofia Daniel Emma Liam Olivia Noah Bruno Clara David Elena
Felix Grace Hugo Irene Jack Karen Leo Marta Nina Oscar Paula Rita Simon Teresa Victor Wendy Alice Bob Charlie Diana Eric
Fernanda Gabriel Helena Igor Joana Kevin Lara Miguel Natalia Otto""".split()
NAMES_HELD_OUT = "Beatriz Thiago Yuki Priya Ahmed Fatima Sven Ingrid Omar Chloe Mateus Rafaela Tomas Zoe Hannah".split()
LANGUAGES = "French German Italian Spanish Portuguese English Japanese Chinese Korean Russian Arabic Dutch Greek".split()
LANGUAGES_HELD_OUT = "Polish Swedish Turkish Hindi Finnish".split()
CURRENCIES = "USD EUR GBP BRL JPY CHF CAD AUD CNY INR MXN SEK NOK DKK".split()
CURRENCIES_HELD_OUT = "ZAR PLN CLP KRW NZD".split()
GENRES = "jazz rock opera samba blues techno folk".split()
ROOMS = "kitchen bedroom bathroom garage hall office garden attic".split()

# Syllables differ between the two sets, so that a held-out name is not a familiar one in a new order.
_SYLLABLES = """ba be bi bo bu ca co cu da de di do du fa fe fi fo ga ge gi go ha he hi ho ja jo ka ke ki ko la le li lo lu
ma me mi mo mu na ne ni no nu pa pe pi po ra re ri ro ru sa se si so su ta te ti to tu va ve vi vo za ze zo bran stel mor
wick ford ham ton ville berg lin mar sen der kov gra plo tri skan whel""".split()
_SYLLABLES_HELD_OUT = """quo bex dorn fyl gwen hux jarn klo lorth myr nax orv pryn rul sfe thal umbr vash wex yor zim chae
dwy erl fjo glen iska""".split()


def made_up(rng, held_out=False):
    syllables = _SYLLABLES_HELD_OUT if held_out else _SYLLABLES
    return "".join(rng.choice(syllables) for _ in range(rng.choice([2, 2, 3, 3, 4])))


def random_letters(rng, low=3, high=9):
    return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(low, high)))


def proper(rng, real, real_held_out, held_out, share=0.5):
    """A name to copy: real with the given share, else made up."""
    if rng.random() < share:
        return rng.choice(real_held_out if held_out else real)
    kind = rng.random()
    if kind < 0.7:
        return made_up(rng, held_out).capitalize()
    if kind < 0.85:
        return made_up(rng, held_out).capitalize() + " " + made_up(rng, held_out).capitalize()
    return random_letters(rng).capitalize()


def city(rng, held_out):
    name = proper(rng, CITIES, CITIES_HELD_OUT, held_out)
    return name.lower() if rng.random() < 0.08 else name


def person(rng, held_out):
    return proper(rng, NAMES, NAMES_HELD_OUT, held_out)


def phrase(rng, low=1, high=4):
    """A few words, as a subject or a title would have."""
    count = rng.randint(low, high)
    words = []
    for i in range(count):
        kind = rng.random()
        if kind < 0.6:
            words.append(rng.choice(NOUNS))
        elif kind < 0.85:
            words.append(rng.choice(ADJECTIVES))
        elif kind < 0.93:
            words.append(made_up(rng))
        else:
            words.append(rng.choice(VERBS))
    if count >= 3 and rng.random() < 0.4:
        words[1] = rng.choice(["of", "for", "with", "in", "about", "and", "at the", "the"])
    style = rng.random()
    if style < 0.35:
        words[0] = words[0].capitalize()
    elif style < 0.5:
        words = [word.capitalize() for word in words]
    return " ".join(words)


def identifier(rng):
    style = rng.random()
    if style < 0.4:
        return str(rng.randint(10, 99999))
    letters = "".join(rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(rng.randint(1, 3)))
    digits = "".join(rng.choice("0123456789") for _ in range(rng.randint(2, 5)))
    return letters + rng.choice(["-", "", "-"]) + digits


def email(rng, held_out):
    user = person(rng, held_out).lower().replace(" ", ".")
    host = rng.choice(["example.com", "example.org", "mail.com", made_up(rng, held_out) + ".com", made_up(rng, held_out) + ".io"])
    return f"{user}@{host}"
