// Renews a token before it expires.

/** A token is renewed after this share of its lifetime. */
const RENEW_AT_SHARE = 0.7;
const RETRY_MS = 15_000;
const LONGEST_TIMER_MS = 2_000_000_000;

export class TokenRenewal {
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `renew` returns false if it has to be tried again. A success schedules the next renewal. */
  constructor(private readonly renew: () => Promise<boolean>) {}

  schedule(life_ms: number): void {
    const wait_ms = Number.isFinite(life_ms)
      ? Math.min(Math.max(1000, life_ms * RENEW_AT_SHARE), LONGEST_TIMER_MS)
      : RETRY_MS;
    this.#start(wait_ms);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #start(wait_ms: number): void {
    this.stop();
    this.#timer = setTimeout(async () => {
      if (!(await this.renew())) this.#start(RETRY_MS);
    }, wait_ms);
  }
}
