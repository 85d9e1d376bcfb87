import { describe, expect, it } from 'vitest';
import { parseLoginLink, safeRedirectPath } from '../../../src/state/loginUrl';

describe('sign-in URLs', () => {
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
