import type { StreamState } from './types';

/** The last segment of the `type` of a problem document (RFC 9457). */
export type Slug =
  | 'unknown-code'
  | 'wrong-password'
  | 'class-closed'
  | 'class-ended'
  | 'cluster-full'
  | 'class-full'
  | 'too-many-tries'
  | 'not-signed-in'
  | 'forbidden'
  | 'not-found'
  | 'invalid'
  | 'conflict'
  | 'last-admin'
  | 'node-at-work'
  | 'no-lesson'
  | 'blocked'
  | 'lesson-runs'
  | 'last-node'
  | 'no-webhook'
  | 'offline'
  | 'failed';

/** A failed request; `offline` means that no response arrived. */
export class ApiError extends Error {
  override readonly name = 'ApiError';

  constructor(
    readonly slug: Slug,
    readonly status: number,
    detail: string,
    /** Seconds to wait before the next attempt, if the response names them. */
    readonly retryAfterS: number | null = null,
  ) {
    super(detail);
  }
}

const SLUGS = new Set<string>([
  'unknown-code',
  'wrong-password',
  'class-closed',
  'class-ended',
  'cluster-full',
  'class-full',
  'too-many-tries',
  'not-signed-in',
  'forbidden',
  'not-found',
  'invalid',
  'conflict',
  'last-admin',
  'node-at-work',
  'no-lesson',
  'blocked',
  'lesson-runs',
  'last-node',
  'no-webhook',
]);

const BY_STATUS: Record<number, Slug> = {
  400: 'invalid',
  401: 'not-signed-in',
  403: 'forbidden',
  404: 'not-found',
  409: 'conflict',
  413: 'invalid',
  415: 'invalid',
  429: 'too-many-tries',
};

const DEFAULT_TIMEOUT_MS = 10_000;

export interface CallOptions {
  body?: unknown;
  token?: string;
  timeoutMs?: number;
}

/** Send a request to the master and return the JSON of its response. Throws ApiError on any failure. */
export async function call<T>(
  method: string,
  path: string,
  { body, token, timeoutMs }: CallOptions = {},
): Promise<T> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (token !== undefined) headers['Authorization'] = `Bearer ${token}`;
  let response: Response;
  let text: string;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      credentials: 'same-origin',
      cache: 'no-store',
      signal: AbortSignal.timeout(timeoutMs ?? DEFAULT_TIMEOUT_MS),
    });
    text = await response.text();
  } catch (error) {
    throw new ApiError('offline', 0, error instanceof Error ? error.message : 'no response');
  }
  if (!response.ok) throw parseProblem(response.status, text, response.headers.get('Retry-After'));
  if (text === '') return undefined as T;
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new ApiError('failed', response.status, 'The response was not JSON.');
  }
}

/** Make an ApiError of an error response, also if its body is not a problem document. */
export function parseProblem(status: number, text: string, retryAfter: string | null): ApiError {
  let document: { type?: unknown; detail?: unknown; title?: unknown; retry_after_s?: unknown } = {};
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null) document = parsed;
  } catch {
    // A proxy may respond with HTML. Only the status counts then.
  }
  const named = typeof document.type === 'string' ? (document.type.split(/[/#:]/).pop() ?? '') : '';
  const slug = SLUGS.has(named) ? (named as Slug) : (BY_STATUS[status] ?? 'failed');
  const wait =
    typeof document.retry_after_s === 'number' ? document.retry_after_s : Number(retryAfter ?? NaN);
  const detail = [document.detail, document.title].find((part) => typeof part === 'string');
  return new ApiError(
    slug,
    status,
    typeof detail === 'string' ? detail : `HTTP ${status}`,
    Number.isFinite(wait) ? wait : null,
  );
}

const STATES = new Set<unknown>(['waiting', 'live', 'reconnecting', 'between-lessons', 'ended']);

export function isStreamState(value: unknown): value is StreamState {
  return STATES.has(value);
}
