// Waits until the last seconds of a lesson have been played.

/** Students are 2 to 8 s behind. The relay serves the window of an ended lesson for a minute. */
const LIMIT_MS = 15_000;
const REWOUND_LIMIT_MS = 60_000;

export class PlayOut {
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly done: () => void,
  ) {}

  get active(): boolean {
    return this.#timer !== undefined;
  }

  /** Not every browser reports the end, so a time limit applies; a viewer who has rewound gets longer. */
  start(rewound: boolean): void {
    this.video.addEventListener('ended', this.done);
    this.#timer = setTimeout(this.done, rewound ? REWOUND_LIMIT_MS : LIMIT_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.video.removeEventListener('ended', this.done);
  }
}
