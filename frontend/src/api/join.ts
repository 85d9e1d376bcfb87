import { call } from './client';
import type { ClassStatus, JoinResponse } from './types';

export interface JoinRequest {
  code: string;
  name: string;
  password?: string;
  /** The token of an earlier join. The master keeps its seat and relay. */
  rejoin?: string;
  /** A random number that identifies the browser. */
  device?: string;
}

/** The classroom that has a code. */
export interface FoundClassroom {
  name: string;
  language: string;
  status: ClassStatus;
  has_password: boolean;
}

/** Short, because a student waits for it and the join says the same. */
const LOOK_UP_TIMEOUT_MS = 3_000;

export const lookUpCode = (code: string): Promise<FoundClassroom> =>
  call('GET', `/api/join/${encodeURIComponent(code)}`, { timeoutMs: LOOK_UP_TIMEOUT_MS });

export const join = (request: JoinRequest): Promise<JoinResponse> =>
  call('POST', '/api/join', { body: request });

/** Exchange a valid token for a new one; the response is that of a join. */
export const renew = (token: string): Promise<JoinResponse> => call('POST', '/api/renew', { token });
