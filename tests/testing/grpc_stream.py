"""One streaming gRPC call with Debian's python3-grpcio: a client that shares no code with the daemon.

stdin: a line {"address", "name", "roots", "certificate", "key", "method", "kind", "timeout"}, where kind is "bidi" or
"server" and an address without roots is a socket without TLS; then a line for each step: {"send": hex} or
{"cancel": true}. stdout: a line {"reply": hex} for each message, and at the end {"code", "message", "details"}, as of
grpc_call.py.
"""

import json
import queue
import sys
import threading

import grpc


def unchanged(message):
    return message


def say(line):
    print(json.dumps(line), flush=True)


def open_channel(call):
    def pem(name):
        return call[name].encode() if call[name] else None

    options = [("grpc.enable_http_proxy", 0)]
    if not call["roots"]:
        return grpc.insecure_channel(call["address"], options)
    credentials = grpc.ssl_channel_credentials(pem("roots"), pem("key"), pem("certificate"))
    options.append(("grpc.ssl_target_name_override", call["name"]))
    return grpc.secure_channel(call["address"], credentials, options)


def main():
    setup = json.loads(sys.stdin.readline())
    sending = queue.Queue()
    with open_channel(setup) as channel:
        if setup["kind"] == "bidi":
            method = channel.stream_stream(setup["method"], unchanged, unchanged)
            call = method(iter(sending.get, None), timeout=setup["timeout"])
        else:
            method = channel.unary_stream(setup["method"], unchanged, unchanged)
            call = method(b"", timeout=setup["timeout"])

        def follow():
            for line in sys.stdin:
                step = json.loads(line)
                if "cancel" in step:
                    call.cancel()
                else:
                    sending.put(bytes.fromhex(step["send"]))

        threading.Thread(target=follow, daemon=True).start()
        try:
            for reply in call:
                say({"reply": reply.hex()})
        except (grpc.RpcError, grpc.FutureCancelledError):
            pass
        sending.put(None)
        trailers = dict(call.trailing_metadata() or ())
        details = trailers.get("grpc-status-details-bin", b"").hex()
        say({"code": call.code().name, "message": call.details() or "", "details": details})


main()
