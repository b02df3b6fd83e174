// `palyra devices`: lists, renames, revokes and releases paired devices.

import { hasCode, IdentityError } from '@palyra/identity';
import { serialsIn } from '@palyra/identity/certificate';
import type { DeviceRole as Role } from '@palyra/identity/registry';
import { fromConnectError } from '@palyra/rpc';
import { DeviceRole, DeviceState, deviceRoles, deviceStates } from '@palyra/rpc/admin';
import { Argument, type Command } from 'commander';
import { type Admin, type Device, withAdmin } from '../admin.ts';
import { type Cli, followUp } from '../cli.ts';
import { withDevice } from '../device-connection.ts';
import { certificateJson, deviceDetails, deviceJson, deviceTable, operatorWords } from '../device-view.ts';
import { CliError } from '../failure.ts';
import { withExamples } from '../help.ts';
import { askYes, canAsk } from '../question.ts';
import { resolveId, shortId } from '../reference.ts';

const page = 1000;
const deviceArgument = 'the device: its id, or enough of the beginning or end of the id';

interface RevokeOptions {
  readonly reason: string;
  readonly certificate?: string;
  readonly yes?: boolean;
}

export function addDevices(program: Command, cli: () => Cli): void {
  const devices = program
    .command('devices')
    .description('Paired devices: list, rename, set roles and host names, revoke, release.');
  withExamples(devices, 'palyra devices list', 'palyra devices revoke 7K3QX9AB');

  withExamples(
    devices
      .command('list')
      .description('Show the paired devices.')
      .option('--search <text>', 'only devices whose name contains this, or whose id starts with it')
      .action((options: { search?: string }) => list(cli(), options)),
    'palyra devices list',
    'palyra devices list --search laptop --json',
  );
  withExamples(
    devices
      .command('show')
      .argument('<device>', deviceArgument)
      .description('Show a device and its certificates.')
      .action((id: string) => show(cli(), id)),
    'palyra devices show 7K3QX9AB',
  );
  withExamples(
    devices
      .command('rename')
      .argument('<device>', deviceArgument)
      .argument('<name>', 'its new name')
      .description('Rename a device.')
      .action((id: string, name: string) => rename(cli(), id, name)),
    'palyra devices rename 7K3QX9AB "kitchen sensor"',
  );
  withExamples(
    devices
      .command('set-role')
      .argument('<device>', deviceArgument)
      .addArgument(
        new Argument('<role>', 'operator, or device').choices(['operator', 'device'] satisfies Role[]),
      )
      .description(
        'Make a device an operator, or an ordinary device again. An operator can use --remote to run these commands. Takes effect at once.',
      )
      .option('--yes', 'do not ask')
      .action((id: string, role: Role, options: { yes?: boolean }) => setRole(cli(), id, role, options)),
    'palyra devices set-role 7K3QX9AB operator',
    'palyra devices set-role 7K3QX9AB device',
  );
  withExamples(
    devices
      .command('set-host-names')
      .argument('<device>', deviceArgument)
      .argument('[names...]', 'DNS names, which replace the current ones; leave them out to remove all')
      .description(
        'Set the DNS names in the certificates of a device, for browsers and programs that check names. Applies from the next renewal; an earlier certificate keeps its names until it expires.',
      )
      .action((id: string, names: string[]) => setHostNames(cli(), id, names)),
    'palyra devices set-host-names 7K3QX9AB nas.example.net files.example.net',
    'palyra devices set-host-names 7K3QX9AB',
  );
  withExamples(
    devices
      .command('revoke')
      .argument('<device>', deviceArgument)
      .description('Revoke a device permanently, or one of its certificates. Takes effect at once.')
      .option('--reason <text>', 'recorded, and sent to the device', '')
      .option(
        '--certificate <serial>',
        'revoke only this certificate; the device can pair again under its id',
      )
      .option('--yes', 'do not ask')
      .action((id: string, options: RevokeOptions) => revoke(cli(), id, options)),
    'palyra devices revoke 7K3QX9AB --reason "lost on the train"',
    'palyra devices revoke 7K3QX9AB --yes --json',
  );
  withExamples(
    devices
      .command('release')
      .argument('<device>', deviceArgument)
      .description(
        'Release a device that waits for you: it is quarantined, may have been copied, or asks to recover after too long.',
      )
      .action((id: string) => release(cli(), id)),
    'palyra devices release 7K3QX9AB',
  );
}

async function list(cli: Cli, { search = '' }: { search?: string }): Promise<void> {
  const devices = await withAdmin(cli, async (admin) => {
    const all: Device[] = [];
    for await (const device of eachDevice(admin, search)) all.push(device);
    return all;
  });
  cli.output.answer({ devices: devices.map(deviceJson) }, () => {
    if (devices.length > 0) return deviceTable(cli, devices);
    return search
      ? `No device matches "${search}".`
      : `No device is paired yet. Make a code: ${followUp(cli, 'pairing code')}`;
  });
}

async function show(cli: Cli, reference: string): Promise<void> {
  const { device, certificates } = await withAdmin(cli, (admin) => find(cli, admin, reference));
  cli.output.answer({ ...deviceJson(device), certificates: certificates.map(certificateJson) }, () =>
    deviceDetails(cli, device, certificates),
  );
}

async function rename(cli: Cli, reference: string, name: string): Promise<void> {
  const { device, named } = await withAdmin(cli, async (admin) => {
    const device = await admin.renameDevice({ id: await resolveDevice(cli, admin, reference), name });
    return { device, named: await devicesNamed(admin, device.name) };
  });
  cli.output.answer(deviceJson(device), () => `${device.id} is now called ${device.name}.`);
  noteSameName(cli, device.name, device.id, named);
}

async function revoke(cli: Cli, reference: string, options: RevokeOptions): Promise<void> {
  const { device, certificates } = await withAdmin(cli, (admin) => find(cli, admin, reference));
  const name = device.name;
  const serial = options.certificate && findSerial(options.certificate, device, certificates);
  if (!serial && device.state === DeviceState.REVOKED) {
    const reason = device.revocationReason && `, for the reason "${device.revocationReason}"`;
    const said = `${name} (${shortId(device.id)}) was already revoked${reason}. Nothing was changed.`;
    cli.output.answer(deviceJson(device), () => said);
    return;
  }
  if (!options.yes) {
    if (!canAsk(cli)) {
      throw new CliError(
        'NO_TERMINAL',
        'There is no terminal to ask for confirmation. To confirm, add --yes.',
      );
    }
    await askYes(
      cli,
      serial
        ? `Revoke certificate ${serial} of ${name} (${device.id})?`
        : `Revoke ${name} (${device.id}) permanently? Its connections end at once.`,
    );
  }
  const { reason } = options;
  if (serial) {
    const revoked = await withAdmin(cli, (admin) => admin.revokeCertificate({ serial, reason }));
    cli.output.answer(certificateJson(revoked), () => `Certificate ${serial} of ${name} is revoked.`);
  } else {
    const revoked = await withAdmin(cli, (admin) =>
      admin.revokeDevice({ id: device.id, reason }).catch((error) => myself(cli, error, device, reason)),
    );
    cli.output.answer(
      deviceJson(revoked),
      () => `${name} (${shortId(device.id)}) is revoked. Its connections are closed.`,
    );
  }
}

/** An operator that revokes its own device is disconnected before the answer arrives. */
async function myself(cli: Cli, error: unknown, device: Device, reason: string): Promise<Device> {
  const isOut = hasCode(fromConnectError(error), 'DEVICE_REVOKED');
  if (
    !isOut ||
    !cli.remote ||
    (await withDevice(cli.home, async ({ identity }) => identity.id)) !== device.id
  )
    throw error;
  return { ...device, state: DeviceState.REVOKED, revocationReason: reason };
}

async function setHostNames(cli: Cli, reference: string, hostNames: string[]): Promise<void> {
  const device = await withAdmin(cli, async (admin) =>
    admin.setHostNames({ id: await resolveDevice(cli, admin, reference), hostNames }),
  );
  const { name, hostNames: names } = device;
  cli.output.answer(deviceJson(device), () =>
    names.length > 0
      ? `The next certificate of ${name} has these host names: ${names.join(', ')}. To get it now, run on the device: palyra renew`
      : `The next certificate of ${name} has no host name. To revoke its current certificate: ${followUp(cli, `devices revoke ${shortId(device.id)} --certificate SERIAL`)}`,
  );
}

async function setRole(
  cli: Cli,
  reference: string,
  word: Role,
  { yes = false }: { yes?: boolean },
): Promise<void> {
  const { device } = await withAdmin(cli, (admin) => find(cli, admin, reference));
  const name = device.name;
  const role = deviceRoles.toWire(word);
  if (role === DeviceRole.OPERATOR && device.role !== role && !yes) {
    if (!canAsk(cli)) {
      throw new CliError(
        'NO_TERMINAL',
        'There is no terminal to ask for confirmation. To confirm, add --yes.',
      );
    }
    cli.output.note(cli.output.paint('yellow', `! ${operatorWords}.`));
    await askYes(cli, `Make ${name} (${device.id}) an OPERATOR?`);
  }
  const changed = await withAdmin(cli, (admin) => admin.setDeviceRole({ id: device.id, role }));
  cli.output.answer(deviceJson(changed), () =>
    role === DeviceRole.OPERATOR
      ? `${name} is now an OPERATOR. Try on that device: palyra --remote status`
      : `${name} is no longer an operator. This takes effect at once.`,
  );
}

async function release(cli: Cli, reference: string): Promise<void> {
  const { before, after } = await withAdmin(cli, async (admin) => {
    const { device } = await find(cli, admin, reference);
    return { before: device, after: await admin.releaseDevice({ id: device.id }) };
  });
  const done = {
    quarantine: before.state === DeviceState.QUARANTINED && after.state !== DeviceState.QUARANTINED,
    warning: before.cloneSeenMs > 0n,
    recovery: before.recoveryAskedMs > 0n,
  };
  const words = [
    done.quarantine && 'its quarantine has ended',
    done.warning && 'the warning about a copy is removed',
    done.recovery && 'the next recovery with its identity key is allowed, once',
  ].filter((each) => typeof each === 'string');
  cli.output.answer(
    { ...deviceJson(after), released: done },
    () =>
      `${after.name} is ${deviceStates.show(after.state)}: ${words.join('; ') || 'nothing was waiting for a decision'}.`,
  );
}

function findSerial(wanted: string, device: Device, certificates: readonly { serial: string }[]): string {
  const hex = wanted.toLowerCase().replaceAll(':', '');
  const whole = serialsIn(wanted);
  const found = certificates.filter(({ serial }) => whole.includes(serial) || serial.startsWith(hex));
  const [only, ...others] = found;
  if (hex.length >= 4 && only && others.length === 0) return only.serial;
  throw new IdentityError(
    'CERTIFICATE_NOT_FOUND',
    `${device.name} has ${found.length === 0 ? 'no certificate' : 'several certificates'} whose serial begins with "${wanted}".`,
    { deviceId: device.id },
  );
}

async function find(cli: Cli, admin: Admin, reference: string) {
  const { device, certificates } = await admin.getDevice({ id: await resolveDevice(cli, admin, reference) });
  if (!device) throw new IdentityError('MESSAGE_INVALID', 'The daemon answered without the device.');
  return { device, certificates };
}

export function resolveDevice(cli: Cli, admin: Admin, reference: string): Promise<string> {
  return resolveId(reference, {
    noun: 'device',
    notFound: 'DEVICE_NOT_FOUND',
    list: followUp(cli, 'devices list'),
    ids: () => eachDeviceId(admin),
    named: async (name) => (await devicesNamed(admin, name)).map(({ id }) => id),
  });
}

export async function* eachDeviceId(admin: Admin): AsyncGenerator<string> {
  for await (const { id } of eachDevice(admin, '')) yield id;
}

/** The devices with exactly this name. */
export async function devicesNamed(admin: Admin, name: string): Promise<Device[]> {
  const found: Device[] = [];
  for await (const device of eachDevice(admin, name)) if (device.name === name) found.push(device);
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

async function* eachDevice(admin: Admin, search: string): AsyncGenerator<Device> {
  for (let after = ''; ; ) {
    const { devices, nextAfter } = await admin.listDevices({ search, limit: page, after });
    yield* devices;
    // The ids of each page are higher than those of the page before; a page that breaks this rule is the last.
    if (nextAfter <= after) return;
    after = nextAfter;
  }
}
