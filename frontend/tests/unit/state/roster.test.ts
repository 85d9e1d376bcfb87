import { describe, expect, it } from 'vitest';
import { parseRoster, rosterText } from '../../../src/state/roster';

describe('a list of names', () => {
  it('is read from a column or a row of a sheet, or from a typed list', () => {
    expect(parseRoster('김민준\n이서연\r\n박지민\n')).toEqual(['김민준', '이서연', '박지민']);
    expect(parseRoster('김민준\t이서연\t박지민')).toEqual(['김민준', '이서연', '박지민']);
    expect(parseRoster('김민준, 이서연; 박지민')).toEqual(['김민준', '이서연', '박지민']);
  });

  it('drops numbers, empty cells and marks of a list', () => {
    expect(parseRoster('1\t김민준\n2\t이서연\n3\t\n\n')).toEqual(['김민준', '이서연']);
    expect(parseRoster('1. 김민준\n2) 이서연\n- Ann Lee\n• Bo')).toEqual([
      '김민준',
      '이서연',
      'Ann Lee',
      'Bo',
    ]);
  });

  it('composes Hangul, collapses spaces, and lists a name once', () => {
    expect(parseRoster('김민준'.normalize('NFD'))).toEqual(['김민준']);
    expect(parseRoster('  김   민준 \n김민준\nANN lee\nAnn Lee')).toEqual(['김 민준', 'ANN lee']);
  });

  it('cuts what is too long', () => {
    expect(parseRoster('x'.repeat(99))).toEqual(['x'.repeat(64)]);
    const many = Array.from({ length: 900 }, (_, n) => `Student ${n}`).join('\n');
    expect(parseRoster(many)).toHaveLength(800);
  });

  it('is shown in the order of the alphabet', () => {
    expect(rosterText(['이서연', '김민준'])).toBe('김민준\n이서연');
  });
});
