// The state of the page, kept up to date by one stream.

import {
  type AuditEntry,
  AuditEntry_Guess,
  type Device,
  type GetStatusResponse,
  type Pairing,
  PairingState,
} from '@palyra/rpc/admin';
import { computed, effect, signal } from '@preact/signals';
import { admin, isSignedOut } from './admin.ts';
import { signedIn } from './session.ts';

export const line = signal<'connecting' | 'live' | 'lost'>('connecting');
export const status = signal<GetStatusResponse | undefined>(undefined);
/** By id: the pairings open at the start of the stream, and all that changed since. */
export const pairings = signal<ReadonlyMap<string, Pairing>>(new Map());
/** Newest first. */
export const recentAudit = signal<readonly AuditEntry[]>([]);
/** Outcomes of guesses at codes that were open when their rows came, by sequence number. */
export const settledGuesses = signal<ReadonlyMap<bigint, AuditEntry_Guess>>(new Map());
/** Increases whenever the stream restarts, because data fetched before that may be out of date. */
export const generation = signal(0);
/** The daemon's time, each second. */
export const now = signal(Date.now());
/** For screen readers. */
export const announcement = signal('');

const maxRecent = 500;
const maxRetryMs = 5_000;
let clockOffsetMs = 0;
const deviceListeners = new Set<(device: Device) => void>();

/** Calls the listener for every changed device. @returns a function that removes the listener. */
export function onDevice(listener: (device: Device) => void): () => void {
  deviceListeners.add(listener);
  return () => deviceListeners.delete(listener);
}

export const requests = computed(() =>
  [...pairings.value.values()]
    .filter((each) => each.state === PairingState.PENDING_APPROVAL)
    .sort((a, b) => Number(a.createdAtMs - b.createdAtMs)),
);

/** Takes over the answer to a decision, which may arrive before the stream reports it, or after a later change. */
export function learnDecision(pairing: Pairing): void {
  if (pairings.value.get(pairing.id)?.state === PairingState.PENDING_APPROVAL) learn(pairing);
}

function learn(pairing: Pairing): void {
  const before = pairings.value.get(pairing.id);
  pairings.value = new Map(pairings.value).set(pairing.id, pairing);
  if (
    pairing.state === PairingState.PENDING_APPROVAL &&
    before?.state !== PairingState.PENDING_APPROVAL &&
    line.value === 'live'
  ) {
    announcement.value = `${pairing.device?.name} asks to pair.`;
  }
}

export function startLive(): void {
  setInterval(() => {
    now.value = Date.now() + clockOffsetMs;
  }, 1000);
  let current: AbortController | undefined;
  effect(() => {
    current?.abort();
    current = undefined;
    if (signedIn.value !== 'in') return;
    current = new AbortController();
    void follow(current.signal);
  });
  effect(() => {
    const waiting = requests.value.length;
    document.title = waiting > 0 ? `(${waiting}) Palyra` : 'Palyra';
  });
}

async function follow(signal: AbortSignal): Promise<void> {
  for (let retryMs = 250; !signal.aborted; retryMs = Math.min(retryMs * 2, maxRetryMs)) {
    try {
      await untilShown(signal);
      const hidden = hiddenSignal();
      const opened = new Map<string, Pairing>();
      let isCurrent = false;
      for await (const { event } of admin.watch({}, { signal: AbortSignal.any([signal, hidden]) })) {
        switch (event.case) {
          case 'pairing':
            if (isCurrent) learn(event.value);
            else opened.set(event.value.id, event.value);
            break;
          case 'currentAtMs':
            clockOffsetMs = Number(event.value) - Date.now();
            now.value = Number(event.value);
            pairings.value = withoutStale(opened);
            isCurrent = true;
            retryMs = 250;
            line.value = 'live';
            generation.value += 1;
            break;
          case 'audit':
            recentAudit.value = [event.value, ...recentAudit.value].slice(0, maxRecent);
            void settleGuesses(event.value);
            break;
          case 'device':
            for (const listener of deviceListeners) listener(event.value);
            break;
          case 'status':
            status.value = event.value;
            break;
        }
      }
    } catch (error) {
      if (signal.aborted || isSignedOut(error)) return;
    }
    if (document.visibilityState === 'visible') line.value = 'lost';
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }
}

/** What follows on a guess tells whether it was right. */
async function settleGuesses({ action, subject }: AuditEntry): Promise<void> {
  if (action === 'code.guessed' || !/^(?:code|request)\./.test(action)) return;
  try {
    const { entries } = await admin.listAudit({ subject, limit: 50 });
    const found = entries.filter(({ guess }) => guess !== AuditEntry_Guess.UNSPECIFIED);
    if (found.length === 0) return;
    settledGuesses.value = new Map([
      ...settledGuesses.value,
      ...found.map(({ seq, guess }) => [seq, guess] as const),
    ]);
  } catch {
    // The rows have what was known when they came. The next load has the rest.
  }
}

/** Keeps pairings that have ended. Drops those that were open but no longer are: they ended unseen. */
function withoutStale(opened: ReadonlyMap<string, Pairing>): Map<string, Pairing> {
  const isOpen = ({ state }: Pairing) =>
    state === PairingState.WAITING || state === PairingState.PENDING_APPROVAL;
  const ended = [...pairings.value].filter(([, each]) => !isOpen(each));
  return new Map([...ended, ...opened]);
}

/** A browser allows six connections to a console. Tabs in the background must not occupy all of them. */
const hiddenForMs = 5 * 60_000;

function hiddenSignal(): AbortSignal {
  const hidden = new AbortController();
  let timer = 0;
  const look = () => {
    clearTimeout(timer);
    if (document.visibilityState === 'hidden') timer = setTimeout(() => hidden.abort(), hiddenForMs);
  };
  document.addEventListener('visibilitychange', look, { signal: hidden.signal });
  look();
  return hidden.signal;
}

function untilShown(signal: AbortSignal): Promise<void> {
  if (document.visibilityState === 'visible' || generation.value === 0) return Promise.resolve();
  return new Promise((resolve) => {
    const look = () => {
      if (document.visibilityState === 'hidden' && !signal.aborted) return;
      document.removeEventListener('visibilitychange', look);
      resolve();
    };
    document.addEventListener('visibilitychange', look);
    signal.addEventListener('abort', look, { once: true });
  });
}
