// `npm run tour`: plays the whole story in a new home, with real processes, step by step. `-- --json` for a program.

import process from 'node:process';
import { Scene } from './tour/scene.ts';
import { type Step, steps } from './tour/steps.ts';

interface Outcome {
  readonly name: string;
  readonly ok: boolean;
  readonly ms: number;
  /** The reason of the failure. */
  readonly error?: string;
}

const json = process.argv.includes('--json');
const say = (text: string) => {
  if (!json) process.stdout.write(`${text}\n`);
};

const scene = await Scene.open();
let interrupted = false;
for (const [signal, exitCode] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.on(signal, () => {
    if (interrupted) return;
    interrupted = true;
    scene.close().then(() => process.exit(exitCode));
  });
}

say(`The story of a device, from the first pairing to its revocation, in ${scene.home}.\n`);
const outcomes: Outcome[] = [];
for (const step of steps) outcomes.push(await play(step));
if (!interrupted) await end();

async function play(step: Step): Promise<Outcome> {
  const { name } = step;
  const failed = outcomes.find((each) => !each.ok);
  // Each step needs the earlier ones.
  if (failed) return { name, ok: false, ms: 0, error: `not played, because "${failed.name}" failed` };
  const startedAt = performance.now();
  const [ok, shown] = await step.play(scene).then(
    (seen) => [true, seen] as const,
    (error: unknown) => [false, reasonOf(error)] as const,
  );
  const ms = Math.round(performance.now() - startedAt);
  if (!interrupted)
    say(`${ok ? ' ok ' : 'FAIL'} ${`${ms} ms`.padStart(8)}  ${name}\n                 ${shown}`);
  return ok ? { name, ok, ms } : { name, ok, ms, error: shown };
}

async function end(): Promise<void> {
  await scene.close();
  const ok = outcomes.every((each) => each.ok);
  const total = outcomes.reduce((sum, { ms }) => sum + ms, 0);
  if (json) process.stdout.write(`${JSON.stringify({ ok, steps: outcomes })}\n`);
  say(`\n${ok ? `All ${outcomes.length} steps in ${(total / 1000).toFixed(1)} s.` : 'The tour failed.'}`);
  process.exitCode = ok ? 0 : 1;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message.replaceAll(/\s*\n\s*/g, ' ') : String(error);
}
