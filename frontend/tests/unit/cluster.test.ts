import { beforeEach, expect, it } from 'vitest';
import { ClusterView } from '../../src/state/cluster.svelte';
import { node } from '../builders';
import { FakeMaster, FakeSocket } from '../fakes';

const summary = { total_nodes: 1, active_nodes: 1, total_capacity: 150, current_load: 0, average_load: 0, recommendation: '', recommendation_code: 'balanced', recommendation_figures: {} };
let master: FakeMaster;

beforeEach(() => {
  FakeSocket.install();
  master = new FakeMaster();
  master.answers = { 'GET /cluster/nodes': { nodes: [node(1)], summary }, 'GET /api/events': { events: [] } };
});

const answered = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

it('an answer does not undo what the socket told since it was asked for', async () => {
  const view = new ClusterView();
  const stop = view.watch();
  FakeSocket.last.open().says({ type: 'snapshot', nodes: [node(9)], summary });
  await answered();
  expect(master.calls).toContain('GET /cluster/nodes');
  expect(view.nodes.map(({ id }) => id)).toEqual(['relay-9']);
  await view.refresh();
  expect(view.nodes.map(({ id }) => id)).toEqual(['relay-1']);
  stop();
});

it('what was asked for after an action is shown, whatever came before it', async () => {
  const view = new ClusterView();
  const stop = view.watch();
  master.answers['GET /cluster/nodes'] = { nodes: [node(2)], summary };
  await view.refresh();
  expect(view.nodes.map(({ id }) => id)).toEqual(['relay-2']);
  stop();
});
