// The classrooms that a teacher or an administrator may manage.
import { changeClassroom, createClassroom, listClassrooms, type NewClassroom } from '../api/classrooms';
import type { Classroom } from '../api/types';
import { errorMessage } from './errorMessage';

const REFRESH_MS = 5_000;

export class ClassroomList {
  list = $state.raw<Classroom[] | null>(null);
  problem = $state('');

  /** Refresh the list at intervals. Returns a function that stops it. */
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
      this.problem = errorMessage(error);
    }
  }

  async change(id: string, change: Partial<NewClassroom>): Promise<boolean> {
    try {
      const changed = await changeClassroom(id, change);
      this.problem = '';
      this.list = (this.list ?? []).map((known) => (known.id === id ? { ...known, ...changed } : known));
      return true;
    } catch (error) {
      this.problem = errorMessage(error);
      return false;
    }
  }

  /** Create a classroom. Only this response contains its stream key. */
  async create(wanted: NewClassroom): Promise<Classroom | null> {
    try {
      const created = await createClassroom(wanted);
      this.problem = '';
      // A refresh may have added it first.
      this.list = [created, ...(this.list ?? []).filter((known) => known.id !== created.id)];
      return created;
    } catch (error) {
      this.problem = errorMessage(error);
      return null;
    }
  }
}
