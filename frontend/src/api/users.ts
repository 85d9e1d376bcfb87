import { call } from './client';
import type { LoginLink, Role, User } from './types';

export interface NewUser {
  name: string;
  password: string;
  role: Role;
}

export interface UserChange {
  role?: Role;
  password?: string;
  disabled?: boolean;
}

const path = (id: string): string => `/api/users/${encodeURIComponent(id)}`;

export const listUsers = async (): Promise<User[]> =>
  (await call<{ users: User[] }>('GET', '/api/users')).users;

export const createUser = (user: NewUser): Promise<User> => call('POST', '/api/users', { body: user });

export const changeUser = (id: string, change: UserChange): Promise<User> =>
  call('PATCH', path(id), { body: change });

export const deleteUser = (id: string): Promise<void> => call('DELETE', path(id));

export const createLoginLink = (id: string): Promise<LoginLink> => call('POST', `${path(id)}/link`);
