// The accounts of teachers and operators.
import { createUser, deleteUser, listUsers } from '../api/cluster';
import type { Role, User } from '../api/types';
import { explain } from './session.svelte';

export interface NewUser {
  name: string;
  password: string;
  role: Role;
}

export class People {
  list = $state.raw<User[] | null>(null);
  problem = $state('');

  async load(): Promise<void> {
    await this.#attempt(async () => undefined);
  }

  add(user: NewUser): Promise<boolean> {
    return this.#attempt(() => createUser(user));
  }

  remove(id: string): Promise<boolean> {
    return this.#attempt(() => deleteUser(id));
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
