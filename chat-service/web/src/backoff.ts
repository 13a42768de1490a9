// Pauses between attempts: each is twice the one before, up to a bound, and jittered, so that pages
// whose service went away do not all come back at once.

const FIRST_MS = 250;
const MOST_MS = 15_000;

export class Backoff {
  #next = FIRST_MS;

  /** The next pause, in milliseconds. */
  next(): number {
    const pause = this.#next * (0.5 + Math.random() / 2);
    this.#next = Math.min(this.#next * 2, MOST_MS);
    return pause;
  }

  reset(): void {
    this.#next = FIRST_MS;
  }
}
