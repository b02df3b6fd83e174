// A long list that renders only the rows in view. The page scrolls, not the list, so there is no second scroll bar.

import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

interface VirtualListProps<T> {
  readonly label: string;
  readonly items: readonly T[];
  /** Number of all items, loaded or not; -1 if unknown. */
  readonly total: number;
  readonly rowHeight: number;
  readonly keyOf: (item: T) => string;
  readonly row: (item: T) => ComponentChildren;
  /** Called when the end of `items` is nearly in view. */
  readonly onEnd: () => void;
}

const overscan = 8;

export function VirtualList<T>({ label, items, total, rowHeight, keyOf, row, onEnd }: VirtualListProps<T>) {
  const list = useRef<HTMLUListElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  useEffect(() => {
    const look = () => {
      const top = Math.max(0, -(list.current?.getBoundingClientRect().top ?? 0));
      setView({ top, height: innerHeight });
    };
    look();
    addEventListener('scroll', look, { passive: true });
    addEventListener('resize', look);
    return () => {
      removeEventListener('scroll', look);
      removeEventListener('resize', look);
    };
  }, []);
  const first = Math.max(0, Math.floor(view.top / rowHeight) - overscan);
  const last = Math.min(items.length, Math.ceil((view.top + view.height) / rowHeight) + overscan);
  const isNearEnd = last >= items.length - overscan * 2;
  useEffect(() => {
    if (isNearEnd) onEnd();
  }, [isNearEnd, items.length, onEnd]);
  return (
    <ul ref={list} class="rows" aria-label={label} style={{ height: `${items.length * rowHeight}px` }}>
      {items.slice(first, last).map((item, place) => (
        <li
          key={keyOf(item)}
          class="row"
          aria-posinset={first + place + 1}
          aria-setsize={total}
          style={{ height: `${rowHeight}px`, transform: `translateY(${(first + place) * rowHeight}px)` }}
        >
          {row(item)}
        </li>
      ))}
    </ul>
  );
}
