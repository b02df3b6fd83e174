// A question that says what follows from a yes.

import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { Dialog } from './dialog.tsx';
import { Problem } from './pieces.tsx';
import { useTask } from './task.ts';

interface ConfirmProps {
  readonly title: string;
  readonly consequences: readonly string[];
  /** What must be ticked first, for a yes that nobody gives by accident. */
  readonly tick?: string | undefined;
  /** Label of the field for a reason; absent, none is asked for. */
  readonly reason?: string;
  /** On the button. */
  readonly yes: string;
  /** The dialog closes when it is done, and says what failed. */
  readonly onYes: (reason: string) => Promise<unknown>;
  readonly onClose: () => void;
  readonly children?: ComponentChildren;
}

export function Confirm(props: ConfirmProps) {
  const { title, consequences, tick, yes, onYes, onClose } = props;
  const [isSure, setIsSure] = useState(tick === undefined);
  const [reason, setReason] = useState('');
  const task = useTask();
  return (
    <Dialog title={title} onClose={onClose}>
      <ul class="consequences">
        {consequences.map((each) => (
          <li key={each}>{each}</li>
        ))}
      </ul>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void task.run(async () => {
            await onYes(reason);
            onClose();
          });
        }}
      >
        {props.children}
        {props.reason !== undefined && (
          <label>
            {props.reason}
            <input value={reason} maxLength={200} onInput={(event) => setReason(event.currentTarget.value)} />
          </label>
        )}
        {tick !== undefined && (
          <label class="check">
            <input
              type="checkbox"
              checked={isSure}
              onChange={(event) => setIsSure(event.currentTarget.checked)}
            />
            {tick}
          </label>
        )}
        <Problem text={task.problem} />
        <div class="actions">
          <button type="submit" class="danger" disabled={!isSure || task.busy}>
            {yes}
          </button>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  );
}
