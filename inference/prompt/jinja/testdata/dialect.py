"""Writes dialect.json: what Jinja, set up as transformers does, makes of many small templates.

    python inference/prompt/jinja/testdata/dialect.py     # transformers 5.23.0, jinja2 3.1.6
"""

import datetime
import json
import pathlib
import random

from transformers.utils import chat_template_utils

VARS = {
    "n": 3, "big": 12345678901, "f": 2.5, "s": "Hello, World", "u": "é日本🙂", "e": "", "t": True, "nil": None,
    "l": [3, 1, 2], "ls": ["b", "A", "c"], "d": {"a": "x", "b": 1}, "nest": {"k": [1, {"z": None}]},
    "people": [{"name": "Zoe", "age": 3, "tag": {"x": 1}}, {"name": "adam", "age": 30}, {"name": "Bob", "age": 3}],
    "messages": [{"role": "user", "content": " a "}, {"role": "assistant", "content": "b"}],
    "lines": "one\ntwo\n\n three", "spaced": "  a  b c  ",
}

EXPRESSIONS = r"""
1 + 2 * 3 ** 2 - 4
-2 ** 2
2 ** -1
2 ** 3 ** 2
7 // 2, -7 // 2, 7 // -2, -7 // -2
7 % 3, -7 % 3, 7 % -3, 7.5 % 2, -7.5 % 2
7 / 2
1 / 0
1 // 0
1 % 0
1 + 1.0
true + 1
1e3, 1.5e-7, 1e16, 123456789.0, 0.1 + 0.2, 1e22, 12e300 * 1e300
0x1F, 0b101, 0o17, 1_000, 00
'a' + 1
1 + 'a'
'a' ~ 1 ~ none ~ true ~ 1.0
'ab' * 3, 3 * 'ab', 'x' * -1
[1, 2] + [3]
(1, 2) + (3,)
[1] + (2,)
[1] + 'a'
none + 1
x + 1
x ~ 'a'
x
x.y
x['y']
nil
nil.y
nil.y.z
d.zzz
d.zzz.y
d.b, d['a'], d.items()|list, d.keys()|list, d.values()|list
d.get('b'), d.get('q'), d.get('q', 7)
nest.k[1].z, nest['k'][0], nest.k.0
l[0], l[-1], l[5], l[-9]
l[5].x
l['a']
s[0], s[-1], u[2], s[99]
l[1:], l[:-1], l[::-1], l[::2], l[5:], l[-2:], l[2:0:-1], l[-100:100]
s[1:4], s[::-1], u[::-1], u[1:3], s[::-3]
(1, 2, 3)[1:]
l[::0]
1 < 2, 1 < 2 < 3, 1 < 2 < 0, 2 >= 2.0, 1 == true, 1 == 1.0, '1' == 1
'a' < 'b', 'B' < 'a', 'a' < 1
[1, 2] < [1, 3], [1] == [1], (1,) == [1], d == {'a': 'x', 'b': 1}
x == y, x == none, x != 1
1 in l, 9 in l, 9 not in l, 'b' in d, 'World' in s, '' in s, 1 in x
1 in 'abc'
1 in 5
not 1 == 2, not true and false, not (true and false)
1 and 2, 0 and 2, '' or 'x', none or false, x or 'd', 1 or x.y.z
'a' if n > 2 else 'b', 'a' if n > 5, ('a' if false) is undefined
'a' if false else 'b' if false else 'c'
n is defined, x is defined, x is undefined, x is not defined, nil is none, nil is not none, n is number
n is integer, f is float, s is string, d is mapping, l is iterable, l is sequence, s is iterable, n is iterable, d is sequence
true is boolean, true is integer, true is number, 1.0 is integer, true is true, false is false, 1 is true, nil is false
n is odd, n is even, 6 is divisibleby 3, 6 is divisibleby(4), n is eq 3, n is equalto(4), n is ne 3, n is gt 2, n is lt 2, n is ge 3, n is le 2
'a' is in ['a'], 'z' is in 'xyz', n is sameas 3, nil is sameas none
'abc' is lower, 'ABC' is upper, '1' is lower, 'aB' is upper
range is callable, n is callable, x is callable, x is iterable, x is string, nil is iterable
s.upper(), s.lower(), s.title(), 'hELLO wORLD'.capitalize()
spaced.strip(), spaced.lstrip(), spaced.rstrip(), '--a--'.strip('-'), 'abcba'.strip('ab'), '\n x\n'.strip()
'xxaxx'.lstrip('x'), 'xxaxx'.rstrip('x')
s.split(','), spaced.split(), spaced.split(' '), 'a,b,c'.split(',', 1), 'a,b,c'.rsplit(',', 1), spaced.split(none, 1), spaced.rsplit(none, 1), ''.split(), ''.split(',')
'a b'.split('')
spaced.rsplit(none, 2), spaced.split(none, 2), spaced.rsplit(none, 9), 'a\u2003b\u2003c'.rsplit(none, 1), 'abc'.rsplit(none, 0), ' a b '.rsplit(none, 0), ' a b '.split(none, 0), '   '.rsplit(), 'x\u2028y\x85z'.splitlines(), 'a\u00a0b'|title
lines.splitlines(), 'a\r\nb\rc\n'.splitlines(), ''.splitlines()
s.startswith('Hell'), s.endswith('d'), s.startswith(('x', 'H')), s.startswith('')
s.replace('l', 'L'), s.replace('l', 'L', 1), s.replace('', '-'), s.replace('zz', 'y')
s.find('o'), s.rfind('o'), s.find('q'), u.find('本'), s.count('l')
', '.join(ls), ''.join('abc'), '-'.join([])
', '.join([1])
'a=b=c'.partition('='), 'a=b=c'.rpartition('='), 'abc'.partition('='), 'abc'.rpartition('=')
'12'.isdigit(), ''.isdigit(), 'ab'.isalpha(), 'a1'.isalnum(), ' '.isspace(), 'AB'.isupper(), 'ab'.islower()
'prefix-x'.removeprefix('prefix-'), 'x.txt'.removesuffix('.txt')
s|upper, s|lower, 'hello world-foo (bar'|title, 'hELLO'|capitalize, spaced|trim, '--a-'|trim('-'), none|trim, 5|trim, x|trim
'\u0131s\u0131 k\u0131\u015f'|title, '\u00dfa \u0149b \ufb01x'|title, '\u0391\u03a3 \u0391\u03a3\u0391'|title, '\u01c6 \u0130st'|title, '(\u0131\u0131\u0131\u0131 \u0131'|title
'\u0131\u00df\u0149\ufb01\u01c6\u0130\u0391\u03a3 \u03a3'.upper()
'\u0131\u00df\u0149\ufb01\u01c6\u0130\u0391\u03a3 \u03a3'.lower()
'\u0131\u00df\u0149\ufb01\u01c6\u0130\u0391\u03a3 \u03a3'.title()
'\u0131\u00df\u0149\ufb01\u01c6\u0130\u0391\u03a3 \u03a3'.capitalize()
'\u0391\u03a3'.title(), '\u03a3'.capitalize(), '\u00df\u00df'.title(), '\ufb00a \u01c4b'.title(), '\u01c4b'.capitalize(), 'o\u2019neil x1y \u00aab'.title()
s|length, l|length, d|count, x|length, u|length
5|length
l|first, l|last, []|first, s|first, d|first, x|last
l|join, l|join(', '), ls|join('-'), people|join(', ', attribute='name'), x|join
l|sort, ls|sort, ls|sort(case_sensitive=true), l|sort(reverse=true), people|sort(attribute='age')|map(attribute='name')|list
l|reverse|list, s|reverse, ls|unique|list, [1, 1.0, 'a', 'A']|unique|list
l|sum, people|sum(attribute='age'), [0.5, 1]|sum, l|min, l|max, ls|max, ls|min
d|items|list, d|dictsort, d|dictsort(reverse=true), {'B': 2, 'a': 1}|dictsort(by='value'), x|items|list
people|map(attribute='name')|list, people|map(attribute='tag.x')|list, people|map(attribute='zz', default='-')|list, ls|map('upper')|list, l|map('string')|join
people|selectattr('age', 'equalto', 3)|map(attribute='name')|list, people|selectattr('tag', 'defined')|list|length, people|rejectattr('age', 'gt', 5)|list|length, people|selectattr('tag')|list|length
l|select('odd')|list, l|reject('odd')|list, [0, 1, '', 'a']|select|list, l|select('>', 1)|list
x|default('d'), x|d('e'), ''|default('z'), ''|default('z', true), none|default('q'), none|default('q', boolean=true), x|default
'5'|int, '5.7'|int, 'a'|int, 'a'|int(9), 5.9|int, -5.9|int, none|int, true|int, 'ff'|int(0, 16), ' 7 '|int, '-3'|int
'5.5'|float, 'a'|float, 3|float, none|float(1.5)
-5|abs, -2.5|abs, (-5)|abs
2.567|round(2), 2.675|round(2), 1234|round(-2), 5|round(0, 'ceil'), 2.5|round, 3.5|round, 2.1|round(0, 'ceil'), 2.9|round(method='floor'), 5|round
s|replace('l', 'L'), s|replace('l', 'L', 1), 5|replace('5', 'x')
lines|indent, lines|indent(2), lines|indent(2, true), lines|indent(2, blank=true), lines|indent('> '), 'a'|indent(2, true)
'<a href="x">&\''|escape
[1, 'a', none, true, 1.5, {'k': 'é"\n\u2028</'}, []]|tojson
d|tojson, {}|tojson, []|tojson, nest|tojson(indent=2), {'b': 1, 'a': [1, 2, {}]}|tojson(indent=4), d|tojson(sort_keys=true), u|tojson(ensure_ascii=true), d|tojson(separators=(',', ':'))
{1: 2, none: 3, true: 4, 1.5: 5}|tojson
'\x7f\x01\b\f'|tojson
x|tojson
range|tojson
[1, 'it\'s', "q\"", 'both\'"', none, true, 1.0, 'é\n\t\\\x01\u200b'], (1,), (), {'a': {'b': [1]}}
range(3)|list, range(1, 4)|list, range(5, 0, -2)|list, range(0)|list
range(1, 2, 0)
range(200000)
dict(a=1, b=2), dict([('x', 1)]), dict({'y': 2}, z=3)
namespace(a=1).a, namespace().b is defined
namespace(_a=1)
strftime_now('%Y-%m-%d %H:%M:%S'), strftime_now('%d %b %Y'), strftime_now('%B %-d, %Y %I:%M %p %A %a %j %y %%')
raise_exception('no')
'a' 'b' "c"
'\n\t\\ \' \" \x41 \u00e9 \101 \q'
"a'b", 'a"b'
{'a': 1}.a, {'a': 1}['a'], [1, 2][0], 'abc'[1], (1, 2)[1]
{'a': 1, 'a': 2}, {1: 'x', 1.0: 'y', true: 'z'}
{[1]: 2}
undefined_function()
none()
s()
s.nothing()
l.append(1)
d.update({})
d.pop('b')
s.__class__
''.__class__.__mro__
d.__class__
l|nothing
l is nothing
(1)
()
1,
[1, 2,]
{'a': 1,}
[,]
1 +
(1
a b
messages[0].content|trim ~ '|', messages|last.role
(messages|last).role, messages|map(attribute='role')|join(',')
messages[0]['role'] == 'user' and messages|length == 2 and not (messages|length > 5)
loop
loop.index
nest.k[1]['z'] is none, nest.k|length, nest.items is defined, {'items': 1}.items is callable, {'items': 1}['items']
t, none, True, False, None
big * 2, {'b': 1, 'a': 2}|items|list, {'b': 1, 'a': 2}|tojson, {'b': 1, 'a': 2}|first, big ** 1, -big
""".strip().split("\n")

TEMPLATES = [
    "", "\n", "a\n", "a\n\n", "\n{{ 1 }}\n", "a\r\nb\rc",
    "{% if t %}a{% elif n %}b{% else %}c{% endif %}", "{% if e %}a{% elif n %}b{% else %}c{% endif %}", "{% if e %}a{% else %}c{% endif %}",
    "  {% if t %}\n  a\n  {% endif %}\n  b", "x  {% if t %}  \n y{% endif %}\n", "  {%- if t -%}\n  a\n  {%- endif -%}\n  b",
    "  {%+ if t %} a{%+ endif %}", "  {% if t +%}\n a{% endif +%}\n", "\t{% if t %}\t{% endif %}\t|", "a {%- if t %} b {% endif -%} c",
    "{{ 1 -}}  \n x", "x \n {{- 1 }}", " {{ 1 }} \n", "{{ 1 }}\n{{ 2 }}\n", "  {{ 1 }}\n", "{# c #}\nx", "  {# c #}  \nx", "a {#- c -#} b", "{# {{ 1 }} #}x", "{#+ c +#}\nx",
    "{% raw %}{{ 1 }}{% if %}{% endraw %}", "  {% raw %}\n a {% endraw %}\n b", "{% raw -%}  a  {%- endraw %}  b", "{%- raw %} x {% endraw -%}  b", "{# x",
    "{% for i in l %}{{ i }},{% endfor %}", "{% for i in [] %}x{% else %}none{% endfor %}", "{% for i in x %}x{% else %}none{% endfor %}", "{% for i in nil %}x{% endfor %}", "{% for i in 5 %}x{% endfor %}",
    "{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }};{% endfor %}",
    "{% for i in l %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {{ loop.previtem is defined }}{% endfor %}", "{% for i in l %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for i in [1,1,2] %}{{ loop.changed(i) }}{% endfor %}",
    "{% for i in l if i > 1 %}{{ i }}{{ loop.index }}{{ loop.length }}{% else %}no{% endfor %}", "{% for i in l if i > 9 %}{{ i }}{% else %}no{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }}{% endfor %}", "{% for c in u %}{{ c }}.{% endfor %}", "{% for (a, b) in [(1, 2)] %}{{ a }}{{ b }}{% endfor %}", "{% for a, b in [1] %}{% endfor %}", "{% for a, b in [(1,2,3)] %}{% endfor %}",
    "{% for i in l %}{% for j in l %}{{ loop.index }}{% if j == 1 %}{% break %}{% endif %}{% endfor %};{% endfor %}", "{% for i in l %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}", "{% break %}",
    "{% for i in l %}{% set y = i %}{% endfor %}{{ y is defined }}", "{% set y = 0 %}{% for i in l %}{{ y }}{% set y = i %}{{ y }};{% endfor %}{{ y }}", "{% if t %}{% set y = 1 %}{% endif %}{{ y }}",
    "{% set ns = namespace(a=0) %}{% for i in l %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}", "{% set ns = namespace() %}{% set ns.x = 1 %}{{ ns.x }}{{ ns.y }}", "{% set d.x = 1 %}", "{% set zz.x = 1 %}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a = 1, 2 %}{{ a }}", "{% set y %}a{{ n }}{% endset %}{{ y }}{{ y|length }}", "{% set y | upper | trim %} ab {% endset %}{{ y }}|", "{% set y = 'a' if e else 'b' %}{{ y }}",
    "{% macro m(a, b=2, c='x') %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}{{ m(1, c=3) }}{{ m(b=5) }}{{ m() }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(z=2) }}",
    "{% macro m(a) %}{% if a > 0 %}{{ a }}{{ m(a - 1) }}{% endif %}{% endmacro %}{{ m(4) }}", "{% set y = 1 %}{% macro m() %}{{ y }}{{ n }}{% endmacro %}{% set y = 2 %}{{ m() }}", "{% macro m() %} x {% endmacro %}[{{ m()|trim }}][{{ m() ~ 'a' }}]{{ m is callable }}",
    "{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}", "{% macro m() -%}\n  a\n{%- endmacro %}{{ m() }}", "{% macro m(x, y=x) %}{{ x }}{{ y }}{% endmacro %}{{ m(1) }}",
    "{% filter upper %}a{{ s }}{% endfilter %}", "{% filter upper|replace('A', 'b') %}a{% endfilter %}", "{% with a=1, b=2 %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}", "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q is defined }}", "{% set a = 1 %}{% with a=2, b=a %}{{ a }}{{ b }}{% endwith %}",
    "{% generation %}a{{ n }}{% endgeneration %}\nb", "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
    "{% set loop_messages = messages[1:] if messages[0].role == 'system' else messages %}{{ loop_messages|length }}", "{% for m in messages[::-1] %}{{ m.role }}{% endfor %}", "{% for m in (messages if t else [])[:1] %}{{ m.role }}{% endfor %}",
    "{% if messages[0]['role'] == 'system' %}x{% else %}{{ messages[0]['content'] | trim }}{% endif %}", "{% set _ = x.update(1) %}", "{% set messages = messages + [{'role': 'x'}] %}{{ messages|length }}", "{% for i in range(3) -%}\n {{ i }}\n{%- endfor %}",
    "{{ '}}' }}{{ '%}' }}{{ {'a': {'b': 1}} }}", "{% if '%}' == '%}' %}x{% endif %}", "{{\n1\n}}", "{{ 1", "{% if t %}", "{% endif %}", "{% for %}{% endfor %}", "{% for i in l %}", "{% unknown %}", "{{ }}", "{% %}", "{% set %}", "{% set 1 = 2 %}", "{% set true = 2 %}", "}}", "%}", "#}", "{", "{ {", "{{ '", "{{ ] }}", "{{ ( ] ) }}",
    "{% if true -%} {{- ' a ' -}} {%- endif %} b", "{%if t%}a{%endif%}", "{{1}}{{-1}}", "{{- 1 -}}", "{{-'a'-}}", "{% for i in l -%} {{ i }} {%- if not loop.last %}, {% endif -%} {% endfor %}", "{%- set x = 1 %}\n\n{{- x }}\n",
    "a{% if t %}\n\nb{% endif %}", "{% if t %}a\n{% endif %}\nb", "   {% if t %}a{% endif %}   {% if t %}b{% endif %}\n   {{ 1 }}", "{% if t %}{% endif %}  {% if t %}x{% endif %}", "x{{ 1 }}  {% if t %}y{% endif %}", "x\n  {{ 1 }}\n  {% if t %}y{% endif %}",
]


def random_templates(rng, count):
    """Whitespace control is where renderers differ most: tags and text put together at random."""
    bits = ["{% if t %}", "{%- if t %}", "{% if t -%}", "{%- if e -%}", "{%+ if t %}", "{% if t +%}"]
    ends = ["{% endif %}", "{%- endif %}", "{% endif -%}", "{%- endif -%}", "{%+ endif %}", "{% endif +%}", "{% else %}"]
    text = [" ", "\n", "  \n", "\n  ", "a", "\t", "a \n\n b", "{{ n }}", "{{- n }}", "{{ n -}}", "{# c #}", "{#- c -#}", "{% set q = 1 %}", "\u00a0"]
    for _ in range(count):
        out, depth = "", []
        for _ in range(rng.randint(2, 12)):
            roll = rng.random()
            if roll < 0.25:
                out += rng.choice(bits)
                depth.append(False)
            elif roll < 0.45 and depth:
                end = rng.choice(ends)
                if "else" in end:
                    if depth[-1]:
                        continue
                    depth[-1] = True
                else:
                    depth.pop()
                out += end
            else:
                out += rng.choice(text)
        yield out + "{% endif %}" * len(depth)


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime(2026, 3, 7, 9, 5, 2)


def main():
    chat_template_utils.datetime = Clock
    sources = ["{{ " + e + " }}" for e in EXPRESSIONS] + TEMPLATES + list(random_templates(random.Random(1), 300))
    cases = []
    for source in sources:
        case = {"source": source}
        try:
            case["text"] = chat_template_utils._compile_jinja_template(source).render(**VARS)
        except Exception as e:
            case["error"] = f"{type(e).__name__}: {e}"[:160]
        cases.append(case)
    path = pathlib.Path(__file__).with_name("dialect.json")
    path.write_text(json.dumps({"vars": VARS, "cases": cases}, ensure_ascii=False, indent=0) + "\n")
    print(len(cases), "templates,", sum("error" in c for c in cases), "refused")


main()
