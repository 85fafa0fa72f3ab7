"""The results as pictures: horizontal bars, as SVG written by hand."""

from html import escape

COLOURS = {
    "direct": "#9aa5b1",
    "pgbouncer": "#4c78a8",
    "pgpool": "#e45756",
    "pgsplit": "#54a24b",
    "pgsplit-primary": "#88d27a",
}
OTHERS = ["#b279a2", "#f58518", "#72b7b2", "#eeca3b"]
WIDTH, LABELS, BAR, GAP, TOP = 760, 170, 14, 12, 58
# Bars end here: what is much slower must not make the others too short to be told apart.
LONGEST = 4.0

PICTURES = [
    ("cpu", "CPU per query, PgBouncer = 1 (less is better)", "cpu"),
    ("rate", "Throughput, PgBouncer = 1 (more is better)", "rate"),
]


def write(summary, directory):
    for name, title, figure in PICTURES:
        groups = []
        for case, peers in summary.runs.items():
            values = [(peer, summary.ratio(case, peer, figure)) for peer in peers]
            groups.append((case, [(peer, value) for peer, value in values if value is not None]))
        groups = [group for group in groups if group[1]]
        if groups:
            (directory / f"compare-{name}.svg").write_text(bars(title, groups))


def bars(title, groups):
    """Groups of (label, [(series, value)])."""
    series = list(dict.fromkeys(name for _, values in groups for name, _ in values))
    spare = iter(OTHERS)
    colours = {name: COLOURS.get(name) or next(spare, "#777777") for name in series}
    rows = sum(len(values) for _, values in groups)
    height = TOP + rows * BAR + len(groups) * GAP + 8
    longest = min(LONGEST, max(value for _, values in groups for _, value in values))
    scale = (WIDTH - LABELS - 60) / longest
    shapes = [text(12, 22, title, size=15), *legend(colours)]
    y = TOP
    for label, values in groups:
        shapes.append(text(LABELS - 8, y + len(values) * BAR / 2 + 4, label, anchor="end"))
        for name, value in values:
            length = max(1, min(value, LONGEST) * scale)
            shapes.append(rectangle(LABELS, y, length, BAR - 2, colours[name]))
            shapes.append(text(LABELS + length + 4, y + BAR - 4, f"{value:.2f}", size=10))
            y += BAR
        y += GAP
    one = LABELS + scale
    shapes.append(f'<line x1="{one:.1f}" y1="{TOP - 4}" x2="{one:.1f}" y2="{height - 8}" stroke="#333" stroke-dasharray="3"/>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif">'
    return "\n".join([head, rectangle(0, 0, WIDTH, height, "#ffffff"), *shapes, "</svg>\n"])


def legend(colours):
    x = 12
    for name, colour in colours.items():
        yield rectangle(x, 34, 10, 10, colour)
        yield text(x + 14, 43, name)
        x += 34 + 7 * len(name)


def rectangle(x, y, width, height, colour):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}"/>'


def text(x, y, words, size=12, anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(words)}</text>'
