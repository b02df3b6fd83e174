// SoftHSM behind a module that can be slow, hang, crash or lie, as the test sets. Compiled for the test.

import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { softhsmModule } from './soft-token.ts';

export const missingCompiler: string | false =
  spawnSync('cc', ['--version']).status === 0 ? false : 'SKIPPED: no C compiler. Run: apt-get install gcc';

export class TroubledModule {
  readonly path: string;
  readonly env: Readonly<Record<string, string>>;
  readonly #control: string;
  readonly #log: string;
  /** The end of the log at the last query. */
  #seen = 0;

  constructor(folder: string) {
    this.path = join(folder, 'troubled.so');
    this.#control = join(folder, 'trouble');
    this.#log = join(folder, 'calls');
    const includes = join(dirname(createRequire(import.meta.url).resolve('pkcs11js')), 'includes/pkcs11');
    const source = join(import.meta.dirname, 'troubled-module.c');
    execFileSync('cc', ['-shared', '-fPIC', '-o', this.path, '-I', includes, source, '-ldl']);
    this.env = { TROUBLED_MODULE: softhsmModule, TROUBLED_CONTROL: this.#control, TROUBLED_LOG: this.#log };
    this.be({});
    writeFileSync(this.#log, '');
  }

  /** @param trouble the fault for each function, by its name in troubled-module.c. */
  be(trouble: Readonly<Record<string, number | 'hang' | 'crash'>>): void {
    const lines = Object.entries(trouble).map(([name, value]) => `${name} ${value}\n`);
    writeFileSync(this.#control, lines.join(''));
  }

  /** The number of calls of this function since the last query. */
  calls(name: string): number {
    // The module adds lines meanwhile.
    const text = readFileSync(this.#log, 'utf8');
    const since = text.slice(this.#seen);
    this.#seen = text.length;
    return since.split('\n').filter((each) => each === name).length;
  }
}
