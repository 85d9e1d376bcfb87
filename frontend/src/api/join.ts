import { call } from './client';
import type { JoinResponse } from './types';

export interface JoinRequest {
  code: string;
  name: string;
  password?: string;
  /** The token of an earlier join. The master keeps its seat and relay. */
  rejoin?: string;
}

export const join = (request: JoinRequest): Promise<JoinResponse> =>
  call('POST', '/api/join', { body: request });

/** Exchange a valid token for a new one; the response is that of a join. */
export const renew = (token: string): Promise<JoinResponse> => call('POST', '/api/renew', { token });
