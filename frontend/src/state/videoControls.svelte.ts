// State of the video element that does not depend on the stream: volume, captions, picture in picture
// and full screen.

interface WebkitVideo extends HTMLVideoElement {
  webkitEnterFullscreen?: () => void;
}

export class VideoControls {
  muted = $state(false);
  volume = $state(1);
  fullscreen = $state(false);
  pip = $state(false);
  captions = $state(false);
  hasCaptions = $state(false);

  constructor(private readonly video: HTMLVideoElement) {}

  get canPip(): boolean {
    return document.pictureInPictureEnabled === true;
  }

  /** iPhones allow full screen only for the video element. */
  canFullscreen(frame: HTMLElement | null): boolean {
    return (frame !== null && document.fullscreenEnabled === true) || 'webkitEnterFullscreen' in this.video;
  }

  attach(): () => void {
    const { video } = this;
    const detached = new AbortController();
    const on = { signal: detached.signal };
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
    document.addEventListener(
      'fullscreenchange',
      () => (this.fullscreen = document.fullscreenElement !== null),
      on,
    );
    return () => detached.abort();
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
    // Show one language only: two would overlap.
    const wanted =
      tracks.find(({ language }) => language.startsWith(document.documentElement.lang)) ?? tracks[0];
    for (const track of tracks) track.mode = this.captions && track === wanted ? 'showing' : 'disabled';
  }

  #captionTracks(): TextTrack[] {
    return Array.from(this.video.textTracks).filter(
      ({ kind }) => kind === 'captions' || kind === 'subtitles',
    );
  }

  async togglePip(): Promise<void> {
    try {
      if (document.pictureInPictureElement !== null) await document.exitPictureInPicture();
      else await this.video.requestPictureInPicture();
    } catch {
      // The browser refuses before the first frame. The student can press the button again.
    }
  }

  async toggleFullscreen(frame: HTMLElement | null): Promise<void> {
    try {
      if (document.fullscreenElement !== null) await document.exitFullscreen();
      else if (frame !== null && document.fullscreenEnabled) await frame.requestFullscreen();
      else (this.video as WebkitVideo).webkitEnterFullscreen?.();
    } catch {
      // as above
    }
  }
}
