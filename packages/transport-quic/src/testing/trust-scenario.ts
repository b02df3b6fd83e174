// Runs in a separate process, because the environment of the process decides what the library trusts. Argument: the scenario.
// Input: the scenario's data, as JSON. Prints one line of JSON.

import { existsSync, readdirSync, rmSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import type { ClientTlsConfig, ServerTlsConfig } from '../../../rpc/src/streams/contract.ts';
import { environmentForChildren } from '../quiche/library.ts';
import { createQuic } from '../quiche/quic.ts';
import { alpn, type QuicheRuntime } from '../quiche/runtime.ts';

const host = '127.0.0.1';

interface Input {
  readonly serverTls: ServerTlsConfig;
  readonly clientTls: ClientTlsConfig;
}

/** Reports which peers get through. */
async function ours({ serverTls, clientTls }: Input, runtime: QuicheRuntime = 'portable') {
  let admitted = 0;
  const quic = createQuic({ runtime });
  const listener = await quic.listen({
    host,
    port: 0,
    tls: serverTls,
    admit: async () => void admitted++,
    serve: (stream) => void stream.end(),
  });
  const result = await (async () => {
    try {
      const connection = await quic.dial({ host, port: listener.port, tls: clientTls });
      const stream = await connection.openStream();
      await stream.end();
      await stream.read();
      return 'served';
    } catch (error) {
      return (error as { code: string }).code;
    }
  })();
  await listener.close();
  return { result, admitted };
}

/** Reports which peers get through with the bare library. */
async function bare({ serverTls, clientTls }: Input) {
  const library = await import('@currentspace/http3');
  const server = library.createQuicServer({
    cert: serverTls.certificateChain,
    key: serverTls.privateKey,
    ca: serverTls.clientRoots,
    alpn: [alpn],
    runtimeMode: 'portable',
  });
  let admitted = 0;
  server.on('session', (session) => {
    admitted++;
    session.on('stream', (stream) => stream.end());
  });
  const { port } = await server.listen(0, host);
  const session = library.connectQuic(
    { address: host, port, servername: clientTls.trustDomain },
    {
      ca: clientTls.pinnedRoot,
      cert: clientTls.certificateChain,
      key: clientTls.privateKey,
      alpn: [alpn],
      runtimeMode: 'portable',
    },
  );
  session.on('error', () => {});
  const result = await (async () => {
    try {
      await session.ready();
      const stream = session.openStream();
      stream.end('x');
      for await (const _ of stream);
      return 'served';
    } catch {
      return 'refused';
    }
  })();
  await session.close();
  await server.close();
  return { result, admitted };
}

const refusal = (promise: Promise<unknown>) =>
  promise.then(
    () => 'ran',
    (error: Error) => `${error.name}: ${error.message}`,
  );

const scenarios: Record<string, (input: Input) => Promise<unknown>> = {
  ours,
  bare,
  'loaded before': async (input) => {
    await import('@currentspace/http3');
    return refusal(ours(input));
  },
  'variable changed': async (input) => {
    const { result } = await ours(input);
    process.env.SSL_CERT_FILE = '/etc/ssl/certs/ca-certificates.crt';
    return [result, await refusal(ours(input))];
  },
  'folder gone': async (input) => {
    const { result } = await ours(input);
    const before = process.env.SSL_CERT_FILE!;
    rmSync(dirname(before), { recursive: true });
    const again = await ours(input);
    return [
      result,
      again.result,
      before !== process.env.SSL_CERT_FILE,
      existsSync(process.env.SSL_CERT_FILE!),
    ];
  },
  'file filled': async (input) => {
    const { result } = await ours(input);
    const folder = process.env.SSL_CERT_DIR!;
    writeFileSync(join(folder, '00000000.0'), 'a certificate');
    const again = await ours(input);
    return [
      result,
      again.result,
      folder !== process.env.SSL_CERT_DIR,
      readdirSync(process.env.SSL_CERT_DIR!),
    ];
  },
  'worker thread': async () => {
    const worker = new Worker(new URL(import.meta.url), { argv: ['in worker'] });
    return new Promise((resolve) => worker.once('message', resolve));
  },
  'child environment': async (input) => {
    const before = { ...process.env };
    await ours(input);
    const env = environmentForChildren();
    return ['SSL_CERT_FILE', 'SSL_CERT_DIR', 'TMPDIR'].map((name) => env[name] === before[name]);
  },
  /** Files that appear in the folder for temporary files while connections are made. */
  'files of ours': (input) =>
    filesDuring(async () => {
      for (const runtime of ['portable', 'fast'] as const) await ours(input, runtime);
    }),
  'files of the library': (input) => filesDuring(() => bare(input)),
};

async function filesDuring(run: () => Promise<unknown>): Promise<string[]> {
  const names = new Set<string>();
  const marker = Promise.withResolvers<void>();
  const watcher = watch(tmpdir(), (_, name) => {
    if (name === 'marker') marker.resolve();
    else if (name) names.add(name.replace(/_\d+_/, '_PID_'));
  });
  await run();
  // Events arrive in order, so all earlier events have arrived before this one.
  writeFileSync(join(tmpdir(), 'marker'), '');
  await marker.promise;
  watcher.close();
  return [...names].sort();
}

if (isMainThread) {
  const input = JSON.parse(await text(process.stdin)) as Input;
  console.log(JSON.stringify(await scenarios[process.argv[2]!]!(input)));
} else {
  const none = { certificateChain: '', privateKey: '', clientRoots: '' };
  parentPort!.postMessage(
    await refusal(createQuic().listen({ host, port: 0, tls: none, admit: async () => {}, serve: () => {} })),
  );
}
