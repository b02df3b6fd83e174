// `palyra devices`: lists, renames, labels, revokes and releases paired devices.

import type { DeviceRole as Role } from '@palyra/identity/registry';
import { DeviceRole, DeviceState, deviceRoles, deviceStates } from '@palyra/rpc/admin';
import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import { type Device, withAdmin } from '../admin.ts';
import { type Cli, followUp } from '../cli.ts';
import { certificateJson, deviceDetails, deviceJson, deviceTable, operatorWords } from '../device-view.ts';
import { CliError } from '../failure.ts';
import { withExamples } from '../help.ts';
import { askYes, canAsk } from '../question.ts';
import { shortId } from '../reference.ts';
import { chooses, type FilterOptions, filterOf, orders, withFilter } from './device-filter.ts';
import { devicesNamed, eachDevice, find, noteSameName, resolveDevice } from './device-lookup.ts';
import { addDevicesRenew } from './devices-renew.ts';
import { type RevokeOptions, revoke } from './devices-revoke.ts';

const deviceArgument = 'the device: its id, or enough of the beginning or end of the id';

interface ListOptions extends FilterOptions {
  readonly all?: boolean;
  readonly sort: keyof typeof orders;
}

export function addDevices(program: Command, cli: () => Cli): void {
  const devices = program
    .command('devices')
    .description('Paired devices: list, rename, label, set roles and host names, renew, revoke, release.');
  withExamples(devices, 'palyra devices list', 'palyra devices revoke 7K3QX9AB');

  withExamples(
    withFilter(devices.command('list'))
      .description(
        'Show the paired devices. Without --all or --state revoked, those that were revoked more than 30 days ago are left out.',
      )
      .option('--all', 'also devices that were revoked long ago')
      .addOption(
        new Option('--sort <order>', 'the order').choices(Object.keys(orders)).default('paired' as const),
      )
      .action((options: ListOptions) => list(cli(), options)),
    'palyra devices list',
    'palyra devices list --label site=berlin --state active --json',
    'palyra devices list --expiring 7d --sort expiry',
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
      .command('label')
      .argument('<device>', deviceArgument)
      .argument('[labels...]', 'words that replace its labels; leave them out to remove all')
      .description(
        "Set the labels of a device. Lists can be filtered by them, and the rules for capabilities can name them. Works on the daemon's machine only.",
      )
      .action((id: string, labels: string[]) => setLabels(cli(), id, labels)),
    'palyra devices label 7K3QX9AB kitchen site=berlin',
    'palyra devices label 7K3QX9AB',
  );
  withExamples(
    withFilter(devices.command('revoke'))
      .argument('[devices...]', 'the devices: each by its id, or enough of the beginning or end of the id')
      .description(
        'Revoke a device permanently, or one of its certificates. Takes effect at once. Several devices are revoked together, all or none.',
      )
      .option('--reason <text>', 'recorded, and sent to the device', '')
      .option(
        '--certificate <serial>',
        'revoke only this certificate; the device can pair again under its id',
      )
      .option('--yes', 'do not ask; for one device')
      .addOption(
        new Option(
          '--count <number>',
          'do not ask, and revoke only if exactly this many devices are chosen',
        ).argParser(parseCount),
      )
      .action((ids: string[], options: RevokeOptions) => revoke(cli(), ids, options)),
    'palyra devices revoke 7K3QX9AB --reason "lost on the train"',
    'palyra devices revoke 7K3QX9AB --yes --json',
    'palyra devices revoke --label site=berlin --reason "office closed" --count 12',
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
  addDevicesRenew(devices, cli);
}

async function list(cli: Cli, { all = false, sort, ...options }: ListOptions): Promise<void> {
  const hides = !all && !options.state?.includes('revoked');
  const filter = { ...filterOf(cli, options), hideLongRevoked: hides, order: orders[sort] };
  const devices = await withAdmin(cli, async (admin) => {
    const found: Device[] = [];
    for await (const device of eachDevice(admin, filter)) found.push(device);
    return found;
  });
  cli.output.answer({ devices: devices.map(deviceJson) }, () => {
    if (devices.length > 0) return deviceTable(cli, devices);
    if (!chooses(options)) return `No device is paired yet. Make a code: ${followUp(cli, 'pairing code')}`;
    const { search, ...others } = options;
    return search !== undefined && !chooses(others) ? `No device matches "${search}".` : 'No device matches.';
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

async function setLabels(cli: Cli, reference: string, labels: string[]): Promise<void> {
  const device = await withAdmin(cli, async (admin) =>
    admin.setLabels({ id: await resolveDevice(cli, admin, reference), labels }),
  );
  cli.output.answer(deviceJson(device), () =>
    device.labels.length > 0
      ? `${device.name} has these labels: ${device.labels.join(', ')}.`
      : `${device.name} has no labels.`,
  );
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

function parseCount(text: string): number {
  if (/^[1-9][0-9]{0,5}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Give a number, 1 or more.');
}
