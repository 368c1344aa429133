"""The rows about the slowest answers: each server at seven tenths of what it can do.

The requests are due at even distances, whatever the server does, and an answer's latency counts from when its request
was due: one that is late makes those behind it late as well, and they count.
"""

ROWS = {"tail": "http", "tls-tail": "https"}
PART = 0.7
CONNECTIONS = 64
PERCENTILES = (("p50", "p50_us"), ("p99", "p99_us"), ("p99.9", "p99_9_us"))


def measure(bench, row, server):
    """First what it can do, then how late its answers are at a part of that, in the same process."""
    connections = ["--connections", str(CONNECTIONS)]
    scheme = ROWS[row]
    with bench.start(server, scheme=scheme) as running:
        most = bench.load(running, "keep-alive", *connections, *bench.duration())
        if most:
            rate = round(PART * most["requests_per_second"])
            paced = bench.load(running, "keep-alive", *connections, "--rate", str(rate), *bench.duration())
        else:
            paced = None
    bench.add(f"{row}, most", server, most, "requests_per_second")
    for name in ("requests_per_second", "server_cpu_share", "p50_us", "p99_us", "p99_9_us"):
        bench.add(f"{row}, {name}", server, paced, name)


def print_lines(line):
    for row, over in (("tail", "keep-alive"), ("tls-tail", "TLS 1.3 keep-alive")):
        line(f"{over}, {CONNECTIONS} connections: the most, requests/s", f"{row}, most", 0)
        at = f"{over} at {PART:.0%} of that"
        line(f"{at}: server busy, part of its core", f"{row}, server_cpu_share", 2)
        for percentile, name in PERCENTILES:
            line(f"{at}: {percentile}, µs", f"{row}, {name}", 0)
