"""The figures as tables in Markdown: a section for each kind of load, a column for each server that has part in it."""

import statistics

import bulk
import scale
import tail


class Tables:
    def __init__(self, bench):
        self.bench = bench
        # Titles, and lines of a title and the cells of servers.
        self.sections = []

    def section(self, title):
        self.sections.append((title, []))

    def line(self, title, figure, digits, values=None):
        values = self.bench.figure(figure) if values is None else values
        if values:
            cells = {server: cell(of_server, digits) for server, of_server in values.items()}
            self.sections[-1][1].append((title, cells))

    def ratio(self, title, figure, base, best):
        """Against `base` in the same round; above one is better than it."""
        self.line(title, figure, 2, self.bench.ratio(figure, base, best))

    def markdown(self):
        return "\n".join(self.as_markdown(*section) for section in self.sections if section[1])

    def as_markdown(self, title, lines):
        servers = [server for server in self.bench.options.servers if any(server in cells for _, cells in lines)]
        rows = [["figure (one worker)", *servers], ["---"] * (len(servers) + 1)]
        rows += [[name, *(cells.get(server, "–") for server in servers)] for name, cells in lines]
        return f"### {title}\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def cell(values, digits):
    def text(value):
        return f"{value:,.{digits}f}"

    if text(min(values)) == text(max(values)):
        return text(values[0])
    return f"{text(statistics.median(values))} ({text(min(values))}–{text(max(values))})"


def of(bench):
    """All figures that were taken."""
    table, options = Tables(bench), bench.options
    line, ratio = table.line, table.ratio
    table.section("Plain HTTP/1.1")
    for figure, what in (("keep-alive", "keep-alive, 64 connections"), ("pipelined", "pipelined 16 deep, 64 connections"),
                         ("churn", "a connection per request, 64 at once")):
        line(f"{what}: server CPU, µs per request", f"{figure}, server_cpu_us_per_request", 2)
        ratio(f"{what}: server CPU × floor", f"{figure}, server_cpu_us_per_request", "floor", "low")
        line(f"{what}: requests/s", f"{figure}, requests_per_second", 0)
        ratio(f"{what}: requests/s × floor", f"{figure}, requests_per_second", "floor", "high")
    table.section("Instructions and system calls")
    for mode in ("keep-alive", "pipelined", "churn"):
        line(f"user instructions per request, {mode}, one connection at a time", f"instructions, {mode}", 0)
    line("user instructions per request, TLS 1.3 keep-alive, one connection at a time", "tls-instructions", 0)
    line("system calls per request, keep-alive", "syscalls, keep-alive", 2)
    line("system calls per connection, a connection per request", "syscalls, churn", 2)
    table.section("Latency under load")
    for percentile, name in (("p50", "p50_us"), ("p99", "p99_us"), ("p99.9", "p99_9_us")):
        line(f"keep-alive at {bench.rate or 0:,} requests/s: {percentile}, µs", f"latency, {name}", 0)
    tail.print_lines(line)
    table.section("Many connections")
    line(f"resident bytes per idle connection ({options.idle_connections:,})", "idle", 0)
    line(f"resident bytes per idle TLS connection ({options.idle_connections:,})", "tls-idle", 0)
    scale.print_lines(line, options)
    table.section("Bodies")
    bulk.print_lines(line, ratio)
    line("4 KiB echo, 64 connections: requests/s", "echo, requests_per_second", 0)
    line("4 KiB echo: server CPU, µs per request", "echo, server_cpu_us_per_request", 2)
    ratio("4 KiB echo: server CPU × hyper", "echo, server_cpu_us_per_request", "hyper", "low")
    table.section("HTTPS")
    # A handshake is as much work for the client as for the server: the rate shows the slower of the two.
    for figure, unit, what, compared in (
            ("tls-keep-alive", "request", "TLS 1.3 keep-alive, 64 connections", "cpu"),
            ("tls-pipelined", "request", "TLS 1.3 pipelined 16 deep, 64 connections", "rate"),
            ("tls-handshakes", "handshake", "full TLS 1.3 handshakes, a connection each, 64 at once", "cpu")):
        mark = {name: " (the one to compare)" if name == compared else "" for name in ("cpu", "rate")}
        line(f"{what}: server CPU, µs per {unit}", f"{figure}, server_cpu_us_per_request", 2)
        ratio(f"{what}: server CPU × floor{mark['cpu']}", f"{figure}, server_cpu_us_per_request", "floor", "low")
        line(f"{what}: {unit}s/s", f"{figure}, requests_per_second", 0)
        ratio(f"{what}: {unit}s/s × floor{mark['rate']}", f"{figure}, requests_per_second", "floor", "high")
    table.section("The arena's first profiles")
    for figure, what in (("arena-baseline", "arena baseline, 512 connections"),
                         ("arena-pipelined", "arena pipelined 16 deep, 512 connections"),
                         ("arena-limited", "arena, ten requests on each of 512 connections")):
        line(f"{what}: server CPU, µs per request", f"{figure}, server_cpu_us_per_request", 2)
        ratio(f"{what}: server CPU × epoll", f"{figure}, server_cpu_us_per_request", "epoll", "low")
        line(f"{what}: requests/s", f"{figure}, requests_per_second", 0)
        ratio(f"{what}: requests/s × epoll", f"{figure}, requests_per_second", "epoll", "high")
    return table
