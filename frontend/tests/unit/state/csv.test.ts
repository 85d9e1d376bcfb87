import { describe, expect, it } from 'vitest';
import { toCsv } from '../../../src/state/csv';

describe('toCsv', () => {
  it('quotes every cell and begins with a byte order mark', () => {
    expect(toCsv([['김민준', 'a "b"', '']])).toBe('\uFEFF"김민준","a ""b""",""\r\n');
  });

  it.each(['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', ' =1'])(
    'turns the formula %j into text',
    (cell) => {
      expect(toCsv([[cell]])).toBe(`\uFEFF"'${cell}"\r\n`);
    },
  );
});
