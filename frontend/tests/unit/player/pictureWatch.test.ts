import { expect, it } from 'vitest';
import { PictureWatch } from '../../../src/player/pictureWatch';

it('is late after 30 s in a row without a picture', () => {
  const watch = new PictureWatch();
  const late = (isMissing: boolean, seconds: number): boolean[] =>
    Array.from({ length: seconds }, () => watch.isLate(isMissing, 1000));
  expect(late(true, 29)).not.toContain(true);
  expect(late(false, 1)).toEqual([false]);
  expect(late(true, 30)).toEqual([...Array<boolean>(29).fill(false), true]);
});
