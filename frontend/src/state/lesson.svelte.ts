// One student's way through a class: code, name, password, waiting, watching, and every way out of it.
// Knows nothing about video; the player asks it for the token and listens to `stream`.
import { ApiError } from '../api/client';
import { join, renew, type JoinRequest } from '../api/join';
import { LiveSocket, socketUrl } from '../api/socket';
import type { Joined, Pathway, StreamState, StudentNews } from '../api/types';
import { Countdown } from './countdown.svelte';
import { forget, recall, remember } from './device';

export type Phase =
  | 'code' | 'name' | 'password' | 'joining' // on the way in
  | 'closed' | 'full' | 'too-many' | 'unreachable' // waits and tries by itself
  | 'class' // inside: see `stream`
  | 'ended' | 'kicked';

export type Problem = 'unknown-code' | 'wrong-password' | 'invalid' | 'not-listed' | null;

const CLOSED_RETRY_S = 10;
const FULL_RETRY_S = 8;
const UNREACHABLE_RETRY_S = 3;
const POLL_EVERY_MS = 5_000;
/** Without a WebSocket after so many tries, the state is polled instead. */
const FAILURES_BEFORE_POLLING = 2;
/** A token is renewed when this share of its life is over. */
const RENEW_AT_SHARE = 0.7;
const RENEW_RETRY_MS = 15_000;
const LONGEST_TIMER_MS = 2_000_000_000;

export interface Report {
  latency_ms: number;
  buffer_ms: number;
  stalls: number;
}

export class Lesson {
  phase = $state<Phase>('code');
  problem = $state<Problem>(null);
  code = $state('');
  name = $state(recall('name') ?? '');
  stream = $state<StreamState>('waiting');
  joined = $state.raw<Joined | null>(null);
  pathways = $state.raw<Pathway[]>([]);
  priority = $state.raw<string[]>([]);
  viewers = $state<number | null>(null);
  connected = $state(true);
  online = $state(navigator.onLine);
  readonly countdown = new Countdown();
  report: (() => Report | null) | null = null;

  #password = '';
  /** The token of a seat from before this page was loaded, until it is taken up again or lost. */
  #kept: string | null = null;
  #socket: LiveSocket<StudentNews> | null = null;
  #poll: ReturnType<typeof setInterval> | undefined;
  #renewal: ReturnType<typeof setTimeout> | undefined;

  get token(): string {
    return this.joined?.token ?? '';
  }

  /** Start from an address such as /join/K7QF: straight back in after a reload, else to the name. */
  async begin(code: string): Promise<void> {
    this.code = tidy(code);
    this.phase = this.code === '' ? 'code' : 'name';
    this.#kept = this.code === '' ? null : recall(`token.${this.code}`);
    if (this.#kept !== null) await this.#resume(this.#kept);
  }

  enterCode(code: string): void {
    this.code = tidy(code);
    this.problem = null;
    if (this.code !== '') this.phase = 'name';
  }

  backToCode(): void {
    this.#leaveClass();
    this.#kept = null;
    this.problem = null;
    this.phase = 'code';
  }

  async enterName(name: string): Promise<void> {
    this.name = name.trim().slice(0, 40);
    if (this.name === '') {
      this.problem = 'invalid';
      return;
    }
    remember('name', this.name);
    await this.tryJoin();
  }

  async enterPassword(password: string): Promise<void> {
    this.#password = password;
    await this.tryJoin();
  }

  async tryJoin(): Promise<void> {
    this.countdown.stop();
    if (this.#kept !== null) return this.#resume(this.#kept);
    const waiting = this.phase === 'full' || this.phase === 'closed' || this.phase === 'unreachable';
    if (!waiting) this.phase = 'joining';
    const request: JoinRequest = { code: this.code, name: this.name };
    if (this.#password !== '') request.password = this.#password;
    if (this.token !== '') request.rejoin = this.token;
    try {
      this.#enter(await join(request));
    } catch (error) {
      this.#refused(error instanceof ApiError ? error : new ApiError('failed', 0, String(error)));
    }
  }

  /** Ask the master for relays again, because none of the known ones plays. */
  async refresh(): Promise<boolean> {
    if (this.phase !== 'class') return false;
    try {
      this.#take(await renew(this.token));
      return true;
    } catch (error) {
      if (error instanceof ApiError) this.#renewalRefused(error);
      return false;
    }
  }

  setOnline(online: boolean): void {
    this.online = online;
    if (online) this.wake();
  }

  /** The tab or the network is back. */
  wake(): void {
    if (this.phase === 'class') this.#socket?.wake();
    if (this.phase === 'unreachable') void this.tryJoin();
    if (this.phase === 'class' && this.joined !== null && Date.parse(this.joined.expires_at) - Date.now() < 60_000) void this.refresh();
  }

  leave(): void {
    forget(`token.${this.code}`);
    this.#leaveClass();
    this.phase = 'code';
  }

  destroy(): void {
    this.#leaveClass();
  }

  /** Back into the seat; a master that is away, or does not know its relays yet, takes nobody's seat. */
  async #resume(token: string): Promise<void> {
    if (this.phase === 'name') this.phase = 'joining';
    try {
      this.#enter(await renew(token));
    } catch (error) {
      if (error instanceof ApiError && (error.status === 0 || error.status >= 500)) {
        const phase = error.slug === 'cluster-full' ? 'full' : 'unreachable';
        return this.#waitIn(phase, error.retryAfterS ?? UNREACHABLE_RETRY_S);
      }
      this.#kept = null;
      forget(`token.${this.code}`);
      this.phase = 'name'; // the way in by name is always open
    }
  }

  #enter(joined: Joined): void {
    this.#kept = null;
    this.problem = null;
    this.phase = 'class';
    this.#take(joined);
    this.#connect();
  }

  #take(joined: Joined): void {
    this.joined = joined;
    this.stream = joined.state;
    this.pathways = joined.pathways;
    this.priority = joined.priority;
    remember(`token.${this.code}`, joined.token);
    if (joined.state === 'ended') this.#finish('ended');
    else this.#scheduleRenewal(Date.parse(joined.expires_at) - Date.now());
  }

  #scheduleRenewal(life_ms: number): void {
    clearTimeout(this.#renewal);
    const wait_ms = Number.isFinite(life_ms) ? Math.min(Math.max(1000, life_ms * RENEW_AT_SHARE), LONGEST_TIMER_MS) : RENEW_RETRY_MS;
    this.#renewal = setTimeout(async () => {
      if (this.phase === 'class' && !(await this.refresh())) this.#scheduleRenewal(RENEW_RETRY_MS);
    }, wait_ms);
  }

  #connect(): void {
    this.#socket?.close();
    this.#socket = new LiveSocket<StudentNews>(() => socketUrl('/ws/student', { token: this.token }), {
      news: (news) => this.#heard(news),
      status: (open, failures) => {
        this.connected = open;
        clearInterval(this.#poll);
        if (failures >= FAILURES_BEFORE_POLLING) this.#poll = setInterval(() => void this.refresh(), POLL_EVERY_MS);
      },
      report: () => ({ ...(this.report?.() ?? {}) }),
    });
  }

  #heard(news: StudentNews): void {
    if (news.type === 'kicked') return this.#finish('kicked');
    if (news.type === 'ended') return this.#finish('ended');
    if (news.type === 'closed') return this.#closed();
    // The token is not taken any more: renewing it tells why.
    if (news.type === 'refused') return void this.refresh();
    if (news.viewers !== undefined) this.viewers = news.viewers;
    if (news.pathways !== undefined) this.pathways = news.pathways;
    if (news.priority !== undefined) this.priority = news.priority;
    if (news.state === 'ended') return this.#finish('ended');
    if (news.state !== undefined) this.stream = news.state;
  }

  #refused(error: ApiError): void {
    switch (error.slug) {
      case 'unknown-code':
      case 'not-found':
        this.problem = 'unknown-code';
        this.phase = 'code';
        return;
      case 'wrong-password':
        this.problem = this.#password === '' ? null : 'wrong-password';
        this.phase = 'password';
        return;
      case 'invalid':
        this.problem = 'invalid';
        this.phase = 'name';
        return;
      case 'class-ended':
        return this.#finish('ended');
      case 'forbidden':
        this.problem = 'not-listed';
        this.phase = 'name';
        return;
      case 'class-closed':
        return this.#waitIn('closed', error.retryAfterS ?? CLOSED_RETRY_S);
      case 'class-full':
      case 'cluster-full':
        return this.#waitIn('full', error.retryAfterS ?? FULL_RETRY_S);
      case 'too-many-tries':
        return this.#waitIn('too-many', error.retryAfterS ?? 30);
      default:
        this.#waitIn('unreachable', UNREACHABLE_RETRY_S);
    }
  }

  #waitIn(phase: Phase, seconds: number): void {
    this.phase = phase;
    // A little spread, so that a whole class does not knock in the same instant.
    const wait_s = Math.max(1, Math.round(seconds + Math.random() * 2));
    this.countdown.start(wait_s, () => {
      if (phase === 'too-many') this.phase = 'name';
      else void this.tryJoin();
    });
  }

  #renewalRefused(error: ApiError): void {
    if (error.slug === 'class-ended') this.#finish('ended');
    else if (error.slug === 'forbidden') this.#finish('kicked');
    else if (error.slug === 'class-closed') this.#closed();
    else if (error.slug === 'not-signed-in') void this.tryJoin(); // the token ran out while the tab slept
  }

  /** The teacher closed the class: outside, and back in by itself when it opens. */
  #closed(): void {
    this.#leaveClass();
    this.#waitIn('closed', CLOSED_RETRY_S);
  }

  #finish(phase: 'ended' | 'kicked'): void {
    forget(`token.${this.code}`);
    this.#leaveClass();
    this.phase = phase;
  }

  #leaveClass(): void {
    this.#socket?.close();
    this.#socket = null;
    clearInterval(this.#poll);
    clearTimeout(this.#renewal);
    this.countdown.stop();
    this.joined = null;
    this.stream = 'waiting';
    this.viewers = null;
  }
}

/** A code as people type it: spaces, dashes and small letters do not matter. */
export function tidy(code: string): string {
  return code.toUpperCase().replace(/[^0-9A-Z]/g, '');
}
