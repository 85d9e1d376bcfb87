import { describe, expect, it } from 'vitest';
import { clockMarks, splitAtBreaks } from '../../src/format';

it.each([
  [
    'rtmp://class.school.example:1935/live',
    ['rtmp', '://', 'class.', 'school.', 'example', ':1935/', 'live'],
  ],
  ['c1?token=3f9a', ['c1?', 'token=', '3f9a']],
  ['', []],
])('%s is split where a line may break', (url, expected) => {
  expect(splitAtBreaks(url)).toEqual(expected);
  expect(splitAtBreaks(url).join('')).toBe(url);
});

describe('labels of a time axis', () => {
  const from_s = Date.parse('2026-11-23T00:00:00') / 1000;
  const marks = (every_s: number): string[] =>
    clockMarks(
      [0, 1, 2, 3].map((n) => from_s + n * every_s),
      every_s,
    );

  it.each([1, 5, 30, 60, 600, 3600])('differ when they are %i s apart', (every_s) =>
    expect(new Set(marks(every_s)).size).toBe(4),
  );

  it('have seconds only if needed, and midnight is 00:00', () => {
    expect(marks(30)).toEqual(['00:00:00', '00:00:30', '00:01:00', '00:01:30']);
    expect(marks(60)).toEqual(['00:00', '00:01', '00:02', '00:03']);
  });
});
