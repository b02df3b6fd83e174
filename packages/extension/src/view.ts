// What the pages show, and what they ask the worker to do. The worker sends a new view after each change.

/** What a person may switch on for a daemon. Everything is off at first. */
export const switches = ['tabs.open', 'tabs.list', 'notify', 'clipboard.read', 'requests'] as const;
export type Switch = (typeof switches)[number];

export interface Problem {
  readonly code: string;
  readonly message: string;
  /** What the person can do; empty if the message says it. */
  readonly step: string;
}

/** A device that asks an operator to be paired. */
export interface RequestView {
  readonly id: string;
  readonly name: string;
  readonly kind: string;
  readonly platform: string;
  readonly source: string;
  readonly words: string;
  /** Of `DeviceRole`; sent back with the approval. */
  readonly role: number;
  readonly isOperator: boolean;
  /** Why this page does not approve the request; empty if it does. */
  readonly elsewhere: string;
  readonly failedGuesses: number;
}

/** A call that waits for a click. */
export interface ClipboardAsk {
  readonly id: string;
}

export interface DaemonView {
  /** SHA-256 of the root that was pinned. */
  readonly root: string;
  readonly daemonId: string;
  readonly trustDomain: string;
  readonly address: string;
  /** This browser's id at the daemon. */
  readonly deviceId: string;
  readonly state: 'waiting' | 'connecting' | 'connected' | 'away' | 'ended';
  /** While it waits for the operator. */
  readonly words?: string;
  readonly problem?: Problem;
  readonly switches: readonly Switch[];
  readonly requests: readonly RequestView[];
  readonly clipboard: readonly ClipboardAsk[];
}

export interface View {
  /** For the daemon's configuration. */
  readonly origin: string;
  /** Why this browser cannot be a device at all. */
  readonly problem?: Problem;
  /** Whether this browser was a device before, of which nothing is left. */
  readonly wasCleared: boolean;
  readonly daemons: readonly DaemonView[];
}

export type Command =
  | {
      readonly do: 'pair';
      readonly address: string;
      readonly code: string;
      readonly name: string;
      readonly newIdentity: boolean;
    }
  /** Forgets a daemon, or withdraws a request. */
  | { readonly do: 'forget'; readonly root: string }
  | { readonly do: 'retry'; readonly root: string }
  | { readonly do: 'switch'; readonly root: string; readonly name: Switch; readonly isOn: boolean }
  | {
      readonly do: 'approve';
      readonly root: string;
      readonly id: string;
      readonly words: string;
      readonly role: number;
    }
  | { readonly do: 'reject'; readonly root: string; readonly id: string }
  /** `text` is undefined when the person refuses. */
  | {
      readonly do: 'clipboard';
      readonly root: string;
      readonly id: string;
      readonly text: string | undefined;
    };

/** From a page to the worker. */
export interface Asked {
  readonly id: number;
  readonly command: Command;
}

/** From the worker to a page. */
export type Said =
  | { readonly view: View }
  | { readonly answers: number; readonly problem: Problem | undefined };
