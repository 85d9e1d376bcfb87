import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Playback } from '../../../src/state/playback.svelte';
import { sample } from '../../builders';
import { FakePlayer, createFakePlayer, pass } from '../../fakes';

let video: HTMLVideoElement;
let playback: Playback;
let refreshed = 0;
let allowed: 'sound' | 'silence' | 'nothing' = 'sound';

beforeEach(() => {
  vi.useFakeTimers();
  FakePlayer.all = [];
  [refreshed, allowed] = [0, 'sound'];
  video = document.createElement('video');
  video.play = () => {
    if (allowed === 'nothing' || (allowed === 'silence' && !video.muted))
      return Promise.reject(new DOMException('', 'NotAllowedError'));
    video.dispatchEvent(new Event('play'));
    video.dispatchEvent(new Event('playing'));
    return Promise.resolve();
  };
  playback = new Playback({
    video,
    create: createFakePlayer,
    contentId: 'c1',
    url: () => `/live?try=${refreshed}`,
    token: () => 'T',
    refresh: () => Promise.resolve(Boolean(++refreshed)),
  });
});

afterEach(() => {
  playback.destroy();
  vi.useRealTimers();
});

const player = (): FakePlayer => {
  const last = FakePlayer.all.at(-1);
  if (last === undefined) throw new Error('no player was made');
  return last;
};

/** Play for some seconds at a speed, in steps of 250 ms. */
async function run(seconds: number, speed = 1): Promise<void> {
  for (let i = 0; i < seconds * 4; i += 1) {
    player().now = sample({ ...player().now, position_s: player().now.position_s + speed / 4 });
    await pass(250);
  }
}

describe('starting', () => {
  it('loads nothing before the stream is live', async () => {
    await pass(10_000);
    await playback.setLive(false);
    expect(FakePlayer.all).toHaveLength(0);
  });

  it('loads once, with the priority of the pathways', async () => {
    playback.prefer(['b', 'a']);
    await playback.setLive(true);
    await playback.setLive(true);
    expect(FakePlayer.all).toHaveLength(1);
    expect(player().did).toEqual(['prefer b,a', 'load /live?try=0']);
    expect(playback.needsTap).toBe('no');
  });

  it('plays muted if the autoplay policy forbids sound, and asks for a tap', async () => {
    allowed = 'silence';
    await playback.setLive(true);
    expect([playback.needsTap, video.muted, playback.playing]).toEqual(['sound', true, true]);
    allowed = 'sound';
    playback.tapped();
    expect([playback.needsTap, video.muted]).toEqual(['no', false]);
  });

  it('asks for a tap if the autoplay policy forbids even muted playback', async () => {
    allowed = 'nothing';
    await playback.setLive(true);
    expect(playback.needsTap).toBe('play');
    await run(12, 0);
    expect(player().did).toEqual(['prefer ', 'load /live?try=0']); // waiting is not a stall
  });

  it('reports a browser that cannot play', async () => {
    const bare = new Playback({
      video,
      create: () => Promise.reject(new Error('no')),
      contentId: '',
      url: String,
      token: String,
      refresh: () => Promise.resolve(true),
    });
    await bare.setLive(true);
    expect(bare.broken).toBe(true);
    bare.destroy();
  });
});

describe('recovery', () => {
  beforeEach(() => playback.setLive(true));

  it('restarts loading after a fatal error, outside the event handler', async () => {
    await run(2);
    player().options.fault('network', 'x');
    expect(player().did).not.toContain('startLoad');
    await pass(1);
    expect(player().did).toContain('startLoad');
  });

  it('gets the relays and reloads when errors repeat', async () => {
    await run(2);
    for (let i = 0; i < 3; i += 1) player().options.fault('network', 'x');
    await pass(4_000);
    expect(refreshed).toBe(1);
    expect(player().did).toContain('load /live?try=1');
  });

  it('blocks catch-up after a stall by a rate change, also in a new player', async () => {
    await playback.setLive(true);
    await run(2);
    player().now = { ...player().now, rate: 1.1 };
    await run(1, 0);
    expect(player().did).toContain('blockCatchUp');
    player().options.fault('other', 'broken');
    await pass(5_000);
    expect(FakePlayer.all).toHaveLength(2);
    expect(player().did).toContain('blockCatchUp');
    player().now = sample({ ...player().now, rate: 1, latency_s: 4, target_s: 2 });
    await run(70);
    expect(player().did.at(-1)).toBe('allowCatchUp'); // after a minute without a stall, because it is late
  });

  it('recovers from a stall without an error', async () => {
    await run(3);
    await run(12, 0);
    expect(player().did).toContain('startLoad');
    expect(player().did).toContain('goLive');
    await pass(4_000);
    expect(refreshed).toBe(1);
    expect(playback.stats.stalls).toBe(1);
  });

  it('replaces the player after an unknown error', async () => {
    await run(2);
    const old = player();
    old.options.fault('other', 'x');
    await pass(4_000);
    expect(FakePlayer.all).toHaveLength(2);
    expect(old.did.at(-1)).toBe('destroy');
  });

  it('does nothing while the teacher reconnects, and starts loading afterwards', async () => {
    await run(3);
    await playback.setLive(false);
    player().now = sample({ ...player().now, buffer_s: 0 });
    await run(60, 0);
    expect(player().did.slice(2)).toEqual([]);
    await playback.setLive(true);
    expect(player().did.at(-1)).toBe('startLoad');
    expect(playback.stats.stalls).toBe(0);
  });

  it('does nothing after it was destroyed', async () => {
    await run(2);
    player().options.fault('other', 'x');
    playback.destroy();
    await pass(10_000);
    expect(FakePlayer.all).toHaveLength(1);
  });
});

describe('following', () => {
  beforeEach(async () => {
    await playback.setLive(true);
    await run(2);
  });

  it('moves a student who is far behind to the live position', async () => {
    player().now = sample({ ...player().now, latency_s: 15 });
    await run(1);
    expect(player().did).toContain('goLive');
  });

  it('does not move a student who rewound', async () => {
    player().now = sample({ ...player().now, window: { start_s: 0, end_s: 60 } });
    await run(1);
    playback.seek(40);
    player().now = sample({ ...player().now, latency_s: 20 });
    await run(3);
    expect([playback.following, player().did.includes('goLive')]).toEqual([false, false]);
    playback.goLive();
    expect([playback.following, player().did.at(-1)]).toEqual([true, 'goLive']);
  });

  it('ignores the latency just after a seek, when it is still that of the old position', async () => {
    player().now = sample({
      ...player().now,
      position_s: 58,
      window: { start_s: 0, end_s: 60 },
      latency_s: 2,
    });
    await run(1);
    playback.seek(40);
    expect([playback.following, playback.position_s]).toEqual([false, 40]);
    player().now = sample({ ...player().now, position_s: 40 });
    await pass(250);
    player().now = sample({ ...player().now, latency_s: 20 });
    await run(3);
    expect([playback.following, player().did.includes('goLive')]).toEqual([false, false]);
    player().now = sample({ ...player().now, position_s: 59.5, latency_s: 2 });
    await pass(250);
    expect(playback.following).toBe(true);
  });

  it('does not seek after a long pause by the student', async () => {
    video.dispatchEvent(new Event('pause'));
    player().now = sample({ ...player().now, latency_s: 12, paused: true });
    await run(2, 0);
    player().now = sample({ ...player().now, paused: false });
    playback.toggle();
    await run(2);
    expect([playback.following, player().did.includes('goLive')]).toEqual([false, false]);
  });

  it.each([
    ['hidden', 1],
    ['visible', 0],
  ] as const)('a pause while the tab is %s is ended %i times by wake', async (state, times) => {
    const visibility = vi.spyOn(document, 'visibilityState', 'get').mockReturnValue(state);
    video.dispatchEvent(new Event('pause'));
    visibility.mockRestore();
    const play = vi.spyOn(video, 'play');
    playback.wake();
    expect(play).toHaveBeenCalledTimes(times);
  });

  it('exposes figures as data attributes', () => {
    expect(video.dataset).toMatchObject({ latencyS: '2.00', stalls: '0', pathway: 'relay-1' });
  });
});

it('offers positions up to the live position only', async () => {
  await playback.setLive(true);
  player().now = sample({ position_s: 20, window: { start_s: 0, end_s: 30 }, target_s: 1.75 });
  await pass(250);
  expect(playback.live_s).toBe(28.25);
  player().now = sample({ position_s: 28.5, window: { start_s: 0, end_s: 30 }, target_s: null });
  await pass(250);
  expect(playback.live_s).toBe(30);
  player().now = sample({ position_s: 29, window: { start_s: 0, end_s: 30 }, target_s: 1.75 });
  await pass(250);
  expect(playback.live_s).toBe(29); // not before the current position
});

describe('without a picture', () => {
  it('names a codec that the browser cannot play, and tries again when the stream is back', async () => {
    await playback.setLive(true);
    player().options.fault('codec', 'manifestIncompatibleCodecsError');
    expect(playback.pictureProblem).toBe('codec');
    await run(15, 0);
    expect(FakePlayer.all).toHaveLength(1); // no recovery action helps
    expect(player().did).toEqual(['prefer ', 'load /live?try=0']);
    await playback.setLive(false);
    await playback.setLive(true); // the teacher started again, perhaps with another codec
    expect(FakePlayer.all).toHaveLength(2);
    expect(playback.pictureProblem).toBe('none');
  });

  it('also tries again by itself', async () => {
    await playback.setLive(true);
    player().options.fault('codec', 'bufferAddCodecError');
    await pass(25_000);
    expect(FakePlayer.all).toHaveLength(2);
  });

  it('says so when the stream does not start, until it does', async () => {
    video.play = () => new Promise(() => undefined); // loads, and never plays: broken timestamps
    await Promise.race([playback.setLive(true), pass(0)]);
    player().now = sample({ ...player().now, paused: false });
    await run(29, 0);
    expect(playback.pictureProblem).toBe('none');
    await run(2, 0);
    expect(playback.pictureProblem).toBe('no-picture');
    video.dispatchEvent(new Event('playing'));
    await run(2);
    expect(playback.pictureProblem).toBe('none');
  });

  it('waits for a tap without saying so', async () => {
    allowed = 'nothing';
    await playback.setLive(true);
    await run(60, 0);
    expect(playback.pictureProblem).toBe('none');
  });
});
