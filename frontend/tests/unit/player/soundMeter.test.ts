import { expect, it } from 'vitest';
import { classifyLoudness } from '../../../src/player/soundMeter';

it('a sound level is classified', () => {
  expect([-90, -45, -20, -2].map(classifyLoudness)).toEqual(['silent', 'quiet', 'good', 'loud']);
});
