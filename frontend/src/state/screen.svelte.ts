// What belongs to the video element and the screen rather than to the stream: volume, captions,
// picture in picture, full screen, and a screen that stays awake.

interface WebkitVideo extends HTMLVideoElement {
  webkitEnterFullscreen?: () => void;
}

export class Screen {
  muted = $state(false);
  volume = $state(1);
  full = $state(false);
  pip = $state(false);
  captions = $state(false);
  hasCaptions = $state(false);

  constructor(private readonly video: HTMLVideoElement) {}

  get canPip(): boolean {
    return document.pictureInPictureEnabled === true;
  }

  /** iPhones allow full screen only for the video itself. */
  canFull(frame: HTMLElement | null): boolean {
    return (frame !== null && document.fullscreenEnabled === true) || 'webkitEnterFullscreen' in this.video;
  }

  attach(): () => void {
    const { video } = this;
    const ended = new AbortController();
    const on = { signal: ended.signal };
    const volume = (): void => {
      this.muted = video.muted || video.volume === 0;
      this.volume = video.volume;
    };
    const tracks = (): void => {
      this.hasCaptions = this.#captionTracks().length > 0;
    };
    volume();
    tracks();
    video.addEventListener('volumechange', volume, on);
    video.addEventListener('enterpictureinpicture', () => (this.pip = true), on);
    video.addEventListener('leavepictureinpicture', () => (this.pip = false), on);
    video.textTracks.addEventListener('addtrack', tracks, on);
    video.textTracks.addEventListener('removetrack', tracks, on);
    document.addEventListener('fullscreenchange', () => (this.full = document.fullscreenElement !== null), on);
    return () => ended.abort();
  }

  toggleMuted(): void {
    const { video } = this;
    if (video.muted || video.volume === 0) {
      video.muted = false;
      if (video.volume === 0) video.volume = 1;
    } else {
      video.muted = true;
    }
  }

  setVolume(volume: number): void {
    this.video.volume = volume;
    this.video.muted = volume === 0;
  }

  toggleCaptions(): void {
    this.captions = !this.captions;
    const tracks = this.#captionTracks();
    // One language only: two on top of each other can be read by nobody.
    const wanted = tracks.find(({ language }) => language.startsWith(document.documentElement.lang)) ?? tracks[0];
    for (const track of tracks) track.mode = this.captions && track === wanted ? 'showing' : 'disabled';
  }

  #captionTracks(): TextTrack[] {
    return Array.from(this.video.textTracks).filter(({ kind }) => kind === 'captions' || kind === 'subtitles');
  }

  async togglePip(): Promise<void> {
    try {
      if (document.pictureInPictureElement !== null) await document.exitPictureInPicture();
      else await this.video.requestPictureInPicture();
    } catch {
      // The browser refuses before the first picture: nothing to tell the student.
    }
  }

  async toggleFull(frame: HTMLElement | null): Promise<void> {
    try {
      if (document.fullscreenElement !== null) await document.exitFullscreen();
      else if (frame !== null && document.fullscreenEnabled) await frame.requestFullscreen();
      else (this.video as WebkitVideo).webkitEnterFullscreen?.();
    } catch {
      // as above
    }
  }
}

/** Keep the screen awake while `playing()`; returns what ends it. Needs HTTPS, silently absent without. */
export async function keepAwake(): Promise<() => void> {
  if (!('wakeLock' in navigator)) return () => undefined;
  try {
    const lock = await navigator.wakeLock.request('screen');
    return () => void lock.release();
  } catch {
    return () => undefined;
  }
}
