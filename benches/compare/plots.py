"""Draws bars as SVG: text that can be read without colours, colours that can be read in the light and in the dark."""

from html import escape

WIDTH, MARGIN, NAMES, FIGURES = 760, 16, 88, 190
BAR, GAP, HEADING = 14, 5, 30
STYLE = """
  .ground { fill: #ffffff; stroke: #d0d4da }
  text { fill: #1c2024; font: 12px system-ui, sans-serif }
  .title { font-size: 15px; font-weight: 600 }
  .group { font-weight: 600 }
  .note { fill: #5b636d }
  .bar { fill: #98a2b0 }
  .floor { fill: #d3d8df }
  .stannel { fill: #2f6fd6 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #14171b; stroke: #343a42 }
    text { fill: #e8eaed }
    .note { fill: #a2abb6 }
    .bar { fill: #6f7a88 }
    .floor { fill: #454d57 }
    .stannel { fill: #6ea3f5 }
  }
"""


def bars(title, note, groups):
    """`groups` are (name, [(server, value, text)]); each has a scale of its own, from nothing to its largest value."""
    parts = []
    top = 52
    for name, values in groups:
        top += HEADING
        parts.append(text(MARGIN, top - 10, name, "group"))
        largest = max(value for _, value, _ in values) or 1.0
        for server, value, figure in values:
            length = (WIDTH - 2 * MARGIN - NAMES - FIGURES) * value / largest
            middle = top + BAR - 3
            parts.append(text(MARGIN, middle, server))
            kind = server if server in ("floor", "stannel") else "bar"
            parts.append(f'<rect class="{kind}" x="{MARGIN + NAMES}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2"/>')
            parts.append(text(MARGIN + NAMES + length + 6, middle, figure))
            top += BAR + GAP
    height = top + MARGIN
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            f'role="img">')
    ground = f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>'
    return "\n".join([head, f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>", ground,
                      text(MARGIN, 28, title, "title"), text(MARGIN, 47, note, "note"), *parts, "</svg>\n"])


def text(x, y, content, kind=None):
    of_kind = f' class="{kind}"' if kind else ""
    return f'<text{of_kind} x="{x:.1f}" y="{y}">{escape(content)}</text>'
