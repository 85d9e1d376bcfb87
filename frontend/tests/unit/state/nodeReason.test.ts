import { beforeEach, describe, expect, it } from 'vitest';
import type { NodeStream } from '../../../src/api/types';
import { locale } from '../../../src/i18n/locale.svelte';
import { streamProblems } from '../../../src/state/nodeReason';
import { classroom, node } from '../../builders';

const failed = (stream: string, changes: Partial<NodeStream> = {}): NodeStream => ({
  stream,
  state: 'failed',
  age_s: 41,
  reason: 'refused',
  reason_code: 'no-ingest',
  avoided: false,
  ...changes,
});

beforeEach(() => locale.choose('en'));

describe('the classes that a node does not get', () => {
  it('are named, with a reason and a duration', () => {
    const physics = classroom();
    expect(streamProblems(node(1, { streams: [failed('c1')] }), [physics])).toEqual([
      'Physics: It cannot reach the ingest (for 41 s).',
    ]);
    locale.choose('ko');
    expect(streamProblems(node(1, { streams: [failed('c1', { avoided: true })] }), [physics])).toEqual([
      'Physics: 수신 서버에 연결하지 못합니다 (41초째). 이 수업의 학생들은 다른 노드를 씁니다.',
    ]);
  });

  it('are unknown only while a class is live', () => {
    const unknown = node(1, { streams: [failed('c1', { state: 'unknown', reason_code: '' })] });
    expect(streamProblems(unknown, [classroom({ state: 'waiting' })])).toEqual([]);
    expect(streamProblems(unknown, [classroom({ state: 'live' })])).toEqual([
      'Physics: the ingest has not answered yet.',
    ]);
  });

  it('are none with an older master, and not more than a screen holds', () => {
    expect(streamProblems(node(1), [])).toEqual([]);
    const many = Array.from({ length: 30 }, (_, n) => failed(`c${n}`));
    const problems = streamProblems(node(1, { streams: many }), []);
    expect([problems.length, problems.at(-1)]).toEqual([6, 'and 25 more']);
  });
});
