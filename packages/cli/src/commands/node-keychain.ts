// `palyra node keychain`: moves the master key of this device into the keychain of the operating system, and back.

import { hasCode, IdentityError } from '@palyra/identity';
import { reasonOf } from '@palyra/identity/values';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { moveToKeychain, moveToKeyFile } from '../device-master-key.ts';
import { withExamples } from '../help.ts';

export function addNodeKeychain(node: Command, cli: () => Cli): void {
  withExamples(
    node
      .command('keychain')
      .description(
        'Keep the master key of this device in your keychain (Secret Service on Linux, Keychain on macOS) instead of a key file. Stop the agent first. Commands then work while the keychain is unlocked.',
      )
      .option('--undo', 'move the key back into the key file')
      .action(({ undo = false }: { undo?: boolean }) => (undo ? toKeyFile(cli()) : toKeychain(cli()))),
    'palyra node keychain',
    'palyra node keychain --undo',
  );
}

async function toKeychain({ home, output }: Cli): Promise<void> {
  let moved: boolean;
  try {
    moved = await moveToKeychain(home);
  } catch (cause) {
    if (!hasCode(cause, 'STORE_FAILED')) throw cause;
    throw new IdentityError(
      'STORE_FAILED',
      `${reasonOf(cause)} The master key stays in the key file ${home.deviceMasterKey}.`,
      { cause },
    );
  }
  output.answer({ master_key: 'keychain', moved }, () =>
    moved
      ? 'The master key of this device is now in your keychain. The key file is removed; a copy of it opens nothing any more.'
      : 'The master key of this device is in your keychain already.',
  );
}

async function toKeyFile({ home, output }: Cli): Promise<void> {
  const moved = await moveToKeyFile(home);
  output.answer({ master_key: 'key-file', moved }, () =>
    moved
      ? `The master key of this device is now in the key file ${home.deviceMasterKey}.`
      : `The master key of this device is in the key file ${home.deviceMasterKey} already.`,
  );
}
