"""Templates: what they print, what they refuse, and that none of them goes on for ever."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtara.dsl.templates import (
    TemplateFailed,
    TemplateInvalid,
    check,
    referenced_names,
    referenced_paths,
    render,
)
from runtara.limits import TEMPLATE_CHARACTERS_MAX, TEMPLATE_OUTPUT_CHARACTERS_MAX, TEMPLATE_WORK_MAX

CONTEXT: dict[str, Any] = {
    "data": {
        "name": "Ann",
        "items": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2.5}],
        "flag": True,
        "null": None,
        "text": "x<y>'&",
        "unit price": 3,
        "0": "nought",
        "words": "two words",
        "empty": {},
    },
    "n": 5,
    "loop": {"index": 3},
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("plain – ünïcode 😀", "plain – ünïcode 😀"),
        ("line\n", "line"),
        ("{# nothing #}", ""),
        ("Hi {{ data.name }}!", "Hi Ann!"),
        ("{{ n }} {{ 1.0 }} {{ data.flag }} {{ data.null }}", "5 1.0 true none"),
        ("{{ data['items'] }}", '[{"sku": "a", "n": 1}, {"sku": "b", "n": 2.5}]'),
        ("{{ {'ü': [null_is, false]} }}".replace("null_is", "none"), '{"ü": [null, false]}'),
        ("{{ data['unit price'] }} {{ data['0'] }}", "3 nought"),
        ("{{ data.items[0].sku }}{{ data.items.1.sku }}{{ data['items'][-1]['sku'] }}", "abb"),
        ("{{ data.items[:1] }}{{ data.name[1:] }}", '[{"sku": "a", "n": 1}]nn'),
        ("{{ loop.index }}{% for i in [1] %}{{ loop.index }}{% endfor %}", "31"),
        ("{% for i in data.items %}{{ loop.index }}{{ i.sku }}{{ '' if loop.last else ',' }}{% endfor %}", "1a,2b"),
        ("{% for i in [1, 2, 3] if i is odd %}{{ i }}{% else %}none{% endfor %}", "13"),
        ("{% for k, v in data.empty.items() %}{{ k }}{% else %}none{% endfor %}", "none"),
        ("{% for k, v in {'a': 1}.items() %}{{ k }}={{ v }}{% endfor %}", "a=1"),
        ("{% if data.flag and n > 4 %}yes{% elif n %}maybe{% endif %}", "yes"),
        ("{% set ns = namespace(t=0) %}{% for i in range(4) %}{% set ns.t = ns.t + i %}{% endfor %}{{ ns.t }}", "6"),
        ("{% macro m(a, b=2) %}[{{ a }}{{ b }}]{% endmacro %}{{ m(1) }}{{ m('x', b='y') }}", "[12][xy]"),
        ("{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}in{% endcall %}", "<in>"),
        ("{% set x %}a{{ n }}{% endset %}{{ x }}{% filter upper %}b{% endfilter %}", "a5B"),
        ("{% block a %}b{% endblock %}", "b"),
        ("{{ 2 ** 10 }} {{ 7 // 2 }} {{ 7 / 2 }} {{ 7 % 4 }} {{ -n }} {{ 2 * 'ab' }}", "1024 3 3.5 3 -5 abab"),
        ("{{ 'a' ~ 1 ~ true ~ none }} {{ 'a' + 'b' }} {{ [1] + [2] }}", "a1truenone ab [1, 2]"),
        ("{{ n == 5 }} {{ 1 < n < 3 }} {{ 'A' in data.name }} {{ 'x' not in data }}", "true false true true"),
        ("{{ data.missing | default('x') }} {{ data.missing is defined }} {{ data.items is defined }}", "x false true"),
        ("{{ data.keys is defined }} {{ data.get('q', 3) }} {{ data.empty.keys() | list }}", "false 3 []"),
        ("{% for i in [1] %}{{ data.words.split() }}{{ data.name.upper() }}{% endfor %}", '["two", "words"]ANN'),
        ("{% set j = joiner(',') %}{% for i in [1, 2] %}{{ j() }}{{ cycler('a', 'b').next() }}{% endfor %}", "a,a"),
        ("{% raw %}{{ data }}{% endraw %}", "{{ data }}"),
    ],
)
def test_a_template_prints(template: str, text: str) -> None:
    check(template)
    assert render(template, CONTEXT) == text


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("data.items | map(attribute='sku') | join(', ')", "a, b"),
        ("[1, true, none] | join('-')", "1-true-none"),
        ("data.items | sum(attribute='n')", "3.5"),
        ("data.items | sort(attribute='n', reverse=true) | map(attribute='sku') | list", '["b", "a"]'),
        ("data.items | groupby('sku') | map(attribute='grouper') | list", '["a", "b"]'),
        ("(data.items | groupby('sku') | first).list | length", "1"),
        ("data.items | selectattr('n', '>', 1) | map(attribute='sku') | first", "b"),
        ("[3, 1, 3] | unique | list", "[3, 1]"),
        ("[[3, 1] | min, [3, 1] | max, [3, 1] | sort | last]", "[1, 3, 3]"),
        ("{'b': 1, 'a': 2} | dictsort", '[["a", 2], ["b", 1]]'),
        ("{'b': 1} | items", '[["b", 1]]'),
        ("[1, 2, 3] | batch(2, 0)", "[[1, 2], [3, 0]]"),
        ("[1, 2, 3] | slice(2)", "[[1, 2], [3]]"),
        ("data.text | tojson", '"x\\u003cy\\u003e\\u0027\\u0026"'),
        ("{'a': [1, 'ü']} | tojson", '{"a":[1,"ü"]}'),
        ("{'a': 1} | tojson(indent=2)", '{\n  "a": 1\n}'),
        ("data.text | e", "x&lt;y&gt;&#39;&amp;"),
        ("data.text | safe", "x<y>'&"),
        ("'%.2f %s' | format(3.14159, 'ü')", "3.14 ü"),
        ("'%(a)05d' | format(a=3)", "00003"),
        ("2.345 | round(2)", "2.35"),
        ("2.1 | round(method='ceil')", "3.0"),
        ("'12' | int + ('1.5' | float)", "13.5"),
        ("'x' | int(7)", "7"),
        ("'a-b-c' | replace('-', '+')", "a+b+c"),
        ("'a-b-c' | replace('-', '+', 1)", "a+b-c"),
        ("'ab' | replace('', '.')", ".a.b."),
        ("'a\nb' | indent(2)", "a\n  b"),
        ("'the end' | title", "The End"),
        ("' x ' | trim | upper | reverse", "X"),
        ("'one two three' | truncate(8, leeway=0)", "one..."),
        ("'one two' | wordcount", "2"),
        ("'a b/ü' | urlencode", "a%20b/%C3%BC"),
        ("2048 | filesizeformat(true)", "2.0 KiB"),
        ("[none, 5] | map('string') | list", '["none", "5"]'),
        ("[1, 2] | map('default') | reject('even') | list", "[1]"),
        ("-3 | abs", "3"),
    ],
)
def test_a_filter_gives(expression: str, text: str) -> None:
    assert render(f"{{{{ {expression} }}}}", CONTEXT) == text


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ data.missing }}", "line 1: there is no 'missing' in the object"),
        ("\n\n{{ data.missing.deep }}", "line 3: there is no 'missing' in the object"),
        ("{{ missing }}", "'missing' is undefined"),
        ("{{ [missing] }}", "'missing' is undefined"),
        ("{{ missing ~ 'x' }}", "'missing' is undefined"),
        ("{% for x in missing %}{% endfor %}", "'missing' is undefined"),
        ("{{ data.items[2] }}", "there is no 2 in the array of 2"),
        ("{{ data.items.sku }}", "there is no 'sku' in the array of 2"),
        ("{{ data.null.x }}", "there is no 'x' in null"),
        ("{{ n.real }}", "there is no 'real'"),
        ("{{ data.empty.keys }}", "there is no 'keys'"),
        ("{{ data.items() }}", "not callable"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ 1 + 'a' }}", "unsupported operand"),
        ("{{ [1, 'a'] | sort }}", "not supported"),
        ("{{ [1, 'a'] | sum }}", "'a' is no number"),
        ("{{ '%s' % n }}", "filter format"),
        ("{{ '%s' | format(data) }}", "texts and numbers"),
        ("{{ '%d' | format('a') }}", "number"),
        ("{{ range }}", "has no text"),
        ("{{ self }}", "has no text"),
        ("{{ (-8) ** 0.5 }}", "has no text"),
    ],
)
def test_what_cannot_be_said_fails(template: str, said: str) -> None:
    check(template)
    with pytest.raises(TemplateFailed) as caught:
        render(template, CONTEXT)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ broken", "line 1: unexpected end of template"),
        ("\n{% if %}", "line 2: Expected an expression"),
        ("{% for x in y %}", "line 1: "),
        ("{{ 'a' | nothing }}", "No filter named 'nothing'"),
        ("{{ 'a' | ~spent }}", "line 1: "),
        ("{{ [1] | random }}", "No filter named 'random'"),
        ("{{ 'a' is nothing }}", "No test named 'nothing'"),
        ("{% include 'x' %}", "stands alone"),
        ("{% extends 'x' %}", "stands alone"),
        ("{% import 'x' as y %}", "stands alone"),
        ("{% from 'x' import y %}", "stands alone"),
        ("{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}", "nested too deeply"),
        ("{% for a in [1] %}" * 30 + "{% endfor %}" * 30, "nested"),
        ("{{ " + "9" * 10_000 + " }}", "digits"),
        ("{{ a" + ".b" * 20_000 + " }}", "nested too deeply"),
    ],
)
def test_what_is_no_template_is_invalid(template: str, said: str) -> None:
    for ask in (check, lambda text: render(text, CONTEXT)):
        with pytest.raises(TemplateInvalid) as caught:
            ask(template)
        assert said in str(caught.value)


def test_a_template_has_so_many_characters_and_not_one_more() -> None:
    assert len(render("x" * TEMPLATE_CHARACTERS_MAX, {})) == TEMPLATE_CHARACTERS_MAX
    with pytest.raises(TemplateInvalid, match=str(TEMPLATE_CHARACTERS_MAX)):
        check("x" * (TEMPLATE_CHARACTERS_MAX + 1))


def test_a_text_has_so_many_characters_and_not_one_more() -> None:
    assert len(render("{{ 'x' * n }}", {"n": TEMPLATE_OUTPUT_CHARACTERS_MAX})) == TEMPLATE_OUTPUT_CHARACTERS_MAX
    for template in ("{{ 'x' * n }}", "{{ 'x' * (n - 1) }}{{ 'y' }}z"):
        with pytest.raises(TemplateFailed, match=str(TEMPLATE_OUTPUT_CHARACTERS_MAX)):
            render(template, {"n": TEMPLATE_OUTPUT_CHARACTERS_MAX + 1})


@pytest.mark.parametrize(
    "expression",
    [
        "''.__class__",
        "''['__class__']",
        "data.__class__.__mro__",
        "data | map(attribute='__class__') | list",
        "namespace().__init__",
        "range.__self__",
        "self.__init__.__globals__",
        "self._TemplateReference__context",
        "cycler.__init__.__globals__",
        "joiner.__init__",
        "missing.__init__",
        "'{0.__class__}'.format(1)",
        "data.update({'a': 1})",
        "data.items.append(1)",
        "data.get.__self__",
        "data.get.value",
        "loop.__init__",
        "dict.mro()",
        "dict.fromkeys([1])",
        "lipsum",
        "m.__globals__",
    ],
)
def test_a_template_does_not_reach_python(expression: str) -> None:
    before = repr(CONTEXT)
    with pytest.raises(TemplateFailed):
        render(f"{{% macro m() %}}{{% endmacro %}}{{{{ {expression} }}}}", CONTEXT)
    assert repr(CONTEXT) == before


def _doubled(start: str, step: str, end: str) -> str:
    return start + step * 60 + end


ENDLESS = {
    "loops in loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "a loop that finds nothing": "{% for a in range(99999) if false %}{% endfor %}" * 100,
    "a wide value printed": _doubled("{% set x = [1] %}", "{% set x = [x, x] %}", "{{ x }}"),
    "a wide value as JSON": _doubled("{% set x = 1 %}", "{% set x = {'a': x, 'b': x} %}", "{{ x | tojson }}"),
    "wide values compared": _doubled(
        "{% set x = [1] %}{% set y = [1] %}", "{% set x = [x, x] %}{% set y = [y, y] %}", "{{ x == y }}"
    ),
    "wide values selected": _doubled(
        "{% set x = [1] %}{% set y = [1] %}",
        "{% set x = [x, x] %}{% set y = [y, y] %}",
        "{{ [x] | select('eq', y) | list }}",
    ),
    "wide values sorted": _doubled(
        "{% set x = [1] %}{% set y = [1] %}", "{% set x = [x, x] %}{% set y = [y, y] %}", "{{ [x, y] | sort }}"
    ),
    "a text joined to itself": _doubled("{% set x = 'ab' %}", "{% set x = x ~ x %}", ""),
    "a text added to itself": _doubled("{% set x = 'ab' %}", "{% set x = x + x %}", ""),
    "a text set to itself": _doubled("{% set x = 'ab' %}", "{% set x %}{{ x }}{{ x }}{% endset %}", ""),
    "a list added to itself": _doubled("{% set x = [1] %}", "{% set x = x + x %}", ""),
    "a list times": "{{ ([1] * 100000) * 100000 }}",
    "texts in a list": "{% set ns = namespace(l=[]) %}{% for i in range(99999) %}"
    "{% set ns.l = ns.l + ['a' * 99999] %}{% endfor %}",
    "a macro that calls itself twice": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
    "{{ m(60) }}",
    "a macro that calls itself for ever": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a block that prints itself": "{% block a %}{{ self.a() }}{{ self.a() }}{% endblock %}",
    "a recursive loop": "{% for x in [1, 2] recursive %}{% if loop.depth < 60 %}{{ loop([1, 2]) }}{% endif %}"
    "{% endfor %}",
    "much text": "{% for x in range(99999) %}" + "y" * 1000 + "{% endfor %}",
    "much text that is kept": "{% set q %}{% for x in range(99999) %}" + "y" * 1000 + "{% endfor %}{% endset %}",
    "replacements": "{% set x = 'a' * 20 %}" + "{% set x = x | replace('a', 'aaaaaaaaaaaa') %}" * 20,
    "a wide join": "{{ range(99999) | join('" + "x" * 1000 + "') }}",
    "a wide indent": "{{ 'a\nb' | indent(10 ** 9) }}",
    "a wide format": "{{ '%999999999d' | format(1) }}",
    "a wide format by star": "{{ '%*d' | format(10 ** 9, 1) }}",
    "a wide format by name": "{{ '%(a(b))999999999d' | format(1) }}",
    "many formats": "{{ ('%(a)s' * 9999) | format(a='x' * 99999) }}",
    "a large batch": "{{ [1] | batch(10 ** 9, 'x') }}",
    "a large slice": "{{ [1] | slice(10 ** 9) }}",
    "a far digit": "{{ 1.5 | round(10 ** 9, 'ceil') }}",
    "a wide JSON indent": "{{ [1] | tojson(indent=10 ** 9) }}",
    "a power": "{{ 10 ** (10 ** 9) }}",
    "a large product": "{% set ns = namespace(x=2) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
    "a large range": "{{ range(10 ** 9) | list }}",
    "copies of a list": "{% set x = range(99999) | list %}{% for i in range(99999) %}{% set y = x[:] %}{% endfor %}",
    "lists of a range": "{% for i in range(99999) %}{% set y = range(99999) | list %}{% endfor %}",
    "cut texts": "{% set x = 'a ' * 99999 %}{% for i in range(99999) %}{% set y = x.split() %}{% endfor %}",
    "upper texts": "{% set x = 'a' * 999999 %}{% for i in range(99999) %}{% set y = x | upper %}{% endfor %}",
    "a budget that is paid back": "{% set x = [-99999999] | map('~spent') | list %}"
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "a lazy tower": "{% set ns = namespace(x=[1]) %}{% for i in range(2000) %}"
    "{% set ns.x = ns.x | map('string') %}{% endfor %}{{ ns.x | list }}",
}


@pytest.mark.slow
@pytest.mark.parametrize("template", ENDLESS.values(), ids=ENDLESS)
def test_a_template_ends(template: str) -> None:
    check(template)
    with pytest.raises(TemplateFailed):
        render(template, CONTEXT)


@pytest.mark.slow
def test_a_rendering_does_so_much_work_and_not_one_unit_more() -> None:
    template = "{% for a in x %}{% endfor %}"
    turns = [None] * TEMPLATE_WORK_MAX
    assert render(template, {"x": turns}) == ""
    with pytest.raises(TemplateFailed, match=str(TEMPLATE_WORK_MAX)):
        render(template, {"x": [*turns, None]})


@pytest.mark.slow
def test_two_threads_do_not_pay_for_each_other() -> None:
    turns = [None] * (TEMPLATE_WORK_MAX * 2 // 3)
    texts: list[str] = []
    threads = [
        threading.Thread(target=lambda: texts.append(render("{% for a in x %}{% endfor %}.", {"x": turns})))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == [".", "."]


@pytest.mark.parametrize(
    ("template", "paths"),
    [
        ("", set()),
        ("{{ data.a['b c'].0[1][-1] }}", {"data.a.b c.0.1.-1"}),
        ("{{ steps.fetch.outputs[data.key].more }}", {"steps.fetch.outputs", "data.key"}),
        ("{% for x in data.items %}{{ x.sku }}{{ loop.index }}{% endfor %}", {"data.items"}),
        ("{% set y = variables.z %}{{ y.q }}{{ range(3) | list }}", {"variables.z"}),
        ("{% if data.a is defined %}{{ data.b ~ data.c }}{% endif %}", {"data.a", "data.b", "data.c"}),
        ("{{ data.items.split(data.by) }}", {"data.items.split", "data.by"}),
        ("{{ data }}{{ data[:n] }}", {"data", "n"}),
        ("{% macro m(a) %}{{ a.x }}{{ b.x }}{% endmacro %}", {"b.x"}),
    ],
)
def test_the_references_of_a_template_can_be_read(template: str, paths: set[str]) -> None:
    found = referenced_paths(template)
    assert {".".join(path) for path in found} == paths
    assert referenced_names(template) == {path[0] for path in found}


def test_the_engine_is_loaded_by_the_first_template() -> None:
    code = "import sys, runtara.dsl.templates; assert 'jinja2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


PIECES = st.sampled_from(
    [
        *("{{", "}}", "{%", "%}", "{#", "#}", " ", "\n", "data", ".", "items", "[", "]", "(", ")", "0", "1", "'", "a"),
        *(" for x in ", " endfor ", " if ", " else ", " endif ", " set x = ", "|", "join", "sort", "tojson", "~", "+"),
        *(
            "*",
            "**",
            "range",
            ",",
            "x",
            "missing",
            " macro m() ",
            " endmacro ",
            " is ",
            "defined",
            " in ",
            "{",
            "}",
            ":",
        ),
    ]
)


@settings(max_examples=300, deadline=5000)
@given(
    st.lists(PIECES, max_size=25).map("".join) | st.lists(PIECES, max_size=12).map(lambda p: "{{" + "".join(p) + "}}")
)
def test_any_text_is_rendered_or_refused(template: str) -> None:
    try:
        assert isinstance(render(template, CONTEXT), str)
    except TemplateInvalid:
        with pytest.raises(TemplateInvalid):
            check(template)
    except TemplateFailed:
        check(template)
