"""One unary gRPC call over mutual TLS with Debian's python3-grpcio: a client that shares no code with the daemon.

stdin: {"address", "name", "roots", "certificate", "key", "method", "timeout"}; certificate and key may be null; the
timeout is in seconds. The request is the empty message. stdout: {"code", "message", "reply", "details"}; reply and details (grpc-status-details-bin) in hex.
"""

import json
import sys

import grpc


def main():
    call = json.load(sys.stdin)

    def pem(name):
        return call[name].encode() if call[name] else None

    credentials = grpc.ssl_channel_credentials(pem("roots"), pem("key"), pem("certificate"))
    # The daemon is known by its trust domain, which its certificate names, not by where it is.
    options = [("grpc.ssl_target_name_override", call["name"]), ("grpc.enable_http_proxy", 0)]
    with grpc.secure_channel(call["address"], credentials, options) as channel:
        method = channel.unary_unary(call["method"], lambda message: message, lambda message: message)
        try:
            reply, outcome = method.with_call(b"", timeout=call["timeout"])
        except grpc.RpcError as error:
            reply, outcome = b"", error
        trailers = dict(outcome.trailing_metadata() or ())
        answer = {
            "code": outcome.code().name,
            "message": outcome.details() or "",
            "reply": reply.hex(),
            "details": trailers.get("grpc-status-details-bin", b"").hex(),
        }
    print(json.dumps(answer))


main()
