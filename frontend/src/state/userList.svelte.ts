// The accounts of teachers, monitors and administrators.
import {
  changeUser,
  createUser,
  deleteUser,
  listUsers,
  createLoginLink,
  type NewUser,
  type UserChange,
} from '../api/users';
import type { LoginLink, User } from '../api/types';
import { errorMessage } from './errorMessage';

export type { NewUser, UserChange } from '../api/users';

export class UserList {
  list = $state.raw<User[] | null>(null);
  problem = $state('');

  async load(): Promise<void> {
    await this.#attempt(async () => undefined);
  }

  add(user: NewUser): Promise<boolean> {
    return this.#attempt(() => createUser(user));
  }

  change(id: string, change: UserChange): Promise<boolean> {
    return this.#attempt(() => changeUser(id, change));
  }

  remove(id: string): Promise<boolean> {
    return this.#attempt(() => deleteUser(id));
  }

  /** Create a one-time sign-in link, or return null if the master refuses. */
  async link(id: string): Promise<LoginLink | null> {
    let created: LoginLink | null = null;
    await this.#attempt(async () => (created = await createLoginLink(id)));
    return created;
  }

  async #attempt(work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      this.list = await listUsers();
      this.problem = '';
      return true;
    } catch (error) {
      this.problem = errorMessage(error);
      return false;
    }
  }
}
