/** Runs `done` after some seconds and shows the seconds that are left. */
export class Countdown {
  left_s = $state(0);
  #timer: ReturnType<typeof setInterval> | undefined;

  start(seconds: number, done: () => void): void {
    this.stop();
    this.left_s = seconds;
    const end_ms = Date.now() + seconds * 1000;
    this.#timer = setInterval(() => {
      this.left_s = Math.max(0, Math.ceil((end_ms - Date.now()) / 1000));
      if (this.left_s > 0) return;
      this.stop();
      done();
    }, 250);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.left_s = 0;
  }
}
