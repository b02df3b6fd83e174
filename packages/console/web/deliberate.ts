// A press counts only for what the person saw when they decided to press. Two mistakes are stopped here for every page:
// the page changed under a pointer that stood still (a card arrived, a dialog opened), and a press that goes on or is
// repeated (a key held down, a double click).

import { useEffect, useState } from 'preact/hooks';

/** How long people take to notice what is new, ms: longer than any double click. */
const noticeMs = 1000;
/** How far a hand shakes between two clicks, CSS pixels. */
const shakePx = 12;
/** A scroll this soon after the wheel, a finger or a key is the person's own, ms. */
const ownScrollMs = 300;

/** What a press at this place would do. */
interface Offer {
  readonly element: Element | null;
  readonly text: string;
}

let at = { x: -1, y: -1 };
let offered: Offer = { element: null, text: '' };
/** Where and when the page put something else under the pointer. */
let surprise: { readonly x: number; readonly y: number; readonly time: number } | undefined;
let ownScrollUntil = 0;

/** Listens for as long as the page lives. */
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
  // A dialog around the press is no offer, but it is another place than the page below.
  return { element, text: element?.tagName === 'DIALOG' ? '' : (element?.textContent ?? '') };
}

function stopSurprise(event: MouseEvent): void {
  // A key has no place; what it presses has had the focus.
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

/** False until a question has been in view for long enough to be read. Keys and clicks meant for the page before come too soon. */
export function useNoticed(): boolean {
  const [isNoticed, setNoticed] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setNoticed(true), noticeMs);
    return () => clearTimeout(timer);
  }, []);
  return isNoticed;
}
