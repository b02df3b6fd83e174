// The capabilities of every agent.

import os from 'node:os';
import type { Capabilities, Capability } from './capability.ts';

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

const systemInfo: Capability = async () =>
  json({
    hostname: os.hostname(),
    platform: os.platform(),
    architecture: os.arch(),
    release: os.release(),
    uptimeSeconds: Math.round(os.uptime()),
    cpus: os.cpus().length,
    memoryBytes: os.totalmem(),
    freeMemoryBytes: os.freemem(),
    node: process.version,
  });

export const builtInCapabilities: Capabilities = new Map<string, Capability>([
  ['system.info', systemInfo],
  ['echo', async ({ input }) => input],
]);
