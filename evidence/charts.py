"""The charts of the report, as SVG for a light and for a dark page."""

import io
import textwrap
from collections import Counter
from itertools import chain, groupby
from typing import NamedTuple

import networkx
from matplotlib import style
from matplotlib.figure import Figure

from evidence.count import Figures


class Theme(NamedTuple):
    """
    The colours of the page and its charts. Those of the outcomes are told
    apart without telling red from green, and stand out from the background.
    """

    background: str
    panel: str
    text: str
    muted: str
    line: str
    right: str
    wrong: str
    failed: str
    hung: str


LIGHT = Theme(
    background="#ffffff",
    panel="#f2f4f7",
    text="#1a1d21",
    muted="#555b63",
    line="#868d96",
    right="#0072b2",
    wrong="#c44f00",
    failed="#c46f9f",
    hung="#1a1d21",
)
DARK = Theme(
    background="#15181c",
    panel="#20242a",
    text="#e8eaed",
    muted="#a9b0b9",
    line="#7b838d",
    right="#3d9bd6",
    wrong="#f0702a",
    failed="#e0a8cc",
    hung="#ffffff",
)


class Chart(NamedTuple):
    """The SVG for each theme, and a text that says the same."""

    light: str
    dark: str
    text: str


# What the width has room for.
CHARACTERS = 55

OUTCOMES = Figures._fields[:4]

# In inches. The width is a phone's; the heights are those of a line of text,
# of a bar, of a gap, and of a node of a graph.
WIDTH, LINE, BAR, GAP, NODE = 3.4, 0.17, 0.09, 0.07, 0.22

# The columns of the graph of which process holds which session.
COLUMNS = ("before the fork", "sessions", "at the end")
BEFORE, SESSIONS, AFTER = range(3)


def bars(setups):
    """
    Return the Chart of the outcomes of `setups`, of a document: a bar for each
    of them, below the name of its server.
    """
    text = "; ".join(f"{setup['server']}, {_label(setup)}" for setup in setups)
    return _chart(_bars, setups, text)


def holders(held):
    """
    Return the Chart of which process holds which server session: `held`, of a
    document, has the ids of the sessions by the id of the process, before the
    fork and, unless all had ended, at the end of the load.
    """
    text = " ".join(
        f"{when}: {_holding(sessions)}."
        for when, sessions in zip(("Before the fork", "At the end of the load"), held)
    )
    return _chart(_holders, held, text)


def _label(setup):
    """Return the Django of `setup`, and what became of its requests."""
    counted = [f"{setup[name]} {name}" for name in OUTCOMES if setup[name]]
    outcome = "not run" if setup["not_run"] else ", ".join(counted) or "no answers"
    return f"{setup['django'].removeprefix('stock + ')}: {outcome}"


def _holding(held):
    return "; ".join(
        f"process {process} holds {', '.join(map(str, sessions)) or 'none'}"
        for process, sessions in held.items()
    )


def _chart(draw, data, text):
    """Return the Chart that `draw(figure, data, theme)` draws."""
    return Chart(_svg(draw, data, LIGHT), _svg(draw, data, DARK), text)


def _svg(draw, data, theme):
    settings = {
        "axes.labelcolor": theme.muted,
        "font.size": 8,
        # Else what has an id gets another one each time.
        "svg.hashsalt": "evidence",
        "svg.fonttype": "none",
        "text.color": theme.text,
        "text.parse_math": False,
        "xtick.color": theme.line,
        "xtick.labelcolor": theme.muted,
    }
    # Without what a matplotlibrc of the user's says.
    with style.context(settings, after_reset=True):
        figure = Figure(layout="constrained")
        draw(figure, data, theme)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return file.getvalue()


def _bars(figure, setups, theme):
    axes = figure.add_subplot()
    tops, y = [], 0
    for server, rows in groupby(setups, key=lambda setup: setup["server"]):
        _write(axes, y + LINE, server, weight="bold")
        y += LINE + GAP / 2
        for setup in rows:
            _write(axes, y + LINE, _label(setup))
            tops.append(y + LINE)
            y += LINE + BAR + GAP
        y += GAP
    left = [0] * len(setups)
    for name in OUTCOMES:
        numbers = [0 if setup["not_run"] else setup[name] for setup in setups]
        axes.barh(
            tops,
            numbers,
            BAR,
            left,
            align="edge",
            color=getattr(theme, name),
            label=name,
        )
        left = [start + number for start, number in zip(left, numbers)]
    axes.set(xlim=(0, max(1, *left)), ylim=(y, 0), xlabel="requests", yticks=[])
    axes.tick_params(labeltop=True)
    axes.locator_params(axis="x", nbins=4)
    axes.spines[:].set_visible(False)
    figure.legend(loc="outside upper left", ncols=len(OUTCOMES), frameon=False)
    figure.set_size_inches(WIDTH, y + 6 * LINE)


def _write(axes, y, text, **properties):
    shortened = textwrap.shorten(text, CHARACTERS, placeholder=" …")
    # Else the bars make room for it.
    axes.text(0, y - BAR / 4, shortened, va="bottom", in_layout=False, **properties)


def _holders(figure, held, theme):
    graph = _graph(held)
    layers = {
        layer: [node for node in graph if node[0] == layer]
        for layer in sorted({layer for layer, _ in graph})
    }
    layout = networkx.multipartite_layout(graph, subset_key=layers)
    axes = figure.add_subplot()
    networkx.draw_networkx_edges(
        graph,
        layout,
        edge_color=[
            theme.wrong if shared else theme.right
            for _, _, shared in graph.edges(data="shared")
        ],
        width=0.8,
        node_size=0,
        ax=axes,
        hide_ticks=False,
    )
    boxes = {
        "process": {"boxstyle": "round", "ec": theme.line},
        "parent": {"boxstyle": "round", "ec": theme.text, "lw": 1.6},
        "session": {"boxstyle": "square", "ec": theme.line},
    }
    for kind, box in boxes.items():
        networkx.draw_networkx_labels(
            graph,
            layout,
            {node: node[1] for node, what in graph.nodes(data="kind") if what == kind},
            font_size=8,
            font_color=theme.text,
            bbox={"fc": theme.panel, **box},
            ax=axes,
            hide_ticks=False,
        )
    axes.set_xticks(
        [float(layout[nodes[0]][0]) for nodes in layers.values()],
        [COLUMNS[layer] for layer in layers],
    )
    axes.tick_params(left=False, labelleft=False, bottom=False, labelbottom=False)
    axes.tick_params(labeltop=True)
    axes.spines[:].set_visible(False)
    rows = max(map(len, layers.values()))
    axes.update_datalim(list(layout.values()))
    axes.margins(0.2, 0.5 / max(1, rows - 1))
    axes.autoscale_view()
    axes.invert_yaxis()
    figure.set_size_inches(WIDTH, rows * NODE + 2 * LINE)


def _graph(held):
    """
    Return the graph of what is `held`: in three layers the processes before
    the fork, the sessions, and the processes at the end, and as edges the
    sessions that they hold, alone or `shared`.
    """
    graph = networkx.Graph()
    for layer, sessions_of in zip((BEFORE, AFTER), held):
        users = Counter(chain.from_iterable(sessions_of.values()))
        # Those that were there before come first.
        for process in sorted(sessions_of, key=lambda process: process not in held[0]):
            kind = "parent" if process in held[0] else "process"
            graph.add_node((layer, process), kind=kind)
            for session in sessions_of[process]:
                graph.add_node((SESSIONS, session), kind="session")
                graph.add_edge(
                    (layer, process), (SESSIONS, session), shared=users[session] > 1
                )
    return graph
