// Node's bare HTTP/2 server with mutual TLS, which answers every call as gRPC with fixed bytes.
// Arguments: a folder with cert.pem, key.pem, ca.pem and reply.bin, and a port.

import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import { join } from 'node:path';
import process from 'node:process';

const [folder = '', port = ''] = process.argv.slice(2);
const read = (name: string) => readFileSync(join(folder, name));
const reply = read('reply.bin');
const message = Buffer.concat([Buffer.alloc(5), reply]);
message.writeUInt32BE(reply.length, 1);

const server = http2.createSecureServer({
  cert: read('cert.pem'),
  key: read('key.pem'),
  ca: read('ca.pem'),
  requestCert: true,
  rejectUnauthorized: true,
  minVersion: 'TLSv1.3',
});
server.on('stream', (stream: http2.ServerHttp2Stream) => {
  stream.on('error', () => stream.destroy());
  stream.once('end', () => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc+proto' }, { waitForTrailers: true });
    stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(message);
  });
  stream.resume();
});
server.listen(Number(port), '127.0.0.1');
