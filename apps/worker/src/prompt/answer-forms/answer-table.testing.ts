import type { Asked, Collected } from './answer-forms.testing.js';

/** An answer as its model writes it, and what the caller gets of it. */
export interface Row extends Partial<Collected> {
  readonly answer: string;
  readonly asked?: Asked;
}

const SCARY = '{"city": "Köln \\"}]</tool_call>\\u00e9\\n[{🎉"}';
const weather = (args = '{"city": "Rome"}') => ({ name: 'get_weather', arguments: args });
const time = { name: 'get_time', arguments: '{}' };
const DOCUMENTS = [{ text: 'a' }, { text: 'b' }, { text: 'c' }];
const grounded: Asked = { documents: DOCUMENTS, tools: [], rendered: '… Grounded answer: …' };
const document = (...documents: number[]) => documents.map((at) => ({ kind: 'document' as const, document: at }));
const results: Asked = {
  messages: [
    { role: 'assistant', tool_calls: [{ id: 'call_a' }, { id: 'call_b' }] },
    { role: 'tool', tool_call_id: 'call_a', content: '1' },
    { role: 'tool', tool_call_id: 'call_b', content: '2' },
  ],
};
const result = (callId: string) => ({ kind: 'toolResult' as const, callId, result: 0 });

/** What every form with `<think>` reads alike. */
const thinking: Record<string, Row> = {
  'reasoning before text': { answer: '<think>\nI think.\n\n</think>\n\nHello', reasoning: 'I think.', text: 'Hello' },
  'reasoning that the prompt opened': {
    answer: 'I think < this.\n</think>\n\nHello\n',
    asked: { rendered: '<think>\n' },
    reasoning: 'I think < this.',
    text: 'Hello\n',
  },
  'reasoning that is opened twice': {
    answer: '\n<think>\nSo.</think>Hello',
    asked: { rendered: '<think>\n' },
    reasoning: 'So.',
    text: 'Hello',
  },
  'a mark that opens reasoning, within the reasoning': {
    answer: 'a<think>b</think>c',
    asked: { rendered: '<think>\n' },
    reasoning: 'a<think>b',
    text: 'c',
  },
  'empty reasoning': { answer: '<think>\n\n</think>\n\nHello', text: 'Hello' },
  'reasoning that never ends': { answer: '<think>\nI think. <tool', reasoning: 'I think. <tool' },
  'no reasoning where the prompt closed it': {
    answer: '\n\nHello',
    asked: { rendered: '<think>\n\n</think>\n\n' },
    text: '\n\nHello',
  },
  'a tag of reasoning in the midst of text': { answer: 'Write <think>a</think>.', text: 'Write <think>a</think>.' },
};

const plain: Record<string, Row> = {
  text: { answer: '  Hello <b>you</b>, {"a": [1]} 🎉\n', text: '  Hello <b>you</b>, {"a": [1]} 🎉\n' },
  'an empty answer': { answer: '' },
  'blanks only': { answer: ' \n ', text: ' \n ' },
};

const tagged: Record<string, Row> = {
  ...plain,
  ...thinking,
  'one call': {
    answer: '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>',
    calls: [weather()],
  },
  'escapes and marks in arguments': {
    answer: `<tool_call>\n{"name": "get_weather", "arguments": ${SCARY}}\n</tool_call>`,
    calls: [weather(SCARY)],
  },
  'parallel calls behind text and reasoning': {
    answer:
      '<think>\nHm.\n</think>\n\nLet me look.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>\n<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>\n',
    reasoning: 'Hm.',
    text: 'Let me look.',
    calls: [weather(), time],
  },
  'text behind a call': {
    answer: 'One\n<tool_call>{"name":"get_time","arguments":{}}</tool_call> two',
    text: 'One two',
    calls: [time],
  },
  'a call whose arguments come first': {
    answer: '<tool_call>{"id": 7, "arguments": {"city": "Rome"}, "name": "get_weather"}</tool_call>',
    calls: [weather()],
  },
  'arguments within a string': {
    answer: '<tool_call>{"name": "get_weather", "arguments": "{\\"city\\": \\"R\\\\\\"\\u00e9\\"}"}</tool_call>',
    calls: [weather('{"city": "R\\"é"}')],
  },
  'a call without arguments': { answer: '<tool_call>{"name": "get_time"}</tool_call>', calls: [time] },
  'a call that is never closed': { answer: '<tool_call>{"name": "get_time", "arguments": {}}', calls: [time] },
  'a call that is cut off in its arguments': {
    answer: '<tool_call>{"name": "get_weather", "arguments": {"city": "Ro',
    calls: [weather('{"city": "Ro')],
  },
  'a call that is cut off behind its name': {
    answer: 'Hi <tool_call>{"name": "get_weather", "argu',
    text: 'Hi',
    calls: [weather('')],
  },
  'a call that is cut off in its name': {
    answer: 'Hi <tool_call>{"name": "get_we',
    text: 'Hi <tool_call>{"name": "get_we',
  },
  'a mark that is none': { answer: 'Use <tool_ca> or <tool_call> tags.', text: 'Use <tool_ca> or <tool_call> tags.' },
  'a call of a tool that nobody offers': {
    answer: '<tool_call>{"name": "rm", "arguments": {}}</tool_call>',
    text: '<tool_call>{"name": "rm", "arguments": {}}</tool_call>',
  },
  'what looks like a call where there are no tools': {
    answer: '<tool_call>{"name": "get_time", "arguments": {}}</tool_call>',
    asked: { tools: [] },
    text: '<tool_call>{"name": "get_time", "arguments": {}}</tool_call>',
  },
  'one call where there may be one': {
    answer:
      '<tool_call>{"name":"get_time","arguments":{}}</tool_call><tool_call>{"name":"get_time","arguments":{}}</tool_call>',
    asked: { parallelCalls: false },
    text: '<tool_call>{"name":"get_time","arguments":{}}</tool_call>',
    calls: [time],
  },
};

const action = (...items: string[]) => `Action:\n\`\`\`json\n[\n${items.join(',\n')}\n]\`\`\``;
const actionItem = (name: string, args: string) =>
  `    {\n        "tool_name": "${name}",\n        "parameters": ${args}\n    }`;

const r7b = (...items: string[]) => `<|START_ACTION|>[\n${items.join(',\n')}\n]<|END_ACTION|>`;
const r7bItem = (at: number, name: string, args: string) =>
  `    {"tool_call_id": "${at}", "tool_name": "${name}", "parameters": ${args}}`;

const coder = (name: string, parameters: Record<string, string>) =>
  `<tool_call>\n<function=${name}>\n${Object.entries(parameters)
    .map(([key, value]) => `<parameter=${key}>\n${value}\n</parameter>\n`)
    .join('')}</function>\n</tool_call>`;

const SINGLE = '<｜tool▁call▁begin｜>';
const deepseek = (...items: string[]) =>
  `<｜tool▁calls▁begin｜>${items.map((item) => `${SINGLE}${item}<｜tool▁call▁end｜>`).join('\n')}<｜tool▁calls▁end｜>`;
const fenced = (name: string, args: string) => `function<｜tool▁sep｜>${name}\n\`\`\`json\n${args}\n\`\`\``;

/** Answers by the template that asks for them. */
export const TABLES: Record<string, Record<string, Row>> = {
  'hermes, in a template with <think> and <tool_call>': tagged,
  'generic, in a template without anything': tagged,
  'qwen3-coder, <tool_call> <function= <parameter= </think>': {
    ...plain,
    ...thinking,
    'one call': { answer: coder('get_weather', { city: 'Rome' }), calls: [weather()] },
    'escapes and marks in arguments': {
      answer: coder('get_weather', { city: 'Kö\\n "x" 🎉\n\n</para <b>\n</parameter', days: '3' }),
      calls: [weather('{"city": "Kö\\\\n \\"x\\" 🎉\\n\\n</para <b>\\n</parameter", "days": 3}')],
    },
    'values that are no JSON, and JSON with marks': {
      answer: coder('get_weather', { days: 'many', a: 'None', b: '["</parameter>\\\\", {"x": 1}]', city: '' }),
      calls: [weather('{"days": "many", "a": null, "b": ["</parameter>\\\\", {"x": 1}], "city": ""}')],
    },
    'parallel calls behind text': {
      answer: `Look.\n${coder('get_weather', { city: 'Rome' })}\n${coder('get_time', {})}\n`,
      text: 'Look.',
      calls: [weather(), time],
    },
    'a call without line ends': {
      answer: '<tool_call><function=get_weather><parameter=city>Rome</parameter></function></tool_call>',
      calls: [weather()],
    },
    'a call without its first tag': {
      answer: 'So <function=get_weather>\n<parameter=city>\nRome\n</parameter>\n</function>\n</tool_call>',
      text: 'So',
      calls: [weather()],
    },
    'a call that is cut off': {
      answer: '<tool_call>\n<function=get_weather>\n<parameter=city>\nRo',
      calls: [weather('{"city": "Ro')],
    },
    'a call that is cut off behind a parameter': {
      answer: '<tool_call>\n<function=get_weather>\n<parameter=city>\nRome\n</parameter>\n',
      calls: [weather()],
    },
    'marks that are none': {
      answer: '<tool_call> <function=rm>\n</function> <function=x',
      text: '<tool_call> <function=rm>\n</function> <function=x',
    },
  },
  'llama, <|start_header_id|> ipython': {
    ...plain,
    ...thinking,
    'one call': { answer: '{"name": "get_weather", "parameters": {"city": "Rome"}}', calls: [weather()] },
    'a call behind blanks, with its type': {
      answer: '\n{"type": "function", "name": "get_weather", "parameters": {"city": "Rome"}}\n',
      calls: [weather()],
    },
    'a call behind <|python_tag|>': {
      answer: '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Rome"}}',
      calls: [weather()],
    },
    'escapes and marks in arguments': {
      answer: `{"name": "get_weather", "parameters": ${SCARY}}`,
      calls: [weather(SCARY)],
    },
    'parallel calls': {
      answer:
        'Look:\n{"name": "get_time", "parameters": {}}; {"name": "get_weather", "parameters": {"city": "Rome"}}\n{"name": "get_time", "parameters": {}}',
      text: 'Look:',
      calls: [time, weather(), time],
    },
    'a call of Python': {
      answer: '<|python_tag|>get_weather.call(city="R\\"o, me", days=3, more=True)',
      calls: [weather('{"city": "R\\"o, me", "days": 3, "more": true}')],
    },
    'a call with a tag': {
      answer: 'So: <function=get_weather>{"city": "Rome"}</function>',
      text: 'So:',
      calls: [weather()],
    },
    'JSON that is no call': {
      answer: '{"name": "Rome", "parameters": {"a": 1}}',
      text: '{"name": "Rome", "parameters": {"a": 1}}',
    },
    'JSON that begins like a call': { answer: '{"name": "get_weathers"}', text: '{"name": "get_weathers"}' },
    'JSON in the midst of a line': {
      answer: 'As {"name": "get_time", "parameters": {}}',
      text: 'As {"name": "get_time", "parameters": {}}',
    },
    'code that is no call': { answer: '<|python_tag|>print(1)', text: '<|python_tag|>print(1)' },
    'Python that is no call': {
      answer: '<|python_tag|>get_time.call(a, b)',
      text: '<|python_tag|>get_time.call(a, b)',
    },
  },
  'mistral, [TOOL_CALLS] as a list': {
    ...plain,
    ...thinking,
    'one call': {
      answer: '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Rome"}, "id": "123456789"}]',
      calls: [weather()],
    },
    'escapes and marks in arguments': {
      answer: `[TOOL_CALLS] [{"name": "get_weather", "arguments": ${SCARY}}]`,
      calls: [weather(SCARY)],
    },
    'parallel calls behind text': {
      answer:
        'Well.[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Rome"}}, {"name": "get_time", "arguments": {}, "id": "abcdefghi"}]',
      text: 'Well.',
      calls: [weather(), time],
    },
    'reasoning of Magistral': {
      answer: '[THINK]Hm, [THIN.[/THINK]Hello',
      reasoning: 'Hm, [THIN.',
      text: 'Hello',
    },
    'a mark that is none': {
      answer: 'See [TOOLS] and [TOOL_CALLS] there.',
      text: 'See [TOOLS] and [TOOL_CALLS] there.',
    },
    'a list that breaks off': {
      answer: '[TOOL_CALLS][{"name": "get_time", "arguments": {}}, nothing]',
      text: 'nothing]',
      calls: [time],
    },
  },
  'mistral, [TOOL_CALLS] with [CALL_ID] and [ARGS]': {
    'one call': { answer: '[TOOL_CALLS]get_weather[ARGS]{"city": "Rome"}', calls: [weather()] },
    'parallel calls with ids': {
      answer:
        'Well.[TOOL_CALLS]get_weather[CALL_ID]123456789[ARGS]{"city": "Rome"}[TOOL_CALLS]get_time[CALL_ID]abcdefghi[ARGS]{}',
      text: 'Well.',
      calls: [weather(), time],
    },
    'a call that is cut off': { answer: '[TOOL_CALLS]get_weather[ARGS]', calls: [weather('')] },
    'a call of a tool that nobody offers': { answer: '[TOOL_CALLS]rm[ARGS]{}', text: '[TOOL_CALLS]rm[ARGS]{}' },
  },
  'deepseek with fences, <｜tool▁calls▁begin｜> and ```json': {
    ...plain,
    ...thinking,
    'one call': { answer: deepseek(fenced('get_weather', '{"city": "Rome"}')), calls: [weather()] },
    'escapes and marks in arguments': { answer: deepseek(fenced('get_weather', SCARY)), calls: [weather(SCARY)] },
    'parallel calls behind reasoning and text': {
      answer: `<think>\nHm.</think>\n\nLook:\n${deepseek(fenced('get_weather', '{"city": "Rome"}'), fenced('get_time', '{}'))}`,
      reasoning: 'Hm.',
      text: 'Look:',
      calls: [weather(), time],
    },
    'a call without the mark around all': {
      answer: `${SINGLE}function<｜tool▁sep｜>get_time\n\`\`\`json\n{}\n\`\`\`<｜tool▁call▁end｜>`,
      calls: [time],
    },
    'a call of a tool that nobody offers': { answer: deepseek(fenced('rm', '{}')), text: deepseek(fenced('rm', '{}')) },
    'a mark that is none': { answer: 'A <｜tool▁calls▁begin｜> mark', text: 'A <｜tool▁calls▁begin｜> mark' },
  },
  'deepseek, <｜tool▁calls▁begin｜> bare': {
    'one call': { answer: deepseek('get_weather<｜tool▁sep｜>{"city": "Rome"}'), calls: [weather()] },
    'parallel calls': {
      answer: deepseek('get_weather<｜tool▁sep｜>{"city": "Rome"}', 'get_time<｜tool▁sep｜>{}'),
      calls: [weather(), time],
    },
  },
  'gpt-oss, <|channel|>analysis<|message|> <|channel|>final': {
    ...plain,
    'an answer behind reasoning': {
      answer:
        '<|channel|>analysis<|message|>I\nthink <|en.<|end|><|start|>assistant<|channel|>final<|message|>Hello <|you|>!<|return|>',
      reasoning: 'I\nthink <|en.',
      text: 'Hello <|you|>!',
    },
    'an answer with a constraint': {
      answer: '<|channel|>final <|constrain|>json<|message|>{"a": 1}',
      text: '{"a": 1}',
    },
    'reasoning in two parts': {
      answer:
        '<|channel|>analysis<|message|>One.<|end|><|start|>assistant<|channel|>analysis<|message|> Two.<|end|><|start|>assistant<|channel|>final<|message|>Hello',
      reasoning: 'One.\n\nTwo.',
      text: 'Hello',
    },
    'a call behind reasoning and a word': {
      answer:
        '<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>Let me look.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Rome"}<|call|>',
      reasoning: 'Hm.',
      text: 'Let me look.',
      calls: [weather()],
    },
    'a call whose receiver comes first': {
      answer: ' to=functions.get_weather<|channel|>commentary json<|message|>{"city": "Rome"}',
      calls: [weather()],
    },
    'a call on the channel of reasoning': {
      answer: '<|channel|>analysis to=functions.get_time<|message|>{}',
      calls: [time],
    },
    'escapes and marks in arguments': {
      answer: `<|start|>assistant to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>${SCARY}`,
      calls: [weather(SCARY)],
    },
    'a call of a tool that nobody offers': {
      answer: '<|channel|>commentary to=functions.rm<|message|>{}',
      text: '<|channel|>commentary to=functions.rm<|message|>{}',
    },
    'reasoning that never ends': { answer: '<|channel|>analysis<|message|>I think', reasoning: 'I think' },
  },
  'command-r, <|CHATBOT_TOKEN|>': {
    ...plain,
    'one call': { answer: action(actionItem('get_weather', '{"city": "Rome"}')), calls: [weather()] },
    'escapes and marks in arguments': { answer: action(actionItem('get_weather', SCARY)), calls: [weather(SCARY)] },
    'parallel calls behind text': {
      answer: `I will look.\n${action(actionItem('get_weather', '{"city": "Rome"}'), actionItem('get_time', '{}'))}\n`,
      text: 'I will look.',
      calls: [weather(), time],
    },
    'the tool that means none': { answer: action(actionItem('directly_answer', '{}')) },
    'the other tool that means none': { answer: `${action(actionItem('directly-answer', '{}'))}\nHi`, text: 'Hi' },
    'the word Action': { answer: 'Action: run.\nAction:\n```js', text: 'Action: run.\nAction:\n```js' },
    'a grounded answer that is written twice': {
      answer:
        'Relevant Documents: 0,2\nCited Documents: 0\nAnswer: Köln 🎉 is a city in Germany.\nGrounded answer: <co: 0>Köln 🎉</co: 0> is a <co: 0,2>city</co: 0,2> in Germany.',
      asked: grounded,
      text: 'Köln 🎉 is a city in Germany.',
      citations: [
        { start: 0, end: 6, sources: document(0) },
        { start: 12, end: 16, sources: document(0, 2) },
      ],
    },
    'a grounded answer that differs': {
      answer:
        'Relevant Documents: 0\nCited Documents: 0\nAnswer: Rome is big and old.\nGrounded answer: Rome is very big and <co: 0>old</co: 0>, <co: 1>isn’t it</co: 1>?',
      asked: grounded,
      text: 'Rome is big and old.',
      citations: [{ start: 16, end: 19, sources: document(0) }],
    },
    'a grounded answer that is written once': {
      answer: 'Relevant Documents: None\nCited Documents: None\nGrounded answer: <co: 1>Rome</co: 1> is old.\n',
      asked: grounded,
      text: 'Rome is old.\n',
      citations: [{ start: 0, end: 4, sources: document(1) }],
    },
    'a grounded answer without headings': {
      answer: 'It is <co: 1>old</co: 1>, <co>so</co: x> <co: 9>said</co: 9>.',
      asked: grounded,
      text: 'It is old, so</co: x> said.',
      citations: [{ start: 6, end: 9, sources: document(1) }],
    },
    'headings in an answer that has no documents': {
      answer: 'Answer: 4\nGrounded answer: <co: 0>4</co: 0>',
      text: 'Answer: 4\nGrounded answer: <co: 0>4</co: 0>',
    },
    'citations of results': {
      answer: '<co: 1>Rome</co: 1> is old.',
      asked: results,
      text: 'Rome is old.',
      citations: [{ start: 0, end: 4, sources: [result('call_b')] }],
    },
  },
  'command-r7b, <|START_ACTION|> <|END_ACTION|> <|START_THINKING|>': {
    ...plain,
    'a response': { answer: '<|START_RESPONSE|>Hello <|END_R<|END_RESPONSE|>', text: 'Hello <|END_R' },
    'reasoning and one call': {
      answer: `<|START_THINKING|>I plan.<|END_THINKING|>${r7b(r7bItem(0, 'get_weather', '{"city": "Rome"}'))}`,
      reasoning: 'I plan.',
      calls: [weather()],
    },
    'escapes and marks in arguments': { answer: r7b(r7bItem(0, 'get_weather', SCARY)), calls: [weather(SCARY)] },
    'parallel calls': {
      answer: r7b(r7bItem(0, 'get_weather', '{"city": "Rome"}'), r7bItem(1, 'get_time', '{}')),
      calls: [weather(), time],
    },
    'citations of documents': {
      answer: '<|START_RESPONSE|>Ré <co>🎉 x</co: 0:[0,2]> and <co>y</co: 3:[0]>.<|END_RESPONSE|>',
      asked: { documents: DOCUMENTS, tools: [] },
      text: 'Ré 🎉 x and y.',
      citations: [{ start: 3, end: 6, sources: document(0, 2) }],
    },
    'citations of results, also in what is thought': {
      answer: '<|START_THINKING|>So <co>it</co: 0:[0]> is.<|END_THINKING|><|START_RESPONSE|><co>y</co: 0:[0],1:[0]>',
      asked: results,
      reasoning: 'So it is.',
      text: 'y',
      citations: [{ start: 0, end: 1, sources: [result('call_a'), result('call_b')] }],
    },
    'citations where there is nothing to cite': { answer: '<co>y</co: 0:[0]>', text: '<co>y</co: 0:[0]>' },
  },
  'granite, <|tool_call|> and <|/tool_call|>': {
    ...plain,
    ...thinking,
    'one call': {
      answer: '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Rome"}}]<|/tool_call|>',
      calls: [weather()],
    },
    'parallel calls without an end': {
      answer:
        'So.\n<|tool_call|> [{"name": "get_weather", "arguments": {"city": "Rome"}}, {"name": "get_time", "arguments": {}}]',
      text: 'So.',
      calls: [weather(), time],
    },
  },
};
