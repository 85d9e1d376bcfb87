import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { ReconnectingSocket, reconnectDelayMs } from '../../../src/api/reconnectingSocket';
import { FakeSocket, pass } from '../../fakes';

type Message = { type: string; n?: number };
let messages: Message[] = [];
let states: [boolean, number][] = [];
let socket: ReconnectingSocket<Message>;

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.install();
  [messages, states] = [[], []];
  let tries = 0;
  socket = new ReconnectingSocket<Message>(() => `ws://m/ws?try=${++tries}`, {
    message: (message) => messages.push(message),
    status: (open, failures) => states.push([open, failures]),
    pingFields: () => ({ latency_ms: 1900 }),
  });
});

afterEach(() => {
  socket.close();
  vi.useRealTimers();
});

it('delivers messages, but neither pongs nor invalid data', () => {
  FakeSocket.last
    .open()
    .receive({ type: 'snapshot', n: 1 })
    .receive({ type: 'pong' })
    .receive('{')
    .receive('7')
    .receive('null');
  expect(messages).toEqual([{ type: 'snapshot', n: 1 }]);
  expect(states).toEqual([[true, 0]]);
});

it('pings every ten seconds with the given fields', async () => {
  FakeSocket.last.open().receive({ type: 'snapshot' });
  await pass(10_000);
  expect(FakeSocket.last.sent).toEqual(['{"type":"ping","latency_ms":1900}']);
});

it('reconnects after a loss, with a new URL', async () => {
  FakeSocket.last.open().receive({ type: 'snapshot' }).drop();
  await pass(600);
  expect(FakeSocket.all.map((one) => one.url)).toEqual(['ws://m/ws?try=1', 'ws://m/ws?try=2']);
});

it('reconnects after 30 s without a message', async () => {
  FakeSocket.answersPings = false;
  FakeSocket.last.open().receive({ type: 'snapshot' });
  await pass(41_000);
  expect(FakeSocket.all.length).toBeGreaterThan(1);
});

it('slows down if it is refused each time', async () => {
  for (let i = 0; i < 200; i += 1) {
    if (FakeSocket.last.readyState === 0) {
      FakeSocket.last.open().receive({ type: 'refused' }).drop();
    }
    await pass(250);
  }
  expect(FakeSocket.all.length).toBeLessThan(16); // 50 seconds
  expect(states.every(([open]) => !open)).toBe(true);
});

it('reconnects at once when woken', async () => {
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

it('delays grow up to a limit and have jitter', () => {
  expect(reconnectDelayMs(1, 0)).toBe(250);
  expect(reconnectDelayMs(1, 1)).toBe(500);
  expect(reconnectDelayMs(3, 1)).toBe(2000);
  expect(reconnectDelayMs(50, 1)).toBe(10_000);
});
