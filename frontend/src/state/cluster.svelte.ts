// The cluster as the operator sees it. A WebSocket tells changes; every 5 s, or on demand, the same is
// asked for anew, so the numbers are right even where a proxy swallows WebSockets.
import { actOnNode, getCluster, listEvents, type NodeAction } from '../api/cluster';
import { LiveSocket, socketUrl } from '../api/socket';
import type { AuditEvent, Classroom, ClusterNode, ClusterSummary, MonitorNews, Point } from '../api/types';
import { explain } from './session.svelte';

const REFRESH_MS = 5_000;
const MOST_POINTS = 720;

export class ClusterView {
  nodes = $state.raw<ClusterNode[]>([]);
  summary = $state.raw<ClusterSummary | null>(null);
  classrooms = $state.raw<Classroom[]>([]);
  /** Average load in percent, and students, over time. */
  history = $state.raw<Point[]>([]);
  students = $state.raw<Point[]>([]);
  events = $state.raw<AuditEvent[]>([]);
  auto = $state(true);
  live = $state(false);
  problem = $state('');
  updatedAt = $state.raw<Date | null>(null);

  #socket: LiveSocket<MonitorNews> | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;
  #told = false;
  #pushes = 0;

  watch(): () => void {
    this.#socket = new LiveSocket<MonitorNews>(() => socketUrl('/ws/monitor', {}), {
      news: (news) => {
        if (!this.auto && this.#told) return;
        this.#pushes += 1;
        this.#heard(news);
      },
      status: (open) => (this.live = open),
    });
    void this.refresh();
    this.#timer = setInterval(() => {
      if (this.auto && document.visibilityState === 'visible') void this.refresh();
    }, REFRESH_MS);
    return () => {
      this.#socket?.close();
      clearInterval(this.#timer);
    };
  }

  async refresh(): Promise<void> {
    const pushes = this.#pushes;
    try {
      const [cluster, events] = await Promise.all([getCluster(), this.live ? undefined : listEvents()]);
      // What the socket told meanwhile is newer than an answer that was asked for before.
      this.#heard({ type: 'change', ...(pushes === this.#pushes && cluster), ...(events && { events }) });
      this.problem = '';
    } catch (error) {
      this.problem = explain(error);
    }
  }

  async act(id: string, action: NodeAction): Promise<void> {
    try {
      await actOnNode(id, action);
      await this.refresh();
    } catch (error) {
      this.problem = explain(error);
    }
  }

  #heard(news: MonitorNews): void {
    if (news.type === 'refused') return;
    this.#told = true;
    this.updatedAt = new Date();
    if (news.nodes !== undefined) this.nodes = [...news.nodes].sort((a, b) => a.id.localeCompare(b.id, undefined, { numeric: true }));
    if (news.summary !== undefined) this.#summed(news.summary);
    if (news.classrooms !== undefined) this.classrooms = news.classrooms;
    if (news.events !== undefined) this.events = news.events;
    this.history = longer(news.history, this.history);
    this.students = longer(news.student_history, this.students);
  }

  #summed(summary: ClusterSummary): void {
    this.summary = summary;
    // The master keeps the history; without its WebSocket the page draws what it has seen itself.
    if (this.live) return;
    const now_s = Date.now() / 1000;
    this.history = [...this.history.slice(1 - MOST_POINTS), [now_s, summary.average_load]];
    this.students = [...this.students.slice(1 - MOST_POINTS), [now_s, summary.current_load]];
  }
}

/** What the master has kept, unless this page has seen more itself. */
function longer(told: Point[] | undefined, seen: Point[]): Point[] {
  return told !== undefined && told.length >= seen.length ? told.slice(-MOST_POINTS) : seen;
}
