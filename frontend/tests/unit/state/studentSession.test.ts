import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StudentSession } from '../../../src/state/studentSession.svelte';
import { joinResponse } from '../../builders';
import { FakeMaster, FakeSocket, pass } from '../../fakes';

let master: FakeMaster;
let session: StudentSession;

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.install();
  master = new FakeMaster();
  master.responses = {
    'GET /api/join/K7QF': { name: 'Physics', language: 'ko', status: 'open', has_password: false },
    'POST /api/join': joinResponse(),
    'POST /api/renew': joinResponse({ token: 'token-2' }),
  };
  session = new StudentSession();
});

afterEach(() => {
  session.destroy();
  vi.useRealTimers();
});

const enter = async (): Promise<void> => {
  await session.begin('K7QF');
  await session.enterName('Mina');
};

describe('joining', () => {
  it('goes from code to name to class', async () => {
    expect(session.phase).toBe('code');
    await session.enterCode('k7-qf');
    expect(session.phase).toBe('name');
    await session.enterName('  Mina ');
    expect(session.phase).toBe('class');
    expect(master.calls).toEqual(['GET /api/join/K7QF', 'POST /api/join']);
    expect(master.requests[1]?.body).toEqual({
      code: 'K7QF',
      name: 'Mina',
      device: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
    });
  });

  it('reports a wrong code before it asks for the name', async () => {
    master.responses['GET /api/join/K7QF'] = [404, 'unknown-code'];
    await session.enterCode('K7QF');
    expect([session.phase, session.problem]).toEqual(['code', 'unknown-code']);
  });

  it('reports a wrong code in a link, but not after the name was sent', async () => {
    master.responses['GET /api/join/K7QF'] = [404, 'unknown-code'];
    await session.begin('K7QF');
    await pass(1);
    expect([session.phase, session.problem]).toEqual(['code', 'unknown-code']);
  });

  it.each([[[429, 'too-many-tries', 9]], [[500, 'x']]])('asks for the name after %j', async (answer) => {
    master.responses['GET /api/join/K7QF'] = answer;
    await session.enterCode('K7QF');
    expect([session.phase, session.problem]).toEqual(['name', null]);
  });

  it('keeps one random number per device', async () => {
    await enter();
    const other = new StudentSession();
    await other.begin('K7QF');
    await other.enterName('Jun');
    const sent = master.requests.map(({ body }) => (body as { device?: string } | null)?.device);
    expect(new Set(sent.filter(Boolean)).size).toBe(1);
    other.destroy();
  });

  it('rejects an empty name without a request', async () => {
    await session.begin('K7QF');
    await session.enterName('   ');
    expect([session.phase, session.problem]).toEqual(['name', 'invalid']);
    expect(master.calls).toEqual(['GET /api/join/K7QF']);
  });

  it.each([
    [[404, 'unknown-code'], 'code', 'unknown-code'],
    [[403, 'forbidden'], 'name', 'not-listed'],
    [[400, 'invalid'], 'name', 'invalid'],
    [[403, 'blocked'], 'kicked', null],
    [[409, 'class-ended'], 'ended', null],
  ])('%j leads to %s', async (answer, phase, problem) => {
    master.responses['POST /api/join'] = answer;
    await enter();
    expect([session.phase, session.problem]).toEqual([phase, problem]);
  });

  it('asks for a password, and reports an error only if one was wrong', async () => {
    master.responses['POST /api/join'] = [403, 'wrong-password'];
    await enter();
    expect([session.phase, session.problem]).toEqual(['password', null]);
    await session.enterPassword('no');
    expect([session.phase, session.problem]).toEqual(['password', 'wrong-password']);
    master.responses['POST /api/join'] = joinResponse();
    await session.enterPassword('yes');
    expect(session.phase).toBe('class');
  });

  it.each([
    ['full', [503, 'class-full', 5]],
    ['full', [503, 'cluster-full', 5]],
    ['closed', [409, 'class-closed', 5]],
    ['unreachable', [502, 'x']],
  ])('waits in %s and joins automatically', async (phase, answer) => {
    master.responses['POST /api/join'] = answer;
    await enter();
    expect(session.phase).toBe(phase);
    expect(session.countdown.left_s).toBeGreaterThan(0);
    await pass(3_000);
    master.responses['POST /api/join'] = joinResponse();
    expect(session.phase).toBe(phase);
    await pass(8_000);
    expect(session.phase).toBe('class');
  });

  it('sends no request while there were too many tries', async () => {
    master.responses['POST /api/join'] = [429, 'too-many-tries', 20];
    await enter();
    expect(session.phase).toBe('too-many');
    await pass(23_000);
    expect(session.phase).toBe('name');
    expect(master.calls.filter((call) => call.startsWith('POST'))).toHaveLength(1);
  });
});

describe('in the class', () => {
  beforeEach(enter);

  it('follows the state that the master pushes', () => {
    FakeSocket.last.open().receive({ type: 'snapshot', state: 'waiting', viewers: 4, priority: ['b', 'a'] });
    expect([session.stream, session.viewers, session.priority]).toEqual(['waiting', 4, ['b', 'a']]);
    FakeSocket.last.receive({ type: 'change', state: 'reconnecting' });
    expect([session.stream, session.viewers]).toEqual(['reconnecting', 4]);
  });

  it.each([
    ['kicked', 'kicked'],
    ['ended', 'ended'],
    ['closed', 'closed'],
  ])('%s has its phase', (type, phase) => {
    FakeSocket.last.open().receive({ type });
    expect(session.phase).toBe(phase);
    expect(sessionStorage.getItem('airclass.token.K7QF') === null).toBe(phase !== 'closed');
  });

  it('renews its token in time, and the socket uses the new one', async () => {
    FakeSocket.last.open().receive({ type: 'snapshot' });
    expect(session.token).toBe('token-1');
    await pass(3_600_000 * 0.7 + 100);
    expect(session.token).toBe('token-2');
    expect(master.requests.at(-1)).toMatchObject({ path: '/api/renew', token: 'token-1' });
    FakeSocket.last.drop();
    await pass(600);
    expect(FakeSocket.last.url).toContain('token=token-2');
  });

  it('keeps trying to renew while the master is away', async () => {
    delete master.responses['POST /api/renew'];
    await pass(3_600_000 * 0.7 + 20_000);
    expect(session.phase).toBe('class');
    master.responses['POST /api/renew'] = joinResponse({ token: 'token-3' });
    await pass(16_000);
    expect(session.token).toBe('token-3');
  });

  it('joins again with its old token if the token expired in a suspended tab', async () => {
    master.responses['POST /api/renew'] = [401, 'not-signed-in'];
    await session.refresh();
    await pass(10);
    expect(master.requests.at(-1)?.body).toMatchObject({ code: 'K7QF', name: 'Mina', rejoin: 'token-1' });
    expect(session.phase).toBe('class');
  });

  it('polls while WebSockets do not work', async () => {
    for (let i = 0; i < 3; i += 1) {
      FakeSocket.last.drop();
      await pass(2_500);
    }
    master.responses['POST /api/renew'] = joinResponse({ state: 'reconnecting' });
    await pass(5_500);
    expect(session.stream).toBe('reconnecting');
    FakeSocket.last.open().receive({ type: 'snapshot', state: 'live' });
    const before = master.requests.length;
    await pass(9_000);
    expect(master.requests.length).toBe(before);
  });

  it('renews the token to learn why its socket was refused', async () => {
    master.responses['POST /api/renew'] = [403, 'forbidden'];
    FakeSocket.last.open().receive({ type: 'refused' });
    await pass(10);
    expect(session.phase).toBe('kicked');
  });

  it('rejoins after a reload', async () => {
    const again = new StudentSession();
    await again.begin('K7QF');
    expect(again.phase).toBe('class');
    expect(master.requests.at(-1)).toMatchObject({ path: '/api/renew' });
    again.destroy();
  });

  it.each([
    [[503, 'try-later'], 'unreachable'],
    [[503, 'cluster-full'], 'full'],
  ])('keeps its token over a reload while the master responds %j', async (answer, phase) => {
    const again = new StudentSession();
    master.responses['POST /api/renew'] = answer;
    await again.begin('K7QF');
    expect(again.phase).toBe(phase);
    master.responses['POST /api/renew'] = joinResponse({ token: 'token-3' });
    const before = master.requests.length;
    await pass(9_000);
    expect([again.phase, again.token]).toEqual(['class', 'token-3']);
    expect(master.requests.slice(before).map((a) => a.path)).toEqual(['/api/renew']);
    again.destroy();
  });

  it('asks for the name after a reload if the token is rejected', async () => {
    const again = new StudentSession();
    master.responses['POST /api/renew'] = [403, 'forbidden'];
    await again.begin('K7QF');
    expect(again.phase).toBe('name');
    await again.enterName('Mina');
    expect(again.phase).toBe('class');
    expect(master.requests.at(-1)).toMatchObject({ path: '/api/join' });
    again.destroy();
  });

  it('removes its token when the student leaves', async () => {
    session.leave();
    expect(session.phase).toBe('code');
    const again = new StudentSession();
    await again.begin('K7QF');
    expect([again.phase, again.name]).toEqual(['name', 'Mina']);
    again.destroy();
  });
});
