// Runs a capability on a connected device, and shows what it returned.

import type { Device } from '@palyra/rpc/admin';
import { useState } from 'preact/hooks';
import { admin } from '../admin.ts';
import { isConnected } from '../kinds.ts';
import { Problem } from '../parts/elements.tsx';
import { useTask } from '../parts/task.ts';

export function RunCapability({ device }: { device: Device }) {
  const [chosen, setChosen] = useState('');
  const [input, setInput] = useState('');
  const [result, setResult] = useState<{ readonly of: string; readonly text: string }>();
  const task = useTask();
  const { capabilities } = device;
  const capability = capabilities.includes(chosen) ? chosen : (capabilities[0] ?? '');
  if (capabilities.length === 0) return null;
  return (
    <section class="card" aria-label="Run a capability">
      <h2>Run a capability</h2>
      <form
        class="run"
        onSubmit={(event) => {
          event.preventDefault();
          setResult(undefined);
          void task.run(async () => {
            const bytes = new TextEncoder().encode(parsed(input));
            const answer = await admin.executeCapability({ deviceId: device.id, capability, input: bytes });
            const text = pretty(new TextDecoder().decode(answer.output));
            setResult({ of: `${capability}, ${answer.elapsedMs} ms`, text });
          });
        }}
      >
        <label>
          Capability
          <select value={capability} onChange={(event) => setChosen(event.currentTarget.value)}>
            {capabilities.map((each) => (
              <option key={each} value={each}>
                {each}
              </option>
            ))}
          </select>
        </label>
        <label>
          Input, as JSON
          <input
            class="mono"
            value={input}
            placeholder="null"
            autocomplete="off"
            spellcheck={false}
            onInput={(event) => setInput(event.currentTarget.value)}
          />
        </label>
        <div class="actions">
          <button type="submit" disabled={task.busy || !isConnected(device)}>
            {task.busy ? 'Running' : 'Run'}
          </button>
          {!isConnected(device) && <span class="faint">The device is not connected.</span>}
        </div>
        <Problem text={task.problem} />
      </form>
      {result && (
        <figure class="output">
          <figcaption class="faint">{result.of}</figcaption>
          <pre>
            <bdi>{result.text}</bdi>
          </pre>
        </figure>
      )}
    </section>
  );
}

/** @throws Error for what is not JSON, before anything is sent. */
function parsed(input: string): string {
  if (input.trim() === '') return 'null';
  try {
    JSON.parse(input);
    return input;
  } catch {
    throw new Error('The input is not JSON. Text needs quotes: "hello".');
  }
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
