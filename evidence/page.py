"""The report for those who look rather than read: one HTML file."""

from jinja2 import Environment

from evidence import report
from evidence.trial import DJANGOS

# What evidence.app.workaround does in the child, by how connections are kept,
# and what isn't code that runs there.
CODE = (
    'connections["default"]._connection_pools.clear()  # with a pool\n'
    "connections.close_all()  # with persistent connections"
)
OPTIONS = {"lazy-apps": "lazy-apps = true  # in uWSGI's configuration"}

# The colours tell the outcomes apart without telling red from green.
TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Django's database connections after fork()</title>
<style>
:root { --back: #fff; --text: #1a1d21; --muted: #555b63; --panel: #f2f4f7;
  --right: #0072b2; --wrong: #b54900; --failed: #c46f9f; --hung: #1a1d21; }
@media (prefers-color-scheme: dark) { :root { --back: #15181c; --text: #e8eaed;
  --muted: #a9b0b9; --panel: #20242a; --right: #3d9bd6; --wrong: #f0702a;
  --failed: #e0a8cc; --hung: #fff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
p { max-width: 45rem; }
h2 { margin: 2rem 0 .3rem; font-size: 1.1rem; }
.doubtful { border-left: .3rem solid var(--wrong); padding-left: .8rem; }
.totals { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.5rem 0; }
.totals div { flex: 1 1 12rem; background: var(--panel); padding: .8rem; }
.totals dd { margin: 0; }
.totals strong { display: block; font-size: 2.5rem; line-height: 1.2; }
.bars { display: grid; grid-template-columns: 11rem 1fr 1.2fr; gap: .1rem .6rem;
  align-items: center; margin: 0; }
.bars dt { color: var(--muted); }
.bars dd { margin: 0; }
.bar { display: flex; height: .8rem; background: var(--panel); }
.key span { display: inline-block; width: .9rem; height: .9rem; }
.right { background: var(--right); } .wrong { background: var(--wrong); }
.failed { background: var(--failed); } .hung { background: var(--hung); }
pre { margin: .3rem 0; padding: .5rem; background: var(--panel);
  white-space: pre-wrap; }
@media (max-width: 40rem) { .bars { grid-template-columns: 1fr; }
  .bars dd + dt { margin-top: .5rem; } }
</style>
</head>
<body>
<main>
<h1>Django's database connections after fork()</h1>
{% for doubt in doubts %}
<p class="doubtful">{{ doubt }}</p>
{% endfor %}
<dl class="totals">
{% for django, number, asked in totals %}
<div><dt>{{ django }}</dt>
<dd><strong>{{ number }}</strong> of {{ asked }} requests got another request's
data</dd></div>
{% endfor %}
</dl>
<p>{{ sentence }} Each server was asked 200 times with a pool and 200 times with
persistent connections. A process that waits for ever asks no more, so that some
numbers are smaller.</p>
<p class="key">
{% for name, what in key.items() %}
<span class="{{ name }}"></span> {{ what }}
{% endfor %}
</p>
{% for server, bars in servers %}
<h2>{{ server.name }}</h2>
<dl class="bars">
{% for django, numbers, words in bars %}
<dt>{{ django }}</dt>
<dd class="bar" role="img" aria-label="{{ words }}">
{% for name, number in numbers.items() if number %}
<span class="{{ name }}" style="flex-grow: {{ number }}"></span>
{% endfor %}
</dd>
<dd>{{ words }}</dd>
{% endfor %}
</dl>
{% if server.workaround %}
<p>The usual workaround, <code>{{ server.workaround }}</code>:</p>
<pre><code>{{ options.get(server.workaround, code) }}</code></pre>
{% endif %}
{% endfor %}
<p>{{ made }}</p>
</main>
</body>
</html>
"""

KEY = {
    "right": "right",
    "wrong": "another request's data",
    "failed": "an error",
    "hung": "no answer in time",
}


def page(servers, results, doubts, made):
    """
    Return the report of the `results` of `servers` as HTML, given sentences
    about what is in doubt, `doubts`, and one that says how it was `made`.
    """
    totals = []
    for django in DJANGOS:
        figures = [each.figures for each in results if each.setup.django == django]
        if figures:
            number = report.total(figures, "wrong")
            totals.append((django, number, report.asked(figures)))
    environment = Environment(autoescape=True, trim_blocks=True)
    return environment.from_string(TEMPLATE).render(
        doubts=doubts,
        totals=totals,
        sentence=report.sentence(servers, results),
        key=KEY,
        servers=[(server, _bars(server, results)) for server in servers],
        options=OPTIONS,
        code=CODE,
        made=made.replace("`", ""),
    )


def _bars(server, results):
    bars = []
    for django in DJANGOS:
        if those := report.of(results, server, django):
            figures = [each.figures for each in those]
            numbers = {name: report.total(figures, name) for name in KEY}
            bars.append((django, numbers, report.cell(those)))
    return bars
