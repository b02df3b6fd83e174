// Finds changes of other daemons without a request: by a notification, and by a poll in case notifications do not arrive.

import type { PostgresAddress } from './address.ts';
import { Link } from './link.ts';

const pollMs = 250;
/** Pause before another try to listen, ms. */
const againMs = 1000;

export interface NotificationsOptions {
  readonly address: PostgresAddress;
  /** False to poll only. */
  readonly listens: boolean;
  /** Reads what is new. Rejects while the database is away; callers with requests get that error themselves. */
  readonly onNews: () => Promise<void>;
}

export class Notifications {
  readonly #onNews: () => Promise<void>;
  readonly #poll: NodeJS.Timeout;
  readonly #link: Link | undefined;
  #isLooking = false;
  #isBehind = false;
  #again: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor({ address, listens, onNews }: NotificationsOptions) {
    this.#onNews = onNews;
    this.#poll = setInterval(() => this.#look(), pollMs);
    this.#poll.unref();
    if (!listens) return;
    this.#link = new Link({
      address,
      onOpen: async (connection) => {
        connection.onNotification(() => this.#look());
        await connection.execute('listen palyra_events');
        void connection.ended.then(() => this.#listenAgain());
      },
    });
    this.#listen();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#poll);
    clearTimeout(this.#again);
    await this.#link?.close();
  }

  #listen(): void {
    this.#link?.get().then(
      // Changes from before it listened.
      () => this.#look(),
      () => this.#listenAgain(),
    );
  }

  #listenAgain(): void {
    if (this.#isClosed) return;
    clearTimeout(this.#again);
    this.#again = setTimeout(() => this.#listen(), againMs);
    this.#again.unref();
  }

  #look(): void {
    if (this.#isClosed) return;
    // The running read may have been too early. One more read follows, for any number of requests.
    if (this.#isLooking) {
      this.#isBehind = true;
      return;
    }
    this.#isLooking = true;
    this.#onNews()
      .catch(() => {})
      .finally(() => {
        this.#isLooking = false;
        const isBehind = this.#isBehind;
        this.#isBehind = false;
        if (isBehind) this.#look();
      });
  }
}
