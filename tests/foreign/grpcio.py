"""The client of grpc_go.go, which says what it reads and prints, with Debian's python3-grpcio and its defaults."""

import collections
import json
import sys
import threading
import time

import grpc


def unchanged(message):
    return message


class Outcomes:
    def __init__(self):
        self.lock = threading.Lock()
        self.calls = 0
        self.failures = collections.Counter()

    def add(self, error):
        with self.lock:
            self.calls += 1
            if error is not None:
                self.failures[f"{error.code().name}: {error.details()}"] += 1

    def answer(self):
        return {"calls": self.calls, "failed": sum(self.failures.values()), "failures": self.failures}


def together(count, work):
    threads = [threading.Thread(target=work) for _ in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def failure_of(work):
    try:
        work()
    except grpc.RpcError as error:
        return error
    return None


def load(channel, setup):
    outcomes = Outcomes()
    method = channel.unary_unary(setup["method"], unchanged, unchanged)
    end = time.monotonic() + setup["seconds"]

    def work():
        while time.monotonic() < end:
            outcomes.add(failure_of(lambda: method(b"", timeout=30)))

    together(setup["workers"], work)
    return outcomes.answer()


def open_stream(channel, name, messages, timeout):
    """Its side stays open until the call is over."""
    over = threading.Event()

    def sending():
        yield from (bytes.fromhex(each) for each in messages)
        over.wait()

    call = channel.stream_stream(name, unchanged, unchanged)(sending(), timeout=timeout)
    call.add_callback(over.set)
    return call


def wave(channel, setup):
    outcomes = Outcomes()
    method = channel.unary_unary(setup["method"], unchanged, unchanged)
    streams = [open_stream(channel, setup["cancelled"], [], 60) for _ in range(setup["calls"])]
    # When this is answered, the server has seen those before it.
    method(b"", timeout=30)
    for each in streams:
        each.cancel()
    together(setup["calls"], lambda: outcomes.add(failure_of(lambda: method(b"", timeout=30))))
    return outcomes.answer()


def stream(channel, setup):
    began = time.monotonic()
    replies = []
    call = open_stream(channel, setup["method"], setup["send"] or [], setup["milliseconds"] / 1000)
    try:
        for reply in call:
            replies.append(reply.hex())
    except grpc.RpcError:
        pass
    return {
        "code": call.code().name,
        "message": call.details() or "",
        "replies": replies,
        "elapsed": round((time.monotonic() - began) * 1000),
    }


def main():
    setup = json.loads(sys.stdin.readline())
    roots, certificate, key = (setup[name].encode() or None for name in ("roots", "certificate", "key"))
    credentials = grpc.ssl_channel_credentials(roots, key, certificate)
    options = [("grpc.ssl_target_name_override", setup["name"]), ("grpc.enable_http_proxy", 0)]
    compression = grpc.Compression.Gzip if setup.get("gzip") else None
    with grpc.secure_channel(setup["address"], credentials, options, compression) as channel:
        kinds = {"load": load, "wave": wave, "stream": stream}
        print(json.dumps(kinds[setup["kind"]](channel, setup)))


main()
