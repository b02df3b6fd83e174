// A bare grpc-js server with mutual TLS, which answers NodeService.Status with fixed bytes.
// Arguments: a folder with cert.pem, key.pem, ca.pem and reply.bin, a port, and the folder that grpc-js is installed in.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import process from 'node:process';

const [folder = '', port = '', installed = ''] = process.argv.slice(2);
const read = (name: string) => readFileSync(join(folder, name));
// Not a dependency of this repository: peers.ts installs it when it is needed.
const grpc = createRequire(join(installed, 'node_modules/'))('@grpc/grpc-js');

const unchanged = (bytes: Buffer) => bytes;
const reply = read('reply.bin');
const server = new grpc.Server();
server.addService(
  {
    status: {
      path: '/palyra.node.v1.NodeService/Status',
      requestStream: false,
      responseStream: false,
      requestSerialize: unchanged,
      requestDeserialize: unchanged,
      responseSerialize: unchanged,
      responseDeserialize: unchanged,
    },
  },
  { status: (_: unknown, answer: (error: null, reply: Buffer) => void) => answer(null, reply) },
);
const pair = { private_key: read('key.pem'), cert_chain: read('cert.pem') };
const credentials = grpc.ServerCredentials.createSsl(read('ca.pem'), [pair], true);
server.bindAsync(`127.0.0.1:${port}`, credentials, (error: Error | null) => {
  if (error) throw error;
});
