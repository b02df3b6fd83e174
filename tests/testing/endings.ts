// Raw connections, and every way to end one, including ways that no client library would use. Each function makes one
// connection and ends it; a comment says if it waits for the daemon to close.

import net from 'node:net';
import tls from 'node:tls';
import { frame, preface } from './http2-frames.ts';

export interface Target {
  /** host:port, or the path of a unix socket. */
  readonly address: string;
  /** The source address. */
  readonly from?: string;
  /** The credential of a device, for the node listener. */
  readonly secureContext?: tls.SecureContext;
}

type Ending = (target: Target) => Promise<void>;

const settings = frame('SETTINGS');
const hello = Buffer.concat([preface, settings]);
/** The start of a ClientHello, whose record announces more bytes than follow. */
const partOfHello = Buffer.from('1603010200010001fc0303', 'hex');
/** Time limit for an answer or a close of the daemon. */
const patienceMs = 60_000;

/** TLS and HTTP/2: the pairing listener and the node listener. */
export const tlsEndings = {
  /** The kernel does this for a process that closes, or is killed, with unread bytes. */
  'reset after the preface': async (target) => {
    const { raw, secure } = await begun(target);
    // The daemon's SETTINGS have arrived: it has a session, and waits for their acknowledgement.
    await readable(secure);
    raw.resetAndDestroy();
    await closed(raw);
  },
  /** The daemon reads the end of the handshake, the preface and the reset in one go. */
  'reset with the preface': async (target) => {
    const raw = await connected(target);
    const secure = secureOn(raw, target);
    secure.on('error', () => {});
    secure.write(hello);
    await happened(secure, 'secureConnect');
    raw.resetAndDestroy();
    await closed(raw);
  },
  /** A reset answers everything that the daemon then sends. */
  'closed with the preface': async (target) => {
    const raw = await connected(target);
    const secure = secureOn(raw, target);
    secure.on('error', () => {});
    secure.write(hello);
    await happened(secure, 'secureConnect');
    raw.destroy();
    await closed(raw);
  },
  'closed in order': async (target) => {
    const { secure } = await begun(target);
    secure.resume().end();
    await closed(secure);
  },
  GOAWAY: async (target) => {
    const { secure } = await begun(target);
    secure.resume().end(frame('GOAWAY', { body: Buffer.alloc(8) }));
    await closed(secure);
  },
  'a protocol error': async (target) => {
    const { secure } = await begun(target);
    secure.resume().write(frame('RST_STREAM', { stream: 0, body: Buffer.alloc(4) }));
    await closed(secure);
  },
  'TCP alone, reset': async (target) => {
    const raw = await connected(target);
    raw.resetAndDestroy();
    await closed(raw);
  },
  'a broken handshake': async (target) => {
    const raw = await connected(target);
    raw.resume().end(Buffer.concat([partOfHello, Buffer.alloc(600, 0xff)]));
    await closed(raw);
  },
  'half a handshake, reset': async (target) => {
    const raw = await connected(target);
    await written(raw, partOfHello);
    raw.resetAndDestroy();
    await closed(raw);
  },
  'a broken record after the handshake': async (target) => {
    const { raw, secure } = await begun(target);
    secure.resume();
    // Sent below TLS, so that the daemon reads an invalid record.
    raw.write(Buffer.alloc(64, 0x55));
    await closed(secure);
  },
  'closed on one side only': async (target) => {
    const raw = await connected({ ...target, halfOpen: true });
    raw.resume().end();
    await closed(raw);
  },
} satisfies Record<string, Ending>;

/** HTTP/2 without TLS: the admin socket. */
export const plainEndings = {
  'closed with bytes unread': async (target) => {
    const raw = await connected(target);
    raw.pause().write(hello);
    // Nobody reads the daemon's SETTINGS.
    await new Promise<void>((resolve) => setImmediate(resolve));
    raw.destroy();
    await closed(raw);
  },
  'closed in order': async (target) => {
    const raw = await connected(target);
    raw.resume().end(hello);
    await closed(raw);
  },
  GOAWAY: async (target) => {
    const raw = await connected(target);
    raw.resume().end(Buffer.concat([hello, frame('GOAWAY', { body: Buffer.alloc(8) })]));
    await closed(raw);
  },
  'a protocol error': async (target) => {
    const raw = await connected(target);
    raw.resume().write(Buffer.concat([hello, frame('RST_STREAM', { stream: 0, body: Buffer.alloc(4) })]));
    await closed(raw);
  },
  'closed before a word': async (target) => {
    const raw = await connected(target);
    raw.destroy();
    await closed(raw);
  },
} satisfies Record<string, Ending>;

const get = (host: string) => Buffer.from(`GET / HTTP/1.1\r\nhost: ${host}\r\n\r\n`);

/** HTTP/1.1: console, publish, metrics. */
export const httpEndings = {
  'reset with the answer unread': async (target) => {
    const raw = await connected(target);
    raw.write(get(target.address));
    await readable(raw);
    raw.resetAndDestroy();
    await closed(raw);
  },
  'closed in order': async (target) => {
    const raw = await connected(target);
    raw.resume().end(get(target.address));
    await closed(raw);
  },
  'half a request, reset': async (target) => {
    const raw = await connected(target);
    await written(raw, get(target.address).subarray(0, 20));
    raw.resetAndDestroy();
    await closed(raw);
  },
  'no HTTP': async (target) => {
    const raw = await connected(target);
    raw.resume().write(hello);
    await closed(raw);
  },
  'reset before a word': async (target) => {
    const raw = await connected(target);
    raw.resetAndDestroy();
    await closed(raw);
  },
} satisfies Record<string, Ending>;

/** TCP, or a unix socket. */
export async function connected({
  address,
  from,
  halfOpen = false,
}: Target & { readonly halfOpen?: boolean }): Promise<net.Socket> {
  const at = address.lastIndexOf(':');
  const socket = net.connect({
    ...(address.startsWith('/')
      ? { path: address }
      : {
          host: address.slice(0, at),
          port: Number(address.slice(at + 1)),
          ...(from && { localAddress: from }),
        }),
    allowHalfOpen: halfOpen,
  });
  await happened(socket, 'connect');
  socket.on('error', () => {});
  return socket;
}

/** Sends TLS, the preface and empty SETTINGS, and reads nothing from the daemon. */
export async function begun(target: Target): Promise<{ raw: net.Socket; secure: tls.TLSSocket }> {
  const raw = await connected(target);
  const secure = secureOn(raw, target);
  await happened(secure, 'secureConnect');
  secure.on('error', () => {});
  await written(secure, hello);
  return { raw, secure };
}

function secureOn(socket: net.Socket, { secureContext }: Target): tls.TLSSocket {
  const secure = tls.connect({
    socket,
    ALPNProtocols: ['h2'],
    rejectUnauthorized: false,
    ...(secureContext && { secureContext }),
  });
  // Closed explicitly, because Node would wait for such a socket for ever at the end of the process.
  secure.once('close', () => socket.destroy());
  return secure;
}

/** Resolves when the system has taken the bytes, or the socket has closed. */
const written = (socket: net.Socket, bytes: Buffer) =>
  new Promise<void>((resolve) => {
    socket.once('close', () => resolve()).write(bytes, () => resolve());
  });

/** Resolves when data has arrived, or the socket has closed. */
const readable = (socket: net.Socket) =>
  new Promise<void>((resolve) => {
    if (socket.closed) resolve();
    socket.once('readable', () => resolve()).once('close', () => resolve());
  });

/** @throws the error of the socket, or a timeout. */
function happened(socket: net.Socket, event: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => socket.destroy(new Error(`no ${event} after ${patienceMs} ms`)),
      patienceMs,
    );
    const settle = () => {
      clearTimeout(timer);
      socket.off('error', reject).off('close', gone);
      resolve();
    };
    const gone = () => {
      clearTimeout(timer);
      reject(new Error(`closed before ${event}`));
    };
    socket.once(event, settle).once('error', reject).once('close', gone);
  });
}

/** Resolves at the close, even after an error. @throws if the daemon leaves it open. */
export function closed(socket: net.Socket): Promise<void> {
  socket.on('error', () => {});
  return new Promise((resolve, reject) => {
    if (socket.closed) return resolve();
    const timer = setTimeout(() => {
      reject(new Error(`still open after ${patienceMs} ms`));
      socket.destroy();
    }, patienceMs);
    socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
