"""A link between two network namespaces that loses and delays packets: two TUN devices and this program between them.
The kernel's netem does the same where it is built in. Needs root.

argv: the namespace and address of each end, then loss (0 to 1), delay and jitter (ms, of each direction) and a seed.
stdout: a line "ready" when packets pass. Ends when stdin does, and the devices with it.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
BACKLOG = 10_000


def open_end(name, namespace, address):
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    # It stays this program's when it moves.
    subprocess.run(["ip", "link", "set", name, "netns", namespace], check=True)
    within = ["ip", "-n", namespace]
    subprocess.run([*within, "address", "add", f"{address}/24", "dev", name], check=True)
    subprocess.run([*within, "link", "set", name, "up"], check=True)
    return device


def main():
    [near, near_address, far, far_address, loss, delay, jitter, seed] = sys.argv[1:]
    loss, delay, jitter = float(loss), float(delay) / 1000, float(jitter) / 1000
    draw = random.Random(int(seed))
    name = f"palyra{os.getpid()}"
    a, b = open_end(f"{name}a", near, near_address), open_end(f"{name}b", far, far_address)
    other = {a: b, b: a}
    waiting, count = [], 0
    print("ready", flush=True)
    while True:
        timeout = max(0, waiting[0][0] - time.monotonic()) if waiting else None
        readable, _, _ = select.select([a, b, sys.stdin], [], [], timeout)
        if sys.stdin in readable:
            return
        for end in readable:
            packet = os.read(end, 65536)
            if draw.random() < loss or len(waiting) >= BACKLOG:
                continue
            count += 1
            due = time.monotonic() + delay + jitter * draw.uniform(-1, 1)
            heapq.heappush(waiting, (due, count, other[end], packet))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, end, packet = heapq.heappop(waiting)
            os.write(end, packet)


main()
