// `palyra pairing watch`: a live screen on a terminal, and one line for each change everywhere else.

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

/** The screen ends with the person, the lines with the daemon as well. @throws UNREACHABLE, INTERRUPTED, TERMINATED */
export async function watch(cli: Cli): Promise<void> {
  if (!cli.output.json && hasWindow(cli.invocation)) return watchLive(cli);
  await withAdmin(
    cli,
    async (admin) => {
      cli.output.note('Watching. Ctrl-C ends.');
      for await (const pairing of admin.watchPairings({})) {
        cli.output.answer(pairingJson(pairing), () => pairingChangeLine(cli, changeOf(pairing)));
      }
    },
    { progress: false },
  );
  throw new IdentityError('UNREACHABLE', 'The daemon has stopped.', { about: 'admin_socket' });
}

/** The reason of an end that is none of a failure. */
const left = new Error('the person has left');

/** A daemon that is not there at the start is an error; one that goes away is waited for. */
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

  /** Opens the window. @param quit aborted when the person leaves, or when nothing can be shown any more. */
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
      lost: () => quit.abort(new CliError('TERMINATED', 'The terminal has gone.')),
    });
    // For the time that is left.
    this.#timer = setInterval(() => this.#orFail(() => this.#draw()), 1000);
  }

  /** Shows what the daemon tells, until it stops or the person leaves. */
  async follow(admin: Admin): Promise<void> {
    this.#admin = admin;
    if (!this.#state.connected) {
      const answers = `${formatClock(this.#cli.now())}  The daemon answers again.`;
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
      // What was typed ahead of a question, or pasted, is no answer to it.
      if (state.question && state.question.kind !== asked) break;
    }
    this.#draw();
  }

  /** A decision that is on its way arrives first, unless the person insists. */
  #leave(): void {
    if (this.#leaves) this.#quit.abort(left);
    this.#leaves = true;
    void this.#decided.then(() => this.#quit.abort(left));
  }

  async #decide(command: Decision): Promise<void> {
    const { id } = command;
    try {
      // What comes of it is told by the changes.
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

  /** An event has no caller that could catch what it throws. */
  #orFail(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      this.#quit.abort(error);
    }
  }
}
