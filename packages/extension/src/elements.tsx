// Small parts that both pages share.

import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import type { Problem } from './view.ts';

export function ProblemBox({ problem }: { problem: Problem | undefined }) {
  if (!problem) return null;
  return (
    <div class="problem" role="alert">
      <p>{problem.message}</p>
      {problem.step && (
        <p class="step">
          <strong>What to do:</strong> {problem.step}
        </p>
      )}
      <p class="code">{problem.code}</p>
    </div>
  );
}

/** The words that a device and its operator compare. */
export function Words({ words }: { words: string }) {
  return (
    <p class="words" data-testid="words">
      {words}
    </p>
  );
}

export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** A long hexadecimal value, in groups that people can compare. */
export function Fingerprint({ value }: { value: string }) {
  return <span class="mono">{value.match(/.{1,4}/g)?.join(' ')}</span>;
}

/** Runs an action once at a time, and shows why it failed. */
export function useAction(): {
  readonly isBusy: boolean;
  readonly problem: Problem | undefined;
  run(action: () => Promise<Problem | undefined>): Promise<boolean>;
} {
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem>();
  return {
    isBusy,
    problem,
    async run(action) {
      setBusy(true);
      setProblem(undefined);
      const failure = await action();
      setProblem(failure);
      setBusy(false);
      return failure === undefined;
    },
  };
}
