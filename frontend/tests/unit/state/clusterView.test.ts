import { beforeEach, expect, it } from 'vitest';
import { ClusterView } from '../../../src/state/clusterView.svelte';
import { node } from '../../builders';
import { FakeMaster, FakeSocket } from '../../fakes';

const summary = {
  total_nodes: 1,
  active_nodes: 1,
  total_capacity: 150,
  current_load: 0,
  average_load: 0,
  recommendation: '',
  recommendation_code: 'balanced',
  recommendation_figures: {},
};
let master: FakeMaster;

beforeEach(() => {
  FakeSocket.install();
  master = new FakeMaster();
  master.responses = {
    'GET /cluster/nodes': { nodes: [node(1)], summary },
    'GET /api/events': { events: [] },
  };
});

const responded = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

it('a response does not overwrite a push that arrived after the request', async () => {
  const view = new ClusterView();
  const stop = view.watch();
  FakeSocket.last.open().receive({ type: 'snapshot', nodes: [node(9)], summary });
  await responded();
  expect(master.calls).toContain('GET /cluster/nodes');
  expect(view.nodes.map(({ id }) => id)).toEqual(['relay-9']);
  await view.refresh();
  expect(view.nodes.map(({ id }) => id)).toEqual(['relay-1']);
  stop();
});

it('a refresh after an action shows its response', async () => {
  const view = new ClusterView();
  const stop = view.watch();
  master.responses['GET /cluster/nodes'] = { nodes: [node(2)], summary };
  await view.refresh();
  expect(view.nodes.map(({ id }) => id)).toEqual(['relay-2']);
  stop();
});
