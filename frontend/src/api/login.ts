import { call } from './client';
import type { User } from './types';

interface CurrentUser {
  user: User;
}

export const login = async (username: string, password: string): Promise<User> =>
  (await call<CurrentUser>('POST', '/api/login', { body: { username, password } })).user;

export const loginByLink = async (link_token: string): Promise<User> =>
  (await call<CurrentUser>('POST', '/api/login', { body: { link_token } })).user;

export const currentUser = async (): Promise<User> => (await call<CurrentUser>('GET', '/api/me')).user;

export const logout = (): Promise<void> => call('POST', '/api/logout');
