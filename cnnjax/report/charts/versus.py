"""Times beside other frameworks, as ratios."""

from cnnjax.report import theme, versus, words
from cnnjax.report.charts.parts import (
    Chart,
    Key,
    Spec,
    colour,
    layer,
    legend,
    log_axis,
    name_axis,
    tooltip,
    view,
)
from cnnjax.report.points import Summary


def ratios(s: Summary) -> Chart | None:
    """Our time over each peer's, a row a net, a view a program."""
    peers = versus.there(s) if versus.used(s) else []
    hues = theme.categories(len(peers))
    keys = tuple(Key(versus.PEERS[p], hue) for p, hue in zip(peers, hues, strict=True))
    data = {
        name: [
            {"name": row.name, "ratio": r, "peer": key.label, "told": f"{r:.2f}×", "point": row.id}
            for row in s.rows
            for peer, key in zip(peers, keys, strict=True)
            if (r := versus.ratio(row, peer, program))
        ]
        for program, name in versus.PROGRAMS.items()
    }
    every = [d["ratio"] for some in data.values() for d in some]
    if not every:
        return None
    x = {"field": "ratio", **log_axis([*every, 1.0], "our time over theirs (log scale)", "~g")}
    means = [
        f"{name} {versus.PEERS[peer]} {found[0]:.2f}×"
        for program, name in versus.PROGRAMS.items()
        for peer in peers
        if (found := versus.over_all(s, peer, program))
    ]
    return Chart(
        name="versus",
        title="Beside other frameworks",
        caption="Our time over theirs, medians of the same rounds: left of the line we are faster.",
        alt="Our time over theirs, geometric means: " + words.listed(means),
        views=tuple(_view(some, name, x, keys) for name, some in data.items() if some),
        legend=legend(keys),
        wide=True,
        columns=2,
    )


def _view(data: list[dict], title: str, x: Spec, keys: tuple[Key, ...]) -> Spec:
    names = list(dict.fromkeys(d["name"] for d in data))
    even = layer([{"ratio": 1.0}], {"type": "rule", "color": theme.var("strong")}, x=x)
    dots = layer(
        data, {"type": "circle", "size": 80, "opacity": 1}, x=x, y=name_axis("name", names),
        color=colour("peer", keys), tooltip=tooltip(name="net", peer="beside", told="ratio"),
    )  # fmt: skip
    return view([even, dots], max(24 * len(names), 60), title)
