"""The row about many connections: what a request costs with, and without, thousands that do nothing beside the busy."""

ROWS = {"scale": "http"}
BUSY, IDLE = 1_000, 15_000
FIGURE = "server_cpu_us_per_request"


def measure(bench, server):
    """Without, with, with, without, all in one process: what changes on the machine meanwhile meets both."""
    reports = {"without": [], "with": []}
    idle = ["--idle", str(idle_connections(bench.options))]
    with bench.start(server) as running:
        for which in ("without", "with", "with", "without"):
            besides = idle if which == "with" else []
            reports[which].append(
                bench.load(running, "keep-alive", "--connections", str(BUSY), *besides, *bench.duration()))
    costs = None
    if all(map(all, reports.values())):
        costs = {which: sum(report[FIGURE] for report in both) / len(both) for which, both in reports.items()}
        costs["times"] = costs["with"] / costs["without"]
    for which in ("without", "with", "times"):
        bench.add(f"scale, {which}", server, costs, which)


def idle_connections(options):
    """As many as there may be beside the busy ones."""
    return min(IDLE, options.most_connections - BUSY)


def print_lines(line, options):
    idle = idle_connections(options)
    line(f"keep-alive, {BUSY:,} connections: server CPU, µs per request", "scale, without", 2)
    line(f"the same with {idle:,} idle connections besides", "scale, with", 2)
    line("server CPU with the idle ones ÷ without, in the same process", "scale, times", 3)
