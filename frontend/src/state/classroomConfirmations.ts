// What a teacher is asked before an action on a classroom.
import type { Viewer } from '../api/types';
import { tt } from '../i18n/teacher';
import type { Confirmation } from './confirmation';
import type { TeacherSession } from './teacherSession.svelte';

export const askEndLesson = (session: TeacherSession): Confirmation => ({
  title: tt('endLessonAsk'),
  text: tt('endLessonText'),
  action: tt('endLesson'),
  onConfirm: () => void session.actOnLesson('end-lesson'),
});

export const askRetire = (session: TeacherSession): Confirmation => ({
  title: tt('retireAsk'),
  text: tt('retireText'),
  action: tt('retireClass'),
  danger: true,
  onConfirm: () => void session.act('retire'),
});

export const askDelete = (session: TeacherSession): Confirmation => ({
  title: tt('deleteAsk', { name: session.classroom?.name ?? '' }),
  text: tt('deleteText'),
  action: tt('deleteClass'),
  danger: true,
  onConfirm: async () => {
    if (await session.remove()) location.hash = '/';
  },
});

export const askNewCode = (session: TeacherSession): Confirmation => ({
  title: tt('newCodeAsk'),
  text: tt('newCodeText'),
  action: tt('newCodeYes'),
  onConfirm: () => void session.act('new-code'),
});

export const askNewKey = (session: TeacherSession): Confirmation => ({
  title: tt('keyAsk'),
  text: tt('keyText'),
  action: tt('keyYes'),
  onConfirm: () => void session.act('rotate-key'),
});

export const askRemove = (session: TeacherSession, viewer: Viewer): Confirmation => ({
  title: tt('removeAsk', { name: viewer.name }),
  text: tt('removeText'),
  action: tt('removeYes'),
  danger: true,
  option: tt('removeBlock'),
  onConfirm: (block) => void session.kick(viewer.subject, block),
});
