import { openApiDocument } from '@millrace/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rawExchange, TestBed } from './gateway.testing.js';

const user = { role: 'user', content: 'hi' };
const chat = (changes: Record<string, unknown>) => JSON.stringify({ messages: [user], ...changes });

interface BadBody {
  readonly what: string;
  readonly body: string;
  readonly status?: number;
  readonly code?: string;
  readonly param?: string | null;
  readonly message: string | RegExp;
  readonly path?: string;
}

const manyOf = <T>(count: number, item: T): T[] => new Array<T>(count).fill(item);
const deep = (levels: number) => `${'['.repeat(levels)}${']'.repeat(levels)}`;

const call = (id: string) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } });
const calling = (...ids: string[]) => ({ role: 'assistant', tool_calls: ids.map(call) });
const result = (id: string) => ({ role: 'tool', tool_call_id: id, content: 'done' });
const conversation = (...messages: object[]) => chat({ messages });
const tool = (name: string) => ({ type: 'function', function: { name } });
const tools = [tool('f'), tool('g')];
const callingF = { role: 'assistant', function_call: { name: 'f', arguments: '' } };
const resultF = { role: 'function', name: 'f', content: '1' };
const answered = { role: 'assistant', content: 'I' };

/** Everything that a hostile or hurried client may send as a body, and what it is told. */
const BAD_BODIES: readonly BadBody[] = [
  { what: 'nothing', body: '', param: null, message: 'The body is empty; it must be a JSON object.' },
  { what: 'unreadable JSON', body: '{"messages": [', param: null, message: /^The body is not valid JSON: / },
  { what: 'a list', body: '[1]', param: null, message: 'The body is a list; it must be a JSON object.' },
  { what: 'null', body: 'null', param: null, message: 'The body is null; it must be a JSON object.' },
  { what: 'a number', body: '7', param: null, message: 'The body is 7; it must be a JSON object.' },
  { what: 'no messages', body: '{}', param: 'messages', message: '`messages` is required; it must be a list.' },
  {
    what: 'empty messages',
    body: chat({ messages: [] }),
    param: 'messages',
    message: '`messages` has 0 items; it must have at least 1.',
  },
  {
    what: 'messages of the wrong type',
    body: chat({ messages: 'hi' }),
    param: 'messages',
    message: '`messages` is "hi"; it must be a list.',
  },
  {
    what: 'a message that is no object',
    body: chat({ messages: [3] }),
    param: 'messages[0]',
    message: '`messages[0]` is 3; it must be an object.',
  },
  {
    what: 'a role that does not exist',
    body: chat({ messages: [{ role: 'wizard', content: 'x' }] }),
    param: 'messages[0].role',
    message:
      '`messages[0].role` is "wizard"; it must be "system", "developer", "user", "assistant", "tool" or "function".',
  },
  {
    what: 'a message without role',
    body: chat({ messages: [{ content: 'x' }] }),
    param: 'messages[0].role',
    message: /^`messages\[0\]\.role` is required; it must be "system", /,
  },
  {
    what: 'a message without content',
    body: chat({ messages: [user, { role: 'user' }] }),
    param: 'messages[1].content',
    message: '`messages[1].content` is required; it must be a string or a list.',
  },
  {
    what: 'content of the wrong type',
    body: chat({ messages: [{ role: 'user', content: 5 }] }),
    param: 'messages[0].content',
    message: '`messages[0].content` is 5; it must be a string or a list.',
  },
  {
    what: 'a content part without text',
    body: chat({ messages: [{ role: 'user', content: [{ type: 'text' }] }] }),
    param: 'messages[0].content[0].text',
    message: '`messages[0].content[0].text` is required; it must be a string.',
  },
  {
    what: 'a content part of an unknown type',
    body: chat({ messages: [{ role: 'user', content: [{ type: 'smell' }] }] }),
    param: 'messages[0].content[0].type',
    message: /^`messages\[0\]\.content\[0\]\.type` is "smell"; it must be "text", "image_url", .* or "audio_url"\.$/,
  },
  {
    what: 'a video, as some servers name it',
    body: chat({ messages: [{ role: 'user', content: [{ type: 'video_url', video_url: {} }] }] }),
    code: 'unsupported_parameter',
    param: 'messages[0].content[0]',
    message: '`messages[0].content[0]` is of type video_url; only text is read here. Send parts of type text.',
  },
  {
    what: 'an image',
    body: chat({
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'see' },
            { type: 'image_url', image_url: {} },
          ],
        },
      ],
    }),
    code: 'unsupported_parameter',
    param: 'messages[0].content[1]',
    message: '`messages[0].content[1]` is of type image_url; only text is read here. Send parts of type text.',
  },
  {
    what: 'an assistant that said nothing',
    body: chat({ messages: [user, { role: 'assistant' }, user] }),
    param: 'messages[1].content',
    message: /without content and without tool_calls/,
  },
  {
    what: 'a result without a call',
    body: conversation(user, result('a')),
    param: 'messages[1].tool_call_id',
    message: /^`messages\[1\]` has the role tool, .*must be a response to a preceding message with 'tool_calls'\.$/,
  },
  {
    what: 'a result of another call',
    body: conversation(user, calling('a', 'b'), result('a'), result('c')),
    param: 'messages[3].tool_call_id',
    message:
      '`messages[3].tool_call_id` is "c"; no call in `messages[1].tool_calls` has that id. Send the id of the call that is answered.',
  },
  {
    what: 'a result of a call that was long ago',
    body: conversation(user, calling('a'), result('a'), user, result('a')),
    param: 'messages[4].tool_call_id',
    message: /^`messages\[4\]` has the role tool, but no message with tool_calls stands before it/,
  },
  {
    what: 'two results of one call',
    body: conversation(user, calling('a', 'b'), result('a'), result('a')),
    param: 'messages[3].tool_call_id',
    message: '`messages[3].tool_call_id` is "a", and that call was answered before. Send one result for each.',
  },
  {
    what: 'a call without a result before the next message',
    body: conversation(user, calling('a', 'b'), result('b'), user),
    param: 'messages[1].tool_calls',
    message:
      "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. These of `messages[1]` have none: \"a\".",
  },
  {
    what: 'many calls without a result at the end',
    body: conversation(user, calling('a', 'b', 'c', 'd', 'e', 'f', 'g')),
    param: 'messages[1].tool_calls',
    message: /have none: "a", "b", "c", "d", "e" and 2 more\.$/,
  },
  {
    what: 'two calls of one id',
    body: conversation(user, calling('a', 'a'), result('a')),
    param: 'messages[1].tool_calls[1].id',
    message: '`messages[1].tool_calls[1].id` is "a", as another call\'s is. Give each its own.',
  },
  {
    what: 'a call without an id',
    body: conversation(user, calling('')),
    param: 'messages[1].tool_calls[0].id',
    message: '`messages[1].tool_calls[0].id` has 0 characters; it must have at least 1.',
  },
  {
    what: 'arguments of a million and one characters',
    body: conversation(user, {
      role: 'assistant',
      tool_calls: [{ ...call('a'), function: { name: 'f', arguments: 'x'.repeat(1_000_001) } }],
    }),
    param: 'messages[1].tool_calls[0].function.arguments',
    message: '`messages[1].tool_calls[0].function.arguments` has 1000001 characters; it must have at most 1000000.',
  },
  {
    what: 'two thoughts behind one answer',
    body: conversation(user, { role: 'assistant', content: 'a', reasoning: 'b', reasoning_content: 'c' }, user),
    param: 'messages[1].reasoning',
    message: /^`messages\[1\]` has a `reasoning` and another `reasoning_content`/,
  },
  {
    what: 'a tool that must be called and is not there',
    body: chat({ tools, tool_choice: { type: 'function', function: { name: 'h' } } }),
    param: 'tool_choice.function.name',
    message: '`tool_choice.function.name` is "h"; none of the 2 `tools` has that name. Name one of them, or add it.',
  },
  {
    what: 'an allowed tool that is not there',
    body: chat({
      tools,
      tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [tool('g'), tool('h')] } },
    }),
    param: 'tool_choice.allowed_tools.tools[1].function.name',
    message: /\.name` is "h"; none of the 2 `tools` has that name/,
  },
  {
    what: 'no allowed tool',
    body: chat({ tools, tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [] } } }),
    param: 'tool_choice.allowed_tools.tools',
    message: '`tool_choice.allowed_tools.tools` has 0 items; it must have at least 1.',
  },
  {
    what: 'a call that is required without a tool',
    body: chat({ tool_choice: 'required' }),
    param: 'tool_choice',
    message:
      '`tool_choice` is "required", but there are no `tools` to choose from. Send tools, or leave tool_choice out.',
  },
  {
    what: 'a call of one of no tools',
    body: chat({ tools: [], tool_choice: { type: 'function', function: { name: 'f' } } }),
    param: 'tool_choice',
    message: /^`tool_choice` is an object, but there are no `tools`/,
  },
  {
    what: 'a choice of tools that does not exist',
    body: chat({ tools, tool_choice: 'any' }),
    param: 'tool_choice',
    message: '`tool_choice` is "any"; it must be "none", "auto" or "required".',
  },
  {
    what: 'a choice of tools of an unknown type',
    body: chat({ tools, tool_choice: { type: 'custom', custom: { name: 'f' } } }),
    param: 'tool_choice.type',
    message: '`tool_choice.type` is "custom"; it must be "function" or "allowed_tools".',
  },
  {
    what: 'a choice of a function without its name',
    body: chat({ tools, tool_choice: { type: 'function' } }),
    param: 'tool_choice.function',
    message: '`tool_choice.function` is required; it must be an object.',
  },
  {
    what: 'a number as the choice of tools',
    body: chat({ tools, tool_choice: 5 }),
    param: 'tool_choice',
    message: '`tool_choice` is 5; it must be "none", "auto", "required" or an object.',
  },
  {
    what: 'two tools of one name',
    body: chat({ tools: [...tools, tool('f')] }),
    param: 'tools[2].function.name',
    message: '`tools[2].function.name` is "f", as `tools[0].function.name` is. Give each tool its own name.',
  },
  {
    what: 'a tool that is no function',
    body: chat({ tools: [{ type: 'custom', custom: { name: 'f' } }] }),
    param: 'tools[0].type',
    message: '`tools[0].type` is "custom"; it must be "function".',
  },
  {
    what: 'functions of old beside tools',
    body: chat({ tools, functions: [{ name: 'f' }] }),
    param: 'tools',
    message: /^`tools` is given together with `functions`/,
  },
  {
    what: 'a choice of tools for functions of old',
    body: chat({ functions: [{ name: 'f' }], tool_choice: 'auto' }),
    param: 'tool_choice',
    message: /^`tool_choice` is given together with `functions`/,
  },
  {
    what: 'several calls at once of functions of old',
    body: chat({ functions: [{ name: 'f' }], parallel_tool_calls: true }),
    param: 'parallel_tool_calls',
    message: /^`parallel_tool_calls` is given together with `functions`/,
  },
  {
    what: 'tools beside a choice of old',
    body: chat({ tools, function_call: 'auto' }),
    param: 'tools',
    message: /^`tools` is given together with `function_call`/,
  },
  {
    what: 'functions of old that are no list',
    body: chat({ functions: { name: 'f' } }),
    param: 'functions',
    message: '`functions` is an object; it must be a list.',
  },
  {
    what: 'a function of old without a name',
    body: chat({ functions: [{}] }),
    param: 'functions[0].name',
    message: '`functions[0].name` is required; it must be a string.',
  },
  {
    what: 'a function of old with a name of other letters',
    body: chat({ functions: [{ name: 'get weather' }] }),
    param: 'functions[0].name',
    message: /it must be 1 to 64 letters/,
  },
  {
    what: 'two functions of old with one name',
    body: chat({ functions: [{ name: 'f' }, { name: 'g' }, { name: 'f' }] }),
    param: 'functions[2].name',
    message: '`functions[2].name` is "f", as `functions[0].name` is. Give each function its own name.',
  },
  {
    what: 'parameters of a function of old that are no schema',
    body: chat({ functions: [{ name: 'f', parameters: 'x' }] }),
    param: 'functions[0].parameters',
    message: /^`functions\[0\]\.parameters` is "x"/,
  },
  {
    what: '129 functions of old',
    body: chat({ functions: Array.from({ length: 129 }, (_, at) => ({ name: `f${at}` })) }),
    param: 'functions',
    message: /^`functions` has 129 items; it must have at most 128/,
  },
  {
    what: 'a choice of old that there is not',
    body: chat({ functions: [{ name: 'f' }], function_call: { name: 'g' } }),
    param: 'function_call.name',
    message: /^`function_call.name` is "g"; none of the 1 `functions` has that name/,
  },
  {
    what: 'a choice of old without functions',
    body: chat({ function_call: { name: 'g' } }),
    param: 'function_call.name',
    message: /none of the 0 `functions`/,
  },
  {
    what: 'a choice of old as a word that is none',
    body: chat({ functions: [{ name: 'f' }], function_call: 'required' }),
    param: 'function_call',
    message: /^`function_call` is "required"; it must be "none" or "auto"\./,
  },
  {
    what: 'a choice of old as a number',
    body: chat({ functions: [{ name: 'f' }], function_call: 5 }),
    param: 'function_call',
    message: /^`function_call` is 5/,
  },
  {
    what: 'a result of old without a call',
    body: chat({ messages: [user, { role: 'function', name: 'f', content: '1' }] }),
    param: 'messages[1].name',
    message: /the message before it has no function_call/,
  },
  {
    what: 'a result of old of another function',
    body: chat({ messages: [user, callingF, { role: 'function', name: 'g', content: '1' }] }),
    param: 'messages[2].name',
    message: /^`messages\[2\]\.name` is "g", but `messages\[1\]\.function_call` calls "f"/,
  },
  {
    what: 'a result of old without a name',
    body: chat({ messages: [user, callingF, { role: 'function', content: '1' }] }),
    param: 'messages[2].name',
    message: /^`messages\[2\]\.name` is required/,
  },
  {
    what: 'a result of old in parts',
    body: chat({ messages: [user, callingF, { role: 'function', name: 'f', content: [] }] }),
    param: 'messages[2].content',
    message: /^`messages\[2\]\.content` is an empty list/,
  },
  {
    what: 'a second result of old',
    body: chat({ messages: [user, callingF, resultF, resultF] }),
    param: 'messages[3].name',
    message: /the message before it has no function_call/,
  },
  {
    what: 'a call of old without a result',
    body: chat({ messages: [user, callingF, user] }),
    param: 'messages[1].function_call',
    message: /^`messages\[1\]\.function_call` is answered by no message/,
  },
  {
    what: 'a call of old at the end',
    body: chat({ messages: [user, callingF] }),
    param: 'messages[1].function_call',
    message: /is answered by no message/,
  },
  {
    what: 'a call of old beside tool calls',
    body: chat({
      messages: [
        user,
        { ...callingF, tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '' } }] },
      ],
    }),
    param: 'messages[1].function_call',
    message: /has both `function_call` and `tool_calls`/,
  },
  {
    what: 'a call of old that is a text',
    body: chat({ messages: [user, { role: 'assistant', function_call: 'f' }] }),
    param: 'messages[1].function_call',
    message: /^`messages\[1\]\.function_call` is "f"/,
  },
  {
    what: 'a call of old without arguments',
    body: chat({ messages: [user, { role: 'assistant', function_call: { name: 'f' } }] }),
    param: 'messages[1].function_call.arguments',
    message: /is required/,
  },
  {
    what: 'functions of old among the variables',
    body: chat({ chat_template_kwargs: { functions: [] } }),
    param: 'chat_template_kwargs.functions',
    message: /is no variable of a template here/,
  },
  {
    what: 'sound as an answer',
    code: 'unsupported_parameter',
    body: chat({ modalities: ['text', 'audio'] }),
    param: 'modalities',
    message: /Models here answer in text: only `\["text"\]`/,
  },
  {
    what: 'no modality at all',
    code: 'unsupported_parameter',
    body: chat({ modalities: [] }),
    param: 'modalities',
    message: /^`modalities` is an empty list, which is not supported here/,
  },
  {
    what: 'moderation within a chat',
    code: 'unsupported_parameter',
    body: chat({ moderation: { model: 'omni-moderation-latest' } }),
    param: 'moderation',
    message: /ask `\/v1\/moderations`/,
  },
  {
    what: 'a store that is a text',
    body: chat({ store: 'yes' }),
    param: 'store',
    message: /^`store` is "yes"; it must be/,
  },
  {
    what: 'a document that is a number',
    body: chat({ documents: ['a', 5] }),
    param: 'documents[1]',
    message: '`documents[1]` is 5; it must be a string or an object.',
  },
  {
    what: 'a thousand and one documents',
    body: chat({ documents: manyOf(1_001, 'a') }),
    param: 'documents',
    message: '`documents` has 1001 items; it must have at most 1000.',
  },
  {
    what: 'documents of more bytes than any context holds',
    body: chat({ documents: manyOf(9, 'é'.repeat(500_000)) }),
    param: 'documents',
    message: /^`documents` has 9,000,\d{3} bytes as JSON; 8,388,608 are allowed\./,
  },
  {
    what: 'documents in two places',
    body: chat({ documents: ['a'], chat_template_kwargs: { documents: ['b'] } }),
    param: 'chat_template_kwargs.documents',
    message: /^`documents` and `chat_template_kwargs\.documents` are both given/,
  },
  {
    what: 'a wrong document among the variables',
    body: chat({ chat_template_kwargs: { documents: [[]] } }),
    param: 'chat_template_kwargs.documents[0]',
    message: '`chat_template_kwargs.documents[0]` is an empty list; it must be a string or an object.',
  },
  {
    what: 'documents among the variables that are none',
    body: chat({ chat_template_kwargs: { documents: 'a' } }),
    param: 'chat_template_kwargs.documents',
    message: '`chat_template_kwargs.documents` is "a"; it must be a list.',
  },
  {
    what: 'messages among the variables',
    body: chat({ chat_template_kwargs: { messages: [] } }),
    param: 'chat_template_kwargs.messages',
    message:
      '`chat_template_kwargs.messages` is no variable of a template here. Send `messages` as a parameter of its own.',
  },
  {
    what: 'a question to be continued',
    body: chat({ continue_final_message: true }),
    param: 'continue_final_message',
    message: /^`continue_final_message` is true, but `messages\[0\]` has the role user\./,
  },
  {
    what: 'an answer without text to be continued',
    body: chat({ messages: [user, { role: 'assistant', content: '' }], continue_final_message: true }),
    param: 'continue_final_message',
    message: /^`continue_final_message` is true, but `messages\[1\]` has no content\./,
  },
  {
    what: 'an answer that is to go on and to begin',
    body: chat({ messages: [user, answered], continue_final_message: true, add_generation_prompt: true }),
    param: 'continue_final_message',
    message: /^`continue_final_message` and `add_generation_prompt` are both true/,
  },
  {
    what: 'an answer that neither goes on nor begins',
    body: chat({ add_generation_prompt: false }),
    code: 'unsupported_parameter',
    param: 'add_generation_prompt',
    message: /^`add_generation_prompt` is false without `continue_final_message`/,
  },
  {
    what: 'an effort that does not exist',
    body: chat({ reasoning_effort: 'heroic' }),
    param: 'reasoning_effort',
    message: '`reasoning_effort` is "heroic"; it must be "none", "minimal", "low", "medium", "high", "xhigh" or "max".',
  },
  {
    what: 'two hundred thousand tool calls',
    body: chat({ messages: [{ role: 'assistant', tool_calls: manyOf(200_000, 1) }] }),
    param: 'messages[0].tool_calls',
    message: '`messages[0].tool_calls` has 200000 items; it must have at most 128.',
  },
  {
    what: 'almost two million content parts',
    body: chat({ messages: [{ role: 'user', content: manyOf(1_900_000, 1) }] }),
    param: 'messages[0].content',
    message: '`messages[0].content` has 1900000 items; it must have at most 1000.',
  },
  {
    what: 'five million content parts, before they are parsed',
    body: chat({ messages: [{ role: 'user', content: manyOf(5_000_000, 1) }] }),
    param: null,
    message:
      'The body has more than 2,000,000 entries of lists and objects, which is more than this server parses. Send fewer.',
  },
  {
    what: 'wrong content parts in every message, almost two million together',
    body: chat({ messages: manyOf(1_900, { role: 'user', content: manyOf(1_000, 1) }) }),
    param: 'messages[0].content[0]',
    message: '`messages[0].content[0]` is 1; it must be an object.',
  },
  {
    what: 'nameless calls in every message, thousands together',
    body: chat({
      messages: manyOf(125, {
        role: 'assistant',
        tool_calls: manyOf(120, { id: 'x', type: 'function', function: { name: '', arguments: '' } }),
      }),
    }),
    param: 'messages[0].tool_calls[0].function.name',
    message: '`messages[0].tool_calls[0].function.name` has 0 characters; it must have at least 1.',
  },
  {
    what: 'ten thousand wrong messages',
    body: chat({ messages: manyOf(10_000, { role: 'user', content: [] }) }),
    param: 'messages[0].content',
    message: '`messages[0].content` has 0 items; it must have at least 1.',
  },
  {
    what: 'ninety thousand wrong entries of metadata',
    body: chat({ metadata: Object.fromEntries(manyOf(90_000, 0).map((value, index) => [`k${index}`, value])) }),
    param: 'metadata',
    message: '`metadata` has 90000 keys; an object may have 10000. Send fewer.',
  },
  {
    what: 'half a million wrong entries of metadata, before they are parsed',
    body: chat({ metadata: Object.fromEntries(manyOf(500_000, 0).map((value, index) => [`k${index}`, value])) }),
    param: null,
    message: 'The body has more than 100,000 names of fields, which is more than this server parses. Send fewer.',
  },
  {
    what: 'more metadata than OpenAI takes',
    body: chat({ metadata: Object.fromEntries(manyOf(17, '').map((value, index) => [`k${index}`, value])) }),
    param: 'metadata',
    message: '`metadata` is an object; it must have at most 16 keys, and has 17.',
  },
  {
    what: 'a dictionary far inside',
    body: chat({
      chat_template_kwargs: { a: [Object.fromEntries(manyOf(10_001, 0).map((value, index) => [`k${index}`, value]))] },
    }),
    param: 'chat_template_kwargs.a[0]',
    message: '`chat_template_kwargs.a[0]` has 10001 keys; an object may have 10000. Send fewer.',
  },
  {
    what: 'a key of metadata that is longer than OpenAI takes',
    body: chat({ metadata: { ['k'.repeat(65)]: 'x' } }),
    param: `metadata.${'k'.repeat(65)}`,
    message: `The key of \`metadata.${'k'.repeat(65)}\` has 65 characters; it must have at most 64.`,
  },
  {
    what: 'a key of metadata that no database takes',
    body: chat({ metadata: { 'a\0': 'x' } }),
    param: 'metadata.a\0',
    message:
      'The key of `metadata.a\0` is "a\\u0000"; it must be text without the character NUL (U+0000) and without halves of surrogate pairs.',
  },
  {
    what: 'metadata that is no text',
    body: chat({ metadata: { a: 1 } }),
    param: 'metadata.a',
    message: '`metadata.a` is 1; it must be a string.',
  },
  {
    what: 'more template variables than any template has',
    body: chat({
      chat_template_kwargs: Object.fromEntries(manyOf(1_001, 0).map((value, index) => [`k${index}`, value])),
    }),
    param: 'chat_template_kwargs',
    message: '`chat_template_kwargs` is an object; it must have at most 1000 keys, and has 1001.',
  },
  {
    what: 'a stop that is longer than the worker takes',
    body: chat({ stop: 'x'.repeat(4_097) }),
    param: 'stop',
    message: '`stop` has 4097 characters; it must have at most 4096.',
  },
  {
    what: 'negative max_tokens',
    body: chat({ max_tokens: -1 }),
    param: 'max_tokens',
    message: '`max_tokens` is -1; it must be at least 1.',
  },
  {
    what: 'half a token',
    body: chat({ max_tokens: 1.5 }),
    param: 'max_tokens',
    message: '`max_tokens` is 1.5; it must be a whole number.',
  },
  {
    what: 'max_tokens beyond all numbers',
    body: '{"messages":[{"role":"user","content":"hi"}],"max_tokens":1e999}',
    param: 'max_tokens',
    message: /^`max_tokens` is Infinity; it must be a/,
  },
  {
    what: 'a temperature as text',
    body: chat({ temperature: 'hot' }),
    param: 'temperature',
    message: '`temperature` is "hot"; it must be a number.',
  },
  {
    what: 'a temperature above 2',
    body: chat({ temperature: 3 }),
    param: 'temperature',
    message: '`temperature` is 3; it must be at most 2.',
  },
  { what: 'top_p of 0', body: chat({ top_p: 0 }), param: 'top_p', message: '`top_p` is 0; it must be above 0.' },
  {
    what: 'stream as text',
    body: chat({ stream: 'yes' }),
    param: 'stream',
    message: '`stream` is "yes"; it must be true or false.',
  },
  {
    what: 'five stops',
    body: chat({ stop: ['a', 'b', 'c', 'd', 'e'] }),
    param: 'stop',
    message: '`stop` has 5 items; it must have at most 4.',
  },
  {
    what: 'an empty stop',
    body: chat({ stop: '' }),
    param: 'stop',
    message: '`stop` has 0 characters; it must have at least 1.',
  },
  {
    what: 'a stop that is a number',
    body: chat({ stop: ['a', 1] }),
    param: 'stop[1]',
    message: '`stop[1]` is 1; it must be a string.',
  },
  {
    what: 'a tool with an impossible name',
    body: chat({ tools: [{ type: 'function', function: { name: 'a b' } }] }),
    param: 'tools[0].function.name',
    message: '`tools[0].function.name` is "a b"; it must be 1 to 64 letters, digits, underscores or dashes.',
  },
  {
    what: 'an unknown parameter',
    body: chat({ foo: 1 }),
    code: 'unknown_parameter',
    param: 'foo',
    message: 'Unrecognized request argument supplied: foo',
  },
  {
    what: 'a parameter named constructor',
    body: chat({ constructor: 1 }),
    code: 'unknown_parameter',
    param: 'constructor',
    message: 'Unrecognized request argument supplied: constructor',
  },
  {
    what: '__proto__',
    body: '{"messages":[{"role":"user","content":"hi"}],"__proto__":{"stream":true}}',
    code: 'unknown_parameter',
    param: '__proto__',
    message: 'Unrecognized request argument supplied: __proto__',
  },
  {
    what: 'ten thousand answers at once',
    body: chat({ n: 10_000 }),
    param: 'n',
    message: '`n` is 10000; it must be at most 128.',
  },
  { what: 'no answer at all', body: chat({ n: 0 }), param: 'n', message: '`n` is 0; it must be at least 1.' },
  {
    what: 'a hundred thousand stops',
    body: chat({ stop: manyOf(100_000, 'x') }),
    param: 'stop',
    message: '`stop` has 100000 items; it must have at most 4.',
  },
  {
    what: 'likeliest tokens without log-probabilities',
    body: chat({ top_logprobs: 5 }),
    param: 'top_logprobs',
    message: '`top_logprobs` is 5, but `logprobs` is not true. Set logprobs to true, or leave top_logprobs out.',
  },
  {
    what: 'more of the likeliest tokens than OpenAI tells',
    body: chat({ logprobs: true, top_logprobs: 21 }),
    param: 'top_logprobs',
    message: '`top_logprobs` is 21; it must be at most 20.',
  },
  {
    what: 'a number where a chat has yes or no',
    body: chat({ logprobs: 5 }),
    param: 'logprobs',
    message: '`logprobs` is 5; it must be true or false.',
  },
  {
    what: 'a bias on a word',
    body: chat({ logit_bias: { hello: 5 } }),
    param: 'logit_bias',
    message: '`logit_bias` is an object; it must have a token id in place of the key "hello": a whole number, as text.',
  },
  {
    what: 'a bias on a token beyond 32 bits',
    body: chat({ logit_bias: { 4294967296: 5 } }),
    param: 'logit_bias',
    message: /in place of the key "4294967296"/,
  },
  {
    what: 'a bias above 100',
    body: chat({ logit_bias: { 7: 101 } }),
    param: 'logit_bias.7',
    message: '`logit_bias.7` is 101; it must be at most 100.',
  },
  {
    what: 'a bias for a token named __proto__',
    body: '{"messages":[{"role":"user","content":"hi"}],"logit_bias":{"__proto__":5}}',
    param: 'logit_bias',
    message: '`logit_bias` is an object; it must have no key `__proto__`.',
  },
  {
    what: 'a bias beyond all numbers',
    body: '{"messages":[{"role":"user","content":"hi"}],"logit_bias":{"7":-1e999}}',
    param: 'logit_bias.7',
    message: /^`logit_bias\.7` is -Infinity; it must be a/,
  },
  {
    what: 'biases on more tokens than are allowed',
    body: chat({ logit_bias: Object.fromEntries(manyOf(1_025, 1).map((value, token) => [token, value])) }),
    param: 'logit_bias',
    message: '`logit_bias` is an object; it must have at most 1024 keys, and has 1025.',
  },
  ...(
    [
      ['repeat_penalty', 0, 'above 0'],
      ['repetition_penalty', 2.1, 'at most 2'],
      ['repeat_last_n', -2, 'at least -1'],
      ['dry_multiplier', -1, 'at least 0'],
      ['dry_base', 0.5, 'at least 1'],
      ['dry_allowed_length', -1, 'at least 0'],
      ['dry_penalty_last_n', -2, 'at least -1'],
      ['xtc_probability', 1.1, 'at most 1'],
      ['xtc_threshold', -0.1, 'at least 0'],
      ['min_p', 2, 'at most 1'],
      ['top_k', -2, 'at least -1'],
      ['presence_penalty', 3, 'at most 2'],
      ['frequency_penalty', -3, 'at least -2'],
    ] as const
  ).map(([param, value, bound]) => ({
    what: `${param} of ${value}`,
    body: chat({ [param]: value }),
    param,
    message: `\`${param}\` is ${value}; it must be ${bound}.`,
  })),
  {
    what: 'seventeen sequence breakers',
    body: chat({ dry_sequence_breakers: manyOf(17, 'x') }),
    param: 'dry_sequence_breakers',
    message: '`dry_sequence_breakers` has 17 items; it must have at most 16.',
  },
  {
    what: 'a long sequence breaker',
    body: chat({ dry_sequence_breakers: ['x'.repeat(65)] }),
    param: 'dry_sequence_breakers[0]',
    message: '`dry_sequence_breakers[0]` has 65 characters; it must have at most 64.',
  },
  {
    what: 'half a character in a sequence breaker',
    body: '{"messages":[{"role":"user","content":"a"}],"dry_sequence_breakers":["\\ud800"]}',
    param: 'dry_sequence_breakers[0]',
    message: /half of a surrogate pair/,
  },
  {
    what: 'a format that does not exist',
    body: chat({ response_format: { type: 'yaml' } }),
    param: 'response_format.type',
    message: '`response_format.type` is "yaml"; it must be "text", "json_object" or "json_schema".',
  },
  {
    what: 'a format without a type',
    body: chat({ response_format: {} }),
    param: 'response_format.type',
    message: /^`response_format\.type` is required/,
  },
  {
    what: 'a schema that is missing',
    body: chat({ response_format: { type: 'json_schema', json_schema: { name: 'x' } } }),
    param: 'response_format.json_schema.schema',
    message: '`response_format.json_schema.schema` is required; it must be an object.',
  },
  {
    what: 'a schema without a name',
    body: chat({ response_format: { type: 'json_schema', json_schema: { schema: {} } } }),
    param: 'response_format.json_schema.name',
    message: '`response_format.json_schema.name` is required; it must be a string.',
  },
  {
    what: 'a schema with an impossible name',
    body: chat({ response_format: { type: 'json_schema', json_schema: { name: 'a b', schema: {} } } }),
    param: 'response_format.json_schema.name',
    message: '`response_format.json_schema.name` is "a b"; it must be 1 to 64 letters, digits, underscores or dashes.',
  },
  {
    what: 'a schema that is a list',
    body: chat({ response_format: { type: 'json_schema', json_schema: { name: 'x', schema: [] } } }),
    param: 'response_format.json_schema.schema',
    message: '`response_format.json_schema.schema` is an empty list; it must be an object.',
  },
  {
    what: 'a schema with more properties than an object may have keys',
    body: chat({
      response_format: {
        type: 'json_schema',
        json_schema: {
          name: 'x',
          schema: { properties: Object.fromEntries(manyOf(10_001, {}).map((value, index) => [`p${index}`, value])) },
        },
      },
    }),
    param: 'response_format.json_schema.schema.properties',
    message: '`response_format.json_schema.schema.properties` has 10001 keys; an object may have 10000. Send fewer.',
  },
  {
    what: 'a grammar of 100 KB',
    body: chat({ grammar: 'é'.repeat(50_000) }),
    param: 'grammar',
    message: '`grammar` has 100,000 bytes; 65,536 are allowed. Write it with fewer or shorter rules.',
  },
  {
    what: 'half a character in a grammar',
    body: '{"messages":[{"role":"user","content":"a"}],"grammar":"\\udfff"}',
    param: 'grammar',
    message: /half of a surrogate pair/,
  },
  {
    what: 'a grammar beside a schema',
    body: chat({ grammar: 'root ::= "a"', response_format: { type: 'json_object' } }),
    param: 'grammar',
    message: /^`grammar` is given together with a `response_format` of type json_object; .* Leave one of them out\.$/,
  },
  {
    what: 'a format without end',
    body: chat({ ignore_eos: true, response_format: { type: 'json_object' } }),
    param: 'ignore_eos',
    message: /^`ignore_eos` is true together with `response_format`/,
  },
  {
    what: 'a grammar without end',
    body: chat({ ignore_eos: true, grammar: 'root ::= "a"' }),
    param: 'ignore_eos',
    message: /^`ignore_eos` is true together with `grammar`/,
  },
  {
    what: 'half a character in a message',
    body: '{"messages":[{"role":"user","content":"a\\ud800b"}]}',
    param: 'messages[0].content',
    message: /half of a surrogate pair/,
  },
  {
    what: 'half a character in a key',
    body: '{"messages":[{"role":"user","content":"a"}],"metadata":{"\\udc00":"x"}}',
    param: 'metadata',
    message: /half of a surrogate pair/,
  },
  {
    what: 'a thousand levels of nesting',
    body: `{"messages":[{"role":"user","content":"a"}],"chat_template_kwargs":{"a":${deep(1000)}}}`,
    param: 'chat_template_kwargs',
    message: /nested deeper than 64 levels/,
  },
  {
    what: 'a hundred thousand levels of nesting',
    body: deep(100_000),
    param: null,
    message: /./,
  },
  {
    what: 'an unknown model',
    body: chat({ model: 'gpt-9' }),
    status: 404,
    code: 'model_not_found',
    param: 'model',
    message: 'The model `gpt-9` does not exist. GET /v1/models lists those that do.',
  },
  {
    what: 'an empty model',
    body: chat({ model: '' }),
    param: 'model',
    message: '`model` has 0 characters; it must have at least 1.',
  },
  {
    what: 'no prompt',
    path: '/v1/completions',
    body: '{}',
    param: 'prompt',
    message: '`prompt` is required; it must be a string or a list.',
  },
  {
    what: 'more prompts than a request may hold',
    path: '/v1/completions',
    body: JSON.stringify({ prompt: manyOf(129, 'a') }),
    param: 'prompt',
    message: '`prompt` has 129 items; it must hold at most 128 prompts; send the others in another request.',
  },
  {
    what: 'more answers than a request may have',
    path: '/v1/completions',
    body: JSON.stringify({ prompt: manyOf(50, 'a'), n: 2, best_of: 3 }),
    param: 'prompt',
    message:
      '`prompt` holds 50 prompts with 3 answers to each, 150 together; 128 are allowed. Send them in several requests.',
  },
  {
    what: 'fewer candidates than answers',
    path: '/v1/completions',
    body: '{"prompt":"a","n":3,"best_of":2}',
    param: 'best_of',
    message: /^`best_of` is 2 and `n` 3; there must be at least as many candidates as answers/,
  },
  {
    what: 'ten thousand candidates',
    path: '/v1/completions',
    body: '{"prompt":"a","best_of":10000}',
    param: 'best_of',
    message: '`best_of` is 10000; it must be at most 128.',
  },
  {
    what: 'the best of several, streamed',
    path: '/v1/completions',
    body: '{"prompt":"a","best_of":2,"stream":true}',
    param: 'best_of',
    message: /^`best_of` is 2, more than `n`: .* cannot be streamed/,
  },
  {
    what: 'no token without an echo',
    path: '/v1/completions',
    body: '{"prompt":"a","max_tokens":0}',
    param: 'max_tokens',
    message: /^`max_tokens` is 0; it must be at least 1\. Only together with `echo`/,
  },
  {
    what: 'no token in a chat',
    body: chat({ max_tokens: 0 }),
    param: 'max_tokens',
    message: '`max_tokens` is 0; it must be at least 1.',
  },
  {
    what: 'an echo of a chat',
    body: chat({ echo: true }),
    code: 'unknown_parameter',
    param: 'echo',
    message: 'Unrecognized request argument supplied: echo',
  },
  {
    what: 'a suffix to token ids',
    path: '/v1/completions',
    body: '{"prompt":[1,2],"suffix":"b"}',
    param: 'suffix',
    message: /^`suffix` is given for a `prompt` of token ids/,
  },
  {
    what: 'a suffix with an echo',
    path: '/v1/completions',
    body: '{"prompt":"a","suffix":"b","echo":true}',
    param: 'suffix',
    message: /^`suffix` is given together with `echo`/,
  },
  {
    what: 'half a character in a suffix',
    path: '/v1/completions',
    body: '{"prompt":"a","suffix":"\\ud83d"}',
    param: 'suffix',
    message: /half of a surrogate pair/,
  },
  {
    what: 'yes or no where a text has a number',
    path: '/v1/completions',
    body: '{"prompt":"a","logprobs":true}',
    param: 'logprobs',
    message: '`logprobs` is true; it must be a number.',
  },
  {
    what: 'more log-probabilities than are told',
    path: '/v1/completions',
    body: '{"prompt":"a","logprobs":21}',
    param: 'logprobs',
    message: '`logprobs` is 21; it must be at most 20.',
  },
  {
    what: 'an empty list of tokens',
    path: '/v1/completions',
    body: '{"prompt":[]}',
    param: 'prompt',
    message: '`prompt` has 0 items; it must have at least 1.',
  },
  {
    what: 'an empty list of tokens among others',
    path: '/v1/completions',
    body: '{"prompt":[[1],[]]}',
    param: 'prompt[1]',
    message: '`prompt[1]` has 0 items; it must have at least 1.',
  },
  {
    what: 'texts and tokens mixed',
    path: '/v1/completions',
    body: '{"prompt":["a",[1]]}',
    param: 'prompt[1]',
    message: '`prompt[1]` is a list; it must be a string.',
  },
  {
    what: 'tokens and texts mixed',
    path: '/v1/completions',
    body: '{"prompt":[[1],"a"]}',
    param: 'prompt[1]',
    message: '`prompt[1]` is "a"; it must be a list.',
  },
  {
    what: 'a wrong token in one of several prompts',
    path: '/v1/completions',
    body: '{"prompt":[[1],[2,-3]]}',
    param: 'prompt[1][1]',
    message: '`prompt[1][1]` is -3; it must be at least 0.',
  },
  {
    what: 'a negative token',
    path: '/v1/completions',
    body: '{"prompt":[1,-2]}',
    param: 'prompt[1]',
    message: '`prompt[1]` is -2; it must be at least 0.',
  },
  {
    what: 'almost two million negative tokens',
    path: '/v1/completions',
    body: JSON.stringify({ prompt: manyOf(1_900_000, -1) }),
    param: 'prompt[0]',
    message: '`prompt[0]` is -1; it must be at least 0.',
  },
  {
    what: 'almost two hundred thousand empty prompts',
    path: '/v1/completions',
    body: JSON.stringify({ prompt: manyOf(190_000, '') }),
    param: 'prompt',
    message: '`prompt` has 190000 items; it must hold at most 128 prompts; send the others in another request.',
  },
  {
    what: 'five million empty prompts, before they are parsed',
    path: '/v1/completions',
    body: JSON.stringify({ prompt: manyOf(5_000_000, '') }),
    param: null,
    message:
      'The body has more than 200,000 names, texts, lists and objects, which is more than this server parses. Send fewer.',
  },
  {
    what: 'a token that is text',
    path: '/v1/completions',
    body: '{"prompt":[1,"a"]}',
    param: 'prompt[1]',
    message: '`prompt[1]` is "a"; it must be a number.',
  },
  {
    what: 'half a token id',
    path: '/v1/completions',
    body: '{"prompt":[1.5]}',
    param: 'prompt[0]',
    message: '`prompt[0]` is 1.5; it must be a whole number.',
  },
  {
    what: 'a token id beyond 32 bits',
    path: '/v1/completions',
    body: '{"prompt":[4294967296]}',
    param: 'prompt[0]',
    message: '`prompt[0]` is 4294967296; it must be at most 4294967295.',
  },
];

describe('a bad body', () => {
  let bed: TestBed;
  beforeAll(async () => {
    bed = await TestBed.start();
  });
  afterAll(async () => {
    await bed[Symbol.asyncDispose]();
  });

  for (const { what, body, status = 400, code = 'invalid_request', param, message, path } of BAD_BODIES) {
    it(`is refused with its own status and words: ${what}`, async () => {
      const response = await bed.post(path ?? '/v1/chat/completions', body);
      const { error } = (await response.json()) as { error: Record<string, unknown> };
      expect({ status: response.status, ...error }).toEqual({
        status,
        message: typeof message === 'string' ? message : expect.stringMatching(message),
        type: 'invalid_request_error',
        param,
        code,
      });
      expect(response.headers.get('x-request-id')).toMatch(/^req_/);
    });
  }

  it('costs memory in proportion to its size, however much is wrong with it', async () => {
    const body = chat({ messages: [{ role: 'user', content: manyOf(1_900_000, 1) }] });
    const beforeBytes = process.memoryUsage().heapUsed;
    expect((await bed.post('/v1/chat/completions', body)).status).toBe(400);
    // Gigabytes when every item had its complaint.
    expect(process.memoryUsage().heapUsed - beforeBytes).toBeLessThan(200_000_000);
  });

  it('never reaches a worker', () => {
    expect(bed.worker.started).toEqual([]);
  });

  it('is counted as rejected, each once, without a word of what was in it', () => {
    const records = bed.records();
    expect(records).toHaveLength(BAD_BODIES.length + 1);
    expect(records.every(({ outcome }) => outcome === 'rejected')).toBe(true);
    expect(JSON.stringify(bed.log)).not.toContain('wizard');
  });

  it('is accepted with a key given twice, the last one counting', async () => {
    const response = await bed.post(
      '/v1/chat/completions',
      '{"messages":[],"messages":[{"role":"user","content":"b"}]}',
    );
    expect(response.status).toBe(200);
  });
});

describe('a request that is not one for this server', () => {
  let bed: TestBed;
  beforeAll(async () => {
    bed = await TestBed.start({ bodyBytesMax: 2048, bodyTimeoutMs: 300 });
  });
  afterAll(async () => {
    await bed[Symbol.asyncDispose]();
  });

  async function refusal(response: Response) {
    const { error } = (await response.json()) as { error: Record<string, unknown> };
    expect(response.headers.get('x-request-id')).toBeTruthy();
    expect(Object.keys(error)).toEqual(['message', 'type', 'param', 'code']);
    return { status: response.status, code: error.code, message: error.message };
  }

  it('is a 404 at an unknown path', async () => {
    expect(await refusal(await fetch(`${bed.url}/v1/nope?a=1`))).toEqual({
      status: 404,
      code: 'unknown_url',
      message: 'Unknown request URL: GET /v1/nope. /docs lists what is served.',
    });
    expect(await refusal(await bed.post('/v1/audio/speech', {}))).toMatchObject({ status: 404 });
    expect(await refusal(await fetch(`${bed.url}/docs/../../etc/passwd`))).toMatchObject({ status: 404 });
    expect(await refusal(await fetch(`${bed.url}/docs/package.json`))).toMatchObject({ status: 404 });
    expect(await refusal(await fetch(`${bed.url}/docs/x/y`))).toMatchObject({ status: 404, code: 'unknown_url' });
    expect(await refusal(await fetch(`${bed.url}/docs/x/y`, { method: 'DELETE' }))).toMatchObject({ status: 404 });
  });

  it('is a 405 that names the methods of a known path', async () => {
    const response = await fetch(`${bed.url}/v1/completions`);
    expect(response.headers.get('allow')).toBe('POST');
    expect(await refusal(response)).toMatchObject({ status: 405, code: 'method_not_allowed' });
    const put = (path: string) => fetch(`${bed.url}${path}`, { method: 'PUT' });
    for (const path of ['/v1/chat/completions', '/v1/chat/completions/x', '/v1/models/org/name']) {
      const allowed = path.startsWith('/v1/models')
        ? 'GET, HEAD, DELETE'
        : /x$/.test(path)
          ? 'GET, HEAD, POST, DELETE'
          : 'POST, GET, HEAD';
      const refused = await put(path);
      expect(refused.headers.get('allow'), path).toBe(allowed);
      expect(await refusal(refused), path).toMatchObject({ status: 405 });
    }

    for (const path of ['/v1/models', '/healthz', '/docs/swagger-ui.css']) {
      const deleted = await fetch(`${bed.url}${path}`, { method: 'DELETE' });
      expect(deleted.headers.get('allow'), path).toBe('GET, HEAD');
      expect(await refusal(deleted), path).toMatchObject({ status: 405 });
    }
  });

  it.each([
    ['PUT', '/v1/responses/input_tokens', 'POST'],
    ['GET', '/v1/responses/input_tokens', 'POST'],
    ['DELETE', '/v1/responses/input_tokens/?a=b', 'POST'],
    ['GET', '/v1/chat/completions/x/y', undefined],
    ['PUT', '/v1/responses/x', 'GET, HEAD, DELETE'],
  ])('is none of an id where the path is one of its own: %s %s', async (method, path, allowed) => {
    const refused = await fetch(`${bed.url}${path}`, { method });
    expect(refused.headers.get('allow') ?? undefined).toBe(allowed);
    expect(await refusal(refused)).toMatchObject({ status: allowed === undefined ? 404 : 405 });
  });

  it.each(['/v1/responses/compact', '/openai/v1/responses/compact/?x=1', '/responses/compact'])(
    'is a 404 where OpenAI has something that is not served, and is no response of that id: %s',
    async (path) => {
      const refused = await fetch(bed.url + path, { method: 'POST' });
      expect(refused.headers.get('allow')).toBeNull();
      expect(await refusal(refused)).toMatchObject({
        status: 404,
        code: 'unknown_url',
        message: `POST ${path.replace(/\?.*/, '')} is not served here. /docs lists what is.`,
      });
    },
  );

  it('is told of the methods that the OpenAPI document has for its path, and of no other path’s', async () => {
    const { paths } = openApiDocument() as { readonly paths: Readonly<Record<string, object>> };
    // What is of the admin API says nothing to strangers.
    for (const [path, operations] of Object.entries(paths).filter(([one]) => !one.startsWith('/admin/'))) {
      const refused = await fetch(`${bed.url}${path.replaceAll(/\{\w+\}/g, 'x')}`, { method: 'PUT' });
      const methods = Object.keys(operations).map((method) => method.toUpperCase());
      const allowed = methods.includes('GET') ? [...methods, 'HEAD'] : methods;
      expect(refused.headers.get('allow')?.split(', ').sort(), path).toEqual(allowed.sort());
    }
  });

  it('is a 400 at a path that cannot be decoded', async () => {
    expect(await refusal(await fetch(`${bed.url}/v1/models/%zz`))).toMatchObject({ status: 400 });
  });

  it('is a 415 when the body is not JSON, or compressed', async () => {
    const form = await bed.post('/v1/chat/completions', 'a=b', {
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    expect(await refusal(form)).toMatchObject({ status: 415, code: 'unsupported_media_type' });
    const gzip = await bed.chat({}, { headers: { 'content-encoding': 'gzip' } });
    expect(await refusal(gzip)).toMatchObject({ status: 415, message: /content encoding gzip/ });
  });

  it('is a 400 when the body is not UTF-8', async () => {
    const response = await fetch(`${bed.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: Buffer.from([0x7b, 0xff, 0x7d]),
    });
    expect(await refusal(response)).toMatchObject({ status: 400, message: /UTF-8/ });
  });

  it('is a 413 just above the limit of the body, and none at it', async () => {
    const withLength = (bytes: number) => {
      const empty = JSON.stringify({ messages: [{ role: 'user', content: '' }] });
      return JSON.stringify({ messages: [{ role: 'user', content: 'x'.repeat(bytes - empty.length) }] });
    };
    expect((await bed.post('/v1/chat/completions', withLength(2048))).status).toBe(200);
    expect(await refusal(await bed.post('/v1/chat/completions', withLength(2049)))).toEqual({
      status: 413,
      code: 'request_too_large',
      message: 'The body has 2,049 bytes; this server accepts 2,048. Send less, or raise bodyBytesMax.',
    });
  });

  it('gets its 413 even while it still sends a hundred times too much', async () => {
    const sizes = [200_000, 20_000_000];
    for (const size of sizes) {
      const response = await bed.post('/v1/chat/completions', 'x'.repeat(size));
      expect(await refusal(response)).toMatchObject({ status: 413 });
    }
    const chunked = new ReadableStream({
      pull: (controller) => controller.enqueue(new TextEncoder().encode('x'.repeat(1000))),
    });
    const endless = { body: chunked, duplex: 'half', headers: { 'content-type': 'application/json' } } as RequestInit;
    const response = await fetch(`${bed.url}/v1/chat/completions`, { method: 'POST', ...endless });
    expect(await refusal(response)).toMatchObject({ status: 413, code: 'request_too_large' });
  });

  it('is a 408 when its body comes too slowly, and the connection ends', async () => {
    const answer = await rawExchange(
      bed.gateway.port,
      'POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"mess',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\n/);
    expect(answer).toMatch(/x-request-id: req_/);
    expect(JSON.parse(answer.split('\r\n\r\n')[1]!)).toMatchObject({ error: { code: 'request_timeout' } });
  });

  it('is a 408 when even its header does not come', async () => {
    expect(await rawExchange(bed.gateway.port, 'GET /healthz HTTP/1.1\r\nhost:')).toMatch(/^HTTP\/1\.1 408 /);
  });

  it('is a 431 when its headers are too large', async () => {
    const answer = await rawExchange(bed.gateway.port, `GET / HTTP/1.1\r\nhost: x\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 431 /);
    expect(answer).toContain('"code":"invalid_request"');
  });

  it('is a 400 when it is not HTTP at all', async () => {
    const answer = await rawExchange(bed.gateway.port, 'hello\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('"code":"invalid_request"');
  });

  it('is none when it names an encoding and has no body', async () => {
    const headers = { 'content-encoding': 'gzip' };
    expect((await fetch(`${bed.url}/v1/models`, { headers })).status).toBe(200);
  });

  it('is a 417 when it expects what nobody knows, and the log has its id', async () => {
    const answer = await rawExchange(
      bed.gateway.port,
      'POST /v1/completions HTTP/1.1\r\nhost: x\r\nexpect: foo\r\nx-request-id: own-7\r\ncontent-length: 2\r\n\r\n{}',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 417 /);
    expect(answer).toMatch(/x-request-id: own-7\r\n/);
    expect(bodyOf(answer)).toMatchObject({ error: { code: 'invalid_request', param: null } });
    expect(bed.log).toContainEqual(expect.objectContaining({ requestId: 'own-7', status: 417, level: 'info' }));
  });

  it('is a 400 when it does not name its host, and old HTTP need not', async () => {
    const answer = await rawExchange(bed.gateway.port, 'GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toMatch(/x-request-id: req_/);
    expect(bodyOf(answer)).toMatchObject({ error: { message: 'The request has no Host header. Send one.' } });
    expect(await rawExchange(bed.gateway.port, 'GET /healthz HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('stands in the log by the id of its answer, whoever refused it', async () => {
    const answers = [
      await rawExchange(bed.gateway.port, 'nonsense\r\n\r\n'),
      await rawExchange(bed.gateway.port, 'GET /%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'),
    ];
    for (const answer of answers) {
      const requestId = answer.match(/x-request-id: (\S+)/)?.[1];
      expect(bed.log.filter((line) => line.requestId === requestId)).toHaveLength(1);
    }
  });

  it('never ends up in the middle of an answer that was asked for before on the same connection', async () => {
    const stream = JSON.stringify({ stream: true, messages: [{ role: 'user', content: 'a b c d e f g h' }] });
    const post = `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${stream.length}\r\n\r\n${stream}`;
    await using slow = await TestBed.start({}, [{ stepMs: 50 }]);
    const answer = await rawExchange(slow.gateway.port, post, ['HTTP/1.1 200', `${post}nonsense\r\n\r\n`]);
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1);
  });

  it('leaves the gateway as it was', async () => {
    expect((await bed.chat()).status).toBe(200);
    const failed = bed.records().filter(({ status }) => (status as number) >= 500);
    expect(failed).toEqual([]);
  });
});

function bodyOf(answer: string): unknown {
  return JSON.parse(answer.slice(answer.indexOf('{'), answer.lastIndexOf('}') + 1));
}
