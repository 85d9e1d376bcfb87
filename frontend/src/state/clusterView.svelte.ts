// The cluster as the dashboard shows it. A WebSocket pushes changes. The page also polls every 5 s, or on
// demand, because some proxies block WebSockets.
import { actOnNode, getCluster, listEvents, type NodeAction } from '../api/cluster';
import { ReconnectingSocket, socketUrl } from '../api/reconnectingSocket';
import type { AuditEvent, Classroom, ClusterNode, ClusterSummary, MonitorMessage, Point } from '../api/types';
import { errorMessage } from './errorMessage';

const REFRESH_MS = 5_000;
const MAX_POINTS = 720;

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
  updatedAt_ms = $state<number | null>(null);

  #socket: ReconnectingSocket<MonitorMessage> | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;
  #received = false;
  #pushes = 0;

  watch(): () => void {
    this.#socket = new ReconnectingSocket<MonitorMessage>(() => socketUrl('/ws/monitor', {}), {
      message: (message) => {
        if (!this.auto && this.#received) return;
        this.#pushes += 1;
        this.#apply(message);
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
      // A push received while this request was in flight is newer than its response; ignore the response.
      this.#apply({ type: 'change', ...(pushes === this.#pushes && cluster), ...(events && { events }) });
      this.problem = '';
    } catch (error) {
      this.problem = errorMessage(error);
    }
  }

  /** Tell whether no other node takes students. */
  isLast(id: string): boolean {
    return !this.nodes.some((node) => node.id !== id && node.status === 'active');
  }

  async act(id: string, action: NodeAction, force = false): Promise<void> {
    try {
      await actOnNode(id, action, force);
      await this.refresh();
    } catch (error) {
      this.problem = errorMessage(error);
    }
  }

  #apply(message: MonitorMessage): void {
    if (message.type === 'refused') return;
    this.#received = true;
    this.updatedAt_ms = Date.now();
    if (message.nodes !== undefined)
      this.nodes = [...message.nodes].sort((a, b) => a.id.localeCompare(b.id, undefined, { numeric: true }));
    if (message.summary !== undefined) this.#applySummary(message.summary);
    if (message.classrooms !== undefined) this.classrooms = message.classrooms;
    if (message.events !== undefined) this.events = message.events;
    this.history = longer(message.history, this.history);
    this.students = longer(message.student_history, this.students);
  }

  #applySummary(summary: ClusterSummary): void {
    this.summary = summary;
    // The master keeps the history. Without the WebSocket, the page records the points that it polls.
    if (this.live) return;
    const now_s = Date.now() / 1000;
    this.history = [...this.history.slice(1 - MAX_POINTS), [now_s, summary.average_load]];
    this.students = [...this.students.slice(1 - MAX_POINTS), [now_s, summary.current_load]];
  }
}

/** The history of the master, unless this page has recorded more points. */
function longer(received: Point[] | undefined, recorded: Point[]): Point[] {
  return received !== undefined && received.length >= recorded.length
    ? received.slice(-MAX_POINTS)
    : recorded;
}
