import { describe, expect, it } from 'vitest';
import { codeFromPath, parseLoginLink, safeRedirectPath } from '../../../src/state/pageUrl';

describe('page URLs', () => {
  it.each([
    ['/join/K7QF', 'K7QF'],
    ['/join/K7QF/', 'K7QF'],
    ['/', ''],
    ['/join/', ''],
    ['/join/a/b', ''],
    ['/join/%zz', ''],
    ['/join/%3Cb%3E', '<b>'],
  ])('reads the code of %s', (path, code) => expect(codeFromPath(path)).toBe(code));

  it('parses a sign-in link', () => {
    expect(parseLoginLink('#link=abc.def-_&next=/teach')).toEqual({ token: 'abc.def-_', next: '/teach' });
    expect(parseLoginLink('')).toEqual({ token: null, next: null });
  });

  it.each(['//evil', 'https://evil', '/\\evil', '/teach/../x', 'javascript:1', '/', null])(
    'never redirects to %s',
    (next) => {
      expect(safeRedirectPath(next, 'teacher')).toBe('/teach');
      expect(safeRedirectPath(next, 'admin')).toBe('/admin');
    },
  );
});
