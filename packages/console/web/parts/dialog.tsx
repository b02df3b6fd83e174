// A question over the page. The browser's own dialog holds the focus and takes Escape.

import type { ComponentChildren } from 'preact';
import { useId, useLayoutEffect, useRef } from 'preact/hooks';

interface DialogProps {
  readonly title: ComponentChildren;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

export function Dialog({ title, onClose, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useLayoutEffect(() => {
    const before = document.activeElement;
    const shown = dialog.current;
    shown?.showModal();
    return () => {
      // While it is open, nothing else takes the focus.
      shown?.close();
      const place = before?.isConnected ? before : document.getElementById('main');
      if (place instanceof HTMLElement) place.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={heading}
      // The event of the close comes later: until then a key would fall between this question and the next.
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      // Also the end of this question makes one, which is told when the next may be open.
      onClose={() => {
        if (dialog.current) onClose();
      }}
    >
      <div class="dialog">
        <h2 id={heading}>{title}</h2>
        {children}
      </div>
    </dialog>
  );
}
