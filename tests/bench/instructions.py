#!/usr/bin/env python3
"""What a request costs the proxy in instructions and system calls: figures that noise cannot move.

    cargo build --release --bins
    tests/bench/instructions.py                    # one route, a host of its own
    tests/bench/instructions.py --hosts 10000      # requests over 1,000 hosts of 10,000
    tests/bench/instructions.py --cache            # also what a core's caches would miss
    tests/bench/instructions.py --calls            # system calls instead, by strace

Both planes run as they are shipped, the proxy under valgrind's callgrind (or strace). The load
is keep-alive connections that each wait for their answer, so as many requests are under way at
any time as there are connections. Counting begins when every connection to an upstream is open,
and covers all threads, so also what the control thread and the clock cost meanwhile. Two runs of
one binary differ by under 1 %. The profile stays in the file that is named at the end
(`callgrind_annotate FILE`; the kernel's part is not in it). Needs valgrind or strace, and Python
3.11; the answers come from this program, on every address of 127.0.0.0/8.
"""
import argparse
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from types import SimpleNamespace

HERE = os.path.dirname(os.path.abspath(__file__))
ORIGIN, PLAIN = 27183, 27180
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 128\r\n\r\n" + b"." * 128


def adapter(binaries):
    """The harness' adapter, with what it needs of the harness."""
    path = os.path.join(HERE, "roadstead.py")
    space = {"Peer": object, "binary": lambda _: binaries, "out": None}
    exec(compile(open(path).read(), path, "exec"), space)
    return space["Roadstead"]()


def world(hosts):
    """Routes and services as the harness' `routes-10k` has them; with one host, its `h1-plain`."""
    if hosts == 1:
        return [("localhost", "/a", "s0")], {"s0": f"127.1.0.1:{ORIGIN}"}
    services = {f"s{i}": f"127.1.{i // 250 % 200}.{i % 250 + 1}:{ORIGIN}" for i in range(hosts)}
    routes = []
    for i in range(hosts):
        host = f"h{i:05d}.bench.test"
        routes += [(host, "/a", f"s{i}"), (host, "/b", f"s{(i + 1) % hosts}")]
    return routes, services


def requests(routes, spread):
    """The requests of a run, over and over: two paths each of `spread` hosts, in a fixed disorder."""
    step = max(1, len(routes) // 2 // spread)
    asked = [(host, path) for i, (host, path, _) in enumerate(routes) if i // 2 % step == 0]
    asked = [asked[i * 7919 % len(asked)] for i in range(len(asked))] if len(asked) % 7919 else asked
    return [f"GET {path}/x HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() for host, path in asked]


def origin():
    """Answers every request on every loopback address."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", ORIGIN))
    listener.listen(4096)
    waiting = selectors.DefaultSelector()
    waiting.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.fileobj is listener:
                client = listener.accept()[0]
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                waiting.register(client, selectors.EVENT_READ)
            elif key.fileobj.recv(4096):
                key.fileobj.sendall(ANSWER)
            else:
                waiting.unregister(key.fileobj)
                key.fileobj.close()


class Load:
    """Connections to the proxy, each with one request under way."""

    def __init__(self, connections, asked):
        self.asked, self.next, self.waiting = asked, 0, selectors.DefaultSelector()
        for _ in range(connections):
            connection = socket.create_connection(("127.0.0.1", PLAIN), 30)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.waiting.register(connection, selectors.EVENT_READ)

    def run(self, number):
        """Sends this many requests; every answer must be right."""
        for key in self.waiting.get_map().values():
            self.ask(key.fileobj)
        left, sent = number, len(self.waiting.get_map())
        while left > 0:
            for key, _ in self.waiting.select():
                got = key.fileobj.recv(4096)
                if not got.startswith(b"HTTP/1.1 200 ") or not got.endswith(ANSWER[-128:]):
                    sys.exit(f"a wrong answer: {got[:300]!r}")
                left -= 1
                if sent < number:
                    sent += 1
                    self.ask(key.fileobj)

    def ask(self, connection):
        self.next = (self.next + 1) % len(self.asked)
        connection.sendall(self.asked[self.next])


def wait_for(what, ready, seconds=120):
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def serves(ask):
    try:
        with socket.create_connection(("127.0.0.1", PLAIN), 30) as connection:
            connection.sendall(ask)
            return connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def counted(args, folder, pid, load):
    """Instructions (and misses) of the requests, by callgrind: {event: sum}."""
    def dump(number):
        """Counting begins anew with each dump."""
        profile, found = os.path.join(folder, f"callgrind.out.{number}"), []
        subprocess.run(["callgrind_control", "--dump", str(pid)], check=True, capture_output=True)

        def dumped():
            text = open(profile).read() if os.path.exists(profile) else ""
            found[:] = re.findall(r"^(?:events|totals): (.*)$", text, re.M)
            return len(found) == 2

        wait_for("callgrind's dump", dumped)
        return profile, found

    dump(1)
    load.run(args.requests)
    profile, found = dump(2)
    kept = os.path.join(tempfile.gettempdir(), f"callgrind.out.roadstead-{args.hosts}")
    os.replace(profile, kept)
    print("profile:", kept)
    return dict(zip(found[0].split(), map(int, found[1].split())))


def called(args, folder, pid, load):
    """System calls of the requests, by strace: {call: number}."""
    report = os.path.join(folder, "calls")
    trace = subprocess.Popen(["strace", "-f", "-q", "-c", "-o", report, "-p", str(pid)])
    wait_for("strace", lambda: "TracerPid:\t0\n" not in open(f"/proc/{pid}/status").read())
    load.run(args.requests)
    trace.send_signal(signal.SIGINT)
    trace.wait()
    rows = [line.split() for line in open(report)]
    return {row[-1]: int(row[3]) for row in rows if len(row) >= 5 and row[3].isdigit() and row[-1] != "total"}


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--bin", default=os.path.join(HERE, "../../target/release"), help="folder of the binaries")
    options.add_argument("--hosts", type=int, default=1)
    options.add_argument("--spread", type=int, default=1000, help="hosts that get requests")
    options.add_argument("--connections", type=int, default=64)
    options.add_argument("--requests", type=int, default=20000)
    options.add_argument("--cache", action="store_true", help="simulate 48 KiB of L1 and 2 MiB of L2")
    options.add_argument("--calls", action="store_true")
    args = options.parse_args()
    folder = tempfile.mkdtemp(prefix="instructions-")
    routes, services = world(args.hosts)
    by_host = {}
    for host, path, service in routes:
        by_host.setdefault(host, []).append((path, service))
    config = SimpleNamespace(dir=folder, services=services, plain=PLAIN, by_host=lambda: by_host)
    peer = adapter(os.path.abspath(args.bin))
    for name, text in peer.files(config).items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "w").write(text)
    under = f"valgrind --tool=callgrind -q --callgrind-out-file={folder}/callgrind.out"
    if args.cache:
        under += " --cache-sim=yes --D1=49152,12,64 --LL=2097152,16,64"
    threading.Thread(target=origin, daemon=True).start()
    environment = {**os.environ, "BENCH_ROADSTEAD_UNDER": "" if args.calls else under}
    started = subprocess.Popen(peer.argv(config), env=environment)
    try:
        asked = requests(routes, args.spread)
        wait_for("the proxy", lambda: serves(asked[-1]))
        children = open(f"/proc/{started.pid}/task/{started.pid}/children").read().split()
        load = Load(args.connections, asked)
        load.run(max(2 * len(asked), 1000))
        counts = (called if args.calls else counted)(args, folder, int(children[1]), load)
        print(f"{args.hosts} hosts, {args.connections} connections, {args.requests} requests; per request:")
        for name, count in sorted(counts.items(), key=lambda item: -item[1]):
            if count >= args.requests / 100:
                print(f"  {name:14} {count / args.requests:10.2f}")
    finally:
        started.terminate()
        started.wait(60)
        subprocess.run(["rm", "-rf", folder])


if __name__ == "__main__":
    main()
