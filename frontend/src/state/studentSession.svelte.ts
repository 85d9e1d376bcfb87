// The state machine of a student: enter code, name and password, wait, watch, leave. It does not handle
// video: the player reads `token` and `stream`.
import { ApiError } from '../api/client';
import { join, renew, type JoinRequest } from '../api/join';
import { ReconnectingSocket, socketUrl } from '../api/reconnectingSocket';
import type { JoinResponse, Pathway, StreamState, StudentMessage } from '../api/types';
import { normalizeCode } from './classroomCode';
import { Countdown } from './countdown.svelte';
import { readStored, removeStored, writeStored } from './deviceStorage';
import type { InputProblem, StudentPhase } from './studentPhase';

const CLOSED_RETRY_S = 10;
const FULL_RETRY_S = 8;
const UNREACHABLE_RETRY_S = 3;
const POLL_EVERY_MS = 5_000;
/** After this many failed attempts to open the WebSocket, poll the state. */
const FAILURES_BEFORE_POLLING = 2;
/** A token is renewed after this share of its lifetime. */
const RENEW_AT_SHARE = 0.7;
const RENEW_RETRY_MS = 15_000;
const LONGEST_TIMER_MS = 2_000_000_000;

/** Figures of the player for the master, sent with each ping. */
export interface PlayerReport {
  latency_ms: number;
  buffer_ms: number;
  stalls: number;
}

export class StudentSession {
  phase = $state<StudentPhase>('code');
  problem = $state<InputProblem | null>(null);
  code = $state('');
  name = $state(readStored('name') ?? '');
  stream = $state<StreamState>('waiting');
  joined = $state.raw<JoinResponse | null>(null);
  pathways = $state.raw<Pathway[]>([]);
  priority = $state.raw<string[]>([]);
  viewers = $state<number | null>(null);
  full = $state(false);
  connected = $state(true);
  online = $state(navigator.onLine);
  readonly countdown = new Countdown();
  report: (() => PlayerReport | null) | null = null;

  #password = '';
  /** The stored token of an earlier page load, until it is renewed or rejected. */
  #storedToken: string | null = null;
  #socket: ReconnectingSocket<StudentMessage> | null = null;
  #poll: ReturnType<typeof setInterval> | undefined;
  #renewal: ReturnType<typeof setTimeout> | undefined;

  get token(): string {
    return this.joined?.token ?? '';
  }

  /** Start from a path such as /join/K7QF: rejoin with a stored token, otherwise ask for the name. */
  async begin(code: string): Promise<void> {
    this.code = normalizeCode(code);
    this.phase = this.code === '' ? 'code' : 'name';
    this.#storedToken = this.code === '' ? null : readStored(`token.${this.code}`);
    if (this.#storedToken !== null) await this.#rejoin(this.#storedToken);
  }

  enterCode(code: string): void {
    this.code = normalizeCode(code);
    this.problem = null;
    if (this.code !== '') this.phase = 'name';
  }

  backToCode(): void {
    this.#leaveClass();
    this.#storedToken = null;
    this.problem = null;
    this.phase = 'code';
  }

  async enterName(name: string): Promise<void> {
    this.name = name.trim().slice(0, 40);
    if (this.name === '') {
      this.problem = 'invalid';
      return;
    }
    writeStored('name', this.name);
    await this.tryJoin();
  }

  async enterPassword(password: string): Promise<void> {
    this.#password = password;
    await this.tryJoin();
  }

  async tryJoin(): Promise<void> {
    this.countdown.stop();
    if (this.#storedToken !== null) return this.#rejoin(this.#storedToken);
    const waiting = this.phase === 'full' || this.phase === 'closed' || this.phase === 'unreachable';
    if (!waiting) this.phase = 'joining';
    const request: JoinRequest = { code: this.code, name: this.name };
    if (this.#password !== '') request.password = this.#password;
    if (this.token !== '') request.rejoin = this.token;
    try {
      this.#joined(await join(request));
    } catch (error) {
      this.#joinRefused(error instanceof ApiError ? error : new ApiError('failed', 0, String(error)));
    }
  }

  /** Renew the token, which also returns the current relays. */
  async refresh(): Promise<boolean> {
    if (this.phase !== 'class') return false;
    try {
      this.#apply(await renew(this.token));
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

  /** The tab is visible again, or the network is back. */
  wake(): void {
    if (this.phase === 'class') this.#socket?.wake();
    if (this.phase === 'unreachable') void this.tryJoin();
    if (
      this.phase === 'class' &&
      this.joined !== null &&
      Date.parse(this.joined.expires_at) - Date.now() < 60_000
    )
      void this.refresh();
  }

  leave(): void {
    removeStored(`token.${this.code}`);
    this.#leaveClass();
    this.phase = 'code';
  }

  destroy(): void {
    this.#leaveClass();
  }

  /** Rejoin with the stored token. Keep the token if the master does not respond or has no relay yet. */
  async #rejoin(token: string): Promise<void> {
    if (this.phase === 'name') this.phase = 'joining';
    try {
      this.#joined(await renew(token));
    } catch (error) {
      if (error instanceof ApiError && (error.status === 0 || error.status >= 500)) {
        const phase = error.slug === 'cluster-full' ? 'full' : 'unreachable';
        return this.#waitIn(phase, error.retryAfterS ?? UNREACHABLE_RETRY_S);
      }
      this.#storedToken = null;
      removeStored(`token.${this.code}`);
      this.phase = 'name'; // the student can always join by name
    }
  }

  #joined(joined: JoinResponse): void {
    this.#storedToken = null;
    this.problem = null;
    this.phase = 'class';
    this.#apply(joined);
    this.#connect();
  }

  #apply(joined: JoinResponse): void {
    this.joined = joined;
    this.stream = joined.state;
    this.pathways = joined.pathways;
    this.priority = joined.priority;
    writeStored(`token.${this.code}`, joined.token);
    if (joined.state === 'ended') this.#finish('ended');
    else this.#scheduleRenewal(Date.parse(joined.expires_at) - Date.now());
  }

  #scheduleRenewal(life_ms: number): void {
    clearTimeout(this.#renewal);
    const wait_ms = Number.isFinite(life_ms)
      ? Math.min(Math.max(1000, life_ms * RENEW_AT_SHARE), LONGEST_TIMER_MS)
      : RENEW_RETRY_MS;
    this.#renewal = setTimeout(async () => {
      if (this.phase === 'class' && !(await this.refresh())) this.#scheduleRenewal(RENEW_RETRY_MS);
    }, wait_ms);
  }

  #connect(): void {
    this.#socket?.close();
    this.#socket = new ReconnectingSocket<StudentMessage>(
      () => socketUrl('/ws/student', { token: this.token }),
      {
        message: (message) => this.#handle(message),
        status: (open, failures) => {
          this.connected = open;
          clearInterval(this.#poll);
          if (failures >= FAILURES_BEFORE_POLLING)
            this.#poll = setInterval(() => void this.refresh(), POLL_EVERY_MS);
        },
        pingFields: () => ({ ...(this.report?.() ?? {}) }),
      },
    );
  }

  #handle(message: StudentMessage): void {
    if (message.type === 'kicked') return this.#finish('kicked');
    if (message.type === 'ended') return this.#finish('ended');
    if (message.type === 'closed') return this.#closed();
    // The token is no longer accepted. The response to a renewal says why.
    if (message.type === 'refused') return void this.refresh();
    if (message.viewers !== undefined) this.viewers = message.viewers;
    if (message.full !== undefined) this.full = message.full;
    if (message.pathways !== undefined) this.pathways = message.pathways;
    if (message.priority !== undefined) this.priority = message.priority;
    if (message.state === 'ended') return this.#finish('ended');
    if (message.state !== undefined) this.stream = message.state;
  }

  #joinRefused(error: ApiError): void {
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

  #waitIn(phase: StudentPhase, seconds: number): void {
    this.phase = phase;
    // Spread the retries, so that a class does not send them all at once.
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
    // The token expired while the tab was suspended.
    else if (error.slug === 'not-signed-in') void this.tryJoin();
  }

  /** The teacher closed the class. Wait, and join again when it opens. */
  #closed(): void {
    this.#leaveClass();
    this.#waitIn('closed', CLOSED_RETRY_S);
  }

  #finish(phase: 'ended' | 'kicked'): void {
    removeStored(`token.${this.code}`);
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
    this.full = false;
  }
}
