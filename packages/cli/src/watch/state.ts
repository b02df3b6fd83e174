// The state of the live `pairing watch`, and the changes that events and keys make to it. A question is about one id
// and stays open until it is answered, so a key never applies to a request that has just arrived or taken the place of
// another. The selection also stays on its id, even when that request ends, until the person selects another one.
//
//   (none) --a--> approve --y--> approved, or, with ANOTHER KEY, replace --"replace" Enter--> approved
//          --r--> reject  --reason Enter--> rejected
//          --?--> help
//   any other key, or Escape while typing, leads back to (none)
//   the end of the request leads to `ended`, and Enter or Escape from there to (none)

import { Continuity, DeviceRole, PairingState } from '@palyra/rpc/admin';
import type { Pairing } from '../admin.ts';
import type { Key } from './keys.ts';

export type Question =
  | { readonly kind: 'help' }
  | { readonly kind: 'approve'; readonly id: string; readonly seen: Seen }
  | { readonly kind: 'replace'; readonly id: string; readonly seen: Seen; readonly typed: string }
  | { readonly kind: 'reject'; readonly id: string; readonly typed: string }
  /** The request ended during the question: it expired or was decided elsewhere. */
  | { readonly kind: 'ended' };

/** The details shown with the question. The daemon approves only a request that still matches them. */
export interface Seen {
  readonly words: string;
  readonly role: DeviceRole;
}

export interface WatchState {
  readonly connected: boolean;
  /** Requests that wait for a decision, in order of arrival. */
  readonly requests: readonly Pairing[];
  /** Codes that wait for a device. */
  readonly codes: readonly Pairing[];
  /** The selected id. Its request may have ended. */
  readonly selected: string | undefined;
  readonly question: Question | undefined;
  /** One line each, the newest last. */
  readonly news: readonly string[];
}

export type Decision =
  | {
      readonly do: 'approve';
      readonly id: string;
      readonly seen: Seen;
      readonly replaceIdentityKey: boolean;
    }
  | { readonly do: 'reject'; readonly id: string; readonly reason: string };

/** The word that accepts another identity key. */
export const replaceWord = 'replace';

/** The daemon's limit. */
const maxReasonLength = 200;
const maxNews = 20;

export const nothingSeen: WatchState = {
  connected: true,
  requests: [],
  codes: [],
  selected: undefined,
  question: undefined,
  news: [],
};

export function withNews(state: WatchState, line: string): WatchState {
  return { ...state, news: [...state.news, line].slice(-maxNews) };
}

/** The list may be outdated, so no decision is possible until the daemon answers again. */
export function disconnected(state: WatchState): WatchState {
  return { ...state, connected: false, question: withoutRequest(state.question) };
}

/** The daemon reports everything open again. */
export function reconnected({ news, question, selected }: WatchState): WatchState {
  return { ...nothingSeen, news, question, selected };
}

/** Position of the selected request; -1 when none is selected or the selected one has ended. */
export function selectedAt({ requests, selected }: WatchState): number {
  return requests.findIndex(({ id }) => id === selected);
}

/** The selected request has ended, so the decision keys do nothing. */
export function isSelectionOver(state: WatchState): boolean {
  return state.selected !== undefined && selectedAt(state) < 0;
}

/** @param line the change in words, which becomes news unless the list itself shows it. */
export function withChange(before: WatchState, pairing: Pairing, line: string): WatchState {
  const { id, state } = pairing;
  const codes = placed(before.codes, pairing, state === PairingState.WAITING);
  const requests = placed(before.requests, pairing, state === PairingState.PENDING_APPROVAL);
  if (state === PairingState.PENDING_APPROVAL) {
    return { ...before, codes, requests, selected: before.selected ?? id };
  }
  const { question } = before;
  const after = {
    ...before,
    codes,
    requests,
    question: question && 'id' in question && question.id === id ? withoutRequest(question) : question,
  };
  return state === PairingState.WAITING && pairing.failedGuesses === 0 ? after : withNews(after, line);
}

/** The list with the pairing updated in its place, added at the end, or removed. */
function placed(list: readonly Pairing[], pairing: Pairing, belongs: boolean): readonly Pairing[] {
  const at = list.findIndex((each) => each.id === pairing.id);
  if (!belongs) return at < 0 ? list : list.toSpliced(at, 1);
  return at < 0 ? [...list, pairing] : list.with(at, pairing);
}

function withoutRequest(question: Question | undefined): Question | undefined {
  return question && 'id' in question ? { kind: 'ended' } : question;
}

interface Pressed {
  readonly state: WatchState;
  readonly command?: Decision | { readonly do: 'quit' };
}

/** @param canSee whether the window is large enough to show the effect of a key; otherwise a key can only quit. */
export function pressed(state: WatchState, key: Key, canSee = true): Pressed {
  if (key === 'ctrl-c' || (key === 'q' && !canSee)) return { state, command: { do: 'quit' } };
  if (!canSee) return { state };
  if (state.question) return answered({ ...state, question: undefined }, state.question, key);
  const { requests, selected } = state;
  const at = selectedAt(state);
  const select = (index: number) => ({
    state: { ...state, selected: requests[Math.max(0, Math.min(index, requests.length - 1))]?.id },
  });
  switch (key) {
    case 'q':
      return { state, command: { do: 'quit' } };
    case 'up':
    case 'k':
      return select(at < 0 ? requests.findLastIndex(({ id }) => id < (selected ?? '')) : at - 1);
    case 'down':
    case 'j':
      return select(at < 0 ? placeAfter(requests, selected) : at + 1);
    case 'a':
    case 'r':
      return { state: asked(state, key, requests[at]) };
    case '?':
      return { state: { ...state, question: { kind: 'help' } } };
    default:
      return { state };
  }
}

/** Adds the question about the request, or news that says why there is none. */
function asked(state: WatchState, key: 'a' | 'r', request: Pairing | undefined): WatchState {
  if (!state.connected) return state;
  if (!request) return isSelectionOver(state) ? withNews(state, selectionOverWords) : state;
  const { id } = request;
  if (key === 'r') return { ...state, question: { kind: 'reject', id, typed: '' } };
  const { words = '', role = DeviceRole.UNSPECIFIED } = request.device ?? {};
  return { ...state, question: { kind: 'approve', id, seen: { words, role } } };
}

const selectionOverWords = 'Nothing was done: the selected request has ended. Select another one.';

/** The position after a request that has ended. Ids grow with time. */
export function placeAfter(requests: readonly Pairing[], id = ''): number {
  const next = requests.findIndex((each) => each.id > id);
  return next < 0 ? requests.length - 1 : next;
}

/** @param closed the state without the question. */
function answered(closed: WatchState, question: Question, key: Key): Pressed {
  switch (question.kind) {
    case 'help':
      return { state: closed };
    case 'ended':
      return { state: key === 'enter' || key === 'escape' ? closed : { ...closed, question } };
    case 'approve': {
      const { id, seen } = question;
      if (key !== 'y' && key !== 'Y') return { state: closed };
      const request = closed.requests.find((each) => each.id === id);
      return request?.device?.continuity === Continuity.ANOTHER_KEY
        ? { state: { ...closed, question: { kind: 'replace', id, seen, typed: '' } } }
        : { state: closed, command: { do: 'approve', id, seen, replaceIdentityKey: false } };
    }
    case 'replace': {
      const { id, seen, typed } = question;
      if (key === 'enter' && typed === replaceWord) {
        return { state: closed, command: { do: 'approve', id, seen, replaceIdentityKey: true } };
      }
      if (key === 'enter' || key === 'escape') return { state: closed };
      return {
        state: { ...closed, question: { ...question, typed: edited(typed, key, replaceWord.length + 1) } },
      };
    }
    case 'reject': {
      const { id, typed } = question;
      if (key === 'enter') return { state: closed, command: { do: 'reject', id, reason: typed.trim() } };
      if (key === 'escape') return { state: closed };
      return { state: { ...closed, question: { ...question, typed: edited(typed, key, maxReasonLength) } } };
    }
  }
}

function edited(typed: string, key: Key, maxLength: number): string {
  if (key === 'backspace') return [...typed].slice(0, -1).join('');
  const isCharacter = [...key].length === 1;
  return isCharacter && typed.length + key.length <= maxLength ? typed + key : typed;
}
