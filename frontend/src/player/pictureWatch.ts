// Notices that no picture comes although the stream is live. A stream with broken timestamps loads and never
// plays, without any error: only time tells. It counts samples, because a suspended tab takes none.

/** Why there is no picture: the browser cannot decode it, or it does not come for another reason. */
export type PictureProblem = 'none' | 'codec' | 'no-picture';

/** After this time without a picture the page says what to do. A key frame may be 10 s away at the start. */
const NO_PICTURE_MS = 30_000;

export class PictureWatch {
  #without_ms = 0;

  /** Take in one sample; returns whether the picture has been missing for too long. */
  isLate(isMissing: boolean, sample_ms: number): boolean {
    this.#without_ms = isMissing ? this.#without_ms + sample_ms : 0;
    return this.#without_ms >= NO_PICTURE_MS;
  }
}
