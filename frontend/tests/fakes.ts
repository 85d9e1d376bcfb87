// Fakes of WebSocket, fetch and the player.
import { vi } from 'vitest';
import type { CreatePlayer, Player, PlayerOptions, Sample } from '../src/player/types';
import { sample } from './builders';

export class FakeSocket {
  static readonly OPEN = 1;
  static all: FakeSocket[] = [];
  /** Whether pings are answered. */
  static answersPings = true;
  readyState = 0;
  sent: string[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;

  constructor(readonly url: string) {
    FakeSocket.all.push(this);
  }

  static install(): void {
    FakeSocket.all = [];
    FakeSocket.answersPings = true;
    vi.stubGlobal('WebSocket', FakeSocket);
  }

  static get last(): FakeSocket {
    const socket = FakeSocket.all.at(-1);
    if (socket === undefined) throw new Error('no socket was opened');
    return socket;
  }

  open(): this {
    this.readyState = 1;
    this.onopen?.();
    return this;
  }

  receive(message: unknown): this {
    this.onmessage?.({ data: typeof message === 'string' ? message : JSON.stringify(message) });
    return this;
  }

  drop(): void {
    this.readyState = 3;
    this.onclose?.();
  }

  send(text: string): void {
    this.sent.push(text);
    if (FakeSocket.answersPings) this.receive({ type: 'pong' });
  }

  close(): void {
    this.readyState = 3;
  }
}

export interface FakeRequest {
  method: string;
  path: string;
  body: unknown;
  token: string | null;
}

/** Responses of the master by `METHOD path`: JSON, or [status, problem slug, seconds]. */
export class FakeMaster {
  requests: FakeRequest[] = [];
  responses: Record<string, unknown> = {};

  constructor() {
    vi.stubGlobal('fetch', (path: string, init: RequestInit) => {
      const method = init.method ?? 'GET';
      const headers = init.headers as Record<string, string>;
      const body: unknown = typeof init.body === 'string' ? JSON.parse(init.body) : null;
      this.requests.push({ method, path, body, token: headers['Authorization']?.slice(7) ?? null });
      const response = this.responses[`${method} ${path}`];
      if (response === undefined) return Promise.reject(new TypeError('failed to fetch'));
      if (!Array.isArray(response))
        return Promise.resolve(
          new Response(response === null ? null : JSON.stringify(response), {
            status: response === null ? 204 : 200,
          }),
        );
      const [status, slug, retry_after_s] = response as [number, string, number?];
      return Promise.resolve(
        new Response(JSON.stringify({ type: `urn:airclass:problem:${slug}`, detail: slug, retry_after_s }), {
          status,
        }),
      );
    });
  }

  get calls(): string[] {
    return this.requests.map(({ method, path }) => `${method} ${path}`);
  }
}

export class FakePlayer implements Player {
  static all: FakePlayer[] = [];
  did: string[] = [];
  now: Sample = sample();

  constructor(readonly options: PlayerOptions) {
    FakePlayer.all.push(this);
  }

  load(url: string): void {
    this.did.push(`load ${url}`);
  }

  sample(): Sample {
    return { ...this.now, at_ms: Date.now() };
  }

  goLive(): void {
    this.did.push('goLive');
  }

  prefer(priority: string[]): void {
    this.did.push(`prefer ${priority.join()}`);
  }

  setCatchUp(allowed: boolean): void {
    this.did.push(allowed ? 'allowCatchUp' : 'blockCatchUp');
  }

  startLoad(): void {
    this.did.push('startLoad');
  }

  recoverMedia(): void {
    this.did.push('recoverMedia');
  }

  destroy(): void {
    this.did.push('destroy');
  }
}

export const createFakePlayer: CreatePlayer = (options) => Promise.resolve(new FakePlayer(options));

/** Advance the fake clock, and run due timers and promises. */
export const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
