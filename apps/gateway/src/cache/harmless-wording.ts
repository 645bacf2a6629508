/**
 * Wording that does not change what is asked. A table only grows by what is harmless whatever stands around it: a pair of words that mean
 * the same in most sentences has no place here.
 */

/** Ways to begin that come down to another, as words with a blank between. */
export interface Opening {
  readonly from: string;
  readonly to: string;
  /** Only where one of these follows. Absent: any word in lower case. */
  readonly before?: ReadonlySet<string>;
}

const words = (text: string): ReadonlySet<string> => new Set(text.split(/\s+/));

/** What somebody is asked to do in an imperative. */
const REQUESTS = words(
  'explain describe define tell give show list name write compose draft summarise translate compare classify rewrite correct help create generate suggest recommend convert calculate solve find make outline',
);

const QUESTION_WORDS = words(
  'what who whom whose which when where why how wer was wann wo warum wie welche welcher welches wohin woher wieso weshalb qui que quoi quel quelle quels quelles quand où pourquoi comment combien quién qué cuál cuáles cuándo dónde cómo cuánto cuántos cuántas',
);

/** What a question begins with in which no question word stands. */
const ASKING_VERBS = words(
  'is are was were do does did can could should shall will would may might must has have had am ist sind hat haben kann können darf muss soll wird est-ce',
);

/** Whoever begins with one of these asks, with or without a question mark. */
export function beginsQuestion(word: string | undefined): boolean {
  return word !== undefined && (QUESTION_WORDS.has(word) || ASKING_VERBS.has(word));
}

/** Where one of these follows, what stood before was only an approach. */
export function beginsSentence(word: string | undefined): boolean {
  return word !== undefined && (beginsQuestion(word) || REQUESTS.has(word) || word === 'please' || word === 'i');
}

export const GREETINGS = words('hi hello hey thanks hallo danke bonjour salut merci hola gracias');

const toNothing = (before: ReadonlySet<string>, ...froms: readonly string[]): Opening[] =>
  froms.map((from) => ({ from, to: '', before }));

/** Tried in this order, again and again until none fits. No way leads back, so that ends. */
export const OPENINGS: readonly Opening[] = [
  ...toNothing(
    REQUESTS,
    'please',
    'can you',
    'could you',
    'would you',
    'will you',
    'can you please',
    'could you please',
  ),
  ...toNothing(REQUESTS, 'would you please', 'i want you to', 'i would like you to', 'i need you to'),
  ...toNothing(QUESTION_WORDS, 'tell me', 'i want to know', 'i would like to know', 'can you tell me', 'do you know'),
  { from: 'how do i', to: 'how to' },
  { from: 'how can i', to: 'how to' },
  { from: 'what shall i', to: 'what should i' },
  { from: 'tell me something about', to: 'tell me about' },
  { from: 'explain to me', to: 'explain' },
  { from: 'help me to', to: 'help me' },
  { from: 'give me a list of', to: 'list' },
  { from: 'what is the definition of', to: 'define' },
  { from: 'give me a definition of', to: 'define' },
  { from: 'give me the definition of', to: 'define' },
  { from: 'what is the age of', to: 'how old is' },
  { from: 'write me', to: 'write', before: words('a an the some') },
  { from: 'which is the', to: 'what is the' },
  ...toNothing(words('erkläre beschreibe nenne schreibe gib zeige übersetze'), 'bitte'),
  { from: 'comment puis-je', to: 'comment' },
  { from: 'comment faire pour', to: 'comment' },
];

/** Behind "how do I" these ask how one is, and not for a way to do it: "how do I look?" is not "how to look". */
export const STATES = words('look feel seem sound smell taste rank compare score differ appear come measure die fare');

/** Said at the end, behind a comma. */
export const FAREWELLS: readonly string[] = ['please', 'thanks', 'thank you', 'bitte', 'danke', 'por favor', 'merci'];

/** Beginning and end that belong together, with anything between. */
export const FRAMES: readonly {
  readonly begin: string;
  readonly end: string;
  readonly to: readonly [string, string];
}[] = [
  { begin: 'how much does', end: 'cost', to: ['what does', 'cost'] },
  { begin: 'where is', end: 'located', to: ['where is', ''] },
  { begin: 'where are', end: 'located', to: ['where are', ''] },
  { begin: 'explain', end: 'to me', to: ['explain', ''] },
];

/** One word each, and another spelling of it. */
export const SPELLINGS: ReadonlyMap<string, string> = new Map(
  `color=colour colors=colours favorite=favourite favorites=favourites behavior=behaviour neighbor=neighbour neighbors=neighbours
  honor=honour labor=labour flavor=flavour harbor=harbour rumor=rumour center=centre theater=theatre liter=litre liters=litres gray=grey
  catalog=catalogue defense=defence traveling=travelling canceled=cancelled modeling=modelling aluminum=aluminium
  summarize=summarise organize=organise recognize=recognise analyze=analyse realize=realise optimize=optimise normalize=normalise
  visualize=visualise categorize=categorise customize=customise minimize=minimise maximize=maximise memorize=memorise
  organization=organisation optimization=optimisation okay=ok`
    .split(/\s+/)
    .map((pair) => pair.split('=') as [string, string]),
);

/** What is written as one word and said as two. Those that may stand for two things are not here. */
export const CONTRACTIONS: ReadonlyMap<string, string> = new Map(
  `don't=do not|doesn't=does not|didn't=did not|isn't=is not|aren't=are not|wasn't=was not|weren't=were not|can't=can not|cannot=can not
  |couldn't=could not|shouldn't=should not|wouldn't=would not|won't=will not|haven't=have not|hasn't=has not|hadn't=had not
  |mustn't=must not|i'm=i am|i've=i have|i'll=i will|you're=you are|we're=we are|they're=they are|you've=you have|we've=we have`
    .split('|')
    .map((pair) => pair.trim().split('=') as [string, string]),
);

/** Behind these, "'s" may be "is". */
export const BEFORE_IS = words('what where who when how why that there here it');
/** Before these it is, and can not be "has". */
export const AFTER_IS = words('the a an my your our his her its their this that these those it');

/** They say how many: with another word beside them, another number. */
export const QUANTITIES = words(
  'few little lot bit couple dozen score number pair half quarter third hundred thousand million billion other others only same one ones two three most least more less all first second last next',
);

/** Words that are another one with a capital; of others it is taken that a capital was only left out. */
export const ANOTHER_WITH_CAPITAL = words(
  `polish turkey china chile jordan chad guinea nice reading bath cork mobile tours lima java cologne champagne us it who aids
  may march august apple amazon oracle shell target windows word excel access python rust go ruby swift mercury jaguar bush rice brown
  green young rose hope faith grace mark bill bob jack frank will pat sue drew chase job lent god sie ihr ihnen earth moon sun bible
  lead orange pound mole catholic liberal republican democratic conservative green state`,
);
