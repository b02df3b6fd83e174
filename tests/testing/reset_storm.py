"""Connections that are closed with bytes of the daemon unread, or before these have come, so that the kernel answers with RST.

Node reads what comes whether anybody asks for it or not; Python leaves it in the kernel.
Arguments: port, connections for each address, then the addresses to come from. Prints how many were made.
"""

import socket
import ssl
import sys
import threading

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])

port, count, addresses = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.set_alpn_protocols(["h2"])
made = [0] * len(addresses)


def come(index):
    for _ in range(count):
        try:
            with socket.socket() as raw:
                raw.settimeout(30)
                raw.bind((addresses[index], 0))
                raw.connect(("127.0.0.1", port))
                with context.wrap_socket(raw) as secure:
                    secure.sendall(PREFACE)
            made[index] += 1
        except OSError:
            pass  # What is refused in the middle of the storm is refused.


threads = [threading.Thread(target=come, args=(index,), daemon=True) for index in range(len(addresses))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sum(made))
