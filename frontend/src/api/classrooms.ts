import { call } from './client';
import type { Classroom, Joined, Viewer } from './types';

export interface NewClassroom {
  name: string;
  password?: string;
  capacity?: number;
  language?: string;
  co_teachers?: string[];
}

export type ClassAction = 'open' | 'close' | 'end' | 'new-code' | 'rotate-key';

const at = (id: string): string => `/api/classrooms/${encodeURIComponent(id)}`;

export const listClassrooms = async (): Promise<Classroom[]> =>
  (await call<{ classrooms: Classroom[] }>('GET', '/api/classrooms')).classrooms;

export const getClassroom = (id: string): Promise<Classroom> => call('GET', at(id));

export const createClassroom = (classroom: NewClassroom): Promise<Classroom> =>
  call('POST', '/api/classrooms', { body: classroom });

export const changeClassroom = (id: string, change: Partial<NewClassroom>): Promise<Classroom> =>
  call('PATCH', at(id), { body: change });

export const deleteClassroom = (id: string): Promise<void> => call('DELETE', at(id));

export const actOnClassroom = (id: string, action: ClassAction): Promise<Classroom> => call('POST', `${at(id)}/${action}`);

export const listViewers = async (id: string): Promise<Viewer[]> =>
  (await call<{ viewers: Viewer[] }>('GET', `${at(id)}/viewers`)).viewers;

export const kick = (id: string, subject: string): Promise<void> => call('POST', `${at(id)}/kick`, { body: { subject } });

export const preview = (id: string): Promise<Joined> => call('POST', `${at(id)}/preview`);
