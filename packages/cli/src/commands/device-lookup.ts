// Finds devices for the commands: by id, by a part of an id, by name, by a filter.

import { IdentityError } from '@palyra/identity';
import { DeviceState } from '@palyra/rpc/admin';
import type { Admin, Device } from '../admin.ts';
import { type Cli, followUp } from '../cli.ts';
import { resolveId } from '../reference.ts';

const page = 1000;

/** The query of a list of devices. The pages are fetched one after the other. */
export type DeviceFilter = Omit<Parameters<Admin['listDevices']>[0], 'limit' | 'after' | '$typeName'>;

export async function find(cli: Cli, admin: Admin, reference: string) {
  const { device, certificates } = await admin.getDevice({ id: await resolveDevice(cli, admin, reference) });
  if (!device) throw new IdentityError('MESSAGE_INVALID', 'The daemon answered without the device.');
  return { device, certificates };
}

/** @param options.byName also accepts the name of a device that is not revoked, if the name is unique. */
export function resolveDevice(
  cli: Cli,
  admin: Admin,
  reference: string,
  { byName = false }: { readonly byName?: boolean } = {},
): Promise<string> {
  return resolveId(reference, {
    noun: 'device',
    notFound: 'DEVICE_NOT_FOUND',
    list: followUp(cli, 'devices list'),
    ids: () => eachDeviceId(admin),
    named: async (name) => {
      const devices = await devicesNamed(admin, name);
      const live = byName ? devices.filter(({ state }) => state !== DeviceState.REVOKED) : devices;
      return live.map(({ id }) => id);
    },
    byName,
  });
}

export async function* eachDeviceId(admin: Admin): AsyncGenerator<string> {
  for await (const { id } of eachDevice(admin)) yield id;
}

/** The devices with exactly this name. */
export async function devicesNamed(admin: Admin, name: string): Promise<Device[]> {
  const found: Device[] = [];
  for await (const device of eachDevice(admin, { search: name }))
    if (device.name === name) found.push(device);
  return found;
}

/** Notes that another device, not revoked, has this name. That is allowed. */
export function noteSameName(cli: Cli, name: string, id: string, named: readonly Device[]): void {
  const others = named
    .filter((each) => each.id !== id && each.state !== DeviceState.REVOKED)
    .map((each) => each.id);
  if (others.length === 0) return;
  cli.output.note(`Another device is also called ${name}: ${others.slice(0, 5).join(', ')}`);
}

export async function* eachDevice(admin: Admin, filter: DeviceFilter = {}): AsyncGenerator<Device> {
  const met = new Set<string>();
  for (let after = ''; ; ) {
    const { devices, nextAfter } = await admin.listDevices({ ...filter, limit: page, after });
    const news = devices.filter(({ id }) => !met.has(id));
    for (const { id } of news) met.add(id);
    yield* news;
    // A page without a new device is the last one, whatever the daemon claims.
    if (nextAfter === '' || news.length === 0) return;
    after = nextAfter;
  }
}
