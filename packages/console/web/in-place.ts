// Lists keep their places while a pointer is on them: what is new goes to the end, what is gone stays until the pointer
// leaves. So nothing slides under a press.

import { useRef, useState } from 'preact/hooks';

/** The order of what is shown, with each item as it is now, then what is new. */
export function inPlace<T>(
  shown: readonly T[],
  items: readonly T[],
  keyOf: (item: T) => string,
): readonly T[] {
  const current = new Map(items.map((item) => [keyOf(item), item]));
  const kept = shown.map((item) => current.get(keyOf(item)) ?? item);
  const known = new Set(kept.map(keyOf));
  return [...kept, ...items.filter((item) => !known.has(keyOf(item)))];
}

/**
 * @param about what the list shows, such as a search: another one is another list.
 * @returns the list to show, and what the element around it listens to.
 */
export function useInPlace<T>(items: readonly T[], keyOf: (item: T) => string, about: string) {
  const [isHeld, setHeld] = useState(false);
  const shown = useRef({ about, items });
  const keeps = isHeld && shown.current.about === about;
  shown.current = { about, items: keeps ? inPlace(shown.current.items, items, keyOf) : items };
  return {
    items: shown.current.items,
    pointer: {
      onPointerEnter: () => setHeld(true),
      onPointerLeave: () => setHeld(false),
      onPointerCancel: () => setHeld(false),
    },
  };
}
