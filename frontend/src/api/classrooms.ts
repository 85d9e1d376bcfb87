import { call } from './client';
import type { Classroom, JoinResponse, Lesson, Teacher, Viewer } from './types';

export interface NewClassroom {
  name: string;
  password?: string;
  capacity?: number;
  language?: string;
  co_teachers?: string[];
  roster?: string[];
  starts_when_live?: boolean;
}

export type ClassAction = 'open' | 'close' | 'retire' | 'new-code' | 'rotate-key';
export type LessonAction = 'start-lesson' | 'end-lesson';

const path = (id: string): string => `/api/classrooms/${encodeURIComponent(id)}`;

export const listClassrooms = async (): Promise<Classroom[]> =>
  (await call<{ classrooms: Classroom[] }>('GET', '/api/classrooms')).classrooms;

export const getClassroom = (id: string): Promise<Classroom> => call('GET', path(id));

export const createClassroom = (classroom: NewClassroom): Promise<Classroom> =>
  call('POST', '/api/classrooms', { body: classroom });

export const changeClassroom = (id: string, change: Partial<NewClassroom>): Promise<Classroom> =>
  call('PATCH', path(id), { body: change });

export const deleteClassroom = (id: string): Promise<void> => call('DELETE', path(id));

export const actOnClassroom = (id: string, action: ClassAction): Promise<Classroom> =>
  call('POST', `${path(id)}/${action}`);

export const actOnLesson = (id: string, action: LessonAction): Promise<Lesson> =>
  call('POST', `${path(id)}/${action}`);

export const listViewers = async (id: string): Promise<Viewer[]> =>
  (await call<{ viewers: Viewer[] }>('GET', `${path(id)}/viewers`)).viewers;

export const kickViewer = (id: string, subject: string, block: boolean): Promise<void> =>
  call('POST', `${path(id)}/kick`, { body: { subject, block } });

export const unblockStudent = (id: string, blockedId: string): Promise<void> =>
  call('DELETE', `${path(id)}/blocked/${encodeURIComponent(blockedId)}`);

export const listTeachers = async (): Promise<Teacher[]> =>
  (await call<{ teachers: Teacher[] }>('GET', '/api/teachers')).teachers;

export const joinPreview = (id: string): Promise<JoinResponse> => call('POST', `${path(id)}/preview`);
