#!/usr/bin/env python3
"""Words of a drawing (SVG) stay on its page and off each other. Boxes are those of a wide font, so that a reader whose
system has another one sees them whole as well. Usage: labels.py FILE.."""

import math
import re
import sys
import xml.etree.ElementTree as tree

SVG = "{http://www.w3.org/2000/svg}"
# Widths in em: narrow, small, wide characters; digits and capitals; all others.
WIDTHS = (("ijlI|.,:;' ", 0.32), ("ftr()[]/-", 0.42), ("mwMW%", 0.96), ("ABCDEFGHKLNOPQRSTUVXYZ0123456789", 0.65))


def width_of(character):
    return next((width for group, width in WIDTHS if character in group), 0.61)


def product(a, b):
    """Of affine maps (a, b, c, d, e, f) as SVG writes matrices."""
    return (a[0] * b[0] + a[2] * b[1], a[1] * b[0] + a[3] * b[1], a[0] * b[2] + a[2] * b[3],
            a[1] * b[2] + a[3] * b[3], a[0] * b[4] + a[2] * b[5] + a[4], a[1] * b[4] + a[3] * b[5] + a[5])


def transform_of(element, outer):
    for kind, numbers in re.findall(r"(translate|rotate)\(([^)]*)\)", element.get("transform", "")):
        x = [float(n) for n in re.split(r"[ ,]+", numbers.strip())]
        if kind == "translate":
            outer = product(outer, (1, 0, 0, 1, x[0], x[1] if len(x) > 1 else 0))
        else:
            c, s = math.cos(math.radians(x[0])), math.sin(math.radians(x[0]))
            outer = product(outer, (c, s, -s, c, 0, 0))
    return outer


def pieces(element, size):
    """Words of a text and of its spans, each with its size."""
    size = float(re.sub("[^0-9.]", "", element.get("font-size", str(size))))
    yield element.text or "", size
    for child in element:
        yield from pieces(child, size)
        yield child.tail or "", size


def box(element, size, anchor, transform):
    words = [(text.strip("\n\t"), s) for text, s in pieces(element, size)]
    text = "".join(t for t, _ in words).strip()
    size = float(re.sub("[^0-9.]", "", element.get("font-size", str(size))))
    width = sum(width_of(c) * s for t, s in words for c in t)
    left = float(element.get("x", 0)) - width * {"end": 1.0, "middle": 0.5}.get(anchor, 0.0)
    y = float(element.get("y", 0))
    corners = [(left + i * width, y + j) for i in (0, 1) for j in (-0.74 * size, 0.05 * size)]
    xs, ys = zip(*((transform[0] * p + transform[2] * q + transform[4], transform[1] * p + transform[3] * q + transform[5])
                   for p, q in corners))
    return text, min(xs), min(ys), max(xs), max(ys)


def boxes(element, size=12.0, anchor="start", transform=(1, 0, 0, 1, 0, 0)):
    size = float(re.sub("[^0-9.]", "", element.get("font-size", str(size))))
    anchor = element.get("text-anchor", anchor)
    transform = transform_of(element, transform)
    if element.tag == SVG + "text":
        found = box(element, size, anchor, transform)
        if found[0]:
            yield found
        return
    for child in element:
        yield from boxes(child, size, anchor, transform)


def complaints(path):
    root = tree.parse(path).getroot()
    width, height = (float(root.get(side)) for side in ("width", "height"))
    found = list(boxes(root))
    if not found:
        yield "has no words"
    for i, (text, left, top, right, bottom) in enumerate(found):
        if left < 0 or top < 0 or right > width or bottom > height:
            yield f'"{text}" leaves the page'
        for other, l, t, r, b in found[:i]:
            if left < r and l < right and top < b and t < bottom:
                yield f'"{text}" lies over "{other}"'


def main(paths):
    bad = [f"{path}: {complaint}" for path in paths for complaint in complaints(path)]
    for line in bad:
        print(f"labels: {line}", file=sys.stderr)
    print(f"labels: words of {len(paths)} drawings, {len(bad)} cut or over others")
    return 1 if bad else 0


sys.exit(main(sys.argv[1:]))
