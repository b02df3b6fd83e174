// How a loop waits for news: it looks, and sleeps when there is none. Whoever has news wakes it, also a moment before it sleeps.

export class Wakeup {
  #isDue = false;
  #resolve: () => void = () => {};

  wake = (): void => {
    this.#isDue = true;
    this.#resolve();
  };

  /**
   * Until the next `wake`, or at once when there was one since the last sleep. For one sleeper.
   * @param atMost ms; default: for ever.
   */
  async sleep(atMost?: number): Promise<void> {
    if (!this.#isDue) {
      await new Promise<void>((resolve) => {
        const timer = atMost === undefined ? undefined : setTimeout(resolve, atMost);
        this.#resolve = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#isDue = false;
  }
}
