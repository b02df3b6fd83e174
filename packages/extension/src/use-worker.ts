// A page's view of the worker, which it draws again at each change.

import { useEffect, useRef, useState } from 'preact/hooks';
import type { Command, Problem, View } from './view.ts';
import { WorkerPort } from './worker-port.ts';

/** Asks the worker. Resolves to what went wrong, if anything. */
export type Ask = (command: Command) => Promise<Problem | undefined>;

export function useWorker(): { readonly view: View | undefined; readonly ask: Ask } {
  const [view, setView] = useState<View>();
  const port = useRef<WorkerPort>(undefined);
  useEffect(() => {
    port.current = new WorkerPort(setView);
  }, []);
  return { view, ask: (command) => port.current!.ask(command) };
}
