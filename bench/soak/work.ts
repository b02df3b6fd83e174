// soak.work: whether the memory of a daemon grows with renewals, refused pairings, runs of capabilities and reloads of the
// console.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { createClient } from '@connectrpc/connect';
import { builtInCapabilities, runAgent } from '@palyra/agent';
import { awaitPairing, renewCertificate, requestPairing } from '@palyra/identity/device';
import { parsePairingCode } from '@palyra/identity/pairing';
import { AdminService, dialAdmin, dialPairing, pairingPeer, reachNode } from '@palyra/rpc';
import { ConsoleClient } from '../../tests/testing/console-client.ts';
import { makeDevice } from '../../tests/testing/sample-device.ts';
import { BenchDaemon } from '../daemon-process.ts';
import { FleetProcess, type Live } from '../fleet.ts';
import type { Figures, Progress } from '../measure.ts';
import { newDevice } from '../pair.ts';
import { type Grow, type Growth, growthFigure, growthOf, growthsOf, share } from './growth.ts';

const lanes = 8;
const renewals = 100_000;
/** With its first, a device gets no more certificates in ten minutes. */
const renewalsEach = 19;

export async function soakWork(progress: Progress): Promise<Figures> {
  const works = {
    renewals: renew,
    refused_pairings: withDaemon(100_000, refusePairings),
    capability_runs: withDaemon(10_000, runCapabilities),
    console_reloads: withDaemon(10_000, reloadConsole),
  };
  return growthFigure(await growthsOf(works, progress), {
    figure: 'soak.work',
    what: 'renewals, pairings that an operator refused, runs of a capability, and reloads of the console',
    title: 'Memory while a daemon works',
  });
}

async function renew(name: string, progress: Progress): Promise<Growth> {
  const devices = lanes * Math.ceil(Math.round(renewals * share) / renewalsEach / lanes);
  await using daemon = await FleetProcess.start(devices);
  const measured = { memory: () => daemon.ask('memory'), resident: () => daemon.residentBytes() };
  const connected = new Map<number, { readonly live: Promise<Live>; last: Promise<unknown>; left: number }>();
  // As many devices as lanes take turns until they have all their renewals. Then others connect.
  const round = async (index: number) => {
    const device = (index % lanes) + lanes * Math.floor(index / (lanes * renewalsEach));
    const dialled = connected.get(device) ?? begin(device);
    const { live } = dialled;
    const renewed = dialled.last.then(async () => {
      const { device, enrollment, renew } = await live;
      return renewCertificate(device, enrollment, renew);
    });
    dialled.last = renewed.catch(() => {});
    dialled.left -= 1;
    if (dialled.left === 0) {
      connected.delete(device);
      await dialled.last;
      (await live).close();
    }
    await renewed;
  };
  const begin = (device: number) => {
    const dialled = { live: daemon.dial(device), last: Promise.resolve(), left: renewalsEach };
    connected.set(device, dialled);
    return dialled;
  };
  // The daemon lives as long as this function.
  return await growthOf(measured, { name, all: renewals, lanes, round }, progress);
}

interface Begun {
  readonly round: (index: number) => Promise<unknown>;
  readonly end?: () => Promise<unknown>;
}

function withDaemon(all: number, begin: (daemon: BenchDaemon, admin: Admin) => Begun | Promise<Begun>): Grow {
  const limits = {
    strangersPerSource: 1_000,
    opensPerMinute: 1_000_000,
    opensPerMinutePerSource: 1_000_000,
    liveCodes: 64,
  };
  return async (name, progress) => {
    const daemon = await BenchDaemon.start(0, { config: { console: { port: 0 }, limits } });
    const connection = await dialAdmin(join(daemon.home, 'daemon', 'admin.sock'));
    const { round, end } = await begin(daemon, createClient(AdminService, connection.transport));
    const measured = { memory: () => daemon.ask('memory'), resident: () => daemon.residentBytes() };
    const growth = await growthOf(measured, { name, all, lanes, round }, progress);
    await end?.();
    connection.close();
    await daemon.stop();
    return growth;
  };
}

type Admin = ReturnType<typeof createClient<typeof AdminService>>;

function refusePairings({ ready }: BenchDaemon, admin: Admin): Begun {
  const address = ready.addresses.pairing!;
  return {
    async round() {
      const device = await newDevice();
      const { code } = await admin.mintCode({});
      const connection = await dialPairing(address);
      const peer = pairingPeer(connection);
      const pending = await requestPairing(device, peer, parsePairingCode(code), address);
      await admin.rejectPairing({ id: pending.requestId });
      await assert.rejects(awaitPairing(device, peer, pending, { signal: new AbortController().signal }), {
        code: 'PAIRING_REJECTED',
      });
      connection.close();
    },
  };
}

async function runCapabilities({ ready }: BenchDaemon, admin: Admin): Promise<Begun> {
  const address = ready.addresses.pairing!;
  const device = await makeDevice();
  const { code } = await admin.mintCode({});
  const connection = await dialPairing(address);
  const peer = pairingPeer(connection);
  const pending = await requestPairing(device, peer, parsePairingCode(code), address);
  await admin.approvePairing({ id: pending.requestId });
  const enrollment = await awaitPairing(device, peer, pending, { signal: new AbortController().signal });
  connection.close();
  const stop = new AbortController();
  const connected = Promise.withResolvers<void>();
  const ended = runAgent({
    device,
    enrollment,
    dial: (known) => reachNode(known),
    dialRecovery: (known) => dialPairing(known.address, known),
    capabilities: builtInCapabilities,
    platform: 'linux',
    signal: stop.signal,
    onState: ({ state }) => {
      if (state === 'connected') connected.resolve();
    },
  });
  await Promise.race([connected.promise, ended]);
  const request = { deviceId: device.identity.id, capability: 'system.info' };
  return {
    round: () => admin.executeCapability(request),
    end: async () => {
      stop.abort();
      await ended.catch(() => {});
    },
  };
}

/** What a browser loads for the page and asks for with it. */
async function reloadConsole({ ready }: BenchDaemon, admin: Admin): Promise<Begun> {
  const client = new ConsoleClient(ready.addresses.console!);
  const { url } = await admin.createConsoleLogin({});
  const answered = async (answer: ReturnType<ConsoleClient['get']>) => {
    const { status, body } = await answer;
    if (status !== 200) throw new Error(`the console answered with ${status}: ${body}`);
    return body;
  };
  await answered(client.login(url));
  return {
    async round() {
      const page = await answered(client.get('/'));
      const assets = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path!);
      await Promise.all(assets.map((path) => answered(client.get(path))));
      await answered(client.resume());
      const watch = await client.watch();
      await Promise.all(
        ['GetStatus', 'ListPairings', 'ListDevices'].map((each) => answered(client.call(each))),
      );
      watch.close();
      await watch.ended;
    },
  };
}
