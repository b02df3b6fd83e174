# The service manager's side of sd_notify(3): prints each message as one line of JSON, with its sender's process.
import json, socket, struct, sys

address = sys.argv[1]
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
receiver.bind("\0" + address[1:] if address.startswith("@") else address)
print(json.dumps({"listening": True}), flush=True)
while True:
    # Too small for a file descriptor beside the credentials: that of BARRIER is closed, which is its answer.
    message, ancillary, _, _ = receiver.recvmsg(65536, socket.CMSG_SPACE(12))
    sender = struct.unpack("3i", ancillary[0][2])[0]
    words = dict(line.split("=", 1) for line in message.decode().split("\n"))
    if "BARRIER" not in words:
        print(json.dumps({"words": words, "sender": sender}), flush=True)
