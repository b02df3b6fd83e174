// The live `pairing watch` as lines: a pure function of the state, the size of the window and the time.
//
// A stranger chooses the name of a device. The name has its own line and is cut, never wrapped, so that it cannot look
// like a line of ours.

import type { Pairing } from '../admin.ts';
import { type ChangedDevice, changeOf, operatorWarning } from '../pairing-view.ts';
import { fit, wrap } from '../table.ts';
import { formatCountdown } from '../time.ts';
import {
  isSelectionOver,
  placeAfter,
  type Question,
  replaceWord,
  selectedAt,
  type WatchState,
} from './state.ts';

export interface ScreenLine {
  readonly text: string;
  readonly style?: 'bold' | 'dim' | 'yellow';
}

export interface ScreenOptions {
  readonly columns: number;
  readonly rows: number;
  readonly nowMs: number;
  /** The command that makes a code. */
  readonly codeCommand: string;
}

/** The smallest window that fits a whole question. In a smaller one, no decision is possible. */
export const smallest = { columns: 30, rows: 12 } as const;

const longestNameColumns = 24;
const newsRows = 4;
const codeRows = 5;
/** Height of a selected request in most windows. Codes and news appear below it if there is more room. */
const requestRows = 10;
const indent = '    ';

/** @returns at most `rows` lines, none wider than `columns`. */
export function screenLines(state: WatchState, options: ScreenOptions): readonly ScreenLine[] {
  const { columns, rows } = options;
  if (!isLargeEnough(options)) {
    const text = `This window is too small. It needs ${smallest.columns} by ${smallest.rows} characters. q quits.`;
    return paragraph(text, columns).slice(0, Math.max(0, rows));
  }
  const { requests, selected, question } = state;
  const header = headerLines(state, columns);
  if (question?.kind === 'help') return [...header, ...helpLines(options)].slice(0, rows);
  const footer = question ? questionLines(state, question, columns) : hintLines(state, columns);
  let room = rows - header.length - footer.length;
  const below = [codeLines(state, options), newsLines(state, columns)].filter((section) => {
    const fits = section.length > 0 && room - section.length - 1 >= requestRows;
    if (fits) room -= section.length + 1;
    return fits;
  });
  const body =
    requests.length === 0
      ? emptyLines(options)
      : windowOf(
          requests.map((each) => blockOf(each, each.id === selected, options)),
          isSelectionOver(state) ? placeAfter(requests, selected) : selectedAt(state),
          room - 1,
        );
  const used = [{ text: '' }, ...body].slice(0, room);
  const filler = Array<ScreenLine>(room - used.length).fill({ text: '' });
  return [
    ...header,
    ...used,
    ...filler,
    ...below.flatMap((section) => [...section, { text: '' }]),
    ...footer,
  ];
}

export function isLargeEnough({ columns, rows }: { readonly columns: number; readonly rows: number }) {
  return columns >= smallest.columns && rows >= smallest.rows;
}

function headerLines({ connected, requests, codes }: WatchState, columns: number): ScreenLine[] {
  const count = (of: number, noun: string) => `${of} ${noun}${of === 1 ? '' : 's'}`;
  const title = `Pairing: ${count(requests.length, 'request')}, ${count(codes.length, 'open code')}`;
  return [
    { text: fit(title, columns), style: 'bold' },
    ...(connected ? [] : paragraph('! The daemon does not answer. Retrying.', columns, 'yellow')),
  ];
}

function emptyLines({ columns, codeCommand }: ScreenOptions): ScreenLine[] {
  return [
    ...paragraph('No device is asking to be paired.', columns),
    ...paragraph(`To make a code, in another terminal: ${codeCommand}`, columns, 'dim'),
  ];
}

const continuityWords: Readonly<Record<Exclude<ChangedDevice['continuity'], 'another_key'>, string>> = {
  new: 'a new device',
  known: 'known before, with this identity key',
  unknown: 'not known whether it is a new device',
};

/** Shows the selected request whole, and the others in short. The facts that matter for the decision come first. */
function blockOf(request: Pairing, selected: boolean, { columns, nowMs }: ScreenOptions): ScreenLine[] {
  const { failedGuesses, expiresAtMs } = request;
  const { device } = changeOf(request);
  const { name = '', kind = 'unknown', platform = '', source = '' } = device ?? {};
  const { words = '', continuity = 'unknown' } = device ?? {};
  const { identityFingerprint = '' } = request.device ?? {};
  const left = expiresAtMs > 0n ? [`${formatCountdown(Number(expiresAtMs) - nowMs)} left`] : [];
  const guesses =
    failedGuesses > 0 ? [`! ${failedGuesses} wrong ${failedGuesses === 1 ? 'guess' : 'guesses'} before`] : [];
  const warning = device && operatorWarning(device);
  const line = (text: string, style?: ScreenLine['style']): ScreenLine => ({
    text: fit(indent + text, columns),
    ...(style && { style }),
  });
  const lines = (text: string, style?: ScreenLine['style']) =>
    wrap(text, columns - indent.length).map((each) => line(each, style));
  const known =
    continuity === 'another_key'
      ? lines('! KNOWN WITH ANOTHER IDENTITY KEY', 'yellow')
      : lines(continuityWords[continuity]);
  const operator = warning ? lines(`! ${warning}`, 'yellow') : [];
  const head: ScreenLine = { text: fit(`${selected ? '>' : ' '} ${name}`, columns) };
  if (!selected) return [head, ...lines(words), ...(continuity === 'another_key' ? known : []), ...operator];
  return [
    { ...head, style: 'bold' },
    ...lines(words, 'bold'),
    ...known,
    ...operator,
    ...guesses.map((each) => line(each, 'yellow')),
    line([kind, ...left].join(', ')),
    // The device chooses its platform, and the network the source: each has one line and is cut.
    line(`from ${source}`),
    line(`on ${platform}`),
    ...lines(`key ${identityFingerprint.match(/.{1,8}/g)?.join(' ') ?? ''}`, 'dim'),
  ];
}

/** The selected block, the neighbours that fit, and a count of the others. */
function windowOf(blocks: readonly ScreenLine[][], selected: number, room: number): ScreenLine[] {
  const chosen = blocks[selected]!;
  let [from, to, used] = [selected, selected + 1, chosen.length];
  const cost = (block: ScreenLine[] | undefined) => (block ? block.length + 1 : Number.POSITIVE_INFINITY);
  const limit = (first: number, end: number) => room - (first > 0 ? 1 : 0) - (end < blocks.length ? 1 : 0);
  for (;;) {
    const [after, before] = [cost(blocks[to]), cost(blocks[from - 1])];
    if (used + after <= limit(from, to + 1)) {
      to += 1;
      used += after;
    } else if (used + before <= limit(from - 1, to)) {
      from -= 1;
      used += before;
    } else break;
  }
  const shown = blocks.slice(from, to).flatMap((block, at) => (at > 0 ? [{ text: '' }, ...block] : block));
  const more = (count: number, where: string): ScreenLine[] =>
    count > 0 ? [{ text: `${indent}${count} more ${where}`, style: 'dim' }] : [];
  const all = [...more(from, 'above'), ...shown, ...more(blocks.length - to, 'below')];
  return all.length <= room ? all : chosen.slice(0, room);
}

function codeLines({ codes }: WatchState, { columns, nowMs }: ScreenOptions): ScreenLine[] {
  const line = ({ slot, expiresAtMs, guessesLeft, autoApprove }: Pairing) => {
    const guesses = `${guessesLeft} ${guessesLeft === 1 ? 'guess' : 'guesses'}`;
    const left = formatCountdown(Number(expiresAtMs) - nowMs);
    const name = `${slot ? `Code ${slot}` : 'QR code'}${autoApprove ? ' AUTO-APPROVED' : ''}`;
    return { text: fit(`${name}  ${left} and ${guesses} left`, columns) };
  };
  // Somebody is probably about to type the newest code.
  const shown = codes.slice(-codeRows).map(line);
  const more = codes.length - shown.length;
  return more > 0 ? [{ text: fit(`${more} more codes`, columns), style: 'dim' }, ...shown] : shown;
}

/** Indents continuation lines, so that they cannot look like separate lines. */
function newsLines({ news }: WatchState, columns: number): ScreenLine[] {
  const lines = (line: string) =>
    wrap(line, columns - 2).map((text, at) => ({
      text: at === 0 ? text : `  ${text}`,
      style: 'dim' as const,
    }));
  return news.flatMap(lines).slice(-newsRows);
}

function questionLines({ requests }: WatchState, question: Question, columns: number): ScreenLine[] {
  const request = 'id' in question ? requests.find((each) => each.id === question.id) : undefined;
  const device = request && changeOf(request).device;
  const warning = device && operatorWarning(device);
  const name = `"${fit(device?.name ?? '', longestNameColumns)}"`;
  switch (question.kind) {
    case 'approve':
      return [
        ...(warning ? paragraph(`! ${warning}`, columns, 'yellow') : []),
        ...paragraph(device?.words ?? '', columns, 'bold'),
        ...paragraph(`Does the device show the same words? Approve ${name}? y/N`, columns),
      ];
    case 'replace':
      return [
        ...paragraph('! This device id is known with ANOTHER identity key.', columns, 'yellow'),
        ...paragraph(
          `Type ${replaceWord} and Enter to approve it and end everything issued to the old key. Esc goes back.`,
          columns,
        ),
        { text: `> ${question.typed}_` },
      ];
    case 'reject':
      return [
        ...paragraph(
          `Reject ${name}? This cannot be undone. Type a reason if you like, then Enter. Esc goes back.`,
          columns,
        ),
        { text: `> ${endOf(question.typed, columns - 3)}_` },
      ];
    case 'ended':
      return paragraph('! That request has ended. Enter continues.', columns, 'yellow');
    case 'help':
      return [];
  }
}

/** Shows the end of the typed text. */
function endOf(typed: string, columns: number): string {
  const characters = [...typed];
  while (fit(characters.join(''), columns) !== characters.join('')) characters.shift();
  return characters.join('');
}

function hintLines(state: WatchState, columns: number): ScreenLine[] {
  const { connected, requests } = state;
  const isOver = requests.length > 0 && isSelectionOver(state);
  const select = requests.length > 0 ? ['up/down select'] : [];
  const decide = connected && selectedAt(state) >= 0 ? ['a approve', 'r reject'] : [];
  const hints = [...select, ...decide, '? help', 'q quit'];
  return [
    ...(isOver
      ? paragraph('! The selected request has ended. Up or down selects another one.', columns, 'yellow')
      : []),
    // A key and its label stay on one line.
    ...paragraph(hints.map((each) => each.replaceAll(' ', '\u00a0')).join('  '), columns, 'dim'),
  ];
}

function helpLines({ columns, codeCommand }: ScreenOptions): ScreenLine[] {
  return [
    { text: '' },
    ...[
      'up, down, j, k  select a request',
      'a  approve it: compare the words',
      'r  reject it, with a reason',
      'q  quit, without a decision',
    ].map((text) => ({ text: fit(text, columns) })),
    { text: '' },
    ...paragraph('A decision cannot be changed. A request without a decision expires.', columns),
    ...paragraph(`To make a code: ${codeCommand}`, columns, 'dim'),
    ...paragraph('Any key goes back.', columns, 'dim'),
  ];
}

function paragraph(text: string, columns: number, style?: ScreenLine['style']): ScreenLine[] {
  return wrap(text, columns).map((line) => ({ text: line, ...(style && { style }) }));
}
