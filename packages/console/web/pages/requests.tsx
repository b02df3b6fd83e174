// The devices that ask to be paired. One card shows everything needed for the decision.
//
// A card keeps its place while this page is shown: a decided card shows the decision in its place, and a new card comes
// after the others. The person decides in a dialog about one request, which asks for the words of that request.

import { Continuity, DeviceRole, type Pairing, type PairingDevice, PairingState } from '@palyra/rpc/admin';
import { useEffect, useRef, useState } from 'preact/hooks';
import { admin, problemCode } from '../admin.ts';
import { inPlace } from '../in-place.ts';
import { kindName, operatorRights } from '../kinds.ts';
import { generation, learnDecision, now, pairings, requests } from '../live.ts';
import { Confirm } from '../parts/confirm.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Empty, Fact, Facts, Fingerprint, Tag, type Tone } from '../parts/elements.tsx';
import { ago, countdown } from '../time.ts';
import { KnownBefore, OperatorBefore } from './request-known.tsx';

export function Requests() {
  const [putAway, setPutAway] = useState<ReadonlySet<string>>(new Set());
  const shown = useRef<readonly Pairing[]>([]);
  shown.current = inPlace(shown.current, requests.value, ({ id }) => id)
    .map((each) => pairings.value.get(each.id) ?? over(each))
    .filter(({ id }) => !putAway.has(id));
  const kept = new Set(shown.current.map(({ id }) => id));
  return (
    <>
      <header class="page">
        <h1>Requests</h1>
        <p>Devices that used a code and wait for your decision. No device is paired without it.</p>
      </header>
      {shown.current.map((pairing) => (
        <Request
          key={pairing.id}
          pairing={pairing}
          onPutAway={() => setPutAway((before) => new Set(before).add(pairing.id))}
        />
      ))}
      {requests.value.length === 0 && generation.value > 0 && (
        <Empty title="Nobody is waiting">
          Make a code with <a href="#/pair">Pair a device</a> and use it on the device. The request then
          appears here.
        </Empty>
      )}
      <Decided kept={kept} />
    </>
  );
}

/** Marks a request that ended while the page was not connected. */
const over = (pairing: Pairing): Pairing =>
  pairing.state === PairingState.PENDING_APPROVAL ? { ...pairing, state: PairingState.UNSPECIFIED } : pairing;

/** An open question and the details that it was asked about. If they change, the question ends. */
interface Question {
  readonly kind: 'approve' | 'operator' | 'replace' | 'reject';
  readonly seen: { readonly words: string; readonly role: DeviceRole };
}

function Request({ pairing, onPutAway }: { pairing: Pairing; onPutAway: () => void }) {
  const device = pairing.device!;
  const isWaiting = pairing.state === PairingState.PENDING_APPROVAL;
  const isOtherKey = device.continuity === Continuity.ANOTHER_KEY;
  const [question, setQuestion] = useState<Question>();
  const isDeciding = useRef(false);
  const ask = (kind: Question['kind']) =>
    setQuestion({ kind, seen: { words: device.words, role: device.role } });
  const close = () => setQuestion(undefined);
  const decide = async (decision: () => Promise<Pairing>) => {
    isDeciding.current = true;
    try {
      const decided = await decision();
      close();
      learnDecision(decided);
    } finally {
      isDeciding.current = false;
    }
  };
  const approve = (choice: { replaceIdentityKey?: boolean; operator?: boolean }) =>
    decide(() => admin.approvePairing({ id: pairing.id, seen: question!.seen, ...choice }));
  const isMoved =
    !isDeciding.current &&
    question !== undefined &&
    !(isWaiting && question.seen.words === device.words && question.seen.role === device.role);
  return (
    <article
      class={`card request ${isOtherKey ? 'alarm' : ''} ${isWaiting ? '' : 'decided'}`}
      aria-label={`Request of ${device.name}`}
    >
      <KnownBefore device={device} />
      {device.role === DeviceRole.OPERATOR && <OperatorBefore device={device} />}
      <div class="request-head">
        <div>
          <h2>
            <bdi>{device.name}</bdi>
          </h2>
          <p class="faint">
            {kindName(device.kind)} · <bdi>{device.platform}</bdi>
          </p>
        </div>
        <p class="faint">
          {ago(pairing.createdAtMs, now.value)} ·{' '}
          {isWaiting ? `ends in ${countdown(Number(pairing.expiresAtMs) - now.value)}` : 'no longer waiting'}
        </p>
      </div>
      <div class="words-box">
        <p class="words" data-testid="words">
          {device.words.split(/[\s-]+/).map((word) => (
            <span key={word}>{word} </span>
          ))}
        </p>
        <p>The device shows three words. Approve only if all three match.</p>
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
      <div class="actions">
        {!isWaiting ? (
          <>
            <Outcome pairing={pairing} />
            <button type="button" class="link put-away" onClick={onPutAway}>
              Put away
            </button>
          </>
        ) : (
          <>
            {isOtherKey ? (
              <button type="button" class="danger" onClick={() => ask('replace')}>
                Approve another key…
              </button>
            ) : (
              <button type="button" class="primary" onClick={() => ask('approve')}>
                Approve…
              </button>
            )}
            {!isOtherKey && device.role !== DeviceRole.OPERATOR && (
              <button type="button" onClick={() => ask('operator')}>
                Approve as operator…
              </button>
            )}
            <button type="button" onClick={() => ask('reject')}>
              Reject…
            </button>
          </>
        )}
      </div>
      {isMoved && <Moved pairing={pairing} onClose={close} />}
      {!isMoved && question?.kind === 'reject' && (
        <Reject
          device={device}
          onClose={close}
          onYes={(reason) => decide(() => admin.rejectPairing({ id: pairing.id, reason }))}
        />
      )}
      {!isMoved && question?.kind === 'approve' && (
        <Confirm
          title={
            <>
              Approve <bdi>{device.name}</bdi>?
            </>
          }
          consequences={[
            device.role === DeviceRole.OPERATOR
              ? 'The device gets a certificate, and stays an OPERATOR.'
              : 'The device gets a certificate, and can connect from then on.',
          ]}
          words={device.words}
          yes="Approve"
          isApproval
          onYes={() => approve({})}
          onClose={close}
        />
      )}
      {!isMoved && question?.kind === 'operator' && (
        <Confirm
          title={
            <>
              Make <bdi>{device.name}</bdi> an OPERATOR?
            </>
          }
          consequences={operatorRights}
          words={device.words}
          tick="Anybody who has this device may decide for me."
          yes="Approve as OPERATOR"
          onYes={() => approve({ operator: true })}
          onClose={close}
        />
      )}
      {!isMoved && question?.kind === 'replace' && (
        <ReplaceKey device={device} onClose={close} onYes={() => approve({ replaceIdentityKey: true })} />
      )}
    </article>
  );
}

/** The request changed during its question: it expired, or was decided elsewhere. */
function Moved({ pairing, onClose }: { pairing: Pairing; onClose: () => void }) {
  return (
    <Dialog title="This request has changed" onClose={onClose}>
      <p>
        {pairing.state === PairingState.PENDING_APPROVAL ? (
          <>
            <bdi>{pairing.device?.name}</bdi> has changed since you were asked. Look at the request again.
          </>
        ) : (
          <>
            <bdi>{pairing.device?.name}</bdi> is no longer waiting: <Outcome pairing={pairing} />
          </>
        )}
      </p>
      <p>Your decision was not sent.</p>
      <div class="actions">
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
    </Dialog>
  );
}

function Reject(props: {
  device: PairingDevice;
  onYes: (reason: string) => Promise<unknown>;
  onClose: () => void;
}) {
  return (
    <Confirm
      title={
        <>
          Reject <bdi>{props.device.name}</bdi>?
        </>
      }
      consequences={[
        'The device is told at once, with your reason.',
        'Its code is used up. To try again, it needs a new code.',
      ]}
      reason="Reason (optional)"
      yes="Reject"
      onYes={props.onYes}
      onClose={props.onClose}
    />
  );
}

/** Shows both keys, and asks for the words and a tick, so that nobody confirms by accident. */
function ReplaceKey(props: { device: PairingDevice; onClose: () => void; onYes: () => Promise<unknown> }) {
  const { device } = props;
  const [before, setBefore] = useState<string>();
  useEffect(() => {
    admin.getDevice({ id: device.deviceId }).then(
      (reply) => setBefore(reply.device?.identityFingerprint ?? ''),
      (error) => setBefore(problemCode(error)),
    );
  }, [device.deviceId]);
  return (
    <Confirm
      title="Replace the identity key?"
      consequences={[
        'Every certificate issued to the old key is revoked, and its connections are closed.',
        <>
          Do this only if you know why <bdi>{device.name}</bdi> has a new key.
        </>,
      ]}
      words={device.words}
      tick="I know why the key has changed."
      yes="Replace key and approve"
      onYes={props.onYes}
      onClose={props.onClose}
    >
      <Facts>
        <Fact name="Current key" wide>
          {before === undefined ? '…' : <Fingerprint value={before} />}
        </Fact>
        <Fact name="Key of this request" wide>
          <Fingerprint value={device.identityFingerprint} />
        </Fact>
      </Facts>
    </Confirm>
  );
}

const outcomes: Readonly<Partial<Record<PairingState, readonly [tone: Tone, text: string]>>> = {
  [PairingState.APPROVED]: ['calm', 'Approved; the device has not fetched its certificate yet'],
  [PairingState.ISSUED]: ['calm', 'Approved; the device has its certificate'],
  [PairingState.ACTIVE]: ['good', 'Connected with its certificate'],
  [PairingState.REJECTED]: ['bad', 'Rejected'],
  [PairingState.EXPIRED]: ['warn', 'Expired without a decision'],
};

function Outcome({ pairing }: { pairing: Pairing }) {
  const [tone, text] = outcomes[pairing.state] ?? ['warn', 'The request has ended'];
  return (
    <Tag tone={tone}>
      {text}
      {pairing.reason && (
        <>
          : <bdi>{pairing.reason}</bdi>
        </>
      )}
    </Tag>
  );
}

/** The outcomes of recent requests, except for those whose cards are still shown. */
function Decided({ kept }: { kept: ReadonlySet<string> }) {
  const decided = [...pairings.value.values()]
    .filter((each) => each.device && each.state in outcomes && !kept.has(each.id))
    .sort((a, b) => Number(b.createdAtMs - a.createdAtMs))
    .slice(0, 8);
  if (decided.length === 0) return null;
  return (
    <section aria-label="Recently decided">
      <h2 class="quiet">Recently decided</h2>
      <ul class="plain">
        {decided.map((pairing) => (
          <li key={pairing.id}>
            <a href={`#/devices/${pairing.device!.deviceId}`}>
              <bdi>{pairing.device!.name}</bdi>
            </a>
            {pairing.device!.role === DeviceRole.OPERATOR && <Tag tone="warn">OPERATOR</Tag>}
            <Outcome pairing={pairing} />
          </li>
        ))}
      </ul>
    </section>
  );
}
