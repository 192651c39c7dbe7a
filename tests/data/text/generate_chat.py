"""Writes chat.json: templates in the style of public models, conversations, and the texts that Jinja makes of them with the settings of Transformers.

Run in the root of the repository, with jinja2 installed: python tests/data/text/generate_chat.py
"""

import json
import pathlib

import jinja2.sandbox

HERE = pathlib.Path(__file__).parent

TEMPLATES = {
    "chatml": "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "chatml with a system": """{% for message in messages %}
    {%- if loop.first and messages[0]['role'] != 'system' %}
        {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}
    {%- endif %}
    {{- '<|im_start|>' ~ message.role ~ '\\n' ~ message.content | trim ~ '<|im_end|>' ~ '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' -}}
{% endif %}
""",
    "brackets": "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    "headers": "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
    "lines": """{% for message in messages %}
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
{% endfor %}
""",
    "turns": "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}",
    "white space": """  {# a note -#}
  x {{- ' a ' -}}  y
\t{% if messages | length > 1 %}
  many {{ messages|length }} {{ loop is defined }} {{ nothing }}{{ none }} {{ true }}
    {% else %}
  one
  {% endif -%}

  end {# {% if %} #}
  {%- for m in messages -%} {{ loop.index }}/{{ loop.length }}{{ ',' if not loop.last else '.' }} {% endfor %}

{{ "it's \\"quoted\\" \\\\ }} %}" }}
""",
    "operators": "{{ 7 % 3 }} {{ -7 % 3 }} {{ 1 + 2 - 4 }} {{ 'a' in 'cab' }} {{ 'x' not in 'cab' }} {{ not 1 == 2 }} {{ 2 < 3 and 3 <= 3 or false }} {{ messages[-1].content[0] }} {{ messages[0].missing is defined }} {{ messages[0].content is string }} {{ none is none }} {{ 'caf\u00e9'[3:] }} {{ '' or 'b' }} {{ 'a' and 'b' }} {{ 1 ~ 'x' ~ true }} {{ (1 if false) is defined }}",
}
CONVERSATIONS = [
    [("user", "Who wrote Persuasion?"), ("assistant", "Jane Austen.")],
    [("system", "Be brief."), ("user", " hello \n"), ("assistant", "Hi."), ("user", "caf\u00e9 \U0001f600?"), ("assistant", "  Yes, {{ really }} {% if %}.\n")],
    [("user", "a"), ("assistant", "b"), ("user", "c")],
    [("user", "")],
]


def refuse(reason):
    raise jinja2.exceptions.TemplateError(reason)


def main():
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = refuse
    table = []
    for name, source in TEMPLATES.items():
        template = environment.from_string(source)
        for conversation in CONVERSATIONS:
            messages = [{"role": role, "content": content} for role, content in conversation]
            for prompt in (False, True):
                row = {"template": name, "source": source, "messages": messages, "add_generation_prompt": prompt}
                try:
                    row["text"] = template.render(messages=messages, bos_token="<s>", eos_token="</s>", add_generation_prompt=prompt)
                except jinja2.exceptions.TemplateError as error:
                    row["refused"] = str(error)
                table.append(row)
    (HERE / "chat.json").write_text(json.dumps(table, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
