// The teacher's list of classes.
import { changeClassroom, createClassroom, listClassrooms, type NewClassroom } from '../api/classrooms';
import type { Classroom } from '../api/types';
import { explain } from './session.svelte';

const REFRESH_MS = 5_000;

export class Classes {
  list = $state.raw<Classroom[] | null>(null);
  problem = $state('');

  /** Keep the list fresh while it is on screen; returns what ends that. */
  watch(): () => void {
    void this.load();
    const timer = setInterval(() => void this.load(), REFRESH_MS);
    return () => clearInterval(timer);
  }

  async load(): Promise<void> {
    try {
      this.list = await listClassrooms();
      this.problem = '';
    } catch (error) {
      this.problem = explain(error);
    }
  }

  async change(id: string, change: Partial<NewClassroom>): Promise<boolean> {
    try {
      const changed = await changeClassroom(id, change);
      this.problem = '';
      this.list = (this.list ?? []).map((known) => (known.id === id ? { ...known, ...changed } : known));
      return true;
    } catch (error) {
      this.problem = explain(error);
      return false;
    }
  }

  /** Make a class; the answer carries its key, which is told only this once. */
  async create(wanted: NewClassroom): Promise<Classroom | null> {
    try {
      const made = await createClassroom(wanted);
      this.problem = '';
      this.list = [made, ...(this.list ?? []).filter((known) => known.id !== made.id)]; // a refresh may have been faster
      return made;
    } catch (error) {
      this.problem = explain(error);
      return null;
    }
  }
}
