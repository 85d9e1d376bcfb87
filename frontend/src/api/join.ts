import { call } from './client';
import type { Joined } from './types';

export interface JoinRequest {
  code: string;
  name: string;
  password?: string;
  /** The token of an earlier visit: the master keeps the same relay for it. */
  rejoin?: string;
}

export const join = (request: JoinRequest): Promise<Joined> => call('POST', '/api/join', { body: request });

/** The same answer as join's with a new token, for one that still holds a valid token. */
export const renew = (token: string): Promise<Joined> => call('POST', '/api/renew', { token });
