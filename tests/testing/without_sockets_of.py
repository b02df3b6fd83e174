# Runs a program for which the kernel has no sockets of some address families, as with ipv6.disable=1 or systemd's
# RestrictAddressFamilies=: without_sockets_of.py FAMILY[,FAMILY] PROGRAM [ARGUMENT ...]. Linux on x86-64 and arm64.

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000 | errno.EAFNOSUPPORT
SYSCALL_NUMBER_AT, FIRST_ARGUMENT_AT = 0, 16
SOCKET_CALL = {"x86_64": 41, "aarch64": 198}[platform.machine()]

families = [getattr(socket, name) for name in sys.argv[1].split(",")]


def step(code, value, if_true=0, if_false=0):
    return struct.pack("HBBI", code, if_true, if_false, value)


steps = [
    step(LOAD, SYSCALL_NUMBER_AT),
    step(EQUAL, SOCKET_CALL, 0, len(families) + 1),
    step(LOAD, FIRST_ARGUMENT_AT),
    *(step(EQUAL, family, len(families) - at) for at, family in enumerate(families)),
    step(RETURN, ALLOW),
    step(RETURN, FAIL),
]
code = ctypes.create_string_buffer(b"".join(steps))
program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
for call in (
    (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
    (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.create_string_buffer(program), 0, 0),
):
    if libc.prctl(*call) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
os.execvp(sys.argv[2], sys.argv[2:])
