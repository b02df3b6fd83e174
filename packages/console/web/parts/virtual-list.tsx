// A long list of which only the rows in view exist.

import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

interface VirtualListProps<T> {
  readonly label: string;
  readonly items: readonly T[];
  /** Of all there are, loaded or not; undefined when that is not known. */
  readonly total?: number | undefined;
  readonly rowHeight: number;
  readonly keyOf: (item: T) => string;
  readonly row: (item: T) => ComponentChildren;
  readonly header: ComponentChildren;
  /** Called when the end of `items` comes near. */
  readonly onEnd: () => void;
}

const overscan = 8;

export function VirtualList<T>(props: VirtualListProps<T>) {
  const { items, rowHeight, keyOf, row, onEnd } = props;
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const look = () => {
      // The page scrolls, not the list: no second scroll bar, and phones hide their own bars.
      const top = Math.max(0, -element.getBoundingClientRect().top);
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
  const nearEnd = last >= items.length - overscan * 2;
  useEffect(() => {
    if (nearEnd) onEnd();
  }, [nearEnd, items.length, onEnd]);
  return (
    <div class="table" role="table" aria-label={props.label} aria-rowcount={(props.total ?? -2) + 1}>
      {props.header}
      <div ref={box} role="rowgroup" class="rows" style={{ height: `${items.length * rowHeight}px` }}>
        {items.slice(first, last).map((item, place) => (
          <div
            key={keyOf(item)}
            role="row"
            aria-rowindex={first + place + 2}
            class="row"
            style={{ height: `${rowHeight}px`, transform: `translateY(${(first + place) * rowHeight}px)` }}
          >
            {row(item)}
          </div>
        ))}
      </div>
    </div>
  );
}
