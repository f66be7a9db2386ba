"""Chat templates in the forms that checkpoints use, and small ones for each part of the language, rendered by Python's
jinja2 as transformers calls it: what src/jinja is compared with. Debian's python3-jinja2 does.

usage: chat_templates.py FILE.json     writes the templates, what they are given and what comes of it
"""
import json
import sys

import jinja2
import jinja2.ext
import jinja2.sandbox

CHATML = """{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
SMOLLM2 = """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou are a helper.<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
LLAMA2 = """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"""
LLAMA3 = """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message comes first. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("one call at a time") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
MISTRAL = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if message.role == "user" or message.role == "assistant" %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("roles must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token }}
    {%- endif %}
{%- endfor %}
"""
QWEN3 = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "<|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""
GEMMA = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}"""
PHI3 = """{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\\n' + message['content'] + '<|end|>\\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"""
ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""
MACROS = """{% macro turn(role, content, end='<|end|>') -%}
    <|{{ role }}|>{{ content | trim }}{{ end }}
{%- endmacro %}
{%- for message in messages %}
{{ turn(message.role, message.content) }}
{%- endfor %}
{{ turn('note', 'x', end='') }}
"""

CHATS = [
    [{"role": "user", "content": "Hello there"}],
    [{"role": "system", "content": " You are kind. "}, {"role": "user", "content": "Hi\n"},
     {"role": "assistant", "content": " <think>\nwell\n</think>\n\nHello! "}, {"role": "user", "content": "ünïcode \u65e5 \"q\""}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}],
    [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
]
FORMS = {"chatml": CHATML, "smollm2": SMOLLM2, "llama2": LLAMA2, "llama3": LLAMA3, "mistral": MISTRAL, "qwen3": QWEN3,
         "gemma": GEMMA, "phi3": PHI3, "zephyr": ZEPHYR, "macros": MACROS}

VALUES = {"n": 7, "x": 2.5, "t": "  Some Text, here  ", "e": "", "l": [3, 1, 2], "d": {"b": 1, "a": [True, None, "ü\n"]},
          "m": [{"k": "u", "v": 1}, {"k": "w", "v": 2}, {"k": "u", "v": 3}], "yes": True, "no": False, "none_": None}
PARTS = """{{ n + 1 }} {{ n - 10 }} {{ n * 2 }} {{ n / 2 }} {{ n // 2 }} {{ -n // 2 }} {{ n % 4 }} {{ -n % 4 }} {{ n ** 2 }} {{ x * 2 }} {{ 1e3 }} {{ 2.0 }}
{{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ 'a' ~ 1 ~ none ~ true }} {{ 'ab' * 3 }} {{ [1] + [2] }} {{ -n }} {{ +n }}
{{ 1 < 2 }} {{ 1 < n < 8 }} {{ 'a' == 'a' }} {{ 1 == 1.0 }} {{ true == 1 }} {{ l == [3, 1, 2] }} {{ 'b' > 'a' }} {{ n != 7 }}
{{ 3 in l }} {{ 4 not in l }} {{ 'a' in d }} {{ 'om' in t }} {{ not yes }} {{ yes and 'x' }} {{ no or 'y' }} {{ e or none_ or 'z' }}
{{ 'a' if yes else 'b' }} {{ 'a' if no }}| {{ 'a' if no else 'b' if no else 'c' }}
{{ undefined_one }}| {{ undefined_one is defined }} {{ n is defined }} {{ none_ is none }} {{ t is string }} {{ d is mapping }} {{ l is iterable }} {{ n is number }} {{ x is float }} {{ n is integer }} {{ yes is boolean }} {{ no is false }} {{ yes is true }} {{ n is odd }} {{ n is even }} {{ n is divisibleby 7 }} {{ n is divisibleby(3) }} {{ 'a' is in ['a'] }} {{ n is eq 7 }} {{ n is not none }} {{ l is sequence }} {{ t is lower }}
{{ t|trim }}| {{ t.strip() }}| {{ t.lstrip() }}| {{ t.rstrip() }}| {{ t|upper }} {{ t|lower }} {{ t|title }} {{ t|trim|capitalize }} {{ t|length }} {{ 'ü日'|length }}
{{ l|join(', ') }} {{ l|join }} {{ m|join('-', attribute='k') }} {{ l|first }} {{ l|last }} {{ l|sort|join }} {{ l|reverse|list }} {{ 'abc'|reverse }} {{ l|length }} {{ m|map(attribute='v')|list }} {{ l|map('string')|list }}
{{ m|selectattr('k', 'equalto', 'u')|list }} {{ m|rejectattr('k', 'eq', 'u')|map(attribute='v')|list }} {{ l|select('gt', 1)|list }} {{ l|reject('odd')|list }} {{ [1, 1, 2]|unique|list }} {{ [1, 0, 2]|select|list }}
{{ undefined_one|default('d') }} {{ e|default('d', true) }} {{ e|d('d') }}| {{ none_|default('d') }}
{{ d|tojson }} {{ d|tojson(indent=2) }} {{ 'a"\\\\\\n\\t'|tojson }} {{ 1.5|tojson }} {{ []|tojson }} {{ {}|tojson(indent=4) }} {{ none|tojson }} {{ '<&>'|tojson }}
{{ d }} {{ l }} {{ [none, true, 'it\\'s', "q", 1.0] }} {{ d.keys()|list }} {{ d.values()|list }} {{ d.get('b') }} {{ d.get('z', 5) }} {% for k, v in d|items %}{{ k }}{{ v }}{% endfor %} {% for k, v in d|dictsort %}{{ k }}{{ v }}{% endfor %}
{{ l[0] }} {{ l[-1] }} {{ l[1:] }} {{ l[:-1] }} {{ l[::-1] }} {{ l[::2] }} {{ t[2:6] }} {{ 'ü日x'[1] }} {{ d['b'] }} {{ d.a[2] }} {{ l[9] is defined }} {{ 'abc'[::-1] }} {{ l[-9:2] }} {{ l[5:] }}
{{ 'a,b,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ 'xxabxx'.strip('x') }} {{ 'abab'.replace('a', 'c') }} {{ 'abab'|replace('b', '', 1) }} {{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('bc', 'x')) }} {{ 'abc'.find('c') }} {{ 'abcabc'.rfind('b') }} {{ 'aaa'.count('a') }} {{ ', '.join(['a', 'b']) }} {{ 'Ab'.upper() }} {{ 'Ab'.lower() }} {{ 'a b'.title() }} {{ 'a\\nb\\n'.splitlines() }} {{ '12'.isdigit() }} {{ 'ab'.isalpha() }} {{ 'xay'.removeprefix('x') }} {{ 'xay'.removesuffix('y') }}
{{ '12'|int + 1 }} {{ 'x'|int(3) }} {{ 3.9|int }} {{ '1.5'|float }} {{ -3|abs }} {{ 5|string + 'a' }} {{ 'a\\nb'|indent(2) }} {{ 'a\\n\\nb'|indent(2, true) }} {{ l|sort(reverse=true) }}
{% for i in range(3) %}{{ i }}{{ loop.index }}{{ loop.first }}{{ loop.last }}{{ loop.revindex }}{{ loop.length }},{% endfor %} {% for i in [] %}x{% else %}none{% endfor %} {% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %} {% for i in range(10) if i % 3 == 0 %}{{ i }}{{ loop.index0 }} {% endfor %}
{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %} {% for a in [1, 2] %}{% for b in [3, 4] %}{{ a }}{{ b }}{{ loop.index }} {% endfor %}{{ loop.index }}{% endfor %} {% for c in 'aü' %}[{{ c }}]{% endfor %} {% for i in l %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {{ loop.cycle('a', 'b') }} {% endfor %}
{% set a = 1 %}{% for i in [1] %}{% set a = 2 %}{{ a }}{% endfor %}{{ a }} {% if yes %}{% set a = 3 %}{% endif %}{{ a }} {% set b, c = 1, 2 %}{{ b }}{{ c }} {% set s %}in {{ n }}{% endset %}{{ s }} {% set u | upper %}abc{% endset %}{{ u }} {% set ns = namespace(i=0, j='a') %}{% for i in range(3) %}{% set ns.i = ns.i + i %}{% endfor %}{{ ns.i }}{{ ns.j }}
{% macro f(a, b=2, c=none) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }} {{ f(1, c=3) }} {{ f(b=5, a=4) }} {% macro g(x) %}{% if x > 0 %}{{ x }}{{ g(x - 1) }}{% endif %}{% endmacro %}{{ g(3) }}
{% raw %}{{ not this }} {% nor this %}{% endraw %} {# a comment #}after {{- ' tight ' -}} end {{ '}}' }} {{ {'a': {'b': 1}}.a.b }} {{ dict(a=1)['a'] }} {{ "two" 'parts' }} {{ (1,)|list }} {{ (1, 2)|join }} {{ [[1, 2], [3]][0][1] }}
{{ range(2, 8, 3)|list }} {{ range(3, 0, -1)|list }} {{ '%s' }} {{ 'a' 'b' ~ 'c' }} {{ 10000000000 * 10 }} {{ 0.1 + 0.2 }} {{ 1e16 }} {{ 1e-5 }} {{ 123456.789 }} {{ 7 // 2.0 }} {{ true + 1 }} {{ x|int }} {{ not x is string }}
a
  {% if yes %}
  b
  {%- endif %}
c
    {%+ if yes %}d{% endif +%}
e{{ '\\n' }}{% if yes -%}

   f   
{%- endif %}
   {# gone #}
g""".split("\n")
# The last ones belong together: white space.
WHOLE = ["\n".join(PARTS[-12:])]
PARTS = PARTS[:-12]
REFUSED = ["{{ undefined_one.a }}", "{{ undefined_one + 1 }}", "{{ 'a' + 1 }}", "{{ raise_exception('no') }}", "{{ 1 / 0 }}", "{{ none_.a.b }}",
           "{{ 'a' < 1 }}", "{{ n() }}", "{% if %}{% endif %}", "{% for i in l %}", "{{ 1 +", "{{ l|no_such }}", "{% endfor %}",
           "{% for a, b in [[1, 2, 3]] %}{% endfor %}", "{{ 'a", "{% set n.x = 1 %}", "{{ n is no_such }}", "{# open"]


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)


def environment():
    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    made.filters["tojson"] = lambda value, indent=None: json.dumps(value, ensure_ascii=False, indent=indent)

    def refuse(message):
        raise jinja2.exceptions.TemplateError(message)

    made.globals["raise_exception"] = refuse
    return made


def rendered(source, values):
    try:
        return environment().from_string(source).render(**values)
    except Exception:  # whatever it is: ours must refuse, too
        return None


def main():
    values = {"parts": VALUES, "tools": {"messages": CHATS[0], "add_generation_prompt": True, "enable_thinking": False,
                                         "tools": [{"name": "f", "n": 1}]}}
    for number, chat in enumerate(CHATS):
        values[f"chat{number}"] = {"messages": chat, "add_generation_prompt": number != 1, "bos_token": "<s>",
                                   "eos_token": "</s>", "date_string": "1 Jan 2026"}
    cases = []
    for source in FORMS.values():
        texts = {name: rendered(source, values[name]) for name in values if name.startswith("chat")}
        cases.append({"source": source, "texts": texts})
    cases[list(FORMS).index("qwen3")]["texts"]["tools"] = rendered(QWEN3, values["tools"])
    cases += [{"source": source, "texts": {"parts": rendered(source, VALUES)}} for source in PARTS + WHOLE + REFUSED]
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        json.dump({"values": values, "cases": cases}, out, ensure_ascii=False, indent=0)
        out.write("\n")


if __name__ == "__main__":
    main()
