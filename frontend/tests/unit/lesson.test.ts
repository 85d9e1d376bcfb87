import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Lesson } from '../../src/state/lesson.svelte';
import { joined } from '../builders';
import { FakeMaster, FakeSocket, pass } from '../fakes';

let master: FakeMaster;
let lesson: Lesson;

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.install();
  master = new FakeMaster();
  master.answers = { 'POST /api/join': joined(), 'POST /api/renew': joined({ token: 'token-2' }) };
  lesson = new Lesson();
});

afterEach(() => {
  lesson.destroy();
  vi.useRealTimers();
});

const enter = async (): Promise<void> => {
  await lesson.begin('K7QF');
  await lesson.enterName('Mina');
};

describe('the way in', () => {
  it('goes from code to name to class', async () => {
    expect(lesson.phase).toBe('code');
    lesson.enterCode('k7-qf');
    expect(lesson.phase).toBe('name');
    await lesson.enterName('  Mina ');
    expect(lesson.phase).toBe('class');
    expect(master.asked[0]?.body).toEqual({ code: 'K7QF', name: 'Mina' });
  });

  it('refuses an empty name by itself', async () => {
    await lesson.begin('K7QF');
    await lesson.enterName('   ');
    expect([lesson.phase, lesson.problem, master.asked.length]).toEqual(['name', 'invalid', 0]);
  });

  it.each([
    [[404, 'unknown-code'], 'code', 'unknown-code'],
    [[403, 'forbidden'], 'name', 'not-listed'],
    [[400, 'invalid'], 'name', 'invalid'],
    [[409, 'class-ended'], 'ended', null],
  ])('%j leads to %s', async (answer, phase, problem) => {
    master.answers['POST /api/join'] = answer;
    await enter();
    expect([lesson.phase, lesson.problem]).toEqual([phase, problem]);
  });

  it('asks for a password, and says so only when one was wrong', async () => {
    master.answers['POST /api/join'] = [403, 'wrong-password'];
    await enter();
    expect([lesson.phase, lesson.problem]).toEqual(['password', null]);
    await lesson.enterPassword('no');
    expect([lesson.phase, lesson.problem]).toEqual(['password', 'wrong-password']);
    master.answers['POST /api/join'] = joined();
    await lesson.enterPassword('yes');
    expect(lesson.phase).toBe('class');
  });

  it.each([
    ['full', [503, 'class-full', 5]],
    ['full', [503, 'cluster-full', 5]],
    ['closed', [409, 'class-closed', 5]],
    ['unreachable', [502, 'x']],
  ])('waits in %s and comes in by itself', async (phase, answer) => {
    master.answers['POST /api/join'] = answer;
    await enter();
    expect(lesson.phase).toBe(phase);
    expect(lesson.countdown.left_s).toBeGreaterThan(0);
    await pass(3_000);
    master.answers['POST /api/join'] = joined();
    expect(lesson.phase).toBe(phase);
    await pass(8_000);
    expect(lesson.phase).toBe('class');
  });

  it('waits out too many tries without trying', async () => {
    master.answers['POST /api/join'] = [429, 'too-many-tries', 20];
    await enter();
    expect(lesson.phase).toBe('too-many');
    await pass(23_000);
    expect([lesson.phase, master.asked.length]).toEqual(['name', 1]);
  });
});

describe('in class', () => {
  beforeEach(enter);

  it('follows the state that the master tells', () => {
    FakeSocket.last.open().says({ type: 'snapshot', state: 'waiting', viewers: 4, priority: ['b', 'a'] });
    expect([lesson.stream, lesson.viewers, lesson.priority]).toEqual(['waiting', 4, ['b', 'a']]);
    FakeSocket.last.says({ type: 'change', state: 'reconnecting' });
    expect([lesson.stream, lesson.viewers]).toEqual(['reconnecting', 4]);
  });

  it.each([['kicked', 'kicked'], ['ended', 'ended'], ['closed', 'closed']])('%s has its screen', (type, phase) => {
    FakeSocket.last.open().says({ type });
    expect(lesson.phase).toBe(phase);
    expect(sessionStorage.getItem('airclass.token.K7QF') === null).toBe(phase !== 'closed');
  });

  it('renews its token in time, and the socket and the player use the new one', async () => {
    FakeSocket.last.open().says({ type: 'snapshot' });
    expect(lesson.token).toBe('token-1');
    await pass(3_600_000 * 0.7 + 100);
    expect(lesson.token).toBe('token-2');
    expect(master.asked.at(-1)).toMatchObject({ path: '/api/renew', token: 'token-1' });
    FakeSocket.last.drop();
    await pass(600);
    expect(FakeSocket.last.url).toContain('token=token-2');
  });

  it('keeps trying to renew while the master is away', async () => {
    delete master.answers['POST /api/renew'];
    await pass(3_600_000 * 0.7 + 20_000);
    expect(lesson.phase).toBe('class');
    master.answers['POST /api/renew'] = joined({ token: 'token-3' });
    await pass(16_000);
    expect(lesson.token).toBe('token-3');
  });

  it('joins anew when the token ran out in its sleep, and keeps its seat', async () => {
    master.answers['POST /api/renew'] = [401, 'not-signed-in'];
    await lesson.refresh();
    await pass(10);
    expect(master.asked.at(-1)?.body).toEqual({ code: 'K7QF', name: 'Mina', rejoin: 'token-1' });
    expect(lesson.phase).toBe('class');
  });

  it('polls where WebSockets do not work, and stops when they do', async () => {
    for (let i = 0; i < 3; i += 1) {
      FakeSocket.last.drop();
      await pass(2_500);
    }
    master.answers['POST /api/renew'] = joined({ state: 'reconnecting' });
    await pass(5_500);
    expect(lesson.stream).toBe('reconnecting');
    FakeSocket.last.open().says({ type: 'snapshot', state: 'live' });
    const before = master.asked.length;
    await pass(9_000);
    expect(master.asked.length).toBe(before);
  });

  it('asks why when its socket is refused', async () => {
    master.answers['POST /api/renew'] = [403, 'forbidden'];
    FakeSocket.last.open().says({ type: 'refused' });
    await pass(10);
    expect(lesson.phase).toBe('kicked');
  });

  it('goes straight back in after a reload', async () => {
    const again = new Lesson();
    await again.begin('K7QF');
    expect(again.phase).toBe('class');
    expect(master.asked.at(-1)).toMatchObject({ path: '/api/renew' });
    again.destroy();
  });

  it.each([
    [[503, 'try-later'], 'unreachable'],
    [[503, 'cluster-full'], 'full'],
  ])('keeps its seat over a reload while the master answers %j', async (answer, phase) => {
    const again = new Lesson();
    master.answers['POST /api/renew'] = answer;
    await again.begin('K7QF');
    expect(again.phase).toBe(phase);
    master.answers['POST /api/renew'] = joined({ token: 'token-3' });
    const before = master.asked.length;
    await pass(9_000);
    expect([again.phase, again.token]).toEqual(['class', 'token-3']);
    expect(master.asked.slice(before).map((a) => a.path)).toEqual(['/api/renew']);
    again.destroy();
  });

  it('asks for the name after a reload when the seat is lost', async () => {
    const again = new Lesson();
    master.answers['POST /api/renew'] = [403, 'forbidden'];
    await again.begin('K7QF');
    expect(again.phase).toBe('name');
    await again.enterName('Mina');
    expect(again.phase).toBe('class');
    expect(master.asked.at(-1)).toMatchObject({ path: '/api/join' });
    again.destroy();
  });

  it('forgets its seat when the student leaves', async () => {
    lesson.leave();
    expect(lesson.phase).toBe('code');
    const again = new Lesson();
    await again.begin('K7QF');
    expect([again.phase, again.name]).toEqual(['name', 'Mina']);
    again.destroy();
  });
});
