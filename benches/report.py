"""Turns the samples of a benchmark into tables and plots.

    report.py peers DIR         DIR/samples.tsv    -> peers.md, summary.md, peers.svg  (written by peers.sh)
    report.py scale DIR         DIR/scale.tsv      -> scale.md, scale.svg              (written by scale.sh)
    report.py parameters DIR    DIR/parameters.tsv -> parameters.md                    (written by parameters.sh)
"""

import csv
import math
import sys
from collections import defaultdict
from copy import copy
from html import escape
from pathlib import Path
from statistics import median

WORKLOADS = {
    "K": "kernel source", "D": "database", "S": "small files", "V": "virtual disk", "L": "logs",
}
TOOLS = {
    "ibt": "libibt", "ibt-memory": "libibt, store in memory", "tar": "GNU tar -g, zstd -3",
    "duplicity": "duplicity", "rdiff-backup": "rdiff-backup", "restic": "restic", "rustic": "rustic",
    "borg": "borg", "dar": "dar", "bup": "bup",
}
OPERATIONS = {"full": "full", "incr": "increment", "nochange": "nothing changed", "restore": "restore"}
REFERENCE = "tar"


def read_samples(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def significant(number):
    """Three digits, without an exponent."""
    if number == 0:
        return "0"
    return f"{number:.{max(0, 2 - math.floor(math.log10(abs(number))))}f}"


def megabytes(number):
    """With at least two digits, and one after the point up to 99.5 MB."""
    megabytes = number / 1e6
    if megabytes >= 99.5 or megabytes == 0:
        return f"{megabytes:.0f}"
    return f"{megabytes:.{max(1, 1 - math.floor(math.log10(megabytes)))}f}"


def table(heads, rows):
    """A table in Markdown. The first head belongs to the column with the names of the rows, and is often empty."""
    return "\n".join(["|" + "".join(f" {head} |" if head else " |" for head in heads), "|---" * len(heads) + "|"]
                     + ["| " + " | ".join(row) + " |" for row in rows])


# ---- peers


class Samples:
    """The samples of peers.sh. The operation "incr.2" is the increment of round 2."""

    def __init__(self, rows):
        self.rows = defaultdict(list)
        self.seconds = {}
        for row in rows:
            key = row["workload"], row["tool"], row["operation"].partition(".")[0]
            self.rows[key].append(row)
            self.seconds[row["workload"], row["tool"], row["operation"], row["repetition"]] = float(row["seconds"])

    def workloads(self):
        return [w for w in WORKLOADS if any(key[0] == w and key[2] == "full" for key in self.rows)]

    def tools(self, workload):
        return [t for t in TOOLS if (workload, t, "full") in self.rows]

    def middle(self, workload, tool, operation, column):
        rows = self.rows.get((workload, tool, operation))
        return median(float(row[column]) for row in rows) if rows else None

    def ratio(self, workload, tool, operation, to_tool=REFERENCE, to_operation=None):
        """The median of the ratios to another tool or operation in the same repetition and round."""
        ratios = []
        for row in self.rows.get((workload, tool, operation), []):
            other = self.seconds.get((workload, to_tool, to_operation or row["operation"], row["repetition"]))
            if other:
                ratios.append(float(row["seconds"]) / other)
        return median(ratios) if ratios else None


def peers(directory):
    samples = Samples(read_samples(directory / "samples.tsv"))
    versions = ", ".join((directory / "versions.txt").read_text().split("\n")).strip(", ")
    machine = (directory / "machine.txt").read_text().strip()
    parts = [
        f"Measured on: {machine}.\n\nVersions: {versions}.",
        "A cell holds seconds, the ratio to tar and zstd in the same repetition, the MB that the store grew by (of all "
        "files in it), and the peak memory of the largest process in MB; each the median of all repetitions.",
    ]
    parts += [peers_table(samples, workload) for workload in samples.workloads()]
    parts.append(restores_table(samples))
    (directory / "peers.md").write_text("\n\n".join(part for part in parts if part) + "\n")
    (directory / "summary.md").write_text(f"{machine}.\n\n{summary_table(samples)}\n")
    (directory / "peers.svg").write_text(peers_chart(samples, machine))


def peers_table(samples, workload):
    rows = [[name(tool)] + [cell(samples, workload, tool, operation) for operation in OPERATIONS]
            for tool in samples.tools(workload)]
    return f"**{workload}, {WORKLOADS[workload]}**\n\n" + table(["", *OPERATIONS.values()], rows)


def name(tool):
    return f"**{TOOLS[tool]}**" if tool == "ibt" else TOOLS[tool]


def cell(samples, workload, tool, operation):
    seconds = samples.middle(workload, tool, operation, "seconds")
    if seconds is None:
        return "-"
    text = f"{significant(seconds)} s"
    ratio = samples.ratio(workload, tool, operation)
    if ratio is not None and tool != REFERENCE:
        text += f" ({significant(ratio)}×)"
    if operation != "restore":
        text += " · " + megabytes(samples.middle(workload, tool, operation, "bytes"))
    return text + f" · {samples.middle(workload, tool, operation, 'rss_kb') / 1024:.0f}"


# The workloads and operations of the short table.
SUMMARY = {"K": ["full", "incr", "nochange", "restore"], "D": ["full", "incr", "restore"],
           "S": ["full", "nochange", "restore"]}


def summary_table(samples):
    shown = [w for w in samples.workloads() if w in SUMMARY]
    columns = [(w, operation) for w in shown for operation in SUMMARY[w]]
    tools = [t for t in TOOLS if any(t in samples.tools(w) for w in shown)]
    heads = [f"{WORKLOADS[w]}: {OPERATIONS[operation]}" if operation == SUMMARY[w][0] else OPERATIONS[operation]
             for w, operation in columns]
    rows = []
    for tool in tools:
        rows.append([name(tool)] + [summary_cell(samples, workload, tool, operation) for workload, operation in columns])
        if tool == "ibt":
            ratios = [samples.ratio(workload, tool, operation) for workload, operation in columns]
            rows.append(["against tar and zstd"] + [f"{significant(ratio)}×" if ratio else "-" for ratio in ratios])
    return table(["", *heads], rows)


def summary_cell(samples, workload, tool, operation):
    seconds = samples.middle(workload, tool, operation, "seconds")
    if seconds is None:
        return "-"
    size = f" {megabytes(samples.middle(workload, tool, operation, 'bytes'))} MB"
    return f"{significant(seconds)} s" + (size if operation != "restore" else "")


# Restores of libibt that most other tools do not have: the operation, its description, the tool and the operation of
# the restore that it is compared with, and the description of that.
RESTORES = [
    ("restore_full", "the full, behind its increments", REFERENCE, "restore_full", "tar's full"),
    ("one_file", "one small file", None, None, ""),
    ("restore_chain", "the tip of a long chain", "ibt", "restore_flat", "a full of the same tree"),
    ("restore_flat", "a full of the same tree", None, None, ""),
]


def restores_table(samples):
    rows = []
    for operation, what, to_tool, to_operation, against in RESTORES:
        for workload in WORKLOADS:
            seconds = samples.middle(workload, "ibt", operation, "seconds")
            if seconds is None:
                continue
            ratio = samples.ratio(workload, "ibt", operation, to_tool, to_operation) if to_tool else None
            held = f"{significant(ratio)}× {against}" if ratio else ""
            memory = samples.middle(workload, "ibt", operation, "rss_kb") / 1024
            rows.append([f"{workload}: {what}", f"{significant(seconds)} s", held, f"{memory:.0f}"])
    return "**Other restores of libibt**\n\n" + table(["", "", "against", "memory, MB"], rows) if rows else ""


# ---- drawing

# Greys that can be read on white and on black. If the viewer reports a light or a dark page, better colours are used.
STYLE = """<style>
text { font-family: system-ui, 'DejaVu Sans', sans-serif; font-size: 11px; fill: #6e7781; }
.title { font-size: 15px; font-weight: 600; }
.head { font-weight: 600; }
.ours { font-weight: 600; fill: #1a8a5a; }
.end { text-anchor: end; }
.middle { text-anchor: middle; }
.small { font-size: 10px; }
.grid { stroke: #8b949e; stroke-opacity: 0.3; }
.axis { stroke: #8b949e; }
@media (prefers-color-scheme: light) { text { fill: #424a53; } .ours { fill: #116b45; } }
@media (prefers-color-scheme: dark) { text { fill: #b6bec7; } .ours { fill: #3fbf86; } }
</style>"""
GREEN, PALE, GREY = "#2da771", "#8fd0b3", "#8b949e"
LINES = {"full": "#2da771", "restore": "#4c8dd6", "incr": "#d6862b", "nochange": "#a371d6"}


class Drawing:
    def __init__(self, width):
        self.width = width
        self.items = []

    def text(self, x, y, text, kind=""):
        self.items.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>')

    def line(self, x1, y1, x2, y2, kind):
        self.items.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>')

    def bar(self, x, y, width, height, colour):
        self.items.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{colour}"/>')

    def curve(self, points, colour):
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.items.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>')
        self.items += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]

    def svg(self, height):
        return "\n".join([
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {height}" '
            f'width="{self.width}" height="{height}">', STYLE, *self.items, "</svg>", ""])


class LogScale:
    """Maps values to pixels. The ends of the scale are powers of the base around all values."""

    def __init__(self, values, start, end, base=10):
        self.base = base
        self.low = math.floor(math.log(min(values), base) + 1e-9)
        self.high = max(math.ceil(math.log(max(values), base) - 1e-9), self.low + 1)
        self.start, self.end = start, end

    def __call__(self, value):
        share = (math.log(value, self.base) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def moved(self, by):
        other = copy(self)
        other.start, other.end = self.start + by, self.end + by
        return other

    def ticks(self):
        return [self.base**power for power in range(self.low, self.high + 1)]


def peers_chart(samples, machine):
    """A row of panels for each workload, a panel for each operation, and a bar for each tool, which begins at 1x."""
    left, panel, gap, pitch = 158, 172, 40, 15
    drawing = Drawing(left + len(OPERATIONS) * (panel + gap))
    drawing.text(8, 22, "Wall time against GNU tar -g and zstd -3", "title")
    drawing.text(8, 40, f"ratio, median of repetitions; {machine}", "small")
    legend(drawing, 8, 58)
    top = 84
    ratios = {(workload, tool, operation): samples.ratio(workload, tool, operation)
              for workload in samples.workloads() for tool in samples.tools(workload) for operation in OPERATIONS}
    scale = LogScale([ratio for ratio in ratios.values() if ratio] + [0.5, 2], 0, panel)
    for workload in samples.workloads():
        tools = [tool for tool in samples.tools(workload) if tool != REFERENCE]
        bottom = top + 8 + pitch * len(tools)
        drawing.text(8, top - 4, f"{workload}: {WORKLOADS[workload]}", "head")
        for row, tool in enumerate(tools):
            y = top + 4 + pitch * row + 11
            drawing.text(left - 10, y, TOOLS[tool], "ours end" if tool == "ibt" else "end")
        for column, operation in enumerate(OPERATIONS):
            x = left + column * (panel + gap)
            drawing.text(x + panel / 2, top - 4, OPERATIONS[operation], "head middle")
            axis(drawing, scale.moved(x), top, bottom)
            for row, tool in enumerate(tools):
                ratio = ratios[workload, tool, operation]
                if ratio:
                    bar(drawing, scale.moved(x), top + 4 + pitch * row, pitch, tool, ratio)
        top = bottom + 50
    return drawing.svg(round(top - 16))


def legend(drawing, x, y):
    for colour, text, width in [(GREEN, "libibt", 60), (PALE, "libibt, store in memory", 160), (GREY, "others", 60)]:
        drawing.bar(x, y - 9, 10, 10, colour)
        drawing.text(x + 15, y, text)
        x += width + 15
    drawing.text(x, y, "bars to the left of 1× are faster than tar, to the right slower; logarithmic")


def axis(drawing, scale, top, bottom):
    for tick in scale.ticks():
        drawing.line(scale(tick), top, scale(tick), bottom, "axis" if tick == 1 else "grid")
        drawing.text(scale(tick), bottom + 13, f"{tick:g}×", "middle small")


def bar(drawing, scale, y, pitch, tool, ratio):
    start, end = sorted([scale(1), scale(ratio)])
    colour = {"ibt": GREEN, "ibt-memory": PALE}.get(tool, GREY)
    drawing.bar(start, y + 2, max(end - start, 1), pitch - 4, colour)
    drawing.text(end + 3, y + 11, significant(ratio), "small ours" if tool == "ibt" else "small")


# ---- scale

SWEEPS = {
    "threads": ("threads", "threads, full of the kernel source"),
    "files": ("files", "files of 1 kB"),
    "bytes": ("GB", "GB in files of 64 MB"),
}


def scale(directory):
    rows = defaultdict(list)
    for row in read_samples(directory / "scale.tsv"):
        rows[row["sweep"], float(row["x"]), row["operation"]].append(row)
    machine = (directory / "machine.txt").read_text().strip()
    points = {key: {column: median(float(row[column]) for row in group) for column in ("seconds", "rss_kb")}
              for key, group in rows.items()}
    tables = [scale_table(points, sweep) for sweep in SWEEPS]
    text = [f"Measured on: {machine}. Medians; memory is the peak of libibt in MB."] + [t for t in tables if t]
    (directory / "scale.md").write_text("\n\n".join(text) + "\n")
    (directory / "scale.svg").write_text(scale_chart(points, machine))


def positions(points, sweep):
    return sorted({key[1] for key in points if key[0] == sweep})


def operations(points, sweep):
    known = {key[2] for key in points if key[0] == sweep}
    return [operation for operation in OPERATIONS if operation in known]


def scale_table(points, sweep):
    """Time and memory for each number of threads, files or bytes, and the speedup, the time a file or the speed."""
    if not positions(points, sweep):
        return ""
    unit, title = SWEEPS[sweep]
    columns = operations(points, sweep)
    rows = []
    for x in positions(points, sweep):
        cells = []
        for operation in columns:
            point = points.get((sweep, x, operation))
            cells.append(scale_cell(points, sweep, x, operation, point) if point else "-")
        rows.append([f"{x:g}" if x < 1e5 else f"{x:.0f}"] + cells)
    heads = [unit] + [OPERATIONS[column] for column in columns]
    return f"**{title[0].upper()}{title[1:]}**\n\n" + table(heads, rows)


def scale_cell(points, sweep, x, operation, point):
    seconds = point["seconds"]
    if sweep == "threads":
        alone = points.get((sweep, 1, operation))
        rate = f"{significant(alone['seconds'] / seconds)}× one thread" if alone else ""
    elif sweep == "files":
        rate = f"{significant(seconds / x * 1e6)} µs a file"
    else:
        rate = f"{significant(x / seconds)} GB/s"
    return f"{significant(seconds)} s · {rate} · {point['rss_kb'] / 1024:.0f}"


def scale_chart(points, machine):
    wanted = [("files", "seconds", "seconds against files of 1 kB"), ("files", "rss_kb", "peak MB against files of 1 kB"),
              ("bytes", "seconds", "seconds against GB"), ("threads", "seconds", "seconds against threads, full of K")]
    panels = [panel for panel in wanted if positions(points, panel[0])]
    drawing = Drawing(900)
    drawing.text(8, 22, "How libibt scales", "title")
    drawing.text(8, 40, f"both axes logarithmic; {machine}", "small")
    x = 8
    for operation, colour in LINES.items():
        drawing.bar(x, 49, 10, 10, colour)
        drawing.text(x + 15, 58, OPERATIONS[operation])
        x += 30 + 7 * len(OPERATIONS[operation])
    for number, (sweep, column, title) in enumerate(panels):
        left, top = 60 + 440 * (number % 2), 96 + 270 * (number // 2)
        curves(drawing, points, sweep, column, title, (left, left + 350, top, top + 190))
    return drawing.svg(96 + 270 * ((len(panels) + 1) // 2) - 20)


def curves(drawing, points, sweep, column, title, box):
    left, right, top, bottom = box
    factor = 1 / 1024 if column == "rss_kb" else 1
    series = {operation: [(x, points[sweep, x, operation][column] * factor)
                          for x in positions(points, sweep) if (sweep, x, operation) in points]
              for operation in operations(points, sweep)}
    across = LogScale(positions(points, sweep), left, right, base=2)
    up = LogScale([y for line in series.values() for _, y in line], bottom, top)
    drawing.text((left + right) / 2, top - 10, title, "head middle")
    for tick in across.ticks():
        drawing.line(across(tick), top, across(tick), bottom, "grid")
        power = round(math.log2(tick))
        drawing.text(across(tick), bottom + 15, f"2^{power}" if power >= 10 else f"{tick:g}", "middle small")
    for tick in up.ticks():
        drawing.line(left, up(tick), right, up(tick), "grid")
        drawing.text(left - 6, up(tick) + 4, f"{tick:g}", "end small")
    for operation, line in series.items():
        drawing.curve([(across(x), up(y)) for x, y in line], LINES[operation])


# ---- parameters

# The files that an increment adds to the store, by kind.
INCREMENT = ("created", "updated", "sigvault", "state")
FULL = ("full", "sigvault", "state")
WHAT_IS_TIMED = ("full", "incr", "restore")
NUMBERS = ("seconds", "user_seconds", "system_seconds", "rss_kb", "full", *INCREMENT)


def parameters(directory):
    samples = Variants(read_samples(directory / "parameters.tsv"))
    machine = (directory / "machine.txt").read_text().strip()
    (directory / "parameters.md").write_text("\n\n".join([
        f"Measured on: {machine}.",
        "MB stored: the full with its signatures and its state | all increments: created + updated + sigvault + state | "
        f"everything, against {TODAY}. A dash: the parameter makes no difference there.",
        parameters_table(samples, bytes_heads, bytes_cells),
        "CPU seconds of all threads: full + all increments + restore of the newest, of this one user time alone | peak "
        "memory, MB. A virtual machine's system time depends on how much memory its host must find for the tree.",
        parameters_table(samples, cpu_heads, cpu_cells),
        "Wall seconds: full + all increments + restore of the newest.",
        parameters_table(samples, wall_heads, wall_cells),
    ]) + "\n")


TODAY = "today"


class Variants:
    """The samples of parameters.sh. Tables of several runs may be joined: samples of one operation become a median."""

    def __init__(self, rows):
        repeats = defaultdict(list)
        for row in rows:
            repeats[row["workload"], row["variant"], row["operation"]].append(row)
        self.rows = defaultdict(list)
        for (workload, variant, operation), group in repeats.items():
            middle = {column: median(float(row[column]) for row in group) for column in NUMBERS}
            self.rows[workload, variant, operation.partition(".")[0]].append(middle)
        self.names = list(dict.fromkeys(row["variant"] for row in rows))
        self.workloads = [w for w in WORKLOADS if any(key[0] == w for key in self.rows)]

    def has(self, workload, variant):
        return (workload, variant, "restore") in self.rows

    def sum(self, workload, variant, operation, *columns):
        """The sum of these columns; over all increments if the operation is "incr"."""
        return sum(row[column] for row in self.rows[workload, variant, operation] for column in columns)

    def stored(self, workload, variant):
        return (self.sum(workload, variant, "full", *FULL)
                + self.sum(workload, variant, "incr", *INCREMENT))

    def peak(self, workload, variant):
        return max(row["rss_kb"] for operation in WHAT_IS_TIMED
                   for row in self.rows[workload, variant, operation]) / 1024


def parameters_table(samples, heads, cells):
    columns = [head for workload in samples.workloads for head in heads(workload)]
    rows = []
    for variant in samples.names:
        row = [variant]
        for workload in samples.workloads:
            row += cells(samples, workload, variant) if samples.has(workload, variant) else ["-"] * len(heads(workload))
        rows.append(row)
    return table(["", *columns], rows)


def bytes_heads(workload):
    return [f"{workload}: full", "increments", "all"]


def bytes_cells(samples, workload, variant):
    kinds = [samples.sum(workload, variant, "incr", kind) for kind in INCREMENT]
    all_ = samples.stored(workload, variant)
    today = samples.stored(workload, TODAY) if samples.has(workload, TODAY) else None
    return [
        megabytes(samples.sum(workload, variant, "full", *FULL)),
        f"{megabytes(sum(kinds))} = " + " + ".join(megabytes(kind) for kind in kinds),
        f"{round(all_ / today * 100 - 100, 1) + 0.0:+.1f} %" if today else megabytes(all_),
    ]


def cpu_heads(workload):
    return [f"{workload}: CPU", "MB"]


def cpu_cells(samples, workload, variant):
    seconds = [samples.sum(workload, variant, operation, "user_seconds", "system_seconds")
               for operation in ("full", "incr")] + [samples.sum(workload, variant, "restore", "user_seconds")]
    return [sums(seconds), f"{samples.peak(workload, variant):.0f}"]


def wall_heads(workload):
    return [workload]


def wall_cells(samples, workload, variant):
    return [sums([samples.sum(workload, variant, operation, "seconds") for operation in WHAT_IS_TIMED])]


def sums(numbers):
    return " + ".join(significant(number) for number in numbers)


if __name__ == "__main__":
    {"peers": peers, "scale": scale, "parameters": parameters}[sys.argv[1]](Path(sys.argv[2]))
