"""Frames of everyday facts: prices, times, places, orders, software, weather, people.

A line is: name; slots and their kinds (see statements.value_of); ways to say it; ways to ask for it.
"""

from dataclasses import replace

import lexicon as lex
import templates as further
from statements import Meaning, Voice, _NUMERIC, _fill, another, finish, fresh, kept_back, say_value, templates, value_of, wrap

_LINES = """price; a=thing:goods n=money:2:900; {a} costs {n}|the price of {a} is {n}|you have to pay {n} for {a}|{a} is sold for {n}|{n} is what {a} costs|one can buy {a} for {n}|{a} has a price of {n}|{a} goes for {n}; how much is {a}?|what does {a} cost?|what is the price of {a}?|how expensive is {a}?
weight; a=thing:goods n=number:2:90; {a} weighs {n} kilograms|the weight of {a} is {n} kg|{a} has a weight of {n} kilos|{a} is {n} kilograms heavy|{n} kg is the weight of {a}; how heavy is {a}?|what does {a} weigh?|what is the weight of {a}?
age; a=person n=number:3:97; {a} is {n} years old|the age of {a} is {n}|{a} is aged {n}|{a} has reached the age of {n}|{a} was born {n} years ago|{a} has lived for {n} years|{n} is the age of {a}; how old is {a}?|what is {a}'s age?|which age is {a}?
height; a=person n=number:140:205; {a} is {n} centimetres tall|{a}'s height is {n} cm|{a} measures {n} centimetres|{a} has a height of {n} cm; how tall is {a}?|what is the height of {a}?
distance; a=city b=city n=number:20:4000; the distance between {a} and {b} is {n} kilometres|{a} is {n} km away from {b}|{a} and {b} are {n} kilometres apart|it is {n} km from {a} to {b}|from {b} to {a} one has to travel {n} kilometres|{n} kilometres separate {a} and {b}; how far is {a} from {b}?|what is the distance between {a} and {b}?
population; a=city n=number:3000:900000; {a} has {n} inhabitants|the population of {a} is {n}|{n} people live in {a}|{a} is home to {n} people|{a} counts {n} residents; how many people live in {a}?|what is the population of {a}?|how many inhabitants does {a} have?
temperature; a=city n=number:1:41 t=day; it is {n} degrees in {a} on {t}|the temperature in {a} on {t} is {n} degrees|on {t}, the thermometer shows {n} degrees in {a}|{a} has {n} degrees on {t}|{t} brings {n} degrees to {a}; how warm is it in {a} on {t}?|what is the temperature in {a} on {t}?
weather; a=city w=weather t=day; there will be {w} in {a} on {t}|the forecast for {a} on {t} is {w}|on {t}, {a} can expect {w}|they predict {w} for {a} on {t}|{w} is expected in {a} on {t}|in {a}, {t} comes with {w}; what will the weather be in {a} on {t}?|what is the forecast for {a} on {t}?
weather-now; a=city w=weather; there is {w} in {a} now|at the moment {a} has {w}|{w} is what people in {a} see right now|people in {a} currently have {w}|right now, {a} is having {w}; what is the weather like in {a}?|how is the weather in {a} now?
start; a=thing:event t=clock; {a} starts at {t}|{a} begins at {t}|the start of {a} is at {t}|at {t}, {a} will begin|{t} is when {a} starts|the beginning of {a} is set for {t}|{a} gets under way at {t}; when does {a} start?|at what time does {a} begin?
end; a=thing:event t=clock; {a} ends at {t}|{a} finishes at {t}|{a} is over at {t}|the end of {a} is at {t}|at {t}, {a} will be over|{a} lasts until {t}; when does {a} end?|until when does {a} last?
date; a=thing:event d=date; {a} is on {d}|{a} takes place on {d}|the date of {a} is {d}|{a} will be held on {d}|{d} is the day of {a}|{a} is scheduled for {d}; when is {a}?|on which day does {a} take place?|what is the date of {a}?
event-place; a=thing:event c=city; {a} takes place in {c}|{a} will be held in {c}|{c} is the place of {a}|{c} hosts {a}|the venue of {a} is in {c}|they hold {a} in {c}; where is {a} held?|where does {a} take place?|in which city is {a}?
duration; a=thing:event n=number:2:30; {a} lasts {n} hours|{a} takes {n} hours|the duration of {a} is {n} hours|{a} goes on for {n} hours|{n} hours is how long {a} lasts; how long does {a} last?|what is the duration of {a}?|how long is {a}?
deadline; a=thing:document d=date; {a} is due on {d}|the deadline for {a} is {d}|{a} must be finished by {d}|{a} has to be ready on {d}|{d} is the deadline of {a}|{a} needs to be done no later than {d}; when is {a} due?|what is the deadline for {a}?
train; a=city b=city t=clock; the train from {a} to {b} leaves at {t}|at {t} the train from {a} departs for {b}|the departure of the train from {a} to {b} is at {t}|the {t} train goes from {a} to {b}|to go from {a} to {b} take the train at {t}; when does the train from {a} to {b} leave?|at what time is the train from {a} to {b}?
flight; a=city b=city i=id; flight {i} goes from {a} to {b}|flight {i} leaves {a} and lands in {b}|the plane from {a} to {b} has the number {i}|{i} is the flight that takes you from {a} to {b}|with flight {i} one travels from {a} to {b}; which flight goes from {a} to {b}?|what is the number of the flight from {a} to {b}?
opening; a=thing:building t=clock; {a} opens at {t}|{a} opens its doors at {t}|the opening time of {a} is {t}|from {t} on, {a} is open|{a} is open from {t}; when does {a} open?|at what time does {a} open?
closing; a=thing:building t=clock; {a} closes at {t}|{a} shuts its doors at {t}|the closing time of {a} is {t}|after {t}, {a} is closed|{a} is open until {t}; when does {a} close?|until when is {a} open?
home; a=person c=city; {a} lives in {c}|{a}'s home is in {c}|{a} is a resident of {c}|{c} is where {a} lives|{a} has a flat in {c}|{a} resides in {c}|the home of {a} is {c}; where does {a} live?|in which city does {a} live?|what is {a}'s home town?
born; a=person c=city; {a} was born in {c}|{a} came into the world in {c}|{c} is the birthplace of {a}|{a}'s place of birth is {c}|{a} is a native of {c}; where was {a} born?|what is {a}'s birthplace?
born-year; a=person y=year; {a} was born in {y}|{a}'s year of birth is {y}|{y} is the year in which {a} was born|{a} came into the world in {y}|in {y}, {a} was born; when was {a} born?|in which year was {a} born?
move; a=person b=city c=city; {a} moved from {b} to {c}|{a} left {b} and settled in {c}|{a} used to live in {b} but now lives in {c}|{c} is the new home of {a}, who came from {b}|after {b}, {a} went to live in {c}; where did {a} move to from {b}?|from where did {a} move to {c}?
job; a=person j=bare:role; {a} is a {j}|{a} works as a {j}|{a}'s job is that of a {j}|{a} earns a living as a {j}|the profession of {a} is {j}|{a} is employed as a {j}; what does {a} do for a living?|what is {a}'s profession?|what is the job of {a}?
employer; a=person c=company; {a} works for {c}|{a} is employed by {c}|{c} employs {a}|{a} has a job at {c}|{c} is the employer of {a}|{a} is on the staff of {c}; who does {a} work for?|which company employs {a}?|where does {a} work?
founded; c=company y=year; {c} was founded in {y}|{c} was established in {y}|{c} has existed since {y}|the founding year of {c} is {y}|{y} saw the foundation of {c}|{c} came into being in {y}; when was {c} founded?|since when does {c} exist?
founder; c=company a=person; {c} was founded by {a}|{a} founded {c}|{a} is the founder of {c}|the founder of {c} is {a}|{a} started the company {c}|{c} goes back to {a}; who founded {c}?|who is the founder of {c}?
headquarters; c=company p=city; the headquarters of {c} are in {p}|{c} is based in {p}|{c} has its head office in {p}|{p} is the seat of {c}|the main office of {c} is located in {p}|{c} is headquartered in {p}; where is {c} based?|where are the headquarters of {c}?
employees; c=company n=number:5:9000; {c} has {n} employees|{n} people work for {c}|{c} employs {n} people|the staff of {c} numbers {n}|{c} has a workforce of {n}; how many people work for {c}?|how many employees does {c} have?
acquire; a=company b=company; {a} bought {b}|{a} acquired {b}|{b} was taken over by {a}|{b} now belongs to {a}|{a} is the new owner of {b}|{a} has taken over {b}|{b} was purchased by {a}; who bought {b}?|which company took over {b}?
profit; c=company n=money:10:900; {c} made a profit of {n}|the profit of {c} was {n}|{c} earned {n}|{n} is the gain that {c} reported|{c} closed the year with a gain of {n}; how much profit did {c} make?
boss; a=person c=company; {a} is the head of {c}|{a} leads {c}|{c} is led by {a}|the director of {c} is {a}|{a} is in charge of {c}|{a} runs {c}; who is the head of {c}?|who leads {c}?|who runs {c}?
speaks; a=person l=language; {a} speaks {l}|{a} knows {l}|{l} is a language that {a} speaks|{a} can talk in {l}|{a} has learned {l}|{a} is able to speak {l}; which language does {a} speak?|what language can {a} talk in?
likes; a=person h=bare:hobby; {a} likes {h}|{a} enjoys {h}|{h} is what {a} likes to do|{a} is fond of {h}|{a}'s hobby is {h}|{a} is keen on {h}|{h} is {a}'s favourite pastime; what does {a} like to do?|what is {a}'s hobby?
prefers; a=person x=bare:drink y=bare:fruit; {a} would rather have {x} than {y}|{a} prefers {x} to {y}|{a} likes {x} more than {y}|to {y}, {a} prefers {x}|{a} chooses {x} over {y}; what does {a} prefer to {y}?
prefers-drink; a=person x=bare:drink y=bare:drink; {a} prefers {x} to {y}|{a} likes {x} more than {y}|{a} would rather drink {x} than {y}|to {y}, {a} prefers {x}|{a} chooses {x} over {y}|{a} finds {x} better than {y}; what does {a} prefer to {y}?
drinks; a=person x=bare:drink; {a} drinks {x}|{x} is what {a} drinks|{a} has a glass of {x}|{a} is drinking {x}|{a} takes {x} to drink; what does {a} drink?
allergy; a=person x=bare:fruit; {a} is allergic to {x}|{a} has an allergy to {x}|{a} cannot eat {x} because of an allergy|{x} make {a} ill|{a} does not tolerate {x}|an allergy keeps {a} from eating {x}; what is {a} allergic to?|which food does {a} not tolerate?
illness; a=person x=bare:illness; {a} has a {x}|{a} suffers from a {x}|{a} is ill with a {x}|{a} complains of a {x}|a {x} troubles {a}|the doctor says that {a} has a {x}; what is wrong with {a}?|what does {a} suffer from?
studies; a=person s=bare:subject; {a} studies {s}|{a} is a student of {s}|{a} takes lessons in {s}|{s} is the subject that {a} studies|{a} is learning {s}|{a} attends classes in {s}; what does {a} study?|which subject does {a} learn?
teaches; a=person s=bare:subject; {a} teaches {s}|{a} gives lessons in {s}|{a} is a teacher of {s}|{s} is taught by {a}|{a} holds classes in {s}|pupils learn {s} from {a}; what does {a} teach?|which subject does {a} give lessons in?
children; a=person n=number:1:9; {a} has {n} children|{a} is a parent of {n}|the number of {a}'s children is {n}|{a} raised {n} kids|there are {n} kids in {a}'s family; how many children does {a} have?
siblings; a=person n=number:1:9; {a} has {n} brothers and sisters|{a} has {n} siblings|the number of {a}'s siblings is {n}|{a} grew up with {n} siblings; how many siblings does {a} have?
pet; a=person x=bare:animal; {a} has a {x}|{a} owns a {x}|{a} keeps a {x} as a pet|{a}'s pet is a {x}|a {x} lives with {a}|there is a {x} in {a}'s home; which pet does {a} have?|what animal does {a} keep?
owner; a=person o=thing:goods; {o} belongs to {a}|{a} owns {o}|{a} is the owner of {o}|the owner of {o} is {a}|{o} is the property of {a}|{o} is owned by {a}; who owns {o}?|to whom does {o} belong?|whose is {o}?
place; o=thing:goods r=thing:room; {o} is in {r}|you can find {o} in {r}|{r} is where {o} is|{o} is kept in {r}|in {r} there is {o}|{o} stands in {r}; where is {o}?|where can I find {o}?|where do you keep {o}?
animal-place; a=thing:animal r=thing:room; {a} sleeps in {r}|{a} spends the night in {r}|{r} is where {a} sleeps|the sleeping place of {a} is in {r}|at night {a} lies in {r}; where does {a} sleep?
color; o=thing:goods c=color; {o} is {c}|the color of {o} is {c}|{o} has a {c} color|{c} is the colour of {o}|{o} comes in {c}|somebody painted {o} {c}; what color is {o}?|which colour does {o} have?
broken-part; o=thing:device p=bare:part; the {p} of {o} is broken|{o} has a defective {p}|there is a problem with the {p} of {o}|{o} needs a new {p}|the {p} of {o} does not work|what is broken in {o} is the {p}; what is broken in {o}?|what is wrong with {o}?
river; r=river c=city; the {r} flows through {c}|{c} lies on the {r}|{c} is a town on the {r}|the river that crosses {c} is the {r}|{c} stands on the banks of the {r}; which river flows through {c}?|on which river does {c} lie?
building-height; b=thing:building n=number:8:500; {b} is {n} metres high|the height of {b} is {n} metres|{b} rises {n} metres|{b} has a height of {n} m|{n} metres is how high {b} is; how high is {b}?|what is the height of {b}?
built-year; b=thing:building y=year; {b} was built in {y}|{b} dates from {y}|the construction of {b} was finished in {y}|they built {b} in {y}|{b} has stood here since {y}|{y} is the year {b} was built; when was {b} built?|how old is {b}?|from which year is {b}?
floor; a=person n=number:1:20; {a} lives on floor {n}|{a}'s flat is on floor {n}|to visit {a} go to floor {n}|floor {n} is where {a} lives; on which floor does {a} live?
room-number; a=person n=number:100:999; {a} is in room {n}|room {n} is {a}'s|{a} stays in room number {n}|you will find {a} in room {n}|the room of {a} has the number {n}; which room is {a} in?|what is the number of {a}'s room?
phone; a=person n=number:10000:99999; {a}'s phone number is {n}|you can reach {a} at {n}|call {n} to speak with {a}|the telephone number of {a} is {n}|{a} can be called under {n}; what is {a}'s phone number?|how can I call {a}?
order-status; i=id s=status; order {i} {s}|the order with the number {i} {s}|your order {i} {s}|concerning order {i}: it {s}|the goods of order {i}: the order {s}; what is the status of order {i}?|where is order {i}?|how is order {i} getting on?
order-items; i=id n=number:2:60; order {i} has {n} items|there are {n} articles in order {i}|{n} things were ordered under number {i}|order {i} consists of {n} pieces|the number of items in order {i} is {n}; how many items are in order {i}?
order-date; i=id d=date; order {i} will arrive on {d}|the delivery of order {i} is on {d}|you will receive order {i} on {d}|{d} is the day on which order {i} is delivered|order {i} is expected on {d}; when does order {i} arrive?|when will I get order {i}?
customer; i=id a=person; order {i} was placed by {a}|{a} placed order {i}|the customer of order {i} is {a}|{a} is the one who made order {i}|order {i} is {a}'s|order {i} comes from {a}; who placed order {i}?|whose is order {i}?
invoice; i=id n=money:10:5000; invoice {i} is for {n}|the amount of invoice {i} is {n}|invoice {i} comes to {n}|{n} has to be paid for invoice {i}|the total of invoice {i} is {n}|invoice {i} asks for {n}; what is the amount of invoice {i}?|how much is invoice {i}?
invoice-due; i=id d=date; invoice {i} is due on {d}|invoice {i} has to be paid by {d}|the due date of invoice {i} is {d}|{d} is the last day to pay invoice {i}|payment of invoice {i} is expected by {d}; when is invoice {i} due?|until when must invoice {i} be paid?
refund; a=person n=money:5:900; {a} got a refund of {n}|{n} were refunded to {a}|we paid {n} back to {a}|{a} received {n} back|{a} was given {n} back; how much money did {a} get back?|what refund did {a} get?
owes; a=person b=person n=money:5:900; {a} owes {b} {n}|{a} has to pay {n} to {b}|{b} is owed {n} by {a}|{b} is to get {n} from {a}|{a} is in debt to {b} for {n}|{a}'s debt to {b} is {n}; how much does {a} owe {b}?|how much is {b} to get from {a}?
paid; a=person b=person n=money:5:900; {a} paid {b} {n}|{a} paid {n} to {b}|{b} received {n} from {a}|{b} got {n} from {a}|{n} went from {a} to {b}|{n} was paid to {b} by {a}; how much did {a} pay {b}?
salary; a=person n=money:800:9000; {a} earns {n} a month|{a}'s monthly salary is {n}|{a} is paid {n} per month|every month {a} gets {n}|the monthly pay of {a} is {n}; how much does {a} earn?|what is {a}'s salary?
discount; o=thing:goods n=number:5:80; {o} is {n} percent off|there is a discount of {n}% on {o}|{o} is reduced by {n} percent|you save {n}% on {o}|the price of {o} was cut by {n} percent; what is the discount on {o}?|how much is {o} reduced?
stock; o=bare:goods n=number:2:900; there are {n} of the {o} in stock|we have {n} of the {o} left|our stock of the {o} is {n}|{n} of the {o} are available|the {o} is in stock {n} times; how many of the {o} are in stock?|how many of the {o} do we have?
warranty; o=thing:device n=number:2:12; {o} has a warranty of {n} years|the guarantee of {o} lasts {n} years|{o} is guaranteed for {n} years|the warranty on {o} ends after {n} years; how long is the warranty of {o}?
port; s=thing:software n=number:80:65000; {s} listens on port {n}|{s} uses port {n}|port {n} is used by {s}|{s} can be reached on port {n}|the port of {s} is {n}|connect to {s} through port {n}; on which port does {s} listen?|what is the port of {s}?
memory; s=thing:software n=number:2:512; {s} needs {n} gigabytes of memory|{s} requires {n} GB of RAM|the memory use of {s} is {n} GB|{n} gigabytes of RAM are used by {s}|{s} takes up {n} GB of memory; how much memory does {s} need?|how much RAM does {s} use?
version; s=thing:software n=number:2:99; {s} is at version {n}|the version of {s} is {n}|{s} runs in version {n}|we use version {n} of {s}|version {n} of {s} is installed; which version of {s} do we use?|what version is {s}?
language-of; s=thing:software l=proglang; {s} is written in {l}|{s} was programmed in {l}|{l} is the language of {s}|the code of {s} is {l}|they used {l} to write {s}; in which language is {s} written?|what is {s} written in?
error-code; s=thing:software n=number:400:599; {s} answers with error {n}|{s} returns status {n}|error {n} comes from {s}|we get error code {n} from {s}|the error of {s} has the code {n}; which error does {s} return?|what status does {s} answer with?
latency; s=thing:software n=number:2:900; {s} answers within {n} milliseconds|the response time of {s} is {n} ms|{s} takes {n} milliseconds to answer|{s} has a latency of {n} ms|a reply of {s} comes after {n} ms; how quickly does {s} answer?|what is the latency of {s}?
users; s=thing:software n=number:10:90000; {s} has {n} users|{n} people use {s}|{s} is used by {n} people|the number of users of {s} is {n}|{s} counts {n} users; how many people use {s}?
limit; s=thing:software n=number:5:5000; {s} allows {n} requests per minute|the limit of {s} is {n} requests a minute|you can send {s} up to {n} requests a minute|{s} takes no more than {n} requests per minute; how many requests does {s} allow per minute?|what is the rate limit of {s}?
restart-time; s=thing:software t=clock; {s} restarts at {t}|{s} is restarted at {t}|the restart of {s} is at {t}|at {t}, {s} is rebooted|we reboot {s} at {t}; when does {s} restart?
backup; s=thing:software d=day; a backup of {s} is made on {d}|{s} is backed up every {d}|every {d} we make a backup of {s}|{d} is the day when {s} gets backed up|{s} has its backup on {d}; when is {s} backed up?
maintainer; s=thing:software a=person; {a} maintains {s}|{s} is maintained by {a}|{a} is the maintainer of {s}|{a} is responsible for {s}|the person responsible for {s} is {a}|{a} looks after {s}; who maintains {s}?|who is responsible for {s}?
author; d=thing:document a=person; {d} was written by {a}|{a} wrote {d}|{a} is the author of {d}|the author of {d} is {a}|{d} is a work of {a}|{d} comes from the pen of {a}; who wrote {d}?|who is the author of {d}?
pages; d=thing:document n=number:3:900; {d} has {n} pages|{d} is {n} pages long|there are {n} pages in {d}|the length of {d} is {n} pages|{d} consists of {n} pages; how many pages does {d} have?|how long is {d}?
topic; d=thing:document s=bare:subject; {d} is about {s}|{d} deals with {s}|the subject of {d} is {s}|{s} is the topic of {d}|{d} treats {s}|{d} covers {s}; what is {d} about?|what is the topic of {d}?
language-doc; d=thing:document l=language; {d} is in {l}|{d} is written in {l}|the language of {d} is {l}|{l} is the language in which {d} was written|they wrote {d} in {l}; in which language is {d}?
score; a=company b=city n=number:2:9; {a} won by {n} points in {b}|in {b}, {a} was {n} points ahead at the end|the lead of {a} in {b} was {n} points at the end|{a} came out {n} points ahead in {b}; by how many points did {a} win in {b}?
count; n=number:2:99 x=bare:animal r=thing:building; there are {n} of the {x} kind in {r}|{r} holds {n} of the {x} kind|{n} of the {x} kind are in {r}|in {r} you can count {n} of the {x} kind|the number of the {x} kind in {r} is {n}; how many of the {x} kind are in {r}?
people-room; e=thing:event n=number:5:900; {n} people came to {e}|{e} had {n} visitors|{e} was attended by {n} people|there were {n} people at {e}|the number of guests at {e} was {n}; how many people came to {e}?
recipe; f=thing:food n=number:2:90; {f} has to cook for {n} minutes|cook {f} for {n} minutes|{f} needs {n} minutes on the stove|{f} is ready after {n} minutes|the cooking time of {f} is {n} minutes; how long does {f} have to cook?
ingredient; f=thing:food x=bare:fruit; {f} is made with {x}|{f} contains {x}|there are {x} in {f}|you need {x} for {f}|{x} are an ingredient of {f}|one makes {f} from {x}; what is in {f}?|what is {f} made with?
speed; a=thing:animal n=number:5:110; {a} can run {n} kilometres an hour|the top speed of {a} is {n} km/h|{a} reaches {n} km/h|{n} kilometres an hour is the top speed of {a}; how fast is {a}?|what is the top speed of {a}?
animal-age; a=thing:animal n=number:2:60; {a} is {n} years old|the age of {a} is {n} years|{a} was born {n} years ago|{a} has lived for {n} years; how old is {a}?
weekly; a=person h=bare:hobby d=day; {a} goes {h} on {d}|on {d}, {a} spends the evening with {h}|{d} is the day when {a} does {h}|every {d}, {a} is busy with {h}|{h} is what {a} does on {d}; what does {a} do on {d}?
appointment; a=person j=bare:role d=day t=clock; {a} has an appointment with the {j} on {d} at {t}|{a} sees the {j} on {d} at {t}|the {j} expects {a} on {d} at {t}|on {d} at {t}, {a} has to be at the {j}'s|{a}'s visit to the {j} is on {d} at {t}; when does {a} see the {j}?|when is {a}'s appointment with the {j}?
wake; a=person t=clock; {a} gets up at {t}|{a} rises at {t}|at {t}, {a} gets out of bed|{t} is when {a} gets up|{a}'s day begins at {t}; when does {a} get up?|at what time does {a} rise?
capital; p=capital; the capital of {p.0} is {p.1}|{p.1} is the capital of {p.0}|{p.0} has {p.1} as its capital|{p.0}'s capital is {p.1}|the seat of government of {p.0} is {p.1}|{p.1} is where the government of {p.0} sits; what is the capital of {p.0}?|which city is the capital of {p.0}?|which is {p.0}'s capital city?"""

STATUSES = [tuple(text.split("|")) for text in """has been shipped|was sent out|is on its way|has left the warehouse
has been delivered|has arrived|was received by the customer
has been cancelled|was called off|will not be carried out
is waiting for payment|has not been paid yet|is still unpaid
is being packed|is being prepared|is in the packing room
is delayed|is late|will come later than planned
was returned|was sent back|came back to us
is lost|cannot be found|went missing""".split("\n")]
PROGRAMMING_LANGUAGES = "Python Rust TypeScript Java Ruby Kotlin Swift Perl Haskell Elixir Scala Lua Fortran Cobol Erlang".split()

_NOT_TRUE = ["it is not true that {s}", "it is false that {s}", "it is not the case that {s}", "it is wrong that {s}", "it's a mistake to think that {s}", "nobody can say that {s}", "contrary to what is said, it is not so that {s}"]
_NEGATED = [(" is ", " is not "), (" is ", " isn't "), (" are ", " are not "), (" was ", " was not "), (" were ", " were not "), (" has to ", " does not have to "), (" will ", " will not "), (" can ", " cannot "),
            (" has ", " does not have "), (" costs ", " does not cost "), (" lives ", " does not live "), (" works ", " does not work "), (" likes ", " does not like "), (" starts ", " does not start "), (" owns ", " does not own "),
            (" speaks ", " does not speak "), (" begins ", " does not begin "), (" needs ", " does not need "), (" uses ", " does not use "), (" ends ", " does not end ")]


class Measure:
    def __init__(self, line):
        name, slots, ways, questions = (part.strip() for part in line.split(";", 3))
        self.name = name
        self.kinds = dict(part.split("=") for part in slots.split())
        self.ways, self.questions = ways.split("|"), questions.split("|")
        # Whole kinds of statement that training never shows.
        self.held_out = kept_back(name, 8)
        self.same = [(x, y) for x in self.kinds for y in self.kinds if x < y and self.kinds[x] == self.kinds[y]]

    def _value(self, rng, kind, held_out):
        if kind == "status":
            return "bare", rng.choice(STATUSES)
        if kind == "proglang":
            return "name", rng.choice(PROGRAMMING_LANGUAGES)
        if kind == "capital":
            return "pair", rng.choice(_CAPITALS[held_out])
        return value_of(rng, kind, held_out)

    def _other(self, rng, kind, value, held_out):
        if kind not in ("status", "proglang", "capital"):
            return another(rng, kind, value, held_out)
        return fresh(lambda: self._value(rng, kind, held_out), lambda other: other != value)

    def sample(self, rng, held_out):
        slots = {}
        for name, kind in self.kinds.items():
            slots[name] = fresh(lambda: self._value(rng, kind, held_out), lambda value: value not in slots.values())
        asked = rng.random() < 0.12 and len(self.questions) > 1 and self.name != "capital"
        return Meaning(self, slots, asked or rng.random() < 0.88, ("?",) if asked else ())

    def variants(self, meaning, rng, held_out):
        slots, asked = meaning.slots, bool(meaning.extra)
        said = [name for name in slots if not asked or all("{" + name + "}" in question for question in self.questions)]
        if not asked:
            yield "negation", replace(meaning, positive=not meaning.positive)
        for x, y in self.same:
            if self.name not in ("distance",) and {x, y} <= set(said):
                for _ in range(2):
                    yield "swap", meaning.with_slot(x, slots[y]).with_slot(y, slots[x])
        for name in said:
            if slots[name][0] == "pair":
                country, city = slots[name][1]
                other = self._other(rng, "capital", slots[name], held_out)[1]
                yield "name", meaning.with_slot(name, ("pair", rng.choice([(country, other[1]), (other[0], city)])))
                continue
            other = fresh(lambda: self._other(rng, self.kinds[name], slots[name], held_out), lambda other: other not in slots.values())
            yield "number" if slots[name][0] in _NUMERIC else "name", meaning.with_slot(name, other)

    def say(self, meaning, voice):
        rng, slots = voice.rng, meaning.slots
        side = voice.held_out and not self.held_out  # Of an unknown frame every template is unknown.
        if meaning.extra:
            return finish(rng, self._words(rng.choice(templates(self.questions, side)), slots, voice))
        if meaning.positive:
            return wrap(voice, self._words(rng.choice(templates(self.ways, side)), slots, voice), ())
        for _ in range(6):
            way = rng.choice(templates(self.ways, side))
            fitting = [(old, new) for old, new in _NEGATED if old in way]
            if fitting and rng.random() < 0.8:
                return finish(rng, self._words(way.replace(*rng.choice(fitting), 1), slots, voice))
        return finish(rng, rng.choice(templates(_NOT_TRUE, voice.held_out, further.NOT_TRUE)).format(s=self._words(rng.choice(templates(self.ways, side)), slots, voice)))

    def question(self, meaning, voice):
        return finish(voice.rng, self._words(voice.rng.choice(templates(self.questions, voice.held_out and not self.held_out)), meaning.slots, voice))

    def _words(self, way, slots, voice):
        if "p" in slots and slots["p"][0] == "pair":
            return way.replace("{p.0}", slots["p"][1][0]).replace("{p.1}", slots["p"][1][1])
        text = _fill(voice, way, {name: (lambda _, name=name: say_value(voice, name, slots[name])) for name in slots})
        return text.replace(" a a", " an a").replace(" a e", " an e").replace(" a i", " an i").replace(" a o", " an o") if " a {" in way else text


def _capitals():
    pairs = list(lex.facts.CAPITALS.items())
    return {side: [pair for pair in pairs if kept_back(pair[0], 5) == side] for side in (False, True)}


_CAPITALS = _capitals()
MEASURES = [Measure(line) for line in _LINES.split("\n")]
