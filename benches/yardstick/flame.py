"""Draws a flame graph as SVG from folded stacks. Not a program: `scripts/flame-graphs` imports it.

A line of folded stacks is `outermost;…;innermost COUNT`; frames of the kernel end in `_[k]`. The drawing has the outermost
frame on top, is as wide as its samples, and a tooltip for each box with its name and share. The same stacks give the
same bytes. It needs no script: it can be shown wherever an SVG can.
"""

import html
import re
import textwrap

WIDTH = 1200
EDGE = 12
ROW = 17
LETTER = 6.3
# The first that matches a name gives its colour; each kind has its words in the legend.
KINDS = [
    ("kernel", r"_\[k\]$", "#f2a65a"),
    ("redactor", r"tollgate_redact", "#8fd18a"),
    ("wire formats", r"tollgate_wire", "#c9e265"),
    ("gateway", r"tollgate", "#6fb7f0"),
    ("HTTP and runtime", r"hyper|tokio|mio::|http::|h2::|httparse|futures|tower", "#c3a6f2"),
    ("SQLite", r"sqlite", "#f0d264"),
    ("memory and libc", r"^(_?mi_|__mem|mem|__libc|_*GI_|malloc|free|cfree)|alloc::", "#f2a0b4"),
    ("other", r"", "#d3d7db"),
]
STYLE = (
    "svg{--paper:#ffffff;--ink:#1f2328;--soft:#59636e}"
    "@media (prefers-color-scheme:dark){svg{--paper:#0d1117;--ink:#e6edf3;--soft:#9aa4ae}}"
    'text{font:11px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#14181d;pointer-events:none}'
    '.h,.n{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:var(--ink)}'
    ".h{font-size:16px;font-weight:600}.n{font-size:12px;fill:var(--soft)}rect.b{stroke:var(--paper);stroke-width:.6}"
    + "".join(f".k{number}{{fill:{colour}}}" for number, (_, _, colour) in enumerate(KINDS))
)


class Frame:
    """A function at a place of the stacks, with the samples in it and in all that it called."""

    def __init__(self):
        self.samples = 0
        self.inner = {}


def tree(folded):
    """The frames of stacks, as `{stack: samples}`, under a root."""
    root = Frame()
    for stack, samples in folded.items():
        frame = root
        frame.samples += samples
        for name in stack.split(";"):
            frame = frame.inner.setdefault(name, Frame())
            frame.samples += samples
    return root


def pruned(folded, share):
    """The stacks without frames that have less than this share of all samples: these count for their callers."""
    root, kept = tree(folded), {}
    least = root.samples * share
    for stack, samples in folded.items():
        frame, names = root, []
        for name in stack.split(";"):
            frame = frame.inner[name]
            if frame.samples < least:
                break
            names.append(name)
        if names:
            kept[";".join(names)] = kept.get(";".join(names), 0) + samples
    return dict(sorted(kept.items()))


def kind_of(name):
    """The number of the kind that gives a frame its colour."""
    return next(number for number, (_, pattern, _) in enumerate(KINDS) if re.search(pattern, name))


def shares(folded):
    """The share of all samples whose innermost frame is of each kind. The kernel works for all: it has a kind of its own."""
    total, found = sum(folded.values()), dict.fromkeys((kind for kind, _, _ in KINDS), 0)
    for stack, samples in folded.items():
        found[KINDS[kind_of(stack.rsplit(";", 1)[-1])][0]] += samples
    return {kind: samples / total for kind, samples in found.items()}


def short(name):
    """A name that is quicker to read: without the paths of traits and the arguments of types."""
    name = name.removesuffix("_[k]")
    name = re.sub(r"^<(?:.*::)?(\w+)(?:<.*>)? as .*>::", r"\1::", name)
    name = re.sub(r"^<(?:[^<>]*::)?(\w+)>::", r"\1::", name)
    while (plain := re.sub(r"<[^<>]*>", "", name)) != name:
        name = plain
    return name.replace("::::", "::").replace("{{closure}}", "{…}")


def depth(frame):
    return 1 + max(map(depth, frame.inner.values()), default=0)


def drawn(title, folded, note):
    """The SVG of folded stacks, as `{stack: samples}`."""
    root, parts, top = tree(folded), [], 92
    unit = (WIDTH - 2 * EDGE) / root.samples
    lines = textwrap.wrap(note, 190)

    def box(name, frame, left, level):
        width, y = frame.samples * unit, top + level * ROW
        share = f"{100 * frame.samples / root.samples:.1f} %"
        tip = html.escape(f"{name.removesuffix('_[k]')}: {share}, {frame.samples} samples")
        text, letters = short(name), int((width - 6) / LETTER)
        if len(text) > letters:
            text = text[: letters - 1] + "…"
        parts.append(
            f'<g><title>{tip}</title><rect class="b k{kind_of(name)}" x="{left:.1f}" y="{y}" width="{width:.1f}" height="{ROW}"/>'
            + (f'<text x="{left + 3:.1f}" y="{y + 12.5}">{html.escape(text)}</text>' if letters >= 4 else "") + "</g>"
        )
        for inner_name, inner in sorted(frame.inner.items()):
            box(inner_name, inner, left, level + 1)
            left += inner.samples * unit

    left = EDGE
    for name, frame in sorted(root.inner.items()):
        box(name, frame, left, 0)
        left += frame.samples * unit
    height = top + depth(root) * ROW
    legend, left = [], EDGE
    for number, (kind, _, _) in enumerate(KINDS):
        legend.append(f'<rect class="k{number}" x="{left:.1f}" y="70" width="12" height="12"/>')
        legend.append(f'<text class="n" x="{left + 17:.1f}" y="80">{kind}</text>')
        left += 40 + 7.2 * len(kind)
    head = [f'<text class="h" x="{EDGE}" y="24">{html.escape(title)}</text>']
    head += [f'<text class="n" x="{EDGE}" y="{42 + 16 * number}">{html.escape(line)}</text>' for number, line in enumerate(lines)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">\n'
        f"<style>{STYLE}</style>\n"
        '<rect width="100%" height="100%" fill="var(--paper)"/>\n' + "\n".join([*head, *legend, *parts]) + "\n</svg>\n"
    )
