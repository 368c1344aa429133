"""Writes the figures of a run into docs/benchmarks.md, between two marks, and the plots beside it."""

import os
import platform
import re
import statistics
import subprocess
import sys
from pathlib import Path

import bulk
import plots

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- figures: written by benches/compare/run -->", "<!-- end of the figures -->"
# Which server is 1, and which end of the scale is the good one.
CPU, RATE = ("floor", "low"), ("epoll", "high")
# File: title, what to know about it, and the groups of bars: name, figure, digits, and what it is related to.
CHARTS = {
    "cpu": ("Processor time × floor: longer is better", "The floor's time per request divided by the server's own.", [
        ("keep-alive", "keep-alive, server_cpu_us_per_request", 2, CPU),
        ("pipelined, 16 deep", "pipelined, server_cpu_us_per_request", 2, CPU),
        ("a connection per request", "churn, server_cpu_us_per_request", 2, CPU),
        ("TLS 1.3 keep-alive", "tls-keep-alive, server_cpu_us_per_request", 2, CPU),
        ("TLS 1.3 pipelined, 16 deep", "tls-pipelined, server_cpu_us_per_request", 2, CPU),
        ("full TLS 1.3 handshakes", "tls-handshakes, server_cpu_us_per_request", 2, CPU),
    ]),
    "instructions": ("User-space instructions per request: shorter is better", "One connection at a time, by callgrind.", [
        ("keep-alive", "instructions, keep-alive", 0, None),
        ("pipelined, 16 deep", "instructions, pipelined", 0, None),
        ("a connection per request", "instructions, churn", 0, None),
        ("TLS 1.3 keep-alive", "tls-instructions", 0, None),
    ]),
    "memory": ("Resident bytes per idle connection: shorter is better", "The process's own; socket buffers are the kernel's.", [
        ("plain", "idle", 0, None),
        ("TLS 1.3", "tls-idle", 0, None),
    ]),
    "tail": ("Latency at 70 % of each server's own most, µs: shorter is better",
             "64 connections; counted from when a request was due. Each group has a scale of its own.", [
        (f"{over}, {percentile}", f"{row}, {name}", 0, None)
        for row, over in (("tail", "plain"), ("tls-tail", "TLS 1.3"))
        for percentile, name in (("p50", "p50_us"), ("p99", "p99_us"), ("p99.9", "p99_9_us"))
    ]),
    "scale": ("Processor time per request among thousands of idle connections ÷ without them",
              "1.00 is no difference; 1,000 connections are busy.", [("plain", "scale, times", 3, None)]),
    "bodies": ("Processor time of large bodies, ms per GiB: shorter is better", "1 MiB each, 8 connections.", [
        (f"{'TLS 1.3 ' if row.startswith('tls-') else ''}{bulk.KINDS[row.removeprefix('tls-')][2]}",
         f"{row} {bulk.MEBIBYTE}, cpu_ms_per_gib", 0, None)
        for row in bulk.ROWS
    ]),
    "arena": ("The arena's first profiles, requests/s × epoll: longer is better", "512 connections.", [
        ("baseline", "arena-baseline, requests_per_second", 2, RATE),
        ("pipelined, 16 deep", "arena-pipelined, requests_per_second", 2, RATE),
        ("ten requests on each connection", "arena-limited, requests_per_second", 2, RATE),
    ]),
}


def write(path, bench, tables, remarks):
    """Replaces what stands between the marks of the document; the rest of it is written by hand."""
    document = Path(path)
    before, after = around_the_figures(path)
    folder = document.with_suffix("")
    folder.mkdir(exist_ok=True)
    pictures = []
    for name, (title, note, groups) in CHARTS.items():
        groups = [(group, values_of(bench, figure, digits, base)) for group, figure, digits, base in groups]
        groups = [(group, values) for group, values in groups if values]
        if groups:
            (folder / f"{name}.svg").write_text(plots.bars(title, note, groups))
            pictures.append(f"![{title}]({folder.name}/{name}.svg)\n")
    parts = [BEGIN, conditions(bench, remarks), *pictures, tables.rstrip(), END]
    document.write_text(before + "\n\n".join(part.rstrip() for part in parts) + after)


def around_the_figures(path):
    """What stands before and behind the marks; asked before anything is measured as well."""
    try:
        before, begin, rest = Path(path).read_text().partition(BEGIN)
    except OSError as error:
        sys.exit(f"cannot read the document {path}: {error.strerror}")
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{path} has not both of the lines {BEGIN} and {END}")
    return before, after


def values_of(bench, figure, digits, base):
    """The bars of a group, in the order of the servers: the median, and its text with the least and the most."""
    found = bench.ratio(figure, *base) if base else bench.figure(figure)
    bars = []
    for server in bench.options.servers:
        if values := found.get(server):
            low, middle, high = (f"{value:,.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
            bars.append((server, statistics.median(values), middle if low == high else f"{middle} ({low}–{high})"))
    return bars


def conditions(bench, remarks):
    lines = ["| | |", "|---|---|", f"| machine | {processor()}, {memory()} |", f"| system | Linux {platform.release()} |",
             f"| compiler | {output('rustc', '--version')} |", f"| stannel | {stannel()} |"]
    locked = versions(HERE / "Cargo.lock")
    lines += [f"| {server} | {', '.join(f'{name} {locked[name]}' for name in names)} |"
              for server, names in CRATES.items() if server in bench.options.servers]
    lines.append(f"| TLS of all | rustls {locked['rustls']} over aws-lc-rs {locked['aws-lc-rs']} |")
    return "\n\n".join(["\n".join(lines), *remarks])


# What each server is made of, but for what all have in common.
CRATES = {
    "hyper": ["hyper", "tokio", "tokio-rustls"],
    "actix": ["actix-web", "actix-http", "actix-server"],
    "may": ["may_minihttp", "may"],
    "epoll": ["rustix"],
    "floor": ["rustix"],
}


def versions(lock):
    """Of every crate in a lock file; of several, the last one, which is the newest."""
    return dict(re.findall(r'^name = "(.+)"\nversion = "(.+)"$', lock.read_text(), re.MULTILINE))


def stannel():
    root = HERE.parent.parent
    version = re.search(r'^version = "(.+)"$', (root / "Cargo.toml").read_text(), re.MULTILINE).group(1)
    return f"{version}, commit {output('git', '-C', str(root), 'rev-parse', '--short', 'HEAD')}"


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def processor():
    names = re.findall(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def memory():
    kilobytes = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return f"{int(kilobytes.group(1)) / (1 << 20):.0f} GiB" if kilobytes else "unknown memory"
