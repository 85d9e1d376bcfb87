// A WebSocket to the master that reconnects with growing, jittered delays. It pings, and reconnects when
// nothing arrives for SILENT_AFTER_MS. It does not interpret messages.

const PING_EVERY_MS = 10_000;
const SILENT_AFTER_MS = 30_000;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 10_000;

export interface SocketHandlers<Message> {
  message(message: Message): void;
  /** Called on the first message and on a loss. `failures` counts the attempts since the last message. */
  status?(open: boolean, failures: number): void;
  /** Extra fields for the next ping, read just before it is sent. */
  pingFields?(): Record<string, number>;
}

/** Milliseconds before attempt `failures` (1, 2, …). `random` in [0, 1) spreads the attempts of a class. */
export function reconnectDelayMs(failures: number, random: number): number {
  const full = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.max(0, failures - 1));
  return full * (0.5 + random / 2);
}

export class ReconnectingSocket<Message extends { type: string }> {
  #socket: WebSocket | null = null;
  #failures = 0;
  #lastMessageAtMs = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #ping: ReturnType<typeof setInterval> | undefined;
  #closed = false;
  #working = false;

  constructor(
    private readonly url: () => string,
    private readonly handlers: SocketHandlers<Message>,
  ) {
    this.#open();
  }

  /** Reconnect now, because the network or the tab is back. */
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
    this.#working = false;
    this.#lastMessageAtMs = Date.now();
    socket.onopen = () => {
      this.#lastMessageAtMs = Date.now();
    };
    socket.onmessage = (event: MessageEvent<unknown>) => {
      this.#lastMessageAtMs = Date.now();
      const message = parse<Message>(event.data);
      if (message === null || message.type === 'pong') return;
      // A socket that is only refused counts as a failure, otherwise the delays would never grow.
      if (message.type !== 'refused') this.#setWorking();
      this.handlers.message(message);
    };
    socket.onclose = () => this.#lost();
    clearInterval(this.#ping);
    this.#ping = setInterval(() => {
      if (Date.now() - this.#lastMessageAtMs > SILENT_AFTER_MS) this.#lost();
      else this.#sendPing();
    }, PING_EVERY_MS);
  }

  #setWorking(): void {
    if (this.#working) return;
    this.#working = true;
    this.#failures = 0;
    this.handlers.status?.(true, 0);
  }

  #sendPing(): void {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify({ type: 'ping', ...this.handlers.pingFields?.() }));
    }
  }

  #lost(): void {
    this.#drop();
    clearInterval(this.#ping);
    if (this.#closed) return;
    this.#failures += 1;
    this.handlers.status?.(false, this.#failures);
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#open(), reconnectDelayMs(this.#failures, Math.random()));
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }
}

function parse<Message extends { type: string }>(data: unknown): Message | null {
  if (typeof data !== 'string') return null;
  try {
    const message: unknown = JSON.parse(data);
    return typeof message === 'object' && message !== null && 'type' in message ? (message as Message) : null;
  } catch {
    return null;
  }
}

/** The ws:// or wss:// URL of a path on the host of this page. */
export function socketUrl(path: string, query: Record<string, string>): string {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  url.search = new URLSearchParams(query).toString();
  url.hash = '';
  return url.href;
}
