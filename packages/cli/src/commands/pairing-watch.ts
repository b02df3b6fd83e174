// `palyra pairing watch`: a live screen on a terminal, or one line for each change elsewhere.

import { stripVTControlCharacters } from 'node:util';
import { hasCode, IdentityError } from '@palyra/identity';
import { fromConnectError } from '@palyra/rpc';
import { type Admin, withAdmin } from '../admin.ts';
import { type Cli, followUp } from '../cli.ts';
import { CliError } from '../failure.ts';
import { pause } from '../interruption.ts';
import { explained } from '../next-step.ts';
import { changeOf, pairingChangeLine, pairingJson } from '../pairing-view.ts';
import { formatClock } from '../time.ts';
import { keyReader } from '../watch/keys.ts';
import { isLargeEnough, screenLines } from '../watch/screen.ts';
import {
  type Decision,
  disconnected,
  nothingSeen,
  pressed,
  reconnected,
  withChange,
  withNews,
} from '../watch/state.ts';
import { hasWindow, TerminalWindow } from '../watch/terminal.ts';

const retryMs = 500;

/**
 * The screen runs until the person quits. The lines also end when the daemon stops.
 * @throws UNREACHABLE, INTERRUPTED, TERMINATED
 */
export async function watch(cli: Cli): Promise<void> {
  if (!cli.output.json && hasWindow(cli.invocation)) return watchLive(cli);
  await withAdmin(
    cli,
    async (admin) => {
      cli.output.note('Watching. Press Ctrl-C to stop.');
      for await (const pairing of admin.watchPairings({})) {
        cli.output.answer(pairingJson(pairing), () => pairingChangeLine(cli, changeOf(pairing)));
      }
    },
    { progress: false },
  );
  throw new IdentityError('UNREACHABLE', 'The daemon has stopped.', { about: 'admin_socket' });
}

/** The abort reason of an ordinary quit. */
const left = new Error('the person has left');

/** Fails if the daemon is not running at the start. If the daemon stops later, waits for it. */
async function watchLive(cli: Cli): Promise<void> {
  const quit = new AbortController();
  const ends = AbortSignal.any([quit.signal, cli.invocation.interrupted]);
  let screen: LiveScreen | undefined;
  try {
    while (!ends.aborted) {
      try {
        await withAdmin(
          cli,
          (admin) => {
            screen ??= new LiveScreen(cli, quit);
            return screen.follow(admin);
          },
          { progress: false },
        );
      } catch (error) {
        if (!screen || !hasCode(error, 'UNREACHABLE')) throw error;
      }
      if (ends.aborted) break;
      screen?.lost();
      await pause(retryMs, ends);
    }
  } finally {
    screen?.close();
  }
  if (ends.reason !== left) throw ends.reason;
}

class LiveScreen {
  readonly #cli: Cli;
  readonly #quit: AbortController;
  readonly #window: TerminalWindow;
  readonly #readKeys = keyReader();
  readonly #timer: NodeJS.Timeout;
  #admin: Admin | undefined;
  #decided: Promise<void> = Promise.resolve();
  #leaves = false;
  #state = nothingSeen;

  /** Opens the window. @param quit aborted when the person quits, or when the terminal is closed. */
  constructor(cli: Cli, quit: AbortController) {
    this.#cli = cli;
    this.#quit = quit;
    this.#window = new TerminalWindow(cli.invocation, {
      typed: (chunk) => this.#orFail(() => this.#typed(chunk)),
      resized: () =>
        this.#orFail(() => {
          this.#window.forget();
          this.#draw();
        }),
      lost: () => quit.abort(new CliError('TERMINATED', 'The terminal is gone.')),
    });
    // Redraws the countdowns.
    this.#timer = setInterval(() => this.#orFail(() => this.#draw()), 1000);
  }

  /** Shows the events of the daemon until it stops or the person quits. */
  async follow(admin: Admin): Promise<void> {
    this.#admin = admin;
    if (!this.#state.connected) {
      const answers = `${formatClock(this.#cli.now())}  The daemon is answering again.`;
      this.#state = withNews(reconnected(this.#state), answers);
    }
    this.#draw();
    const { signal } = this.#quit;
    try {
      for await (const pairing of admin.watchPairings({}, { signal })) {
        const line = stripVTControlCharacters(pairingChangeLine(this.#cli, changeOf(pairing)));
        this.#state = withChange(this.#state, pairing, line);
        this.#draw();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  lost(): void {
    this.#admin = undefined;
    this.#state = disconnected(this.#state);
    this.#draw();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#window.close();
  }

  #draw(): void {
    const { now, output } = this.#cli;
    const lines = screenLines(this.#state, {
      ...this.#window.size,
      nowMs: now(),
      codeCommand: followUp(this.#cli, 'pairing code'),
    });
    this.#window.draw(lines.map(({ text, style }) => (style ? output.paint(style, text) : text)));
  }

  #typed(chunk: Uint8Array): void {
    const canSee = isLargeEnough(this.#window.size);
    for (const key of this.#readKeys(chunk)) {
      const asked = this.#state.question?.kind;
      const { state, command } = pressed(this.#state, key, canSee);
      this.#state = state;
      if (command?.do === 'quit') this.#leave();
      else if (command) this.#decided = this.#decided.then(() => this.#decide(command));
      // Keys typed before a question appears, or pasted, must not answer it.
      if (state.question && state.question.kind !== asked) break;
    }
    this.#draw();
  }

  /** Waits for a decision still being sent, unless the person insists. */
  #leave(): void {
    if (this.#leaves) this.#quit.abort(left);
    this.#leaves = true;
    void this.#decided.then(() => this.#quit.abort(left));
  }

  async #decide(command: Decision): Promise<void> {
    const { id } = command;
    try {
      // The watched changes show the outcome.
      if (command.do === 'reject') await this.#admin?.rejectPairing({ id, reason: command.reason });
      else {
        const { seen, replaceIdentityKey } = command;
        await this.#admin?.approvePairing({ id, seen, replaceIdentityKey });
      }
    } catch (error) {
      const why = fromConnectError(error);
      this.#state = withNews(this.#state, `Not done: ${explained(this.#cli, why)} [${why.code}]`);
      this.#draw();
    }
  }

  /** Turns an exception in an event handler, which has no caller to catch it, into the end of the screen. */
  #orFail(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      this.#quit.abort(error);
    }
  }
}
