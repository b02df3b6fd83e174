// One daemon: who it is, how the connection stands, and what waits for the person.

import { useNoticed } from '@palyra/console/deliberate';
import { Fact, Fingerprint, ProblemBox, useAction, Words } from './elements.tsx';
import { PairForm } from './pair-form.tsx';
import type { Ask } from './use-worker.ts';
import type { DaemonView, Problem, RequestView } from './view.ts';

const states: Readonly<Record<DaemonView['state'], readonly [tone: string, text: string]>> = {
  waiting: ['calm', 'Waits for the operator'],
  connecting: ['calm', 'Connecting…'],
  connected: ['good', 'Connected'],
  away: ['warn', 'Not reachable, tries again'],
  ended: ['bad', 'Ended'],
};

/** After these the person can pair again; `new`: the daemon takes this browser only as a new device. */
const pairAgain: Readonly<Record<string, 'new' | 'same'>> = {
  DEVICE_REVOKED: 'new',
  DEVICE_NOT_FOUND: 'new',
  PROOF_WRONG: 'new',
  PAIRING_REJECTED: 'same',
  PAIRING_EXPIRED: 'same',
  PAIRING_NOT_FOUND: 'same',
};

export function DaemonCard({ daemon, ask }: { daemon: DaemonView; ask: Ask }) {
  const { root, state, words, problem } = daemon;
  const [tone, text] = states[state];
  const again = state === 'ended' ? pairAgain[problem?.code ?? ''] : undefined;
  const action = useAction();
  return (
    <article class="card" aria-label={daemon.trustDomain}>
      <header>
        <h2>
          <bdi>{daemon.trustDomain}</bdi>
        </h2>
        <span class={`tag ${tone}`} role="status">
          {text}
        </span>
      </header>
      {words !== undefined && (
        <>
          <Words words={words} />
          <p>The operator must see the same three words. If they differ, withdraw the request.</p>
        </>
      )}
      <ProblemBox problem={problem} />
      {daemon.clipboard.map(({ id }) => (
        <Clipboard key={id} onAnswer={(given) => ask({ do: 'clipboard', root, id, text: given })} />
      ))}
      {daemon.requests.map((request) => (
        <Request key={`${request.id} ${request.words}`} root={root} request={request} ask={ask} />
      ))}
      {again && (
        <details>
          <summary>{again === 'new' ? 'Pair again as a new device' : 'Pair again'}</summary>
          <PairForm ask={ask} address={daemon.address} newIdentity={again === 'new'} />
        </details>
      )}
      <details>
        <summary>Details</summary>
        <dl>
          <Fact name="Address">{daemon.address}</Fact>
          <Fact name="Daemon">
            <span class="mono">{daemon.daemonId}</span>
          </Fact>
          <Fact name="Its root, SHA-256">
            <Fingerprint value={root} />
          </Fact>
          <Fact name="This browser's id">
            <span class="mono">{daemon.deviceId}</span>
          </Fact>
        </dl>
      </details>
      <ProblemBox problem={action.problem} />
      <div class="actions">
        {problem && (
          <button
            type="button"
            disabled={action.isBusy}
            onClick={() => action.run(() => ask({ do: 'retry', root }))}
          >
            {again === 'same' ? 'Dismiss' : 'Try again'}
          </button>
        )}
        {state === 'waiting' && (
          <button
            type="button"
            disabled={action.isBusy}
            onClick={() => action.run(() => ask({ do: 'forget', root }))}
          >
            Withdraw the request
          </button>
        )}
      </div>
    </article>
  );
}

function Clipboard({ onAnswer }: { onAnswer: (text: string | undefined) => Promise<Problem | undefined> }) {
  const action = useAction();
  const send = async (): Promise<Problem | undefined> => {
    try {
      return await onAnswer(await navigator.clipboard.readText());
    } catch {
      return {
        code: 'INTERNAL',
        message: 'The browser does not let this page read the clipboard.',
        step: '',
      };
    }
  };
  return (
    <section class="ask" aria-label="Clipboard">
      <p>The daemon asks for the text in your clipboard.</p>
      <ProblemBox problem={action.problem} />
      <div class="actions">
        <button type="button" class="primary" onClick={() => action.run(send)}>
          Send it
        </button>
        <button type="button" onClick={() => action.run(() => onAnswer(undefined))}>
          Refuse
        </button>
      </div>
    </section>
  );
}

function Request({ root, request, ask }: { root: string; request: RequestView; ask: Ask }) {
  const { id, words, role } = request;
  const action = useAction();
  const isNoticed = useNoticed();
  return (
    <section class="ask" aria-label={`Request of ${request.name}`}>
      <h3>
        <bdi>{request.name}</bdi> asks to be paired
      </h3>
      <p class="faint">
        {request.kind} · <bdi>{request.platform}</bdi> · from {request.source}
      </p>
      <Words words={words} />
      <p>Approve only if the device shows the same three words.</p>
      {request.failedGuesses > 0 && (
        <p class="warn-text">Somebody tried this code {request.failedGuesses} times before, and failed.</p>
      )}
      {request.isOperator && <p class="warn-text">This device is an OPERATOR and stays one.</p>}
      {request.elsewhere && <p class="warn-text">{request.elsewhere}</p>}
      <ProblemBox problem={action.problem} />
      <div class="actions">
        {!request.elsewhere && (
          <button
            type="button"
            class="primary"
            disabled={action.isBusy || !isNoticed}
            onClick={() => action.run(() => ask({ do: 'approve', root, id, words, role }))}
          >
            The words are the same: approve
          </button>
        )}
        <button
          type="button"
          disabled={action.isBusy}
          onClick={() => action.run(() => ask({ do: 'reject', root, id }))}
        >
          Reject
        </button>
      </div>
    </section>
  );
}
