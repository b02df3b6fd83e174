// A question about one action, with its consequences. The person must confirm deliberately: the button does not work
// before there was time to read, and an important question also needs typed words or a tick.

import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { useNoticed } from '../deliberate.ts';
import { Dialog } from './dialog.tsx';
import { Problem } from './elements.tsx';
import { useTask } from './task.ts';

interface ConfirmProps {
  readonly title: ComponentChildren;
  readonly consequences: readonly ComponentChildren[];
  /** The words of a request. The person must type them as the device shows them. */
  readonly words?: string;
  /** A text that the person must type, so that nobody confirms by accident. */
  readonly typed?: { readonly label: string; readonly text: string };
  /** The label of a checkbox that the person must tick first, so that nobody confirms by accident. */
  readonly tick?: string | undefined;
  /** Label of the field for a reason; if absent, there is no field. */
  readonly reason?: string;
  /** The text of the button. */
  readonly yes: string;
  /** Whether the action admits a device; otherwise it ends or changes something. */
  readonly isApproval?: boolean;
  /** The action. The dialog closes after it, or shows its error. */
  readonly onYes: (reason: string) => Promise<unknown>;
  readonly onClose: () => void;
  readonly children?: ComponentChildren;
}

export function Confirm(props: ConfirmProps) {
  const { title, consequences, words, typed: wanted, tick, yes, onYes, onClose } = props;
  const [isSure, setIsSure] = useState(tick === undefined);
  const [typed, setTyped] = useState('');
  const [reason, setReason] = useState('');
  const isNoticed = useNoticed();
  const task = useTask();
  const hasWords =
    (words === undefined || sameWords(typed, words)) && (!wanted || typed.trim() === wanted.text);
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
        {wanted && (
          <label>
            {wanted.label}
            <input
              value={typed}
              maxLength={64}
              autocomplete="off"
              onInput={(event) => setTyped(event.currentTarget.value)}
            />
          </label>
        )}
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
          : 'Read the words on the device, and type them here.'}
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
