// `npm run tour`: plays the whole story in a new home, with real processes, step by step. `-- --fleet` plays the story of three
// daemons with one PostgreSQL, `-- --json` is for a program.

import process from 'node:process';
import { FleetScene } from './tour/fleet-scene.ts';
import { fleetSteps } from './tour/fleet-steps.ts';
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

/** A story with the scene that its steps share. */
interface Story {
  readonly title: string;
  readonly scene: Scene;
  readonly steps: readonly Bound[];
}

/** A step on its scene. */
interface Bound {
  readonly name: string;
  play(): Promise<string>;
}

function storyOf<S extends Scene>(title: string, scene: S, steps: readonly Step<S>[]): Story {
  return { title, scene, steps: steps.map(({ name, play }) => ({ name, play: () => play(scene) })) };
}

const story = process.argv.includes('--fleet')
  ? storyOf(
      'The story of a fleet, from an empty database to a revocation',
      await FleetScene.open(),
      fleetSteps,
    )
  : storyOf('The story of a device, from the first pairing to its revocation', await Scene.open(), steps);
const { scene } = story;
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

say(`${story.title}, in ${scene.path}.\n`);
const outcomes: Outcome[] = [];
for (const step of story.steps) outcomes.push(await play(step));
if (!interrupted) await end();

async function play(step: Bound): Promise<Outcome> {
  const { name } = step;
  const failed = outcomes.find((each) => !each.ok);
  // Each step needs the earlier ones.
  if (failed) return { name, ok: false, ms: 0, error: `not played, because "${failed.name}" failed` };
  const startedAt = performance.now();
  const [ok, shown] = await step.play().then(
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
