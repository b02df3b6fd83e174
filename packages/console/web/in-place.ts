// A list keeps its order while a pointer is on it: new items go to the end, and removed items stay until the pointer
// leaves. So no item moves under a press.

import { useRef, useState } from 'preact/hooks';

/** The shown items in their order, each up to date, followed by the new items. */
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
 * @param about identifies the list, such as by its search; a new value starts a new list.
 * @returns the list to show, and the pointer listeners for the element around it.
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
