import { describe, expect, it } from 'vitest';
import { ChatTemplate } from './chat-template.js';

const texts = { beginningText: '<s>', endText: '</s>' };

function chat(
  messages: Record<string, unknown>[],
  more: { tools?: Record<string, unknown>[]; variables?: object } = {},
) {
  return { kind: 'chat' as const, messages, tools: more.tools ?? [], templateVariables: { ...more.variables } };
}

describe('ChatTemplate', () => {
  it('writes ChatML when the model file has no template', () => {
    const template = new ChatTemplate(undefined, texts);
    expect(template.render(chat([{ role: 'user', content: 'Hi' }]))).toBe(
      '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n',
    );
  });

  it('gives the template the texts of the beginning and end tokens', () => {
    const template = new ChatTemplate('{{ bos_token }}{{ messages[0].content }}{{ eos_token }}', texts);
    expect(template.render(chat([{ role: 'user', content: 'Hi' }]))).toBe('<s>Hi</s>');
  });

  it('joins the text parts of a message with line breaks', () => {
    const template = new ChatTemplate('{{ messages[0].content }}', texts);
    const content = [
      { type: 'text', text: 'one' },
      { type: 'text', text: 'two' },
    ];
    expect(template.render(chat([{ role: 'user', content }]))).toBe('one\ntwo');
  });

  it('calls a developer message system for a template that knows no developer', () => {
    const message = { role: 'developer', content: 'Be brief.' };
    expect(new ChatTemplate('{{ messages[0].role }}', texts).render(chat([message]))).toBe('system');
    const knowing = new ChatTemplate("{% if messages[0].role == 'developer' %}developer{% endif %}", texts);
    expect(knowing.render(chat([message]))).toBe('developer');
  });

  it('passes tools, and leaves them undefined when there are none', () => {
    const template = new ChatTemplate(
      '{% if tools is defined %}{{ tools[0].function.name }}{% else %}none{% endif %}',
      texts,
    );
    const tools = [{ type: 'function', function: { name: 'get_weather' } }];
    expect(template.render(chat([{ role: 'user', content: '' }], { tools }))).toBe('get_weather');
    expect(template.render(chat([{ role: 'user', content: '' }]))).toBe('none');
  });

  it('gives the template the arguments of a call as an object', () => {
    const template = new ChatTemplate('{{ messages[0].tool_calls[0].function.arguments | tojson }}', texts);
    const call = { id: 'call_1', type: 'function', function: { name: 'f', arguments: '{"city":"Paris"}' } };
    expect(template.render(chat([{ role: 'assistant', content: null, tool_calls: [call] }]))).toBe('{"city": "Paris"}');
    const broken = { ...call, function: { name: 'f', arguments: '{"city' } };
    expect(template.render(chat([{ role: 'assistant', content: null, tool_calls: [broken] }]))).toBe('"{\\"city"');
  });

  it('passes further variables, and says which names are taken', () => {
    const template = new ChatTemplate('{{ enable_thinking }} {{ messages[0].content }}', texts);
    const render = (variables: Record<string, unknown>) =>
      template.render(chat([{ role: 'user', content: 'Hi' }], { variables }));
    expect(render({ enable_thinking: false })).toMatch(/^false Hi$/i);
    for (const name of ['messages', 'namespace', 'raise_exception']) {
      expect(() => render({ [name]: 1 })).toThrow(
        expect.objectContaining({
          message: `chat_template_kwargs can't set \`${name}\`: every template is given it already. Leave it out.`,
          details: { param: 'chat_template_kwargs' },
        }),
      );
    }
  });

  it('answers a template that raises an exception with its sentence and the parameter', () => {
    const template = new ChatTemplate("{{ raise_exception('Roles must alternate!') }}", texts);
    expect(() => template.render(chat([{ role: 'user', content: 'Hi' }]))).toThrow(
      expect.objectContaining({
        code: 'invalid_request',
        message: "The model's chat template refuses these messages: Roles must alternate! Change the messages.",
        details: expect.objectContaining({ param: 'messages' }),
      }),
    );
  });

  it('knows the date, in English and in UTC', () => {
    const template = new ChatTemplate(
      "{{ strftime_now('%d %b %Y, %A %H:%M') }}",
      texts,
      () => new Date(Date.UTC(2024, 6, 26, 9, 5)),
    );
    expect(template.render(chat([]))).toBe('26 Jul 2024, Friday 09:05');
  });

  it("renders the constructs of Llama's, Qwen's and Mistral's templates", () => {
    const template = new ChatTemplate(
      `{{- bos_token }}
{%- if not date_string is defined %}{%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}{%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}{%- else %}{%- set system_message = "" %}{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}{%- set index = (messages|length - 1) - loop.index0 %}{%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>')) %}{%- set ns.multi_step_tool = false %}{%- set ns.last_query_index = index %}{%- endif %}{%- endfor %}
{{- "[" + date_string + "|" + system_message + "|" + ns.last_query_index|string + "]" }}
{%- for message in messages %}{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('roles must alternate') }}{%- endif %}{{- '<' + message.role + '>' + message.content }}{%- endfor %}`,
      texts,
      () => new Date(Date.UTC(2024, 6, 26)),
    );
    const messages = [
      { role: 'system', content: ' Be brief. ' },
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
      { role: 'user', content: 'c' },
    ];
    expect(template.render(chat(messages))).toBe('<s>[26 Jul 2024|Be brief.|2]<user>a<assistant>b<user>c');
  });

  it('says at the start that a template is not Jinja', () => {
    expect(() => new ChatTemplate('{% for %}', texts)).toThrow(
      /^The model's chat template can't be read: .* `chatTemplate` in the models file\.$/,
    );
  });
});
