// The accounts of teachers and operators.
import { changeUser, createUser, deleteUser, listUsers, makeLink, type NewUser, type UserChange } from '../api/users';
import type { LoginLink, User } from '../api/types';
import { explain } from './session.svelte';

export type { NewUser, UserChange } from '../api/users';

export class People {
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

  /** Make a link that signs this person in, once; null when the master refused. */
  async link(id: string): Promise<LoginLink | null> {
    let made: LoginLink | null = null;
    await this.#attempt(async () => (made = await makeLink(id)));
    return made;
  }

  async #attempt(work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      this.list = await listUsers();
      this.problem = '';
      return true;
    } catch (error) {
      this.problem = explain(error);
      return false;
    }
  }
}
