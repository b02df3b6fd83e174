// Makes a code for a device, shows it once, and follows it until a device has used it.

import { type MintCodeResponse, type Pairing, PairingState } from '@palyra/rpc/admin';
import { signal } from '@preact/signals';
import { useState } from 'preact/hooks';
import { admin } from '../admin.ts';
import { now, pairings, status } from '../live.ts';
import { Confirm } from '../parts/confirm.tsx';
import { Problem, Tag } from '../parts/elements.tsx';
import { QrCode } from '../parts/qr.tsx';
import { useTask } from '../parts/task.ts';
import { countdown } from '../time.ts';

interface Minted extends Pick<MintCodeResponse, 'pairingId' | 'code' | 'expiresAtMs' | 'address'> {
  readonly isQr: boolean;
  readonly autoApprove: boolean;
}

/** The code exists only in this page: the daemon does not keep it. */
const minted = signal<Minted | undefined>(undefined);

const lives: readonly (readonly [seconds: number, name: string])[] = [
  [120, '2 minutes'],
  [600, '10 minutes'],
  [3600, '1 hour'],
  [86_400, '24 hours'],
];

export function Pair() {
  const code = minted.value;
  return (
    <>
      <header class="page">
        <h1>Pair a device</h1>
        <p>
          A code proves this daemon to the device and the device to this daemon. One device can use it, once.
        </p>
      </header>
      {code ? <Code code={code} /> : <Mint />}
    </>
  );
}

function Mint() {
  const [isQr, setIsQr] = useState(false);
  const [lifeSeconds, setLife] = useState(600);
  const [autoApprove, setAutoApprove] = useState(false);
  const task = useTask();
  return (
    <form
      class="card mint"
      onSubmit={(event) => {
        event.preventDefault();
        void task.run(async () => {
          const { pairingId, code, expiresAtMs, address } = await admin.mintCode({
            qr: isQr,
            lifeSeconds,
            autoApprove,
          });
          minted.value = { pairingId, code, expiresAtMs, address, isQr, autoApprove };
        });
      }}
    >
      <fieldset>
        <legend>How the device reads the code</legend>
        <div class="choices">
          <label class="choice">
            <input type="radio" name="kind" checked={!isQr} onChange={() => setIsQr(false)} />
            <span>
              <strong>Typed</strong>
              <small>Nine digits for a person to type. Three guesses, then the code is used up.</small>
            </span>
          </label>
          <label class="choice">
            <input type="radio" name="kind" checked={isQr} onChange={() => setIsQr(true)} />
            <span>
              <strong>Long code</strong>
              <small>
                A line to copy, with the address and a key that nobody can guess. Also shown as a QR code, for
                a program of yours that reads one.
              </small>
            </span>
          </label>
        </div>
      </fieldset>
      <label>
        How long the code is valid
        <select value={lifeSeconds} onChange={(event) => setLife(Number(event.currentTarget.value))}>
          {lives.map(([seconds, name]) => (
            <option key={seconds} value={seconds}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label class="check">
        <input
          type="checkbox"
          checked={autoApprove}
          onChange={(event) => setAutoApprove(event.currentTarget.checked)}
        />
        <span>
          Approve the device without asking
          {autoApprove && (
            <strong class="warn-text">
              {' '}
              The first device that uses this code is approved, and you are not asked.
            </strong>
          )}
        </span>
      </label>
      <Problem text={task.problem} />
      <div class="actions">
        <button type="submit" class="primary" disabled={task.busy}>
          Make a code
        </button>
      </div>
    </form>
  );
}

function Code({ code }: { code: Minted }) {
  const pairing = pairings.value.get(code.pairingId);
  const isWaiting = !pairing || pairing.state === PairingState.WAITING;
  const leftMs = Number(code.expiresAtMs) - now.value;
  const [isAsking, setAsking] = useState(false);
  return (
    <section class="card code" aria-label="The code">
      {isWaiting ? (
        <>
          {code.autoApprove && (
            <p class="problem" role="alert">
              <strong>AUTO-APPROVED:</strong> the device that uses this code is approved without asking.
            </p>
          )}
          {code.isQr ? (
            <>
              <QrCode text={code.code} label="QR code for pairing" />
              <p class="mono long-code">{code.code}</p>
              <p class="faint">
                On the device, with this line in a file: <code>palyra pair --qr FILE</code>. Palyra has no
                scanner: the picture is for a program of yours that has one.
              </p>
            </>
          ) : (
            <>
              <output class="digits" aria-label="Pairing code">
                {code.code}
              </output>
              <p class="faint">
                On the device: <code>palyra pair {code.address}</code>
              </p>
            </>
          )}
          <div class="code-state">
            <span>
              <b class="big">{countdown(leftMs)}</b>
              <small>left</small>
            </span>
            {!code.isQr && (
              <span>
                <b class="big">{pairing?.guessesLeft ?? '…'}</b>
                <small>{pairing?.guessesLeft === 1 ? 'guess left' : 'guesses left'}</small>
              </span>
            )}
          </div>
          {pairing && pairing.failedGuesses > 0 && (
            <p class="warn-text">
              Tried {pairing.failedGuesses} {pairing.failedGuesses === 1 ? 'time' : 'times'} so far. If that
              was not you, withdraw the code.
            </p>
          )}
        </>
      ) : (
        <Outcome pairing={pairing} />
      )}
      <div class="actions">
        {isWaiting && (
          <button type="button" onClick={() => setAsking(true)}>
            Withdraw…
          </button>
        )}
        <button
          type="button"
          class={isWaiting ? undefined : 'primary'}
          onClick={() => {
            minted.value = undefined;
          }}
        >
          Another code
        </button>
      </div>
      {isWaiting && (
        <p class="faint small">
          Shown only once: a reload of the page loses the code.{' '}
          {status.value && `Codes waiting: ${status.value.liveCodes}.`}
        </p>
      )}
      {isWaiting && isAsking && (
        <Confirm
          title="Withdraw this code?"
          consequences={[
            'No device can use the code any more. A request already made with it is not affected.',
          ]}
          yes="Withdraw"
          onYes={async () => {
            await admin.rejectPairing({ id: code.pairingId, reason: '' });
            minted.value = undefined;
          }}
          onClose={() => setAsking(false)}
        />
      )}
    </section>
  );
}

function Outcome({ pairing }: { pairing: Pairing }) {
  const name = pairing.device && <bdi>{pairing.device.name}</bdi>;
  switch (pairing.state) {
    case PairingState.PENDING_APPROVAL:
      return (
        <>
          <Tag tone="calm">Used</Tag>
          <h2>{name} asks to pair</h2>
          <p>
            Compare the words and decide: <a href="#/requests">go to its request</a>.
          </p>
        </>
      );
    case PairingState.APPROVED:
    case PairingState.ISSUED:
      return (
        <>
          <Tag tone="calm">Approved</Tag>
          <h2>
            {name} {pairing.autoApprove ? 'was approved by the code' : 'is approved'}
          </h2>
          <p>The device becomes active with its first connection.</p>
        </>
      );
    case PairingState.ACTIVE:
      return (
        <>
          <Tag tone="good">Paired</Tag>
          <h2>{name} is connected</h2>
          <p>
            <a href={`#/devices/${pairing.device?.deviceId}`}>See the device</a>
          </p>
        </>
      );
    case PairingState.REJECTED:
      return (
        <>
          <Tag tone="bad">Ended</Tag>
          <h2>{name ? <>{name} was rejected</> : 'The code was withdrawn'}</h2>
          <p>{pairing.reason ? <bdi>{pairing.reason}</bdi> : 'No device was approved.'}</p>
        </>
      );
    case PairingState.EXHAUSTED:
      return (
        <>
          <Tag tone="bad">Used up</Tag>
          <h2>Too many wrong guesses</h2>
          <p>No device was approved. If the guesses were not yours, somebody is trying to guess codes.</p>
        </>
      );
    case PairingState.EXPIRED:
      return (
        <>
          <Tag tone="warn">Expired</Tag>
          <h2>The code expired</h2>
          <p>No device was approved.</p>
        </>
      );
    default:
      return (
        <>
          <Tag tone="warn">Unknown</Tag>
          <h2>Unknown result</h2>
          <p>The daemon runs another version. Reload the page.</p>
        </>
      );
  }
}
