// A WebSocket to the master that stays open: it reconnects with growing, jittered pauses, pings, and
// treats silence as death. What the messages mean is not decided here.

const PING_EVERY_MS = 10_000;
const SILENT_AFTER_MS = 30_000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 10_000;

export interface SocketHandlers<News> {
  news(message: News): void;
  /** Messages come, or the connection was lost; `failures` counts tries without success in between. */
  status?(open: boolean, failures: number): void;
  /** Extra fields for the next ping, read just before it is sent. */
  report?(): Record<string, number>;
}

/** Milliseconds before try number `failures` (1, 2, …); `random` in [0, 1) spreads a whole class out. */
export function pauseMs(failures: number, random: number): number {
  const full = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.max(0, failures - 1));
  return full * (0.5 + random / 2);
}

export class LiveSocket<News extends { type: string }> {
  #socket: WebSocket | null = null;
  #failures = 0;
  #heardAtMs = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #ping: ReturnType<typeof setInterval> | undefined;
  #closed = false;
  #proven = false;

  constructor(
    private readonly url: () => string,
    private readonly handlers: SocketHandlers<News>,
  ) {
    this.#open();
  }

  /** Try at once, because the network or the tab just came back. */
  wake(): void {
    if (this.#closed) return;
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#sendPing();
      return;
    }
    clearTimeout(this.#retry);
    this.#open();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    clearInterval(this.#ping);
    this.#drop();
  }

  #open(): void {
    this.#drop();
    const socket = new WebSocket(this.url());
    this.#socket = socket;
    this.#proven = false;
    this.#heardAtMs = Date.now();
    socket.onopen = () => {
      this.#heardAtMs = Date.now();
    };
    socket.onmessage = (event: MessageEvent<unknown>) => {
      this.#heardAtMs = Date.now();
      const message = parse<News>(event.data);
      if (message === null || message.type === 'pong') return;
      // A socket that only says no is a failure too, or the tries would never slow down.
      if (message.type !== 'refused') this.#working();
      this.handlers.news(message);
    };
    socket.onclose = () => this.#lost();
    clearInterval(this.#ping);
    this.#ping = setInterval(() => {
      if (Date.now() - this.#heardAtMs > SILENT_AFTER_MS) this.#lost();
      else this.#sendPing();
    }, PING_EVERY_MS);
  }

  #working(): void {
    if (this.#proven) return;
    this.#proven = true;
    this.#failures = 0;
    this.handlers.status?.(true, 0);
  }

  #sendPing(): void {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify({ type: 'ping', ...this.handlers.report?.() }));
    }
  }

  #lost(): void {
    this.#drop();
    clearInterval(this.#ping);
    if (this.#closed) return;
    this.#failures += 1;
    this.handlers.status?.(false, this.#failures);
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#open(), pauseMs(this.#failures, Math.random()));
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }
}

function parse<News extends { type: string }>(data: unknown): News | null {
  if (typeof data !== 'string') return null;
  try {
    const message: unknown = JSON.parse(data);
    return typeof message === 'object' && message !== null && 'type' in message ? (message as News) : null;
  } catch {
    return null;
  }
}

/** The ws:// or wss:// address of a path on the page's own host. */
export function socketUrl(path: string, query: Record<string, string>): string {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.search = new URLSearchParams(query).toString();
  url.hash = '';
  return url.href;
}
