"""Tools to call: their definitions, the questions that need them, their results and the sentence that uses a result.

Names, parameter names and descriptions vary from example to example, and values are mostly made up, so that the model
has to read the definition and copy from the question instead of remembering either.
"""

import json

import words

ADJ_CONDITIONS = ["sunny", "cloudy", "rainy", "windy", "foggy", "snowy", "clear", "stormy", "partly cloudy", "hazy"]
STATUSES = ["shipped", "delivered", "on its way", "being packed", "cancelled", "waiting for payment", "delayed", "ready"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "tomorrow", "today"]
MONTHS = "January February March April May June July August September October November December".split()


def _date(rng):
    style = rng.random()
    if style < 0.45:
        return f"{rng.randint(2024, 2031)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
    if style < 0.75:
        return rng.choice(DAYS)
    return f"{rng.choice(MONTHS)} {rng.randint(1, 28)}"


def _clock(rng):
    return f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"


def _number(rng):
    style = rng.random()
    if style < 0.5:
        return rng.randint(1, 999)
    if style < 0.8:
        return rng.choice([5, 10, 20, 25, 50, 75, 100, 150, 200, 250, 500, 1000, 2500])
    return round(rng.uniform(1, 999), rng.choice([1, 2]))


def _symbol(rng):
    return "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(rng.choice([3, 4, 4, 4, 2, 5])))


def _currency(rng, held, other=None):
    while True:
        code = rng.choice(words.CURRENCIES_HELD_OUT if held else words.CURRENCIES) if rng.random() < 0.8 else _symbol(rng)[:3]
        if code != other:
            return code


def _language(rng, held):
    return rng.choice(words.LANGUAGES_HELD_OUT if held else words.LANGUAGES)


def _convert_values(rng, held):
    source = _currency(rng, held)
    return {"amount": _number(rng), "from": source, "to": _currency(rng, held, source)}


def _pick(rng, *forms):
    """A result as JSON or as bare text."""
    form = rng.choice(forms)
    return form if isinstance(form, str) else json.dumps(form, ensure_ascii=False)


def _weather_result(rng, v):
    degrees, sky = rng.randint(-12, 42), rng.choice(ADJ_CONDITIONS)
    temperature = rng.choice(["temperature", "temp", "temperature_c", "degrees"])
    condition = rng.choice(["condition", "conditions", "sky", "weather", "description"])
    fields = {temperature: degrees, condition: sky}
    if rng.random() < 0.3:
        fields = {condition: sky, temperature: degrees}
    if rng.random() < 0.35:
        fields = {"city": v["city"], **fields}
    if rng.random() < 0.2:
        fields["humidity"] = rng.randint(10, 99)
    if rng.random() < 0.2:
        fields["unit"] = rng.choice(["celsius", "C"])
    return _pick(rng, fields, fields, fields, f"{degrees} degrees, {sky}", f"{sky}, {degrees} °C"), f"It is {degrees} degrees and {sky} in {v['city']}."


def _time_result(rng, v):
    clock = _clock(rng)
    return _pick(rng, {"time": clock}, {"city": v["city"], "time": clock}, {"local_time": clock}, clock), f"It is {clock} in {v['city']}."


def _search_result(rng, v):
    title = words.phrase(rng, 2, 4)
    url = f"https://{words.made_up(rng)}.com"
    return _pick(rng, {"results": [{"title": title, "url": url}]}, {"results": [{"title": title}]}, [{"title": title, "url": url}], {"title": title}, title), f"I found this: {title}."


def _convert_result(rng, v):
    value = round(rng.uniform(1, 5000), 2)
    return _pick(rng, {"result": value}, {"amount": value, "currency": v["to"]}, {"converted": value}, str(value)), f"{v['amount']} {v['from']} is {value} {v['to']}."


def _done(rng):
    return _pick(rng, {"status": "ok"}, {"status": "done"}, {"success": True}, "ok", "done", {"ok": True}, {"status": "created", "id": words.identifier(rng)})


def _stock_result(rng, v):
    price = round(rng.uniform(2, 900), 2)
    return _pick(rng, {"price": price}, {"symbol": v["symbol"], "price": price}, {"price": price, "currency": "USD"}, str(price)), f"The price of {v['symbol']} is {price}."


def _order_result(rng, v):
    status = rng.choice(STATUSES)
    return _pick(rng, {"status": status}, {"order_id": v["order"], "status": status}, status), f"Order {v['order']} is {status}."


def _news_result(rng, v):
    headline = words.phrase(rng, 2, 5)
    return _pick(rng, {"headline": headline}, {"headlines": [headline]}, headline), f"The news: {headline}."


def _route_result(rng, v):
    distance = rng.randint(3, 4000)
    return _pick(rng, {"distance_km": distance}, {"distance": distance, "unit": "km"}, f"{distance} km"), f"From {v['from']} to {v['to']} it is {distance} km."


def _user_result(rng, v):
    address = words.email(rng, False)
    return _pick(rng, {"email": address}, {"name": v["name"], "email": address}, address), f"The e-mail address of {v['name']} is {address}."


def _translate_result(rng, v):
    text = " ".join(words.made_up(rng) for _ in range(rng.randint(1, 3)))
    return _pick(rng, {"translation": text}, {"text": text}, text), f"In {v['language']} that is: {text}."


# role: (type, parameter names to choose from, description)
# questions: trained, then held out. Roles in braces are copied values.
SPECS = {
    "get_weather": dict(
        names=["get_weather", "get_weather", "get_current_weather", "weather"],
        about=["Get the weather of a city", "Get the current weather in a given city", "Returns the weather for a place", "Current weather"],
        roles={"city": ("string", ["city", "city", "location", "place"], ["The city", "City name", "The city to look up, e.g. Paris", "Name of the place"])},
        trained=["What is the weather in {city}?", "What's the weather like in {city}?", "How is the weather in {city}?", "weather in {city}", "Tell me the weather in {city}.", "Is it raining in {city}?", "What is the weather like in {city} today?", "How warm is it in {city}?", "What's the weather in {city} right now?", "Como está o tempo em {city}?", "Will it rain in {city}?", "Is it cold in {city}?", "Should I take a coat in {city}?", "Check the weather in {city}.", "I am going to {city}. How is the weather?", "weather {city}"],
        held=["Could you check the weather in {city}?", "What is the temperature in {city}?", "Give me the weather for {city}, please.", "Do I need an umbrella in {city}?"],
        values=lambda rng, held: {"city": words.city(rng, held)},
        result=_weather_result,
    ),
    "get_time": dict(
        names=["get_time", "get_time", "get_current_time", "local_time"],
        about=["Get the time in a city", "Get the current local time of a place", "Returns the local time", "Current time of a city"],
        roles={"city": ("string", ["city", "city", "location", "place"], ["The city", "City name", "Where"])},
        trained=["What time is it in {city}?", "What is the time in {city}?", "Tell me the time in {city}.", "time in {city}", "What's the local time in {city}?", "What time is it now in {city}?", "Que horas são em {city}?", "What hour is it in {city}?", "Check the time in {city}.", "I want to know the time in {city}.", "Is it late in {city}?"],
        held=["Could you tell me what time it is in {city}?", "How late is it in {city}?", "I need the current time in {city}."],
        values=lambda rng, held: {"city": words.city(rng, held)},
        result=_time_result,
    ),
    "search_web": dict(
        names=["search_web", "search_web", "web_search", "search"],
        about=["Search the web", "Search the internet for a query", "Finds web pages", "Web search"],
        roles={"query": ("string", ["query", "query", "q", "text"], ["The search query", "What to search for", "Query"])},
        trained=["Search the web for {query}.", "Search for {query}", "Find pages about {query}.", "Search the internet for {query}", "Look up {query} on the web.", "Please search for {query}.", "Do a web search for {query}", "Find something about {query} on the web.", "Search online: {query}", "I want to read about {query}, search the web."],
        held=["Can you search online for {query}?", "Run a web search about {query}.", "Find {query} on the internet."],
        values=lambda rng, held: {"query": words.phrase(rng, 1, 5)},
        result=_search_result,
    ),
    "send_email": dict(
        names=["send_email", "send_email", "send_mail", "email"],
        about=["Send an e-mail", "Send an email to somebody", "Sends an email message", "Writes an e-mail"],
        roles={
            "to": ("string", ["to", "to", "recipient", "address"], ["The recipient", "E-mail address", "Who receives it"]),
            "subject": ("string", ["subject", "subject", "title"], ["The subject", "Subject line"]),
        },
        trained=["Send an email to {to} with the subject \"{subject}\".", "Send an e-mail to {to} about {subject}.", "Email {to} with subject \"{subject}\"", "Write an email to {to} with the subject {subject}.", "Please send {to} an email about {subject}.", "Mail {to}, subject \"{subject}\".", "Send a mail to {to}, the subject is \"{subject}\".", "Send {to} an email titled \"{subject}\"."],
        held=["Could you email {to} about {subject}?", "I want to send an email to {to}, subject: \"{subject}\".", "Send {to} a mail titled \"{subject}\"."],
        values=lambda rng, held: {"to": words.email(rng, held) if rng.random() < 0.6 else words.person(rng, held), "subject": words.phrase(rng, 1, 4)},
        result=lambda rng, v: (_done(rng), f"The e-mail to {v['to']} was sent."),
    ),
    "convert_currency": dict(
        names=["convert_currency", "convert_currency", "currency_converter", "exchange"],
        about=["Convert an amount of money", "Convert money from one currency to another", "Currency conversion"],
        roles={
            "amount": ("number", ["amount", "amount", "value"], ["The amount", "How much"]),
            "from": ("string", ["from", "from_currency", "source"], ["Source currency", "Currency code to convert from"]),
            "to": ("string", ["to", "to_currency", "target"], ["Target currency", "Currency code to convert to"]),
        },
        trained=["Convert {amount} {from} to {to}.", "How much is {amount} {from} in {to}?", "What is {amount} {from} in {to}?", "convert {amount} {from} into {to}", "Change {amount} {from} to {to}", "{amount} {from} to {to}", "How many {to} are {amount} {from}?", "What do I get in {to} for {amount} {from}?", "I have {amount} {from} and want {to}."],
        held=["I have {amount} {from}. How much is that in {to}?", "How many {to} do I get for {amount} {from}?", "Please exchange {amount} {from} into {to}."],
        values=_convert_values,
        result=_convert_result,
    ),
    "set_timer": dict(
        names=["set_timer", "set_timer", "start_timer", "timer"],
        about=["Set a timer", "Start a timer", "Starts a countdown"],
        roles={"minutes": ("integer", ["minutes", "minutes", "duration_minutes"], ["Minutes", "How long, in minutes"])},
        trained=["Set a timer for {minutes} minutes.", "Start a timer for {minutes} minutes", "Set a {minutes} minute timer.", "timer {minutes} minutes", "Please set a timer of {minutes} minutes.", "Count down {minutes} minutes."],
        held=["Can you start a {minutes} minute timer?", "I need a timer for {minutes} minutes.", "Wake me in {minutes} minutes with a timer."],
        values=lambda rng, held: {"minutes": rng.randint(2, 180)},
        result=lambda rng, v: (_done(rng), f"The timer is set for {v['minutes']} minutes."),
    ),
    "translate_text": dict(
        names=["translate_text", "translate_text", "translate", "translation"],
        about=["Translate a text", "Translate text into another language", "Translates text"],
        roles={
            "text": ("string", ["text", "text", "input"], ["The text", "Text to translate"]),
            "language": ("string", ["language", "target_language", "to"], ["Target language", "The language to translate to"]),
        },
        trained=["Translate \"{text}\" to {language}.", "Translate \"{text}\" into {language}", "How do you say \"{text}\" in {language}?", "Please translate \"{text}\" into {language}.", "I want \"{text}\" in {language}.", "Translate to {language}: {text}", "What is \"{text}\" in {language}?"],
        held=["Could you translate \"{text}\" to {language}?", "Say \"{text}\" in {language}.", "I need \"{text}\" translated into {language}."],
        values=lambda rng, held: {"text": words.phrase(rng, 1, 5), "language": _language(rng, held)},
        result=_translate_result,
    ),
    "get_stock_price": dict(
        names=["get_stock_price", "get_stock_price", "stock_price", "get_quote"],
        about=["Get the price of a stock", "Get the current stock price of a company", "Returns a stock quote"],
        roles={"symbol": ("string", ["symbol", "symbol", "ticker"], ["The stock symbol", "Ticker symbol"])},
        trained=["What is the stock price of {symbol}?", "What's the price of {symbol}?", "Get the stock price of {symbol}.", "stock price {symbol}", "How much does {symbol} stock cost?", "What is {symbol} trading at?", "Show me the share price of {symbol}."],
        held=["Could you look up the stock price of {symbol}?", "How is {symbol} stock doing?", "I want to know the price of {symbol} shares."],
        values=lambda rng, held: {"symbol": _symbol(rng) if rng.random() < 0.75 else words.made_up(rng, held).capitalize()},
        result=_stock_result,
    ),
    "create_event": dict(
        names=["create_event", "create_event", "add_event", "create_calendar_event"],
        about=["Create a calendar event", "Add an event to the calendar", "Creates an appointment"],
        roles={
            "title": ("string", ["title", "title", "name", "summary"], ["The title", "Title of the event"]),
            "date": ("string", ["date", "date", "day", "when"], ["The date", "Day of the event"]),
        },
        trained=["Create an event \"{title}\" on {date}.", "Create an event called \"{title}\" for {date}", "Add \"{title}\" to my calendar on {date}.", "Put \"{title}\" in my calendar for {date}.", "Schedule \"{title}\" for {date}", "New event: {title}, {date}", "There is \"{title}\" on {date}, schedule it.", "Make an event \"{title}\" for {date}.", "Plan an event named \"{title}\" on {date}."],
        held=["Could you schedule \"{title}\" on {date}?", "I have \"{title}\" on {date}, please add it to the calendar.", "Make a calendar event named \"{title}\" for {date}."],
        values=lambda rng, held: {"title": words.phrase(rng, 1, 4), "date": _date(rng)},
        result=lambda rng, v: (_done(rng), f"The event \"{v['title']}\" is in your calendar for {v['date']}."),
    ),
    "play_music": dict(
        names=["play_music", "play_song", "play"],
        about=["Play a song", "Play music", "Plays a song or an artist"],
        roles={"song": ("string", ["song", "song", "title", "query"], ["The song", "What to play"])},
        trained=["Play \"{song}\".", "Play the song \"{song}\"", "Please play {song}.", "Put on the song {song}.", "I want to hear \"{song}\"."],
        held=["Can you play \"{song}\" for me?", "Start the song \"{song}\".", "Let me listen to \"{song}\"."],
        values=lambda rng, held: {"song": words.phrase(rng, 1, 4)},
        result=lambda rng, v: (_done(rng), f"Now playing: {v['song']}."),
    ),
    "get_order_status": dict(
        names=["get_order_status", "order_status", "track_order"],
        about=["Get the status of an order", "Look up an order", "Tracks an order"],
        roles={"order": ("string", ["order_id", "order", "id", "number"], ["The order number", "Order id"])},
        trained=["Where is my order {order}?", "What is the status of order {order}?", "Track order {order}.", "Check the order {order}", "order status {order}", "Has order {order} been shipped?"],
        held=["Could you check where order {order} is?", "I am waiting for order {order}, what is its status?", "Look up my order {order}."],
        values=lambda rng, held: {"order": words.identifier(rng)},
        result=_order_result,
    ),
    "book_table": dict(
        names=["book_table", "reserve_table", "book_restaurant"],
        about=["Book a table at a restaurant", "Reserve a table", "Makes a restaurant reservation"],
        roles={
            "restaurant": ("string", ["restaurant", "restaurant", "name"], ["The restaurant", "Name of the restaurant"]),
            "people": ("integer", ["people", "guests", "party_size"], ["How many people", "Number of guests"]),
        },
        trained=["Book a table for {people} at {restaurant}.", "Reserve a table at {restaurant} for {people} people.", "I want a table for {people} at {restaurant}", "Please book {restaurant} for {people} people.", "Table for {people} at {restaurant}, please.", "We are {people} people, book a table at {restaurant}.", "Get a table for {people} people at {restaurant}."],
        held=["Could you reserve a table for {people} at {restaurant}?", "We are {people} people and want to eat at {restaurant}, book a table.", "Get us a table at {restaurant} for {people}."],
        values=lambda rng, held: {"restaurant": words.person(rng, held), "people": rng.randint(2, 14)},
        result=lambda rng, v: (_done(rng), f"The table for {v['people']} at {v['restaurant']} is booked."),
    ),
    "add_note": dict(
        names=["add_note", "create_note", "save_note"],
        about=["Save a note", "Add a note", "Creates a note with a text"],
        roles={"text": ("string", ["text", "text", "note", "content"], ["The text", "Text of the note"])},
        trained=["Make a note: {text}", "Note down \"{text}\".", "Save a note that says \"{text}\".", "Add a note: {text}", "Please note: {text}", "Create a note with the text \"{text}\"."],
        held=["Could you save the note \"{text}\"?", "Write down this note: {text}", "New note saying \"{text}\"."],
        values=lambda rng, held: {"text": words.phrase(rng, 1, 6)},
        result=lambda rng, v: (_done(rng), f"The note is saved: {v['text']}."),
    ),
    "send_message": dict(
        names=["send_message", "send_sms", "message"],
        about=["Send a text message", "Send a message to a person", "Sends an SMS"],
        roles={
            "to": ("string", ["to", "to", "recipient", "name"], ["The recipient", "Who receives it"]),
            "text": ("string", ["text", "message", "body"], ["The text", "What to say"]),
        },
        trained=["Send {to} the message \"{text}\".", "Text {to}: {text}", "Send a message to {to} saying \"{text}\".", "Send a message to {to}: {text}", "Message {to} \"{text}\".", "Write to {to}: {text}", "Send \"{text}\" to {to}.", "Text \"{text}\" to {to}"],
        held=["Could you text {to} \"{text}\"?", "Let {to} know by message: {text}", "Write {to} a message: \"{text}\"."],
        values=lambda rng, held: {"to": words.person(rng, held), "text": words.phrase(rng, 1, 5)},
        result=lambda rng, v: (_done(rng), f"The message to {v['to']} was sent."),
    ),
    "get_news": dict(
        names=["get_news", "news", "latest_news"],
        about=["Get the latest news", "Get news about a topic", "Returns headlines"],
        roles={"topic": ("string", ["topic", "topic", "subject", "query"], ["The topic", "What the news is about"])},
        trained=["What is the news about {topic}?", "Any news about {topic}?", "Get the latest news about {topic}.", "Show me news on {topic}", "news about {topic}", "What are the headlines about {topic}?", "What is new about {topic}?", "I want the news on {topic}."],
        held=["Is there anything new about {topic} in the news?", "Give me the newest headlines on {topic}.", "Read me the news about {topic}."],
        values=lambda rng, held: {"topic": words.phrase(rng, 1, 3) if rng.random() < 0.6 else words.city(rng, held)},
        result=_news_result,
    ),
    "set_light": dict(
        names=["set_light", "switch_light", "control_light"],
        about=["Switch a light on or off", "Turn the light of a room on or off", "Controls lights"],
        roles={
            "room": ("string", ["room", "room", "place"], ["The room", "Which room"]),
            "on": ("boolean", ["on", "on", "state", "enabled"], ["True to switch on", "On or off"]),
        },
        trained=["Turn {switch} the light in the {room}.", "Switch {switch} the {room} light.", "Turn the {room} light {switch}", "Light {switch} in the {room}, please.", "Switch the light in the {room} {switch}."],
        held=["Could you turn {switch} the lights in the {room}?", "Please put the light in the {room} {switch}.", "I want the {room} light {switch}."],
        values=lambda rng, held: {"room": rng.choice(words.ROOMS) if rng.random() < 0.6 else rng.choice(words.NOUNS), "on": rng.random() < 0.5},
        result=lambda rng, v: (_done(rng), f"The light in the {v['room']} is {'on' if v['on'] else 'off'}."),
    ),
    "find_route": dict(
        names=["find_route", "get_directions", "get_route"],
        about=["Find the way between two places", "Get directions", "Finds a route from one city to another"],
        roles={
            "from": ("string", ["from", "origin", "start"], ["Where the trip begins", "Start"]),
            "to": ("string", ["to", "destination", "end"], ["Where the trip ends", "Destination"]),
        },
        trained=["How do I get from {from} to {to}?", "Find a route from {from} to {to}.", "Directions from {from} to {to}", "How far is it from {from} to {to}?", "Show the way from {from} to {to}.", "I want to go from {from} to {to}.", "What is the way from {from} to {to}?", "Find directions from {from} to {to}."],
        held=["I am going from {from} to {to}. What is the route?", "Can you find the way from {from} to {to}?", "Route from {from} to {to}, please."],
        values=lambda rng, held: {"from": words.city(rng, held), "to": words.city(rng, held)},
        result=_route_result,
    ),
    "find_user": dict(
        names=["find_user", "get_user", "lookup_contact"],
        about=["Find a user by name", "Look up a contact", "Returns the e-mail address of a user"],
        roles={"name": ("string", ["name", "name", "user", "username"], ["The name", "Name of the user"])},
        trained=["Find the user {name}.", "Look up the user {name}", "What is the email address of {name}?", "Who is the user {name}?", "Get the contact {name}.", "Find {name} in the contacts", "What is {name}'s email?", "Show the contact {name}.", "I am looking for the user {name}."],
        held=["Could you look up {name} in the contacts?", "I need the email of {name}.", "Search the user named {name}."],
        values=lambda rng, held: {"name": words.person(rng, held)},
        result=_user_result,
    ),
}

_VERBS = "delete cancel update open close archive publish approve reject restart export check print renew pause inspect".split()
_NOUNS = "invoice ticket server user job report document backup contract device project task account session booking room".split()
_HELD_OUT_PAIRS = {("delete", "ticket"), ("restart", "server"), ("export", "report"), ("renew", "contract"), ("close", "account"), ("print", "document"), ("cancel", "job"), ("inspect", "device")}


class Tool:
    """One definition as a client would send it, with the questions that need it."""

    def __init__(self, kind, definition, parameters, held_out=False):
        self.kind, self.definition, self.parameters, self.held_out = kind, definition, parameters, held_out
        self.name = definition["function"]["name"]

    def ask(self, rng, held_out):
        """-> question, arguments, tool result, final answer"""
        if self.kind == "generic":
            return self._ask_generic(rng, held_out)
        spec = SPECS[self.kind]
        values = spec["values"](rng, held_out)
        shown = {**values, "switch": "on" if values.get("on") else "off"}
        question = rng.choice(spec["held" if held_out else "trained"]).format(**shown)
        arguments = {self.parameters[role]: values[role] for role in spec["roles"]}
        if rng.random() < 0.06:
            message = rng.choice(["not found", "timeout", "service unavailable", "invalid argument", words.phrase(rng, 1, 3)])
            result = json.dumps({"error": message}, ensure_ascii=False)
            answer = f"The tool reported an error: {message}."
        else:
            result, answer = spec["result"](rng, values)
        return question, arguments, result, answer

    def _ask_generic(self, rng, held_out):
        verb, noun = self.name.split("_")
        value = words.identifier(rng) if rng.random() < 0.6 else words.person(rng, held_out)
        trained = [f"{verb.capitalize()} the {noun} {value}.", f"{verb} {noun} {value}", f"Please {verb} the {noun} {value}.", f"I want to {verb} the {noun} {value}", f"{verb.capitalize()} {noun} {value}.", f"{verb.capitalize()} the {noun} called {value}.", f"The {noun} {value}: {verb} it.", f"I have to {verb} {noun} {value}."]
        held = [f"Could you {verb} {noun} {value}?", f"Can you please {verb} the {noun} {value}?", f"We need to {verb} the {noun} {value}."]
        answer = rng.choice(["done", "ok", "pending", "failed", "finished"])
        result = _pick(rng, {"result": answer}, {"status": answer}, answer)
        return rng.choice(held if held_out else trained), {self.parameters["id"]: value}, result, f"The result for the {noun} {value} is: {answer}."


def _definition(rng, name, about, properties):
    function = {"name": name, "description": about + rng.choice(["", ".", "."])}
    parameters = {"type": "object", "properties": properties}
    if rng.random() < 0.8:
        parameters["required"] = list(properties)
    if rng.random() < 0.1:
        parameters["additionalProperties"] = False
    function["parameters"] = parameters
    if rng.random() < 0.06:
        function["strict"] = True
    return {"type": "function", "function": function}


def make_tool(rng, kind, held_out=False):
    if kind == "generic":
        while True:
            verb, noun = rng.choice(_VERBS), rng.choice(_NOUNS)
            if ((verb, noun) in _HELD_OUT_PAIRS) == held_out:
                break
        parameter = rng.choice(["id", f"{noun}_id", "name", noun])
        article = "an" if noun[0] in "aeiou" else "a"
        properties = {parameter: {"type": "string"}}
        about = rng.choice([f"{verb.capitalize()} {article} {noun}", f"{verb.capitalize()} the given {noun}"])
        return Tool(kind, _definition(rng, f"{verb}_{noun}", about, properties), {"id": parameter})
    spec = SPECS[kind]
    properties, parameters = {}, {}
    describe = rng.random() < 0.5
    for role, (value_type, names, descriptions) in spec["roles"].items():
        free = [name for name in names if name not in properties]
        name = rng.choice(free)
        parameters[role] = name
        properties[name] = {"type": value_type}
        if describe:
            properties[name]["description"] = rng.choice(descriptions)
    return Tool(kind, _definition(rng, rng.choice(spec["names"]), rng.choice(spec["about"]), properties), parameters)


def make_tools(rng, count, held_out=False):
    """Different tools with different names."""
    kinds = rng.sample(list(SPECS), min(count, len(SPECS)))
    tools = []
    for kind in kinds:
        tool = make_tool(rng, "generic" if rng.random() < 0.2 else kind, held_out)
        if tool.name not in {other.name for other in tools}:
            tools.append(tool)
    return tools
