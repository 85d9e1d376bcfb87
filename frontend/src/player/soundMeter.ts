// The sound level of a video element. Create it only after a click: browsers keep an audio context suspended
// until then.

export class SoundMeter {
  readonly #context = new AudioContext();
  readonly #analyser = this.#context.createAnalyser();
  readonly #samples: Float32Array<ArrayBuffer>;

  constructor(video: HTMLVideoElement) {
    this.#analyser.fftSize = 2048;
    this.#samples = new Float32Array(this.#analyser.fftSize);
    const source = this.#context.createMediaElementSource(video);
    source.connect(this.#analyser);
    // Do not connect the loudspeakers: the teacher would hear an echo, and the microphone would pick it up.
    void this.#context.resume();
  }

  /** Root mean square of the last 40 ms in dBFS, −100 (silence) to 0. */
  level_db(): number {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const sample of this.#samples) sum += sample * sample;
    const rms = Math.sqrt(sum / this.#samples.length);
    return Math.max(-100, 20 * Math.log10(rms || 1e-5));
  }
}

export type Loudness = 'silent' | 'quiet' | 'good' | 'loud';

/** Classify the peak of the last seconds, because speech has pauses. */
export function classifyLoudness(peak_db: number): Loudness {
  if (peak_db < -60) return 'silent';
  if (peak_db < -38) return 'quiet';
  return peak_db > -6 ? 'loud' : 'good';
}
