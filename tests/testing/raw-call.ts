// One gRPC call as bytes: a test can send anything, and sees the whole answer.

import type http2 from 'node:http2';

export interface RawAnswer {
  readonly headers: Readonly<Record<string, string>>;
  /** The body, including frames. */
  readonly data: Buffer;
  readonly trailers: Readonly<Record<string, string>>;
}

/** A gRPC frame around a message. */
export function frame(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** @throws the error of the stream. */
export function rawCall(
  session: http2.ClientHttp2Session,
  path: string,
  body: Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const stream = session.request(
      {
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc+proto',
        te: 'trailers',
        ...headers,
      },
      { endStream: false },
    );
    let answered: Record<string, string> = {};
    let trailers: Record<string, string> = {};
    const data: Buffer[] = [];
    stream.on('response', (received) => {
      answered = texts(received);
    });
    stream.on('trailers', (received) => {
      trailers = texts(received);
    });
    stream.on('data', (chunk: Buffer) => data.push(chunk));
    stream.on('error', reject);
    stream.on('close', () => resolve({ headers: answered, data: Buffer.concat(data), trailers }));
    stream.end(body);
  });
}

function texts(received: http2.IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(Object.entries(received).map(([name, value]) => [name, String(value)]));
}
