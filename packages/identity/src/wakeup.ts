// Lets a loop wait for events: it checks, and sleeps if there are none. A `wake` just before it sleeps also counts.

export class Wakeup {
  #isDue = false;
  #resolve: () => void = () => {};

  wake = (): void => {
    this.#isDue = true;
    this.#resolve();
  };

  /**
   * Resolves at the next `wake`, or at once if there was one since the last sleep. For one sleeper.
   * @param atMost longest sleep, ms; default: no limit.
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
