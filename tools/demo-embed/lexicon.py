"""The words of the statements: verbs and things by meaning, names, and what comes in pairs of opposites.

One line is one class; meanings are separated by commas, the words of one meaning (synonyms) by bars. Verbs that inflect
irregularly give base/past/participle. Nothing here is knowledge, except the few facts at the end.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "demo-model"))

import facts  # noqa: E402,F401  From ../demo-model: capitals and definitions,
import prose  # noqa: E402,F401  texts of any length,
import words  # noqa: E402  and nouns, names, cities, made-up words.


def _meanings(text):
    return [tuple(part.strip() for part in meaning.split("|")) for meaning in " ".join(text.split()).split(",") if meaning.strip()]


THINGS = {name: _meanings(text) for name, text in {
    "goods": """car|automobile, bicycle|bike, sofa|couch, television|TV, refrigerator|fridge, jacket|coat, carpet|rug,
        bag|sack, phone|telephone, trousers|pants, sweater|pullover, lamp|light, ring, table, chair, guitar, camera, watch, hat, umbrella,
        suitcase|piece of luggage, gift|present, painting|picture, toy, knife, blanket, mirror, bottle, basket, necklace, tent,
        backpack|rucksack, pair of shoes, motorcycle|motorbike, boat|ship, piano, violin, kettle, helmet, pillow""",
    "device": """computer|PC, laptop|notebook, printer, router, engine|motor, washing machine|washer, elevator|lift, radio,
        clock, heater|radiator, air conditioner, dishwasher, truck|lorry, bus|coach, vacuum cleaner, coffee machine|coffee maker,
        tractor, camera, projector, scanner, speaker|loudspeaker, pump, generator, alarm, telescope, drill""",
    "document": """report, contract|agreement, letter, article, book, essay|paper, proposal|suggestion, invoice|bill, application|request,
        manual|handbook, budget|financial plan, script, form|questionnaire, complaint, speech|talk, summary|overview,
        review|evaluation, poem, news story, specification|spec, plan|scheme, certificate, list, recipe, diary|journal, will|testament""",
    "event": """meeting|conference call, party|celebration, concert, wedding|marriage ceremony, exam|test, trip|journey,
        workshop, interview, festival, lecture|talk, race|running competition, dinner, exhibition|exhibit, training course|course,
        auction, football match|soccer game, play|theater performance, parade, election|vote, picnic, funeral, auction, hearing, webinar""",
    "software": """application|app, database|data store, server, service, plugin|extension, website|site, library|package, script,
        driver, operating system|OS, firewall, gateway, compiler, container|docker image, browser, model, scheduler, search engine,
        message queue, dashboard, cache, load balancer, cluster, virtual machine|VM""",
    "data": """file|document, folder|directory, photo|picture, message, backup|safety copy, account|user profile, record|entry, table,
        video|film clip, password|passphrase, certificate, log, key, setting|option, branch, comment|remark, ticket|issue, bookmark, playlist""",
    "building": """house|home, school, bridge, hospital|clinic, factory|plant, tower, museum, hotel, library, church, stadium|arena,
        garage|car park, warehouse|storehouse, theater|playhouse, barn, prison|jail, airport, castle, shop|store, office block, station, pool""",
    "food": """soup, cake, bread, salad, pizza, pasta|noodles, fish, chicken, breakfast, sandwich, rice, omelette, stew, cookies|biscuits,
        pancakes, lasagna, roast beef, curry, apple pie, lunch|midday meal, fries|chips, vegetables, jam, dumplings""",
    "money": """bill|invoice, rent, fine|penalty, debt, deposit|down payment, fee|charge, loan, tax, insurance, ticket, salary|wage, subscription""",
    "message": """email|e-mail, letter, question|query, message|note, invitation, phone call|call, complaint, request|inquiry, postcard,
        reminder, warning|alert, text message|SMS, application, offer|proposal""",
    "room": """kitchen, bathroom|washroom, bedroom, garden|yard, office, garage, window, floor, balcony, basement|cellar, attic|loft, hall|corridor,
        gate, door, roof, staircase|stairs, wall, fence""",
    "animal": """dog, cat, horse, cow, rabbit|bunny, parrot, wolf, bear, snake, elephant, lion, tiger, penguin, sheep, goat, pig|hog, duck, owl,
        fox, deer, monkey|ape, whale, dolphin, shark, eagle, camel, frog, turtle|tortoise, bee, donkey|mule, hamster, squirrel, zebra, kangaroo""",
    "role": """doctor|physician, lawyer|attorney, teacher|instructor, engineer, nurse, cook|chef, baker, pilot, farmer, actor|performer,
        journalist|reporter, police officer|cop, writer|author, salesperson|shop assistant, driver|chauffeur, architect, carpenter|woodworker,
        scientist|researcher, programmer|software developer, accountant|bookkeeper, waiter|server, plumber, electrician, judge, gardener,
        hairdresser|barber, dentist, photographer, firefighter|fireman, translator|interpreter, librarian, mechanic, singer|vocalist, painter|artist,
        cleaner|janitor, psychologist, secretary|office assistant, security guard|watchman""",
    "team": """marketing team, support team, school class, football club, choir, committee|board, company|firm, department|division, orchestra,
        jury, research group, crew, band|music group, union, village council, army unit, faculty, family, start-up, project group""",
    "subject": """mathematics|maths, history, chemistry, French, painting, swimming, chess, cooking, programming|coding, physics, music, biology,
        economics, German, dancing, photography, geography, philosophy, Spanish, gardening, law, astronomy""",
    "drink": """tea, coffee, water, milk, orange juice, beer, wine, lemonade, hot chocolate|cocoa, soda|soft drink, apple juice, mineral water""",
    "fruit": """apples, bananas, oranges, grapes, strawberries, cherries, pears, peaches, lemons, melons, plums, tomatoes, carrots, potatoes|spuds,
        onions, mushrooms, beans, nuts, olives, cucumbers, peppers, eggs, shrimps|prawns, peanuts, raspberries""",
    "illness": """fever|high temperature, headache, cold, flu|influenza, cough, toothache, back pain|backache, rash, allergy, broken leg|fractured leg,
        sore throat, stomach ache, infection, burn, migraine""",
    "hobby": """playing chess, hiking|walking in the mountains, swimming, reading novels|reading fiction, painting, cycling|riding a bike, running|jogging,
        fishing|angling, knitting, dancing, singing, playing the piano, skiing, cooking, gardening, travelling, camping, sailing, yoga, photography""",
    "part": """screen|display, battery, keyboard, wheel|tyre, handle, brake, door, cable|cord, button, lid|cover, seat, pedal, switch, sensor, fan,
        pipe|tube, lens, lock""",
}.items()}

# class of the object: verbs. Each meaning differs from its neighbours enough to be another claim.
VERBS = {name: _meanings(text) for name, text in {
    "goods": """buy/bought|purchase|acquire, sell/sold|flog, lose/lost|misplace, steal/stole/stolen|swipe, find/found|discover|locate,
        borrow, rent|hire|lease, return|send/sent back|give/gave/given back, hide/hid/hidden|conceal, order, wrap/wrapped|pack up,
        deliver|bring/brought, carry|transport, throw/threw/thrown away|discard|dump, paint, pick up|collect, admire, measure, donate|give/gave/given away,
        destroy|wreck, choose/chose/chosen|select|pick""",
    "device": """repair|fix|mend, break/broke/broken|damage|wreck, clean|wipe/wiped, test|examine|check, switch on|turn on|start, switch off|turn off|shut/shut/shut down,
        install|set/set/set up, invent|come/came/come up with, replace|exchange|swap/swapped out, inspect|look over, move|relocate, design|plan, operate|run/ran/run, unplug/unplugged|disconnect""",
    "document": """write/wrote/written|draft|compose, read/read/read|go/went/gone through|study, sign, approve|accept|agree to, reject|refuse|turn down,
        translate, print|print out, publish|release|put/put/put out, copy|duplicate|photocopy, correct|revise|edit, send/sent|mail|dispatch,
        destroy|shred/shredded|tear/tore/torn up, submit/submitted|hand in|turn in, find/found|discover|locate, lose/lost|misplace, summarize|sum/summed up, quote|cite,
        shorten|cut/cut/cut down""",
    "event": """cancel|call off, postpone|delay|put/put/put off, organize|arrange|plan, attend|go/went/gone to|take/took/taken part in, leave/left|walk out of, miss|fail to attend,
        announce|make/made/made public, film|record, enjoy|have/had/had fun at, open|kick off, pay/paid for|finance|fund, interrupt|disturb, forget/forgot/forgotten, host|hold/held|run/ran/run""",
    "software": """install|set/set/set up, uninstall|remove, update|upgrade|bring/brought up to date, restart|reboot, stop/stopped|shut/shut/shut down|halt, deploy|roll out|release, test|try out,
        develop|build/built|create|write/wrote/written, migrate|move, monitor|watch|keep/kept an eye on, debug/debugged|troubleshoot/troubleshot, configure|set/set/set up, scale up|enlarge, break/broke/broken|crash, document,
        benchmark|measure the speed of""",
    "data": """delete|remove|erase, create|make/made|add, rename, copy/copied|duplicate, share, download|fetch, upload|send/sent up, encrypt|scramble, restore|recover|bring/brought back,
        open, close|shut/shut, change|modify|edit, archive|store away, hide/hid/hidden|conceal, print, lock, search, compress|zip/zipped, merge|combine""",
    "building": """build/built|construct|put/put/put up, demolish|tear/tore/torn down|knock down, visit|go/went/gone to see, paint, buy/bought|purchase|acquire, sell/sold, renovate|refurbish|modernize, design|draw/drew/drawn up, leave/left|go/went/gone out of,
        enter|go/went/gone into, clean, guard|watch over, photograph|take/took/taken a picture of, rent|lease, inspect|examine, close|shut/shut/shut down, open|inaugurate""",
    "food": """cook|prepare|make/made, eat/ate/eaten|consume, order|ask for, serve|dish up, taste|try, burn/burnt, buy/bought|purchase, share, deliver|bring/brought, freeze/froze/frozen, throw/threw/thrown away|discard|bin/binned, finish|eat/ate/eaten up,
        reheat|warm up, photograph|take/took/taken a picture of""",
    "money": """pay/paid|settle, forget/forgot/forgotten, raise|increase|put/put/put up, reduce|lower|cut/cut/cut, check|verify|examine, dispute|contest|object to, collect|call in, calculate|work out|compute, waive|drop/dropped, refund|pay/paid back""",
    "message": """answer|reply to|respond to, ignore|pay/paid no attention to|disregard, forward|pass on, receive|get/got|be/was/been sent, write/wrote/written|compose|draft, delete|erase|remove, read/read/read|look at, misunderstand/misunderstood|get/got wrong, send/sent|dispatch, archive|file,
        translate, print""",
    "room": """clean|tidy/tidied up, paint, lock, open, close|shut/shut, decorate, repair|fix|mend, measure, photograph|take/took/taken a picture of, search, heat|warm up, damage|wreck, sweep/swept|brush, insulate""",
    "animal": """feed/fed|give/gave/given food to, wash|bathe, see/saw/seen|spot/spotted|notice, adopt|take/took/taken in, chase|run/ran/run after, photograph|take/took/taken a picture of, rescue|save, train|teach/taught, hunt, catch/caught|capture, buy/bought|purchase, sell/sold, treat|cure, fear|be/was/been afraid of, stroke|pet/petted,
        draw/drew/drawn|sketch""",
    "person": """help|assist|aid, hire|employ|recruit|take/took/taken on, fire|dismiss|lay/laid off, call|phone|ring/rang/rung up, invite|ask round, thank, praise|commend|compliment, criticize|find/found fault with, teach/taught|instruct|train, visit|go/went/gone to see, meet/met|run/ran/run into, follow|go/went/gone after,
        beat/beat/beaten|defeat, hurt/hurt|injure|wound, trust|rely on, love|adore, hate|detest|loathe, kiss, photograph|take/took/taken a picture of, interview|question, forgive/forgave/forgiven|pardon, congratulate, warn|alert, rescue|save, drive/drove/driven home, blame|hold/held responsible, miss, insult|offend, recognize|identify,
        wake/woke/woken up, push|shove, hug/hugged|embrace, deceive|trick|fool, protect|guard|defend, pay/paid, surprise|astonish|amaze, arrest|detain, understand/understood, ignore|take/took/taken no notice of, imitate|copy/copied|mimic/mimicked, elect, promote|give/gave/given a better job to, sue|take/took/taken to court, marry|wed/wedded""",
}.items()}
SYMMETRIC = {"meet/met", "marry"}  # If one does it to the other, the other does it to the one.

# giver's verb, receiver's verb
TRANSFERS = [(_meanings(a)[0], _meanings(b)[0]) for a, b in [
    ("give/gave/given|hand|pass", "get/got|receive|be/was/been given"), ("send/sent|mail|ship/shipped", "receive|get/got"),
    ("sell/sold", "buy/bought|purchase|acquire"), ("lend/lent|loan", "borrow"), ("show/showed/shown|present", "be/was/been shown|see/saw/seen"),
    ("donate|gift", "accept|receive"), ("bequeath|leave/left", "inherit/inherited"), ("rent out|lease out|let/let out", "rent|lease"),
]]

# adjective, comparative, opposite, its comparative, what may be compared
COMPARISONS = [tuple(line.split(",")) for line in """tall,taller,short,shorter,person
old,older,young,younger,person
fast,faster,slow,slower,person
strong,stronger,weak,weaker,person
rich,richer|wealthier,poor,poorer,person
heavy,heavier,light,lighter,goods
big,bigger|larger,small,smaller,city
expensive,more expensive|pricier|costlier,cheap,cheaper|less expensive,goods
warm,warmer|hotter,cold,colder|cooler,city
good,better,bad,worse,software
loud,louder|noisier,quiet,quieter|more silent,device
clean,cleaner,dirty,dirtier,room
safe,safer,dangerous,more dangerous|riskier,city
new,newer|more recent,old,older,building
busy,busier|more crowded,calm,calmer|quieter,city
wide,wider|broader,narrow,narrower,room
happy,happier|more cheerful,sad,sadder|unhappier,person
clever,cleverer|smarter|more intelligent,stupid,more stupid|dumber,person
fast,faster|quicker|speedier,slow,slower,software
high,higher|taller,low,lower,building
popular,more popular|better liked,unpopular,less popular,document
difficult,more difficult|harder,easy,easier|simpler,document
long,longer,short,shorter|briefer,event
important,more important,unimportant,less important,event
polite,more polite|more courteous,rude,ruder,person
dangerous,more dangerous,harmless,more harmless|less dangerous,animal
big,bigger|larger,small,smaller|tinier,animal
healthy,healthier,unhealthy,unhealthier|less healthy,food
spicy,spicier|hotter,mild,milder,food""".split("\n")]

# one meaning; its opposite; of what
OPPOSITES = [(_meanings(a)[0], _meanings(b)[0], c.split()) for a, b, c in (line.split(";") for line in """open;closed|shut;building room
full;empty|vacant;room building
clean|spotless;dirty|filthy|grubby;room goods device
expensive|costly|pricey;cheap|inexpensive|affordable;goods device food
new|brand-new;old|ancient;goods device building
broken|defective|out of order;working|intact|in order;device
fast|quick|speedy;slow|sluggish;software device
difficult|hard|tough;easy|simple|straightforward;document
long|lengthy;short|brief;document event
interesting|fascinating|exciting;boring|dull|tedious;document event
correct|right|accurate;wrong|incorrect|false;document
safe|secure;unsafe|dangerous|insecure;building software
online|up|available|reachable;offline|down|unavailable|unreachable;software
loud|noisy;quiet|silent|still;device room
warm|heated;cold|chilly|unheated;room food
delicious|tasty|very good;disgusting|awful|inedible;food
fresh;stale|spoiled|off;food
angry|furious|mad;calm|relaxed|peaceful;person
happy|glad|cheerful;sad|unhappy|miserable;person
rich|wealthy|well off;poor|penniless|broke;person
ill|sick|unwell;healthy|well|in good health;person
tired|exhausted|worn out;rested|wide awake;person
brave|courageous|fearless;cowardly|timid|fearful;person
honest|truthful|sincere;dishonest|lying|insincere;person
famous|well known|renowned;unknown|obscure;person
married|wed;single|unmarried;person
late|delayed|overdue;on time|punctual|early;person event
guilty;innocent|not to blame;person
tame|docile;wild|untamed;animal
dangerous|harmful;harmless|no danger to anyone;animal
dead|deceased|no longer alive;alive|living;person animal
large|big|huge|enormous;small|little|tiny;animal building city
free|free of charge|gratis;not free|paid;event software
paid|settled;unpaid|outstanding|still open;money
popular|well liked;unpopular|disliked;event person
lazy|idle;hard-working|diligent|industrious;person
complete|finished|done;incomplete|unfinished;document
useful|helpful;useless|worthless;document goods
bright|well lit;dark|gloomy;room
wet|soaked;dry;goods room
heavy;light|lightweight;goods
secret|confidential;public|open to everyone;document
encrypted;unencrypted|in plain text;data
visible;hidden|invisible;data""".split("\n"))]

# two ways round: what a is to b, what b is to a, of what kind both are
RELATIONS = [(a.split("|"), b.split("|"), kind) for a, b, kind in (line.split(";") for line in """{a} is north of {b}|{a} lies to the north of {b};{b} is south of {a}|{b} lies to the south of {a};city
{a} is west of {b}|{a} lies to the west of {b};{b} is east of {a}|to the east of {a} lies {b};city
{a} is above {b}|{a} hangs over {b};{b} is below {a}|{b} is underneath {a};goods
{a} is in front of {b}|{a} stands before {b};{b} is behind {a}|{b} stands at the back of {a};device
{a} is to the left of {b}|{a} stands left of {b};{b} is to the right of {a}|on the right of {a} is {b};goods
{a} is on top of {b}|{a} lies on {b};{b} is under {a}|{b} lies beneath {a};goods
{a} is a parent of {b}|{a} has a child named {b};{b} is a child of {a}|{b} is {a}'s child;person
{a} is the boss of {b}|{a} manages {b}|{a} is {b}'s supervisor;{b} works for {a}|{b} reports to {a}|{b} is managed by {a};person
{a} is an ancestor of {b};{b} descends from {a}|{b} is a descendant of {a};person
{a} arrived before {b}|{a} came earlier than {b}|{a} got there sooner than {b};{b} arrived after {a}|{b} came later than {a};person
{a} finished ahead of {b}|{a} came in before {b};{b} finished behind {a}|{b} came in after {a};person
{a} won against {b}|{a} was victorious over {b};{b} lost to {a}|{b} was beaten by {a};person
{a} takes place before {b}|{a} comes first, then {b}|{a} precedes {b};{b} takes place after {a}|{b} comes later than {a}|{b} follows {a};event
{a} depends on {b}|{a} needs {b} to work|{a} requires {b};{b} is needed by {a}|{b} is required by {a}|without {b}, {a} does not work;software
{a} replaced {b}|{a} took the place of {b}|{a} took over from {b};{b} was replaced by {a}|{b} made way for {a};software
{a} sends data to {b}|{a} passes its data on to {b};{b} gets its data from {a}|{b} receives data from {a};software
{a} caused {b}|{a} led to {b}|{a} brought about {b};{b} was caused by {a}|{b} resulted from {a}|the reason for {b} was {a};event
{a} contains {b}|{a} has {b} in it;{b} is part of {a}|{b} is included in {a};document
{a} was the teacher of {b}|{a} gave lessons to {b};{b} was a student of {a}|{b} was taught by {a}|{b} had lessons from {a};person
{a} owes money to {b}|{a} has debts with {b};{b} is owed money by {a}|{b} is waiting for money from {a};person
{a} eats {b}|{a} feeds on {b}|{a} preys on {b};{b} is eaten by {a}|{b} is food for {a};animal
{a} is sitting behind {b};{b} is sitting in front of {a};person
{a} earns more than {b}|{a} has a higher salary than {b};{b} earns less than {a}|{b} has a lower salary than {a};person
{a} succeeded {b}|{a} came after {b} in office;{b} preceded {a}|{b} came before {a} in office;person
{a} is the grandmother of {b}|{a} has a grandchild called {b};{b} is a grandchild of {a}|{b} has {a} as grandmother;person""".split("\n"))]

MORE_NAMES = """Adam Amelia Andrew Anita Arthur Beth Brian Camila Cecilia Colin Dora Edith Edward Ellen Esther Frank Fred George Gina Giulia Hans
Harry Heidi Henry Ines Isabel James Jane Jessica Joseph Judith Kate Klaus Leila Linda Louis Lucy Marco Margaret Mark Martin Mary Mina Monica Nadia Nora
Olga Pablo Patricia Paul Philip Rachel Ralph Raul Richard Robert Roger Rosa Ruth Samuel Sandra Sarah Stella Steven Susan Tanya Theo Tim Tina Ursula Vera
Vincent Walter William Yara Yusuf Zara Aisha Chen Dmitri Emeka Hiroshi Kofi Lakshmi Mei Nkechi Rashid Sanjay Svetlana Wei""".split()
PERSONS = sorted(set(words.NAMES + words.NAMES_HELD_OUT + MORE_NAMES))
SURNAMES = """Smith Jones Miller Brown Wilson Garcia Silva Santos Rossi Weber Fischer Novak Kim Lee Tanaka Singh Khan Ali Okafor Mensah Ivanov Petrov Dubois
Moreau Jansen Larsen Nielsen Costa Almeida Lopez Perez Schmidt Becker Murphy Kelly Cohen Haddad Nguyen Tran Park""".split()
CITIES = sorted(set(words.CITIES + words.CITIES_HELD_OUT))
RIVERS = "Thames Rhine Danube Seine Amazon Nile Volga Loire Elbe Tagus Ebro Po Mekong Ganges Indus Congo Niger Mississippi Vistula Douro Tiber Oder Yangtze Zambezi".split()
LANGUAGES = sorted(set(words.LANGUAGES + words.LANGUAGES_HELD_OUT + "Urdu Swahili Czech Hungarian Danish Hebrew Thai Vietnamese Romanian".split()))
COLORS = "red blue green yellow white black brown gray orange purple pink silver golden".split()
QUALITIES = "old new small big wooden broken heavy expensive second-hand light plastic empty famous local round narrow modern private public secret".split()
COMPANY_KINDS = "Bank Foods Motors Airlines Insurance Books Energy Software Logistics Furniture Pharma Media Telecom Textiles Robotics Farms Toys Hotels".split()
MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
WEATHER = _meanings("""rain|showers|rainy weather, snow|snowfall|snowy weather, sunshine|sunny weather|clear skies, fog|mist|foggy weather, strong wind|storms|stormy weather,
    thunder and lightning|thunderstorms, hail, frost|freezing weather|icy weather, clouds|cloudy weather|overcast skies, heat|very hot weather, drizzle|light rain""")
NUMBER_WORDS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
twenty""".split()
