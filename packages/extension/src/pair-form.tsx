// Asks for the daemon's address and its code.

import { useEffect, useState } from 'preact/hooks';
import { keepDraft, readDraft } from './draft.ts';
import { ProblemBox, useAction } from './elements.tsx';
import { addressOf, hostOf } from './typed-address.ts';
import type { Ask } from './use-worker.ts';

export function PairForm(props: {
  readonly ask: Ask;
  /** The daemon that no longer knows this browser. */
  readonly address?: string;
  readonly newIdentity?: boolean;
}) {
  const [address, setAddress] = useState(props.address ?? '');
  const [code, setCode] = useState('');
  const [name, setName] = useState(nameOfBrowser);
  const action = useAction();
  useEffect(() => {
    if (props.address !== undefined) return;
    void readDraft().then((draft) => {
      // What the person has typed in the meantime counts.
      setAddress((typed) => typed || (draft.address ?? ''));
      if (draft.name) setName((typed) => (typed === nameOfBrowser() ? draft.name! : typed));
    });
  }, [props.address]);
  return (
    <form
      class="pair"
      onChange={() => void keepDraft({ address, name })}
      onSubmit={(event) => {
        event.preventDefault();
        const { newIdentity = false } = props;
        const command = { do: 'pair', address: addressOf(address, code), code, name, newIdentity } as const;
        void action
          .run(() => props.ask(command))
          .then((isPaired) => {
            if (!isPaired) return;
            setCode('');
            setAddress('');
            void keepDraft({ address: '', name });
          });
      }}
    >
      <label>
        Address of the daemon
        <input
          value={address}
          onInput={({ currentTarget }) => setAddress(currentTarget.value)}
          placeholder={hostOf(code) ?? 'home.example'}
          spellcheck={false}
          autocapitalize="off"
        />
      </label>
      <label>
        Code that the daemon shows
        <input
          class="mono"
          value={code}
          onInput={({ currentTarget }) => setCode(currentTarget.value)}
          placeholder="123-456789"
          spellcheck={false}
          autocomplete="off"
          required
        />
      </label>
      <label>
        Name of this browser, for the operator
        <input
          value={name}
          onInput={({ currentTarget }) => setName(currentTarget.value)}
          maxLength={64}
          required
        />
      </label>
      <ProblemBox problem={action.problem} />
      <button type="submit" class="primary" disabled={action.isBusy}>
        {action.isBusy ? 'Asking the daemon…' : 'Pair'}
      </button>
    </form>
  );
}

function nameOfBrowser(): string {
  const browser = /Firefox/.test(navigator.userAgent) ? 'Firefox' : 'Chromium';
  const system = /Mac OS X/.test(navigator.userAgent)
    ? 'macOS'
    : /Windows/.test(navigator.userAgent)
      ? 'Windows'
      : 'Linux';
  return `${browser} on ${system}`;
}
