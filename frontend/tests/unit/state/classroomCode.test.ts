import { describe, expect, it } from 'vitest';
import { codeFromPath, normalizeCode } from '../../../src/state/classroomCode';

describe('a classroom code', () => {
  it.each([
    ['/join/K7QF', 'K7QF'],
    ['/join/K7QF/', 'K7QF'],
    ['/', ''],
    ['/join/', ''],
    ['/join/a/b', ''],
    ['/join/%zz', ''],
    ['/join/%3Cb%3E', '<b>'],
  ])('is read from %s', (path, code) => expect(codeFromPath(path)).toBe(code));

  it('ignores case, spaces and dashes', () => {
    expect(normalizeCode(' k7qf-m2xp ')).toBe('K7QFM2XP');
    expect(normalizeCode('가')).toBe('RK');
    expect(normalizeCode('?!')).toBe('');
  });

  it.each(['3ㅛㄸㄸㅣㅜㅌ', '3ㅛㄷㄷㅣㅜㅌ', '3ㅛㄷ디ㅜㅌ', '３ＹＥＥＬＮＸ', '３ｙｅｅｌｎｘ'])(
    'is understood as %s',
    (typed) => expect(normalizeCode(typed)).toBe('3YEELNX'),
  );

  it('reads every key of the Korean keyboard', () => {
    expect(normalizeCode('ㅂㅈㄷㄱㅅㅛㅕㅑㅐㅔㅁㄴㅇㄹㅎㅗㅓㅏㅣㅋㅌㅊㅍㅠㅜㅡ')).toBe(
      'QWERTYUIOPASDFGHJKLZXCVBNM',
    );
    expect(normalizeCode('ㅃㅉㄸㄲㅆㅛㅕㅑㅒㅖ')).toBe('QWERTYUIOP');
    expect(normalizeCode('괅쒧값7')).toBe('RHKFRTNPFQRKQT7');
  });
});
