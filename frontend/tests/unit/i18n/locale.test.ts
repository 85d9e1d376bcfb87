import { describe, expect, it } from 'vitest';
import { fill } from '../../../src/i18n/locale.svelte';

describe('fill', () => {
  it('inserts values and chooses singular or plural', () => {
    expect(fill('{n} {n|student|students} of {max}', { n: 1, max: 30 })).toBe('1 student of 30');
    expect(fill('{n} {n|student|students}', { n: 0 })).toBe('0 students');
    expect(fill('{name}', {})).toBe('{name}');
  });

  it('does not fill placeholders inside a value', () =>
    expect(fill('{a}', { a: '{b}', b: 'x' })).toBe('{b}'));
});
