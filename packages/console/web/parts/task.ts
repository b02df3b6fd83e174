// One action of the person: whether it is running, and whether it failed.

import { useCallback, useState } from 'preact/hooks';
import { problemText } from '../admin.ts';

export interface Task {
  readonly busy: boolean;
  readonly problem: string;
  run(work: () => Promise<unknown>): Promise<void>;
}

export function useTask(): Task {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');
  const run = useCallback(async (work: () => Promise<unknown>) => {
    setBusy(true);
    setProblem('');
    try {
      await work();
    } catch (error) {
      setProblem(problemText(error));
    } finally {
      setBusy(false);
    }
  }, []);
  return { busy, problem, run };
}
