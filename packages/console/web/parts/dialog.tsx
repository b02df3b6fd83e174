// A question over the page. The browser's own dialog keeps the focus and handles Escape.

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
      // While the dialog is open, no other element can take the focus.
      shown?.close();
      const place = before?.isConnected ? before : document.getElementById('main');
      if (place instanceof HTMLElement) place.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={heading}
      // The close event would come later, and a key could fall between this question and the next.
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      // Closing this question also fires this event, possibly after the next question has opened.
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
