import { describe, expect, it } from 'vitest';
import { codeFromPath, loginLink, safeNext } from '../../src/state/address';
import { adviseTeacher } from '../../src/state/advice';
import { clockMarks, pieces } from '../../src/format';
import { fill } from '../../src/i18n/locale.svelte';
import { loudness } from '../../src/player/level';
import { pauseMs } from '../../src/api/socket';
import { tidy } from '../../src/state/lesson.svelte';

describe('addresses', () => {
  it.each([
    ['/join/K7QF', 'K7QF'], ['/join/K7QF/', 'K7QF'], ['/', ''], ['/join/', ''], ['/join/a/b', ''], ['/join/%zz', ''], ['/join/%3Cb%3E', '<b>'],
  ])('the code of %s', (path, code) => expect(codeFromPath(path)).toBe(code));

  it('takes a login link apart', () => {
    expect(loginLink('#link=abc.def-_&next=/teach')).toEqual({ token: 'abc.def-_', next: '/teach' });
    expect(loginLink('')).toEqual({ token: null, next: null });
  });

  it.each(['//evil', 'https://evil', '/\\evil', '/teach/../x', 'javascript:1', '/', null])('never leads to %s', (next) => {
    expect(safeNext(next, 'teacher')).toBe('/teach');
    expect(safeNext(next, 'admin')).toBe('/admin');
  });
});

describe('texts', () => {
  it('are filled with values and the right number', () => {
    expect(fill('{n} {n|student|students} of {max}', { n: 1, max: 30 })).toBe('1 student of 30');
    expect(fill('{n} {n|student|students}', { n: 0 })).toBe('0 students');
    expect(fill('{name}', {})).toBe('{name}');
  });

  it('never run twice over a value', () => expect(fill('{a}', { a: '{b}', b: 'x' })).toBe('{b}'));
});

it('codes are tidied as people type them', () => {
  expect(tidy(' k7qf-m2xp ')).toBe('K7QFM2XP');
  expect(tidy('ㅋㅋ')).toBe('');
});

it('pauses grow, stay bounded and are spread', () => {
  expect(pauseMs(1, 0)).toBe(250);
  expect(pauseMs(1, 1)).toBe(500);
  expect(pauseMs(3, 1)).toBe(2000);
  expect(pauseMs(50, 1)).toBe(10_000);
});

it('loudness is said in words', () => {
  expect([-90, -45, -20, -2].map(loudness)).toEqual(['silent', 'quiet', 'good', 'loud']);
});

it.each([
  ['rtmp://class.school.example:1935/live', ['rtmp', '://', 'class.', 'school.', 'example', ':1935/', 'live']],
  ['c1?token=3f9a', ['c1?', 'token=', '3f9a']],
  ['', []],
])('%s breaks where people would break it', (address, wanted) => {
  expect(pieces(address)).toEqual(wanted);
  expect(pieces(address).join('')).toBe(address);
});

describe('times below a chart', () => {
  const from_s = Date.parse('2026-11-23T00:00:00') / 1000;
  const marks = (every_s: number): string[] => clockMarks([0, 1, 2, 3].map((n) => from_s + n * every_s), every_s);

  it.each([1, 5, 30, 60, 600, 3600])('differ when they are %i s apart', (every_s) => expect(new Set(marks(every_s)).size).toBe(4));

  it('say no more than is needed, and 0 o’clock is not 24', () => {
    expect(marks(30)).toEqual(['00:00:00', '00:00:30', '00:01:00', '00:01:30']);
    expect(marks(60)).toEqual(['00:00', '00:01', '00:02', '00:03']);
  });
});

describe('advice to the teacher', () => {
  const good = { bitrate_bps: 2_500_000, width: 1280, height: 720, fps: 30, keyframe_s: 2, video_codec: 'H264', audio_codec: 'AAC', taken_over_by: '', advice: [] };
  it.each([
    [{}, undefined], [{ keyframe_s: 8 }, 'adviceKeyframe'], [{ audio_codec: '' }, 'adviceNoSound'], [{ audio_codec: 'Opus' }, 'adviceAudio'],
    [{ video_codec: '' }, 'adviceNoPicture'], [{ video_codec: 'H265' }, 'adviceVideo'], [{ bitrate_bps: 90_000 }, 'adviceThin'],
    [{ bitrate_bps: 12_000_000 }, 'adviceFat'], [{ bitrate_bps: null, keyframe_s: null, fps: null, width: null, height: null }, undefined],
    [{ taken_over_by: '10.0.0.66', audio_codec: '' }, 'adviceTakenOver'],
    [{ fps: 5 }, 'adviceSlow'], [{ fps: 10 }, undefined], [{ width: 3840, height: 2160 }, 'adviceBig'], [{ width: 1080, height: 1920 }, undefined],
  ])('%j', (change, key) => expect(adviseTeacher({ ...good, ...change })?.key).toBe(key));
});
