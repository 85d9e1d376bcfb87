import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Teaching } from '../../src/state/teaching.svelte';
import { classroom } from '../builders';
import { FakeMaster, FakeSocket } from '../fakes';

const facts = { bitrate_bps: 2_000_000, width: 1280, height: 720, fps: 30, keyframe_s: 2, video_codec: 'H264', audio_codec: 'AAC', advice: [] };
let teaching: Teaching;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  FakeSocket.install();
  new FakeMaster().answers = { 'GET /api/classrooms/c1': classroom() };
  teaching = new Teaching('c1');
  FakeSocket.last.open();
});

afterEach(() => {
  teaching.destroy();
  vi.useRealTimers();
});

const values = (line: keyof Teaching['figures']): unknown[] => teaching.figures[line].map(([, value]) => value);

it('has no figures before the first picture', () => {
  vi.advanceTimersByTime(10_000);
  expect(teaching.figures).toEqual({ bitrate: [], height: [], fps: [], keyframe: [] });
});

it('notes what arrives, where nothing is told as well', () => {
  FakeSocket.last.says({ type: 'snapshot', facts });
  expect(teaching.figures).toEqual({ bitrate: [[1000, 2]], height: [[1000, 720]], fps: [[1000, 30]], keyframe: [[1000, 2]] });
  vi.advanceTimersByTime(2_000);
  FakeSocket.last.says({ type: 'change', facts: { ...facts, width: 640, height: 360, fps: null, bitrate_bps: null } });
  vi.advanceTimersByTime(2_000);
  expect(values('height')).toEqual([720, 720, 360]);
  expect(values('fps')).toEqual([30, 30, null]);
  expect(values('bitrate')).toEqual([2, 2, null]);
});

it.each([{ facts: null }, { state: 'reconnecting' }])('says that nothing comes, but makes up neither size nor key frames: %j', (news) => {
  FakeSocket.last.says({ type: 'snapshot', facts, state: 'live' });
  FakeSocket.last.says({ type: 'change', ...news });
  vi.advanceTimersByTime(2_000);
  expect(values('bitrate')).toEqual([2, 0]);
  expect(values('height')).toEqual([720, null]);
  expect(values('fps')).toEqual([30, null]);
  expect(values('keyframe')).toEqual([2, null]);
});

it('keeps ten minutes', () => {
  FakeSocket.last.says({ type: 'snapshot', facts });
  vi.advanceTimersByTime(900_000);
  expect(teaching.figures.height).toHaveLength(300);
});
