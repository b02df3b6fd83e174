// Who is at the door. One card says everything that the decision needs.

import type { Pairing, PairingDevice } from '@palyra/rpc/admin';
import { useEffect, useState } from 'preact/hooks';
import { admin, problemCode } from '../admin.ts';
import { kindName, operatorRights } from '../kinds.ts';
import { generation, learnDecision, now, pairings, requests } from '../live.ts';
import { Confirm } from '../parts/confirm.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Empty, Fact, Facts, Fingerprint, Problem, Tag, type Tone } from '../parts/pieces.tsx';
import { useTask } from '../parts/task.ts';
import { ago, countdown } from '../time.ts';

export function Requests() {
  const waiting = requests.value;
  return (
    <>
      <header class="page">
        <h1>Requests</h1>
        <p>Devices that know a code and wait for your word. None of them is let in by itself.</p>
      </header>
      {waiting.map((pairing) => (
        <Request key={pairing.id} pairing={pairing} />
      ))}
      {waiting.length === 0 && generation.value > 0 && (
        <Empty title="Nobody is waiting">
          Make a code with <a href="#/pair">Pair a device</a>, use it on the device, and the request appears
          here by itself.
        </Empty>
      )}
      <Decided />
    </>
  );
}

function Request({ pairing }: { pairing: Pairing }) {
  const device = pairing.device!;
  const isOtherKey = device.continuity === 'another_key';
  const [asking, setAsking] = useState<'reject' | 'replace' | 'operator' | undefined>();
  const task = useTask();
  const decide = async (choice: { replaceIdentityKey?: boolean; operator?: boolean }) =>
    learnDecision(await admin.approvePairing({ id: pairing.id, ...choice }));
  const approve = (replaceIdentityKey: boolean) => task.run(() => decide({ replaceIdentityKey }));
  return (
    <article
      class={isOtherKey ? 'card request alarm' : 'card request'}
      aria-label={`Request of ${device.name}`}
    >
      <Continuity device={device} />
      {device.role === 'operator' && <OperatorBefore device={device} />}
      <div class="request-head">
        <div>
          <h2>{device.name}</h2>
          <p class="faint">
            {kindName(device.kind)} · {device.platform}
          </p>
        </div>
        <p class="faint">
          {ago(pairing.createdAtMs, now.value)} · ends in {countdown(Number(pairing.expiresAtMs) - now.value)}
        </p>
      </div>
      <div class="words-box">
        <p class="words" data-testid="words">
          {device.words.split(/[\s-]+/).map((word) => (
            <span key={word}>{word} </span>
          ))}
        </p>
        <p>The device shows three words. Approve only if all three are these.</p>
      </div>
      <Facts>
        <Fact name="Comes from">
          <span class="mono">{device.source}</span>
        </Fact>
        <Fact name="Wrong guesses before">
          {pairing.failedGuesses === 0 ? (
            'none'
          ) : (
            <strong class="warn-text">{pairing.failedGuesses}: somebody tried this code and failed</strong>
          )}
        </Fact>
        <Fact name="Device id" wide>
          <span class="mono">{device.deviceId}</span>
        </Fact>
        <Fact name="Identity key, SHA-256" wide>
          <Fingerprint value={device.identityFingerprint} />
        </Fact>
      </Facts>
      <Problem text={task.problem} />
      <div class="actions">
        {isOtherKey ? (
          <button type="button" class="danger" disabled={task.busy} onClick={() => setAsking('replace')}>
            Approve another key…
          </button>
        ) : (
          <button type="button" class="primary" disabled={task.busy} onClick={() => approve(false)}>
            Approve
          </button>
        )}
        {!isOtherKey && device.role !== 'operator' && (
          <button type="button" disabled={task.busy} onClick={() => setAsking('operator')}>
            Approve as operator…
          </button>
        )}
        <button type="button" disabled={task.busy} onClick={() => setAsking('reject')}>
          Reject…
        </button>
      </div>
      {asking === 'reject' && <Reject pairing={pairing} onClose={() => setAsking(undefined)} />}
      {asking === 'operator' && (
        <Confirm
          title={`Make ${device.name} an OPERATOR?`}
          consequences={operatorRights}
          tick="I have compared the words, and whoever holds this device may decide for me."
          yes="Approve as OPERATOR"
          onYes={() => decide({ operator: true })}
          onClose={() => setAsking(undefined)}
        />
      )}
      {asking === 'replace' && (
        <ReplaceKey device={device} onClose={() => setAsking(undefined)} onConfirm={() => approve(true)} />
      )}
    </article>
  );
}

function Continuity({ device }: { device: PairingDevice }) {
  switch (device.continuity) {
    case 'known':
      return <Tag tone="good">Known device, same identity key</Tag>;
    case 'another_key':
      return (
        <div class="alarm-banner" role="alert">
          <strong>ANOTHER KEY</strong>
          <span>
            This device id was paired before with a different identity key. Either the device was set up anew,
            or something else uses its name.
          </span>
        </div>
      );
    default:
      return <Tag tone="calm">New device</Tag>;
  }
}

function OperatorBefore({ device }: { device: PairingDevice }) {
  return (
    <p class="problem" role="alert">
      {device.continuity === 'another_key' ? (
        <>
          This id belongs to an <strong>OPERATOR</strong>. The other key does not become one by your approval.
        </>
      ) : (
        <>
          This device is an <strong>OPERATOR</strong>, and stays one.
        </>
      )}
    </p>
  );
}

function Reject({ pairing, onClose }: { pairing: Pairing; onClose: () => void }) {
  return (
    <Confirm
      title={`Reject ${pairing.device?.name}?`}
      consequences={[
        'The device is told at once, with your reason.',
        'Its code is spent; to try again it needs a new one.',
      ]}
      reason="Reason, if you like"
      yes="Reject"
      onYes={async (reason) => learnDecision(await admin.rejectPairing({ id: pairing.id, reason }))}
      onClose={onClose}
    />
  );
}

/** The second step: both keys side by side, and a tick that nobody gives by accident. */
function ReplaceKey(props: { device: PairingDevice; onClose: () => void; onConfirm: () => void }) {
  const { device } = props;
  const [before, setBefore] = useState<string>();
  const [isSure, setIsSure] = useState(false);
  useEffect(() => {
    admin.getDevice({ id: device.deviceId }).then(
      (reply) => setBefore(reply.device?.identityFingerprint ?? ''),
      (error) => setBefore(problemCode(error)),
    );
  }, [device.deviceId]);
  return (
    <Dialog title="Replace the identity key?" onClose={props.onClose}>
      <p>
        Every certificate that the old key obtained is revoked and its connections close. Do this only if you
        know why <strong>{device.name}</strong> has a new key.
      </p>
      <Facts>
        <Fact name="Key until now" wide>
          {before === undefined ? '…' : <Fingerprint value={before} />}
        </Fact>
        <Fact name="Key of this request" wide>
          <Fingerprint value={device.identityFingerprint} />
        </Fact>
      </Facts>
      <label class="check">
        <input
          type="checkbox"
          checked={isSure}
          onChange={(event) => setIsSure(event.currentTarget.checked)}
        />
        I have compared the words and I know why the key is another one.
      </label>
      <div class="actions">
        <button
          type="button"
          class="danger"
          disabled={!isSure}
          onClick={() => {
            props.onClose();
            props.onConfirm();
          }}
        >
          Replace key and approve
        </button>
        <button type="button" onClick={props.onClose}>
          Cancel
        </button>
      </div>
    </Dialog>
  );
}

const outcomes: Readonly<Record<string, readonly [tone: Tone, text: string]>> = {
  approved: ['calm', 'Approved; the device has not fetched its certificate yet'],
  issued: ['calm', 'Approved; the device has its certificate'],
  active: ['good', 'Connected with its certificate'],
  rejected: ['bad', 'Rejected'],
  expired: ['warn', 'Expired without a decision'],
};

/** What became of those that were here while this page was open. */
function Decided() {
  const decided = [...pairings.value.values()]
    .filter((each) => each.device && each.state in outcomes)
    .sort((a, b) => Number(b.createdAtMs - a.createdAtMs))
    .slice(0, 8);
  if (decided.length === 0) return null;
  return (
    <section aria-label="Decided lately">
      <h2 class="quiet">Decided lately</h2>
      <ul class="plain">
        {decided.map((pairing) => {
          const [tone, text] = outcomes[pairing.state]!;
          return (
            <li key={pairing.id}>
              <a href={`#/devices/${pairing.device!.deviceId}`}>{pairing.device!.name}</a>
              {pairing.device!.role === 'operator' && <Tag tone="warn">OPERATOR</Tag>}
              <Tag tone={tone}>
                {text}
                {pairing.reason && `: ${pairing.reason}`}
              </Tag>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
