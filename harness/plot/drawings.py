#!/usr/bin/env python3
"""Draws what no table holds: the neural memory, and the three ways of putting it beside attention. The same bytes every
time; light and dark in one file. Usage: drawings.py FOLDER"""

import os
import sys

HEAD = """<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}" role="img">
<title>{title}</title>
<style>
text {{ font-family: Helvetica, Arial, "Liberation Sans", "DejaVu Sans", sans-serif; fill: #222222 }}
.page {{ fill: #ffffff }} .box {{ fill: #f4f4f4; stroke: #666666 }} .memory {{ fill: #d6e6f2; stroke: #1b6ca8; stroke-width: 2 }}
.attention {{ fill: #f6ddd4; stroke: #d1603d; stroke-width: 2 }} .persistent {{ fill: #fdf0cc; stroke: #b8860b }}
.line {{ stroke: #444444; fill: none; stroke-width: 1.5 }} .tip {{ fill: #444444; stroke: none }} .note {{ fill: #666666 }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e6e6e6 }} .page {{ fill: #0d1117 }} .box {{ fill: #21262d; stroke: #8b949e }} .memory {{ fill: #14324a }}
.attention {{ fill: #4a2417 }} .persistent {{ fill: #40330d }} .line {{ stroke: #b0b8c0 }} .tip {{ fill: #b0b8c0 }} .note {{ fill: #9aa4ae }}
}}
</style>
<rect class="page" width="{w}" height="{h}"/>
"""


class Drawing:
    def __init__(self, title, width, height):
        self.parts = [HEAD.format(title=title, w=width, h=height)]

    def text(self, x, y, words, size=13, kind="", bold=False):
        style = (f' class="{kind}"' if kind else "") + (' font-weight="bold"' if bold else "")
        self.parts.append(f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="middle"{style}>{words}</text>\n')

    def box(self, x, y, w, h, *lines, kind="box", size=13):
        """A box with its lines of text in the middle; a line that begins with # is a note in small type."""
        self.parts.append(f'<rect class="{kind}" x="{x}" y="{y}" width="{w}" height="{h}" rx="5"/>\n')
        first = y + h / 2 - 8.5 * (len(lines) - 1) + 4.5
        for i, line in enumerate(lines):
            note = line.startswith("#")
            self.text(x + w / 2, first + 17 * i, line.lstrip("#"), 11 if note else size, "note" if note else "")

    def arrow(self, *points):
        """A line through points; its last piece, along an axis, ends in a tip."""
        (x0, y0), (x, y) = points[-2:]
        dx, dy = (x > x0) - (x < x0), (y > y0) - (y < y0)
        line = list(points[:-1]) + [(x - 6 * dx, y - 6 * dy)]
        self.parts.append(f'<path class="line" d="M{" L".join(f"{a},{b}" for a, b in line)}"/>\n')
        back = (x - 8 * dx, y - 8 * dy)
        wings = [(back[0] - 4 * dy, back[1] - 4 * dx), (back[0] + 4 * dy, back[1] + 4 * dx)]
        self.parts.append(f'<path class="tip" d="M{x},{y} L{" L".join(f"{a},{b}" for a, b in wings)} z"/>\n')

    def write(self, path):
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(self.parts) + "</svg>\n")


def memory():
    d = Drawing("The neural memory: what a token writes and reads", 780, 300)
    d.text(390, 24, "The neural memory: a small network whose weights M are the state", 15, bold=True)
    d.box(15, 138, 78, 40, "token x")
    for y, words in ((62, "key k = x W_K"), (142, "value v = x W_V"), (236, "query q = x W_Q")):
        d.box(133, y, 130, 32, words)
    d.arrow((93, 158), (133, 158))
    d.arrow((112, 158), (112, 78), (133, 78))
    d.arrow((112, 158), (112, 252), (133, 252))
    d.box(307, 56, 170, 58, "surprise u", "gradient of |M(k) &#8722; v|&#178;", "#eq 12")
    d.arrow((263, 78), (307, 78))
    d.arrow((263, 158), (285, 158), (285, 98), (307, 98))
    d.box(557, 56, 200, 58, "momentum of surprise", "S &#8592; &#951; S &#8722; &#952; u", "#eqs 10, 14")
    d.arrow((477, 85), (557, 85))
    d.box(557, 142, 200, 58, "memory", "M &#8592; (1 &#8722; &#945;) M + S", "#eq 13", kind="memory")
    d.arrow((657, 114), (657, 142))
    d.arrow((557, 171), (392, 171), (392, 114))
    d.text(474, 163, "M before this token", 11, "note")
    d.box(557, 226, 200, 52, "read y = M(q)", "#eq 15, nothing is written")
    d.arrow((657, 200), (657, 226))
    d.arrow((263, 252), (557, 252))
    d.text(410, 206, "gates from x: &#952; how much is learned,", 11, "note")
    d.text(410, 221, "&#951; how long surprise lasts, &#945; what is forgotten", 11, "note")
    return d


def mac(d, x):
    d.text(x + 120, 28, "MAC: memory as a context", 14, bold=True)
    d.text(x + 120, 45, "eqs 21-25", 11, "note")
    d.box(x + 80, 258, 80, 28, "segment")
    d.box(x + 12, 206, 72, 30, "read M", kind="memory")
    d.arrow((x + 80, 272), (x + 48, 272), (x + 48, 236))
    d.box(x + 12, 158, 66, 26, "persistent", kind="persistent", size=11)
    d.box(x + 78, 158, 66, 26, "from M", size=11)
    d.box(x + 144, 158, 80, 26, "segment", size=11)
    d.arrow((x + 84, 221), (x + 111, 221), (x + 111, 184))
    d.arrow((x + 160, 272), (x + 184, 272), (x + 184, 184))
    d.box(x + 12, 110, 212, 28, "attention", kind="attention")
    d.arrow((x + 118, 158), (x + 118, 138))
    d.box(x + 128, 64, 96, 28, "write, read M", kind="memory", size=12)
    d.arrow((x + 176, 110), (x + 176, 92))
    d.box(x + 52, 64, 32, 28, "&#8855;", size=16)
    d.arrow((x + 68, 110), (x + 68, 92))
    d.arrow((x + 128, 78), (x + 84, 78))
    d.arrow((x + 68, 64), (x + 68, 48))


def mag(d, x):
    d.text(x + 120, 28, "MAG: memory as a gate", 14, bold=True)
    d.text(x + 120, 45, "eqs 26-28", 11, "note")
    d.box(x + 80, 258, 80, 28, "sequence")
    d.box(x + 40, 206, 70, 28, "persistent", kind="persistent", size=11)
    d.box(x + 110, 206, 90, 28, "sequence", size=11)
    d.arrow((x + 120, 258), (x + 120, 234))
    d.box(x + 10, 132, 120, 46, "sliding-window", "attention", kind="attention")
    d.box(x + 150, 132, 76, 46, "write,", "read M", kind="memory")
    d.arrow((x + 70, 206), (x + 70, 178))
    d.arrow((x + 188, 206), (x + 188, 178))
    d.box(x + 104, 74, 32, 28, "&#8855;", size=16)
    d.arrow((x + 70, 132), (x + 70, 88), (x + 104, 88))
    d.arrow((x + 188, 132), (x + 188, 88), (x + 136, 88))
    d.arrow((x + 120, 74), (x + 120, 54))


def mal(d, x):
    d.text(x + 120, 28, "MAL: memory as a layer", 14, bold=True)
    d.text(x + 120, 45, "eqs 29-31", 11, "note")
    d.box(x + 80, 258, 80, 28, "sequence")
    d.box(x + 40, 206, 70, 28, "persistent", kind="persistent", size=11)
    d.box(x + 110, 206, 90, 28, "sequence", size=11)
    d.arrow((x + 120, 258), (x + 120, 234))
    d.box(x + 50, 144, 140, 36, "write, read M", kind="memory")
    d.arrow((x + 120, 206), (x + 120, 180))
    d.box(x + 50, 78, 140, 42, "sliding-window", "attention", kind="attention")
    d.arrow((x + 120, 144), (x + 120, 120))
    d.arrow((x + 120, 78), (x + 120, 54))


def mixers():
    d = Drawing("Memory as a context, as a gate and as a layer", 780, 300)
    for i, draw in enumerate((mac, mag, mal)):
        draw(d, 16 + 254 * i)
    return d


for name, drawing in (("drawing-memory", memory()), ("drawing-mixers", mixers())):
    drawing.write(os.path.join(sys.argv[1], name + ".svg"))
