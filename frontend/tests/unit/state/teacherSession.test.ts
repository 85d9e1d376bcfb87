import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { TeacherSession } from '../../../src/state/teacherSession.svelte';
import { classroom } from '../../builders';
import { FakeMaster, FakeSocket } from '../../fakes';

const info = {
  bitrate_bps: 2_000_000,
  width: 1280,
  height: 720,
  fps: 30,
  keyframe_s: 2,
  video_codec: 'H264',
  audio_codec: 'AAC',
  advice: [],
};
let session: TeacherSession;

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
  FakeSocket.install();
  new FakeMaster().responses = { 'GET /api/classrooms/c1': classroom() };
  session = new TeacherSession('c1');
  FakeSocket.last.open();
});

afterEach(() => {
  session.destroy();
  vi.useRealTimers();
});

const values = (line: keyof TeacherSession['signal']): unknown[] =>
  session.signal[line].map(([, value]) => value);

it('records nothing before the stream arrives', () => {
  vi.advanceTimersByTime(10_000);
  expect(session.signal).toEqual({ bitrate: [], height: [], fps: [], keyframe: [] });
});

it('records the stream at intervals, also without a push', () => {
  FakeSocket.last.receive({ type: 'snapshot', facts: info });
  expect(session.signal).toEqual({
    bitrate: [[1000, 2]],
    height: [[1000, 720]],
    fps: [[1000, 30]],
    keyframe: [[1000, 2]],
  });
  vi.advanceTimersByTime(2_000);
  FakeSocket.last.receive({
    type: 'change',
    facts: { ...info, width: 640, height: 360, fps: null, bitrate_bps: null },
  });
  vi.advanceTimersByTime(2_000);
  expect(values('height')).toEqual([720, 720, 360]);
  expect(values('fps')).toEqual([30, 30, null]);
  expect(values('bitrate')).toEqual([2, 2, null]);
});

it.each([{ facts: null }, { state: 'reconnecting' }])(
  'records a bitrate of 0 and no other values while nothing arrives: %j',
  (message) => {
    FakeSocket.last.receive({ type: 'snapshot', facts: info, state: 'live' });
    FakeSocket.last.receive({ type: 'change', ...message });
    vi.advanceTimersByTime(2_000);
    expect(values('bitrate')).toEqual([2, 0]);
    expect(values('height')).toEqual([720, null]);
    expect(values('fps')).toEqual([30, null]);
    expect(values('keyframe')).toEqual([2, null]);
  },
);

it('keeps ten minutes', () => {
  FakeSocket.last.receive({ type: 'snapshot', facts: info });
  vi.advanceTimersByTime(900_000);
  expect(session.signal.height).toHaveLength(300);
});
