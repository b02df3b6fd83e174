// A question about one thing that says what follows from a yes. The yes takes an act of its own: it cannot be pressed
// before the question was read, and where much depends on it, something must be typed or ticked first.

import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { useNoticed } from '../deliberate.ts';
import { Dialog } from './dialog.tsx';
import { Problem } from './pieces.tsx';
import { useTask } from './task.ts';

interface ConfirmProps {
  readonly title: ComponentChildren;
  readonly consequences: readonly ComponentChildren[];
  /** The words of a request, which must be typed as the device shows them. */
  readonly words?: string;
  /** What must be ticked first, for a yes that nobody gives by accident. */
  readonly tick?: string | undefined;
  /** Label of the field for a reason; absent, none is asked for. */
  readonly reason?: string;
  /** On the button. */
  readonly yes: string;
  /** Whether the yes lets something in; otherwise it ends or changes something. */
  readonly isApproval?: boolean;
  /** The dialog closes when it is done, and says what failed. */
  readonly onYes: (reason: string) => Promise<unknown>;
  readonly onClose: () => void;
  readonly children?: ComponentChildren;
}

export function Confirm(props: ConfirmProps) {
  const { title, consequences, words, tick, yes, onYes, onClose } = props;
  const [isSure, setIsSure] = useState(tick === undefined);
  const [typed, setTyped] = useState('');
  const [reason, setReason] = useState('');
  const isNoticed = useNoticed();
  const task = useTask();
  const hasWords = words === undefined || sameWords(typed, words);
  return (
    <Dialog title={title} onClose={onClose}>
      {consequences.length > 0 && (
        <ul class="consequences">
          {consequences.map((each, place) => (
            <li key={place}>{each}</li>
          ))}
        </ul>
      )}
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
        {words !== undefined && <Words words={words} typed={typed} onType={setTyped} />}
        {props.reason !== undefined && (
          <label>
            {props.reason}
            <input value={reason} maxLength={800} onInput={(event) => setReason(event.currentTarget.value)} />
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
          <button
            type="submit"
            class={props.isApproval ? 'primary' : 'danger'}
            disabled={!isNoticed || !hasWords || !isSure || task.busy}
          >
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

function Words(props: { words: string; typed: string; onType: (typed: string) => void }) {
  const { words, typed, onType } = props;
  const isWrong = wordsIn(typed).length >= wordsIn(words).length && !sameWords(typed, words);
  return (
    <>
      <label>
        The three words on the device's screen
        <input
          value={typed}
          maxLength={256}
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          onInput={(event) => onType(event.currentTarget.value)}
        />
      </label>
      <p class="under" role="status">
        {isWrong
          ? 'These are not the words of this request. If the device shows them, reject the request.'
          : 'Read them on the device, and type them.'}
      </p>
    </>
  );
}

const wordsIn = (text: string): string[] =>
  text
    .trim()
    .toLowerCase()
    .split(/[\s-]+/);
const sameWords = (typed: string, words: string): boolean =>
  wordsIn(typed).join(' ') === wordsIn(words).join(' ');
