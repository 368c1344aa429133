"""The rows of large bodies: what is asked of whom, and nginx, which has to be told more than the others."""

import os
import socket
import time
from pathlib import Path

MEBIBYTE, GIBIBYTE = 1 << 20, 1 << 30
# Row: the load generator's mode, the path of a download, what the table calls it.
KINDS = {
    "bulk-memory": ("download", "/memory/{}", "from memory"),
    "bulk-source": ("download", "/bytes/{}", "from a source"),
    "bulk-file": ("download", "/{}", "from a file"),
    "upload": ("upload", None, "upload"),
    "upload-chunked": ("upload-chunked", None, "chunked upload"),
}
ROWS = [*KINDS, *(f"tls-{row}" for row in KINDS)]
# How large, on how many connections.
SIZES = ((MEBIBYTE, 8, "1 MiB"), (GIBIBYTE, 1, "1 GiB"))


def is_of_files(row):
    return row.removeprefix("tls-") == "bulk-file"


def takes_part(server, row):
    """nginx has no program behind it, and so nothing but files, which hyper and actix-web have not."""
    if server in ("floor", "epoll", "may"):
        return False
    if is_of_files(row):
        return server not in ("hyper", "actix")
    return server != "nginx" and not (server == "actix" and row.removeprefix("tls-") == "bulk-memory")


def measure(bench, row, server):
    mode, path, _ = KINDS[row.removeprefix("tls-")]
    scheme = "https" if row.startswith("tls-") else "http"
    folder = bench.files if is_of_files(row) else None
    for size, connections, _ in SIZES:
        arguments = ["--connections", str(connections), "--size", str(size)]
        if path:
            arguments += ["--path", path.format(size)]
        with bench.start(server, mode, scheme=scheme, folder=folder) as running:
            # What is made or read from a disk when it is first asked for is not measured.
            bench.load(running, mode, *arguments, "--requests", str(connections))
            if size == MEBIBYTE:
                arguments += ["--seconds", str(bench.options.seconds), "--warm-up", "0.2"]
            else:
                arguments += ["--requests", "1" if bench.options.quick else "3"]
            report = bench.load(running, mode, *arguments)
        share = size / GIBIBYTE
        figures = {
            "cpu_ms_per_gib": lambda: report["server_cpu_us_per_request"] / 1000 / share,
            "mib_per_second": lambda: max(report["bytes_sent_per_second"], report["bytes_received_per_second"]) / MEBIBYTE,
        }
        for name, figure in figures.items():
            value = figure() if report else None
            bench.results.setdefault(f"{row} {size}, {name}", {}).setdefault(server, []).append(value)


def measure_syscalls(bench, server):
    """System calls per MiB of everything that the server can do, as the difference of two loads."""
    requests = 64 if bench.options.quick else 256
    for row in ROWS:
        if not takes_part(server, row):
            continue
        mode, path, _ = KINDS[row.removeprefix("tls-")]
        arguments = ["--size", str(MEBIBYTE)] + (["--path", path.format(MEBIBYTE)] if path else [])
        scheme = "https" if row.startswith("tls-") else "http"
        folder = bench.files if is_of_files(row) else None
        counts = [bench.count_syscalls(server, mode, requests * times, *arguments, connections=8, scheme=scheme,
                                       folder=folder) for times in (1, 2)]
        bench.add_difference(f"bulk-syscalls, {row}", server, counts, requests)


def print_lines(line, ratio):
    for row in ROWS:
        prefix = "TLS 1.3, " if row.startswith("tls-") else ""
        what = KINDS[row.removeprefix("tls-")][2]
        peer = "nginx" if is_of_files(row) else "hyper"
        for size, connections, name in SIZES:
            title = f"{prefix}{name} {what}, {connections} connection{'s' if connections > 1 else ''}"
            figure = f"{row} {size}"
            line(f"{title}: server CPU, ms per GiB", f"{figure}, cpu_ms_per_gib", 1)
            ratio(f"{title}: server CPU × {peer}", f"{figure}, cpu_ms_per_gib", peer, "low")
            line(f"{title}: MiB/s", f"{figure}, mib_per_second", 0)
            ratio(f"{title}: MiB/s × {peer}", f"{figure}, mib_per_second", peer, "high")
    for row in ROWS:
        prefix = "TLS 1.3, " if row.startswith("tls-") else ""
        what = KINDS[row.removeprefix("tls-")][2]
        line(f"system calls per MiB, {prefix}{what}", f"bulk-syscalls, {row}", 1)


def make_files(folder):
    """What the file servers serve: a file of each size, named after it."""
    block = os.urandom(MEBIBYTE)
    for size, _, _ in SIZES:
        with open(Path(folder, str(size)), "wb") as file:
            for _ in range(size // MEBIBYTE):
                file.write(block)


def nginx_arguments(scheme, files, place, certificate, key):
    """As Debian configures it, with one process, and the TLS that the others have; also its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "{}:{}".format(*free.getsockname())
    tls = f"""
        ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.3; ssl_ecdh_curve X25519;
        ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384;"""
    configuration = Path(place, "nginx.conf")
    configuration.write_text(f"""
daemon off; master_process off; pid {place}/pid; error_log stderr;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000;
    client_body_temp_path {place}/a; proxy_temp_path {place}/b; fastcgi_temp_path {place}/c;
    uwsgi_temp_path {place}/d; scgi_temp_path {place}/e;
    server {{
        listen {address}{" ssl" if scheme == "https" else ""}; root {files};{tls if scheme == "https" else ""}
    }}
}}
""")
    return ["-c", str(configuration)], address


def wait_for(address, process):
    """For a server that does not say when it listens."""
    host, port = address.split(":")
    patience = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < patience:
        with socket.socket() as trial:
            if trial.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.01)
    process.kill()

