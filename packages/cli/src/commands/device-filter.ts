// The options that choose devices, for lists and for a revocation of many.

import type { DeviceKind as Kind, DeviceState as State } from '@palyra/identity/registry';
import { isLabel } from '@palyra/identity/registry';
import { DeviceOrder, deviceKinds, deviceStates } from '@palyra/rpc/admin';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Cli } from '../cli.ts';
import { parseSpan } from '../time.ts';
import type { DeviceFilter } from './device-lookup.ts';

export interface FilterOptions {
  readonly search?: string;
  readonly state?: readonly State[];
  readonly kind?: readonly Kind[];
  readonly label?: readonly string[];
  /** ms */
  readonly expiring?: number;
}

export function withFilter(command: Command): Command {
  return command
    .option('--search <text>', 'only devices whose name contains this, or whose id starts with it')
    .addOption(
      new Option('--state <state...>', 'only devices in one of these states').choices(deviceStates.words),
    )
    .addOption(
      new Option('--kind <kind...>', 'only devices of one of these kinds').choices(deviceKinds.words),
    )
    .addOption(
      new Option('--label <label...>', 'only devices with all of these labels').argParser(collectLabels),
    )
    .addOption(
      new Option(
        '--expiring <time>',
        'only devices whose certificate ends within this time, or has ended: 12h, 7d',
      ).argParser(parseSpan),
    );
}

/** Whether any option chooses. */
export function chooses({ search, state, kind, label, expiring }: FilterOptions): boolean {
  return [search, state, kind, label, expiring].some((each) => each !== undefined);
}

export function filterOf(cli: Cli, options: FilterOptions): DeviceFilter {
  const { search = '', state = [], kind = [], label = [], expiring } = options;
  return {
    search,
    states: state.map((word) => deviceStates.toWire(word)),
    kinds: kind.map((word) => deviceKinds.toWire(word)),
    labels: [...label],
    ...(expiring !== undefined && { endsByMs: BigInt(cli.now() + expiring) }),
  };
}

export const orders = {
  paired: DeviceOrder.UNSPECIFIED,
  name: DeviceOrder.NAME,
  seen: DeviceOrder.SEEN,
  expiry: DeviceOrder.EXPIRY,
} as const;

function collectLabels(text: string, before: readonly string[] = []): readonly string[] {
  if (isLabel(text)) return [...before, text];
  throw new InvalidArgumentError('A label is a word like kitchen, or two like site=berlin.');
}
