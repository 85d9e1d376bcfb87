import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { LiveSocket } from '../../src/api/socket';
import { FakeSocket, pass } from '../fakes';

type News = { type: string; n?: number };
let news: News[] = [];
let states: [boolean, number][] = [];
let socket: LiveSocket<News>;

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.install();
  [news, states] = [[], []];
  let tries = 0;
  socket = new LiveSocket<News>(() => `ws://m/ws?try=${++tries}`, {
    news: (message) => news.push(message),
    status: (open, failures) => states.push([open, failures]),
    report: () => ({ latency_ms: 1900 }),
  });
});

afterEach(() => {
  socket.close();
  vi.useRealTimers();
});

it('hands on news and keeps pongs and nonsense to itself', () => {
  FakeSocket.last.open().says({ type: 'snapshot', n: 1 }).says({ type: 'pong' }).says('{').says('7').says('null');
  expect(news).toEqual([{ type: 'snapshot', n: 1 }]);
  expect(states).toEqual([[true, 0]]);
});

it('pings every ten seconds with the player’s figures', async () => {
  FakeSocket.last.open().says({ type: 'snapshot' });
  await pass(10_000);
  expect(FakeSocket.last.sent).toEqual(['{"type":"ping","latency_ms":1900}']);
});

it('comes back after a loss, with a fresh address', async () => {
  FakeSocket.last.open().says({ type: 'snapshot' }).drop();
  await pass(600);
  expect(FakeSocket.all.map((one) => one.url)).toEqual(['ws://m/ws?try=1', 'ws://m/ws?try=2']);
});

it('takes half a minute of silence for death', async () => {
  FakeSocket.answers = false;
  FakeSocket.last.open().says({ type: 'snapshot' });
  await pass(41_000);
  expect(FakeSocket.all.length).toBeGreaterThan(1);
});

it('slows down where it is refused each time', async () => {
  for (let i = 0; i < 200; i += 1) {
    if (FakeSocket.last.readyState === 0) {
      FakeSocket.last.open().says({ type: 'refused' }).drop();
    }
    await pass(250);
  }
  expect(FakeSocket.all.length).toBeLessThan(16); // 50 seconds
  expect(states.every(([open]) => !open)).toBe(true);
});

it('tries at once when woken', async () => {
  FakeSocket.last.drop();
  socket.wake();
  expect(FakeSocket.all).toHaveLength(2);
  await pass(5_000);
  expect(FakeSocket.all).toHaveLength(2);
});

it('stays closed', async () => {
  socket.close();
  socket.wake();
  await pass(60_000);
  expect(FakeSocket.all).toHaveLength(1);
});
