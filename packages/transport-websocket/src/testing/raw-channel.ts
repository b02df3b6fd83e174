// A device that completes the handshake with a daemon, and then sends arbitrary messages for a test.

import { once } from 'node:events';
import { type ChannelPurpose, Inbox, type JudgePeer, type OwnProof, subprotocolOf } from '@palyra/channel';
import { WebSocket } from 'ws';
import { agreeAsDevice } from '../../../channel/src/agree.ts';
import { decodeFrames, type Frame } from '../../../channel/src/frame.ts';
import { deviceOrigin } from '../upgrade.ts';
import { WsSocket } from '../ws-socket.ts';

const nothing = new Uint8Array();

export interface RawChannel {
  readonly socket: WebSocket;
  readonly binding: Uint8Array;
  /** Sends one message. */
  send(plaintext: Uint8Array): Promise<void>;
  /** The daemon's next frame. Undefined once the socket has ended. */
  next(): Promise<Frame | undefined>;
}

export async function rawChannel(
  port: number,
  side: {
    readonly proof?: OwnProof;
    readonly judge?: JudgePeer;
    readonly purpose?: ChannelPurpose;
    readonly headers?: Readonly<Record<string, string>>;
  },
): Promise<RawChannel> {
  const { purpose = 'node', judge = () => undefined, proof, headers = {} } = side;
  const socket = new WebSocket(`ws://127.0.0.1:${port}/channel`, subprotocolOf(purpose), {
    origin: deviceOrigin,
    headers,
  });
  const carrier = new WsSocket(socket);
  const inbox = new Inbox(carrier);
  await once(socket, 'open');
  const { agreed } = await agreeAsDevice(carrier, inbox, { purpose, judge, ...(proof && { proof }) });
  const frames: Frame[] = [];
  return {
    socket,
    binding: agreed.hash,
    send: async (plaintext) => void carrier.send(await agreed.send.seal(nothing, plaintext)),
    async next() {
      while (frames.length === 0) {
        const message = await inbox.next().catch(() => undefined);
        if (!message) return undefined;
        frames.push(...decodeFrames(await agreed.receive.open(nothing, message)));
      }
      return frames.shift();
    },
  };
}
