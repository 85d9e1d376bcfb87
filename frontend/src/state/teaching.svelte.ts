// One class as its teacher sees it: what arrives, who is here, and what can be done about it.
import { actOnClassroom, changeClassroom, getClassroom, kick, type ClassAction, type NewClassroom } from '../api/classrooms';
import { LiveSocket, socketUrl } from '../api/socket';
import type { Classroom, Facts, Point, StreamState, TeacherNews, Viewer } from '../api/types';
import { explain } from './session.svelte';

/** Ten minutes of figures. */
const RECORD_EVERY_MS = 2_000;
const MOST_POINTS = 300;
const NEARLY_FULL = 0.9;

/** What must be typed into OBS; the key is there only right after it was made. */
export interface Ingest {
  server: string;
  key: string | null;
}

/** What arrived over time. The rate falls to 0 when nothing comes; the others then have no value. */
export interface Figures {
  /** Mbit/s. */
  bitrate: Point[];
  /** Lines of the picture. */
  height: Point[];
  fps: Point[];
  /** Seconds from one key frame to the next. */
  keyframe: Point[];
}

export class Teaching {
  classroom = $state.raw<Classroom | null>(null);
  stream = $state<StreamState>('waiting');
  facts = $state.raw<Facts | null>(null);
  viewers = $state.raw<Viewer[]>([]);
  history = $state.raw<Point[]>([]);
  figures = $state.raw<Figures>({ bitrate: [], height: [], fps: [], keyframe: [] });
  connected = $state(true);
  problem = $state('');
  busy = $state(false);
  ingest = $state.raw<Ingest | null>(null);

  /** Relays go on listing what they have after a drop: that says nothing of what arrives now. */
  readonly arriving = $derived(this.stream === 'reconnecting' ? null : this.facts);

  readonly fullness = $derived.by((): 'free' | 'nearly' | 'full' => {
    const capacity = this.classroom?.capacity ?? 0;
    if (capacity === 0) return 'free';
    if (this.viewers.length >= capacity) return 'full';
    return this.viewers.length >= capacity * NEARLY_FULL ? 'nearly' : 'free';
  });

  #socket: LiveSocket<TeacherNews>;
  #told = false;
  // The master tells only changes; a line needs a point also where nothing changed.
  readonly #recorder = setInterval(() => this.#record(), RECORD_EVERY_MS);

  constructor(readonly id: string, made: Classroom | null = null) {
    if (made !== null) this.#take(made);
    void this.#load();
    this.#socket = new LiveSocket<TeacherNews>(() => socketUrl('/ws/teacher', { classroom: id }), {
      news: (news) => this.#heard(news),
      status: (open) => (this.connected = open),
    });
  }

  act(action: ClassAction): Promise<boolean> {
    return this.#attempt(async () => this.#take(await actOnClassroom(this.id, action)));
  }

  change(change: Partial<NewClassroom>): Promise<boolean> {
    return this.#attempt(async () => this.#take(await changeClassroom(this.id, change)));
  }

  kick(subject: string): Promise<boolean> {
    return this.#attempt(async () => {
      await kick(this.id, subject);
      this.viewers = this.viewers.filter((viewer) => viewer.subject !== subject);
    });
  }

  destroy(): void {
    this.#socket.close();
    clearInterval(this.#recorder);
  }

  async #load(): Promise<void> {
    await this.#attempt(async () => this.#take(await getClassroom(this.id)));
  }

  async #attempt(work: () => Promise<void>): Promise<boolean> {
    this.busy = true;
    try {
      await work();
      this.problem = '';
      return true;
    } catch (error) {
      this.problem = explain(error);
      return false;
    } finally {
      this.busy = false;
    }
  }

  #take(classroom: Classroom): void {
    this.classroom = { ...this.classroom, ...classroom };
    // An answer to a call may be older than what the socket has said since.
    if (!this.#told) this.stream = classroom.state;
    const server = classroom.rtmp_server ?? this.ingest?.server ?? '';
    const key = classroom.rtmp_key ?? (classroom.stream_key === undefined ? null : `${classroom.id}?token=${classroom.stream_key}`);
    if (server !== '') this.ingest = { server, key: key ?? this.ingest?.key ?? null };
  }

  #heard(news: TeacherNews): void {
    if (news.type === 'refused') return void this.#load(); // tells why, in words
    this.#told = true;
    if (news.classroom !== undefined) this.#take(news.classroom);
    if (news.state !== undefined) this.stream = news.state;
    if (news.viewers !== undefined) this.viewers = news.viewers;
    if (news.history !== undefined) this.history = news.history;
    if (news.facts !== undefined) {
      const first = this.facts === null;
      this.facts = news.facts;
      if (first) this.#record();
    }
  }

  #record(): void {
    const { arriving: facts, figures } = this;
    if (facts === null && figures.bitrate.length === 0) return;
    const now_s = Date.now() / 1000;
    const rate_bps = facts === null ? 0 : facts.bitrate_bps;
    this.figures = {
      bitrate: append(figures.bitrate, [now_s, rate_bps === null ? null : rate_bps / 1_000_000]),
      height: append(figures.height, [now_s, facts?.height ?? null]),
      fps: append(figures.fps, [now_s, facts?.fps ?? null]),
      keyframe: append(figures.keyframe, [now_s, facts?.keyframe_s ?? null]),
    };
  }
}

function append(points: Point[], point: Point): Point[] {
  return [...points.slice(1 - MOST_POINTS), point];
}
