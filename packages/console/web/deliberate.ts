// A press counts only for what the person saw when they decided to press. This file stops two mistakes on every page:
// the page changed under a pointer that did not move (a card arrived, a dialog opened), or a press repeats itself (a
// key held down, a double click).

import { useEffect, useState } from 'preact/hooks';

/** The time in which people notice a change, ms: longer than any double click. */
const noticeMs = 1000;
/** The largest movement of a still hand between two clicks, CSS pixels. */
const shakePx = 12;
/** The person caused a scroll if it follows the wheel, a finger or a key within this time, ms. */
const ownScrollMs = 300;

/** The effect of a press at this place. */
interface Offer {
  readonly element: Element | null;
  readonly text: string;
}

let at = { x: -1, y: -1 };
let offered: Offer = { element: null, text: '' };
/** The place and time at which the page last changed the element under the pointer. */
let surprise: { readonly x: number; readonly y: number; readonly time: number } | undefined;
let ownScrollUntil = 0;

/** Listens until the page is closed. */
export function guardPresses(): void {
  const capture = { capture: true, passive: true } as const;
  for (const type of ['pointermove', 'pointerdown'] as const)
    addEventListener(type, ({ clientX, clientY }) => look({ x: clientX, y: clientY }), capture);
  for (const type of ['wheel', 'touchmove', 'keydown'] as const)
    addEventListener(
      type,
      () => {
        ownScrollUntil = performance.now() + ownScrollMs;
      },
      capture,
    );
  addEventListener(
    'scroll',
    () => {
      if (performance.now() < ownScrollUntil) offered = offerAt(at);
      else look(at);
    },
    capture,
  );
  addEventListener('resize', () => look(at));
  const options = { subtree: true, childList: true, attributes: true, characterData: true };
  new MutationObserver(() => look(at)).observe(document, options);
  addEventListener('click', stopSurprise, { capture: true });
  addEventListener('keydown', stopRepetition, { capture: true });
}

function look(now: { readonly x: number; readonly y: number }): void {
  const before = offerAt(at);
  if (before.element !== offered.element || before.text !== offered.text)
    surprise = { ...at, time: performance.now() };
  at = now;
  offered = offerAt(now);
  if (surprise && Math.hypot(now.x - surprise.x, now.y - surprise.y) > shakePx) surprise = undefined;
}

function offerAt({ x, y }: { readonly x: number; readonly y: number }): Offer {
  const element =
    document.elementFromPoint(x, y)?.closest('button, a, label, input, select, dialog, summary') ?? null;
  // A dialog is not an offer itself, but it differs from the page below it.
  return { element, text: element?.tagName === 'DIALOG' ? '' : (element?.textContent ?? '') };
}

function stopSurprise(event: MouseEvent): void {
  // A key has no position: it presses the focused element.
  if (event.detail === 0) return;
  look({ x: event.clientX, y: event.clientY });
  const isRepeated = event.detail > 1;
  const isSurprise = surprise !== undefined && performance.now() - surprise.time < noticeMs;
  if (!isSurprise && !(isRepeated && isButton(event.target))) return;
  event.preventDefault();
  event.stopImmediatePropagation();
}

const isButton = (target: EventTarget | null): boolean =>
  target instanceof Element && target.closest('button') !== null;

function stopRepetition(event: KeyboardEvent): void {
  if (!event.repeat) return;
  const isTyping = event.target instanceof HTMLInputElement && event.key === ' ';
  if (event.key === 'Enter' || (event.key === ' ' && !isTyping)) event.preventDefault();
}

/** False until the person has had time to read a question. Earlier keys and clicks were meant for the page before. */
export function useNoticed(): boolean {
  const [isNoticed, setNoticed] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setNoticed(true), noticeMs);
    return () => clearTimeout(timer);
  }, []);
  return isNoticed;
}
