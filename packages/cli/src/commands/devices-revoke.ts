// `palyra devices revoke`: one device, one of its certificates, or many devices together.

import { hasCode, IdentityError } from '@palyra/identity';
import { serialsIn } from '@palyra/identity/certificate';
import { fromConnectError } from '@palyra/rpc';
import { DeviceState } from '@palyra/rpc/admin';
import { type Device, withAdmin } from '../admin.ts';
import type { Cli } from '../cli.ts';
import { certificateJson, deviceJson } from '../device-view.ts';
import { CliError } from '../failure.ts';
import { printable } from '../printable.ts';
import { askText, askYes, canAsk } from '../question.ts';
import { shortId } from '../reference.ts';
import { chooses, type FilterOptions, filterOf } from './device-filter.ts';
import { eachDevice, find } from './device-lookup.ts';

export interface RevokeOptions extends FilterOptions {
  readonly reason: string;
  readonly certificate?: string;
  readonly yes?: boolean;
  readonly count?: number;
}

export async function revoke(cli: Cli, references: readonly string[], options: RevokeOptions): Promise<void> {
  if (references.length > 0 === chooses(options)) {
    throw new CliError(
      'USAGE',
      references.length > 0
        ? 'Name the devices, or choose them with options such as --label, but not both.'
        : 'Name a device, or choose devices with options such as --label.',
    );
  }
  // An empty variable of a script would otherwise choose every device.
  if (options.search === '')
    throw new CliError('USAGE', 'An empty --search chooses every device. Say which.');
  const [only, ...others] = references;
  if (only !== undefined && others.length === 0) return revokeOne(cli, only, options);
  if (options.certificate !== undefined)
    throw new CliError('USAGE', 'A certificate belongs to one device. Name only that device.');
  return revokeMany(cli, references, options);
}

async function revokeOne(cli: Cli, reference: string, options: RevokeOptions): Promise<void> {
  const { device, certificates } = await withAdmin(cli, (admin) => find(cli, admin, reference));
  const name = device.name;
  const serial = options.certificate && findSerial(options.certificate, device, certificates);
  if (!serial && device.state === DeviceState.REVOKED) {
    const reason = device.revocationReason && `, for the reason "${device.revocationReason}"`;
    const said = `${name} (${shortId(device.id)}) was already revoked${reason}. Nothing was changed.`;
    cli.output.answer(deviceJson(device), () => said);
    return;
  }
  if (!options.yes && options.count !== 1) {
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
      admin
        .revokeDevice({ id: device.id, reason })
        .catch((error) => ownDeviceRevoked(cli, error, device, reason)),
    );
    cli.output.answer(
      deviceJson(revoked),
      () => `${name} (${shortId(device.id)}) is revoked. Its connections are closed.`,
    );
  }
}

/** Revokes all of them or none. The person confirms the number. */
async function revokeMany(cli: Cli, references: readonly string[], options: RevokeOptions): Promise<void> {
  const devices = await chosen(cli, references, options);
  const { reason } = options;
  if (devices.length === 0) {
    cli.output.answer(
      { devices: [] },
      () => 'No device that is not revoked yet matches. Nothing was changed.',
    );
    return;
  }
  if (cli.remote) {
    const own = await ownId(cli);
    if (devices.some(({ id }) => id === own))
      throw new CliError('USAGE', 'This device is one of them. Revoke it separately, at the end.');
  }
  await confirmNumber(cli, devices, options);
  const ids = devices.map(({ id }) => id);
  const revoked = await withAdmin(cli, (admin) => admin.revokeDevices({ ids, reason }));
  cli.output.answer(
    { devices: revoked.devices.map(deviceJson) },
    () => `${numberOf(devices)} revoked. Their connections are closed.`,
  );
}

async function chosen(
  cli: Cli,
  references: readonly string[],
  options: RevokeOptions,
): Promise<readonly Device[]> {
  return withAdmin(cli, async (admin) => {
    const devices = new Map<string, Device>();
    for (const reference of references) {
      const { device } = await find(cli, admin, reference);
      devices.set(device.id, device);
    }
    if (references.length === 0)
      for await (const device of eachDevice(admin, filterOf(cli, options))) devices.set(device.id, device);
    return [...devices.values()].filter(({ state }) => state !== DeviceState.REVOKED);
  });
}

/** Asks for one deliberate confirmation: shows the devices, and the person types their number. `--yes` is not enough. */
async function confirmNumber(
  cli: Cli,
  devices: readonly Device[],
  { count }: Pick<RevokeOptions, 'count'>,
): Promise<void> {
  const number = String(devices.length);
  const lines = devices.map(({ id, name }) => `  ${id}  ${printable(name)}`);
  if (count !== undefined) {
    if (count === devices.length) return;
    throw new CliError(
      'USAGE',
      `--count says ${count}, but ${numberOf(devices)} chosen. Nothing was changed.\n${lines.join('\n')}`,
    );
  }
  if (!canAsk(cli)) {
    throw new CliError(
      'NO_TERMINAL',
      `There is no terminal to ask for confirmation, and --yes confirms one device only. To confirm exactly these, add --count ${number}.\n${lines.join('\n')}`,
    );
  }
  cli.output.note(lines.join('\n'));
  await askText(
    cli,
    `Revoke these ${number} devices permanently? Their connections end at once. To confirm, type their number:`,
    {
      placeholder: '',
      check: (text) => (text.trim() === number ? undefined : `Type ${number}, or press Ctrl-C to stop.`),
    },
  );
}

const numberOf = ({ length }: readonly Device[]) => (length === 1 ? '1 device is' : `${length} devices are`);

/** An operator that revokes its own device is disconnected before the answer arrives. */
async function ownDeviceRevoked(cli: Cli, error: unknown, device: Device, reason: string): Promise<Device> {
  const isOut = hasCode(fromConnectError(error), 'DEVICE_REVOKED');
  if (!isOut || !cli.remote || (await ownId(cli)) !== device.id) throw error;
  return { ...device, state: DeviceState.REVOKED, revocationReason: reason };
}

/** Of this device, which works on a daemon elsewhere. */
async function ownId(cli: Cli): Promise<string> {
  const { withDevice } = await import('../device-connection.ts');
  return withDevice(cli.home, async ({ identity }) => identity.id);
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
