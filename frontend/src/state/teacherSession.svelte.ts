// A classroom as its teacher sees it: the incoming stream, the viewers, and the actions on them.
import {
  actOnClassroom,
  actOnLesson,
  changeClassroom,
  deleteClassroom,
  getClassroom,
  kickViewer,
  listTeachers,
  unblockStudent,
  type ClassAction,
  type LessonAction,
  type NewClassroom,
} from '../api/classrooms';
import { ReconnectingSocket, socketUrl } from '../api/reconnectingSocket';
import type {
  Classroom,
  StreamInfo,
  Point,
  StreamState,
  Teacher,
  TeacherMessage,
  Viewer,
} from '../api/types';
import { errorMessage } from './errorMessage';

const RECORD_EVERY_MS = 2_000;
/** Ten minutes. */
const MAX_POINTS = 300;
const NEARLY_FULL = 0.9;

/** Where an encoder publishes to. The master sends the key only when it is created. */
export interface PublishTarget {
  server: string;
  key: string | null;
}

/** The incoming stream over time. While nothing arrives, the bitrate is 0 and the others are null. */
export interface SignalHistory {
  /** Mbit/s. */
  bitrate: Point[];
  /** Height of the picture in pixels. */
  height: Point[];
  fps: Point[];
  /** Seconds between key frames. */
  keyframe: Point[];
}

export class TeacherSession {
  classroom = $state.raw<Classroom | null>(null);
  stream = $state<StreamState>('waiting');
  streamInfo = $state.raw<StreamInfo | null>(null);
  viewers = $state.raw<Viewer[]>([]);
  history = $state.raw<Point[]>([]);
  signal = $state.raw<SignalHistory>({ bitrate: [], height: [], fps: [], keyframe: [] });
  connected = $state(true);
  problem = $state('');
  busy = $state(false);
  teachers = $state.raw<Teacher[]>([]);
  publishTarget = $state.raw<PublishTarget | null>(null);

  /** The stream as it arrives now. After a drop, relays still report the media that they hold. */
  readonly incoming = $derived(this.stream === 'reconnecting' ? null : this.streamInfo);

  /** Waiting for the first lesson, in one, between two, or retired. */
  readonly lessonPhase = $derived.by((): 'none' | 'running' | 'between' | 'over' => {
    if (this.classroom === null || this.classroom.status === 'retired') return 'over';
    const { lesson } = this.classroom;
    if (lesson) return lesson.ended_at === '' ? 'running' : 'between';
    return this.stream === 'live' || this.stream === 'reconnecting' ? 'running' : 'none';
  });

  readonly fullness = $derived.by((): 'free' | 'nearly' | 'full' => {
    const capacity = this.classroom?.capacity ?? 0;
    if (capacity === 0) return 'free';
    if (this.viewers.length >= capacity) return 'full';
    return this.viewers.length >= capacity * NEARLY_FULL ? 'nearly' : 'free';
  });

  #socket: ReconnectingSocket<TeacherMessage>;
  #received = false;
  // The master pushes only changes, but a chart needs points at regular intervals.
  readonly #recorder = setInterval(() => this.#record(), RECORD_EVERY_MS);

  constructor(
    readonly id: string,
    created: Classroom | null = null,
  ) {
    if (created !== null) this.#apply(created);
    void this.#load();
    this.#socket = new ReconnectingSocket<TeacherMessage>(() => socketUrl('/ws/teacher', { classroom: id }), {
      message: (message) => this.#handle(message),
      status: (open) => (this.connected = open),
    });
  }

  act(action: ClassAction): Promise<boolean> {
    return this.#attempt(async () => this.#apply(await actOnClassroom(this.id, action)));
  }

  actOnLesson(action: LessonAction): Promise<boolean> {
    return this.#attempt(async () => {
      const lesson = await actOnLesson(this.id, action);
      if (this.classroom !== null) this.classroom = { ...this.classroom, lesson };
    });
  }

  remove(): Promise<boolean> {
    return this.#attempt(() => deleteClassroom(this.id));
  }

  change(change: Partial<NewClassroom>): Promise<boolean> {
    return this.#attempt(async () => this.#apply(await changeClassroom(this.id, change)));
  }

  kick(subject: string, block = false): Promise<boolean> {
    return this.#attempt(async () => {
      await kickViewer(this.id, subject, block);
      this.viewers = this.viewers.filter((viewer) => viewer.subject !== subject);
    });
  }

  unblock(blockedId: string): Promise<boolean> {
    return this.#attempt(async () => {
      await unblockStudent(this.id, blockedId);
      this.#apply(await getClassroom(this.id));
    });
  }

  /** Load who may be a co-teacher: every teacher but the owner. */
  async loadTeachers(): Promise<void> {
    await this.#attempt(async () => {
      const teachers = await listTeachers();
      this.teachers = teachers.filter(({ name }) => name !== this.classroom?.owner);
    });
  }

  destroy(): void {
    this.#socket.close();
    clearInterval(this.#recorder);
  }

  async #load(): Promise<void> {
    await this.#attempt(async () => this.#apply(await getClassroom(this.id)));
  }

  async #attempt(work: () => Promise<void>): Promise<boolean> {
    this.busy = true;
    try {
      await work();
      this.problem = '';
      return true;
    } catch (error) {
      this.problem = errorMessage(error);
      return false;
    } finally {
      this.busy = false;
    }
  }

  #apply(classroom: Classroom): void {
    this.classroom = { ...this.classroom, ...classroom };
    // The response may be older than the last push.
    if (!this.#received) this.stream = classroom.state;
    const server = classroom.rtmp_server ?? this.publishTarget?.server ?? '';
    const key =
      classroom.rtmp_key ??
      (classroom.stream_key === undefined ? null : `${classroom.id}?token=${classroom.stream_key}`);
    if (server !== '') this.publishTarget = { server, key: key ?? this.publishTarget?.key ?? null };
  }

  #handle(message: TeacherMessage): void {
    if (message.type === 'refused') return void this.#load(); // its error says why
    this.#received = true;
    if (message.classroom !== undefined) this.#apply(message.classroom);
    if (message.state !== undefined) this.stream = message.state;
    if (message.viewers !== undefined) this.viewers = message.viewers;
    if (message.history !== undefined) this.history = message.history;
    if (message.facts !== undefined) {
      const first = this.streamInfo === null;
      this.streamInfo = message.facts;
      if (first) this.#record();
    }
  }

  #record(): void {
    const { incoming, signal } = this;
    if (incoming === null && signal.bitrate.length === 0) return;
    const now_s = Date.now() / 1000;
    const rate_bps = incoming === null ? 0 : incoming.bitrate_bps;
    this.signal = {
      bitrate: append(signal.bitrate, [now_s, rate_bps === null ? null : rate_bps / 1_000_000]),
      height: append(signal.height, [now_s, incoming?.height ?? null]),
      fps: append(signal.fps, [now_s, incoming?.fps ?? null]),
      keyframe: append(signal.keyframe, [now_s, incoming?.keyframe_s ?? null]),
    };
  }
}

function append(points: Point[], point: Point): Point[] {
  return [...points.slice(1 - MAX_POINTS), point];
}
