import { render, screen, within } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { ReasonCode } from '../../../src/api/types';
import Admin from '../../../src/pages/Admin.svelte';
import { locale } from '../../../src/i18n/locale.svelte';
import { classroom, node } from '../../builders';
import { FakeMaster, FakeSocket } from '../../fakes';

let master: FakeMaster;
const user = { id: 'u1', name: 'Kim', role: 'admin' };
const summary = {
  total_nodes: 2,
  active_nodes: 2,
  total_capacity: 300,
  current_load: 90,
  average_load: 30,
  recommendation: '',
  recommendation_code: 'balanced',
  recommendation_figures: {},
};

beforeEach(() => {
  FakeSocket.install();
  master = new FakeMaster();
  master.responses = {
    'GET /api/me': { user },
    'GET /api/classrooms': { classrooms: [classroom()] },
    'GET /cluster/nodes': { nodes: [node(2), node(1)], summary },
    'GET /api/users': { users: [user, { id: 'u2', name: '<i>Lee</i>', role: 'teacher' }] },
    'GET /api/events': {
      events: [
        { at: '2026-11-23T01:00:00Z', actor: 'Kim', action: 'node.drain', target: 'relay-3', detail: '' },
      ],
    },
    'GET /api/backup': { at: '', size_bytes: 0 },
    'GET /api/settings': { settings: { MODE: 'master', CLUSTER_SECRET: '***' } },
  };
  history.replaceState(null, '', '/admin');
  locale.choose('en');
});

describe('the dashboard', () => {
  it('shows cards and sorted nodes', async () => {
    render(Admin);
    const rows = await screen.findAllByRole('row');
    expect(rows.slice(1).map((row) => within(row).getByRole('rowheader').textContent)).toEqual([
      'relay-1http://10.0.0.1:8080',
      'relay-2http://10.0.0.2:8080',
    ]);
    expect(screen.getByText('30.0 %')).toBeVisible();
    expect(screen.getByText('Cluster is well-balanced.')).toBeVisible();
  });

  it.each([
    ['en', 'silent', { silent_s: 41 }, /Nothing heard for 41 s/, ''],
    ['ko', 'silent', { silent_s: 41 }, /41초 동안 신호가 없습니다/, ''],
    ['ko', 'watched', { times: 3, left_s: 9 }, /3번 끊겼다 돌아왔습니다\. 9초 더/, ''],
    ['ko', 'no-ingest', {}, /수신 서버에 연결하지 못합니다/, 'the English reason'],
    ['ko', 'from-a-newer-master', {}, /the English reason/, ''],
  ] as const)(
    'shows in %s why a node gets no students: %s',
    async (lang, reason_code, reason_figures, sentence, detail) => {
      locale.choose(lang);
      const unhealthy = node(1, {
        status: 'unhealthy',
        reason: 'the English reason',
        reason_code: reason_code as ReasonCode,
        reason_figures,
      });
      const advice = {
        recommendation_code: 'check-node',
        recommendation_figures: { node: 'relay-1', others: 0 },
      };
      master.responses['GET /cluster/nodes'] = {
        nodes: [unhealthy, node(2)],
        summary: { ...summary, ...advice },
      };
      render(Admin);
      const row = await screen.findByRole('row', { name: /relay-1/ });
      expect(within(row).getByText(sentence)).toBeVisible();
      expect(row.querySelector('[lang=en]')?.textContent ?? '').toBe(detail);
      expect(screen.getByText(/relay-1: /)).toHaveTextContent(sentence);
    },
  );

  it('asks before it drains', async () => {
    master.responses['POST /cluster/drain/relay-1'] = null;
    render(Admin);
    await userEvent.click(await screen.findByRole('button', { name: 'Drain: relay-1' }));
    expect(master.calls).not.toContain('POST /cluster/drain/relay-1');
    await userEvent.click(within(screen.getByRole('dialog')).getByRole('button', { name: 'Drain' }));
    expect(master.calls).toContain('POST /cluster/drain/relay-1');
  });

  it('warns before it drains the last node that takes students, and forces it', async () => {
    master.responses['GET /cluster/nodes'] = { nodes: [node(1), node(2, { status: 'draining' })], summary };
    master.responses['POST /cluster/drain/relay-1?force=true'] = null;
    render(Admin);
    await userEvent.click(await screen.findByRole('button', { name: 'Drain: relay-1' }));
    const dialog = within(screen.getByRole('dialog'));
    expect(dialog.getByText(/No other node takes students/)).toBeVisible();
    await userEvent.click(dialog.getByRole('button', { name: 'Drain' }));
    expect(master.calls).toContain('POST /cluster/drain/relay-1?force=true');
  });

  it('names the classes that a node does not get', async () => {
    const failed = { state: 'failed', age_s: 41.2, reason: 'refused', avoided: false } as const;
    const streams = [
      { ...failed, stream: 'c1', reason_code: 'no-ingest', avoided: true },
      { ...failed, stream: 'c2', reason_code: 'behind' },
      { ...failed, stream: 'c3', reason_code: 'from-a-newer-master' as ReasonCode },
      { ...failed, stream: 'c4', state: 'unknown', reason_code: '' },
      { ...failed, stream: 'c5', state: 'served', reason_code: '' },
    ] as const;
    master.responses['GET /cluster/nodes'] = {
      nodes: [node(1, { streams: [...streams] }), node(2)],
      summary,
    };
    render(Admin);
    const list = await screen.findByRole('list', { name: 'Classes that this node does not get' });
    expect(
      within(list)
        .getAllByRole('listitem')
        .map((item) => item.textContent),
    ).toEqual([
      'c1: It cannot reach the ingest (for 41 s). Its students use other nodes.',
      'c2: Its picture is older than on other nodes (for 41 s).',
      'c3: refused (for 41 s).',
    ]);
  });

  it('is not content while no node takes students', async () => {
    master.responses['GET /cluster/nodes'] = {
      nodes: [node(1, { status: 'draining', reason_code: 'keeping' })],
      summary: { ...summary, recommendation_code: 'no-capacity' },
    };
    render(Admin);
    expect(await screen.findByText(/^No node takes students\. Use a draining node again/)).toHaveClass(
      'warn',
    );
    expect(screen.getByText(/keeps those it has: no other node/)).toBeVisible();
  });

  it('keeps what it knows when the master does not answer', async () => {
    render(Admin);
    await screen.findAllByRole('row');
    delete master.responses['GET /cluster/nodes'];
    await userEvent.click(screen.getByRole('button', { name: 'Refresh' }));
    expect(await screen.findByText(/No answer from the school’s server/)).toBeVisible();
    expect(screen.getAllByRole('row')).toHaveLength(3);
  });

  it('is closed to teachers', async () => {
    master.responses['GET /api/me'] = { user: { ...user, role: 'teacher' } };
    render(Admin);
    expect(await screen.findByText('Your account may not do this.')).toBeVisible();
    expect(master.calls).toEqual(['GET /api/me']);
  });

  it('shows people as text and never offers to remove oneself', async () => {
    location.hash = '#/users';
    render(Admin);
    expect(await screen.findByText('<i>Lee</i>')).toBeVisible();
    expect(screen.getAllByRole('button', { name: /^Remove/ })).toHaveLength(1);
  });

  it('shows a monitor neither accounts nor settings', async () => {
    master.responses['GET /api/me'] = { user: { ...user, role: 'monitor' } };
    location.hash = '#/settings';
    render(Admin);
    await screen.findAllByRole('row');
    expect(screen.queryByRole('link', { name: 'People' })).toBeNull();
    expect(screen.queryByRole('link', { name: 'Settings' })).toBeNull();
    expect(master.calls).not.toContain('GET /api/settings');
  });

  it('changes an account, and only what was changed of it', async () => {
    master.responses['PATCH /api/users/u2'] = { id: 'u2', name: '<i>Lee</i>', role: 'monitor' };
    location.hash = '#/users';
    render(Admin);
    await userEvent.click(await screen.findByRole('button', { name: 'Change: <i>Lee</i>' }));
    await userEvent.selectOptions(screen.getByLabelText('Role'), 'monitor');
    await userEvent.click(screen.getByLabelText('May sign in'));
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    await vi.waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
    expect(master.requests.find(({ method }) => method === 'PATCH')?.body).toEqual({
      role: 'monitor',
      disabled: true,
    });
  });

  it('creates a sign-in link', async () => {
    master.responses['POST /api/users/u2/link'] = {
      url: 'http://m/login#link=once',
      expires_at: '2026-11-23T01:10:00Z',
    };
    location.hash = '#/users';
    render(Admin);
    await userEvent.click(await screen.findByRole('button', { name: 'Change: <i>Lee</i>' }));
    await userEvent.click(screen.getByRole('button', { name: 'Make a sign-in link' }));
    expect(await screen.findByText('http://m/login#link=once')).toBeVisible();
  });

  it('reports that the last administrator cannot be removed', async () => {
    master.responses['DELETE /api/users/u2'] = [409, 'last-admin'];
    location.hash = '#/users';
    render(Admin);
    await userEvent.click(await screen.findByRole('button', { name: 'Remove: <i>Lee</i>' }));
    await userEvent.click(within(screen.getByRole('dialog')).getByRole('button', { name: 'Remove' }));
    expect(await screen.findByText('This is the last administrator. Make another one first.')).toBeVisible();
  });

  it('changes the co-teachers of a classroom, also of a closed one', async () => {
    master.responses['GET /api/classrooms'] = { classrooms: [classroom({ status: 'closed' })] };
    master.responses['PATCH /api/classrooms/c1'] = classroom({ co_teachers: ['u2'] });
    location.hash = '#/classrooms';
    render(Admin);
    await userEvent.click(await screen.findByRole('button', { name: 'Change: Physics' }));
    await userEvent.click(await screen.findByLabelText('<i>Lee</i>'));
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    await vi.waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
    expect(master.requests.find(({ method }) => method === 'PATCH')?.body).toEqual({ co_teachers: ['u2'] });
  });

  it('describes the events, also without a WebSocket', async () => {
    location.hash = '#/events';
    render(Admin);
    expect(await screen.findByRole('row', { name: /Kim Node drained · relay-3/ })).toBeVisible();
  });

  it('searches the log and asks for older events', async () => {
    master.responses['GET /api/events?limit=1000'] = {
      events: [
        { at: '2026-11-23T01:00:00Z', actor: 'Kim', action: 'node.drain', target: 'relay-3', detail: '' },
        {
          at: '2026-11-22T01:00:00Z',
          actor: '-',
          action: 'login.refused',
          target: 'Lee',
          detail: '10.0.0.9',
        },
      ],
    };
    location.hash = '#/events';
    render(Admin);
    await userEvent.type(await screen.findByLabelText('Search the log'), 'refused 10.0.0.9');
    expect(await screen.findByRole('row', { name: /Sign-in refused · Lee · 10\.0\.0\.9/ })).toBeVisible();
    expect(screen.queryByRole('row', { name: /Node drained/ })).toBeNull();
    expect(screen.getByText('1 found')).toBeVisible();
  });

  it.each([
    [{ sent: true, problem: '' }, /The message was sent/],
    [{ sent: false, problem: 'the webhook refused it' }, /not sent: the webhook refused it\./],
  ])('sends a test alert and says what happened: %o', async (result, sentence) => {
    master.responses['POST /api/test-alert'] = result;
    location.hash = '';
    render(Admin);
    await userEvent.click(await screen.findByRole('button', { name: 'Send a test message' }));
    expect(await screen.findByText(sentence)).toBeVisible();
  });

  it.each([
    [{ at: '', size_bytes: 0 }, /There is no backup yet/],
    [
      { at: new Date(Date.now() - 3_600_000).toISOString(), size_bytes: 1_400_000 },
      /The last backup was made .* \(1\.4 MB\)/,
    ],
    [
      { at: new Date(Date.now() - 100 * 3_600_000).toISOString(), size_bytes: 1 },
      /Is the nightly job still running/,
    ],
  ])('shows the last backup: %o', async (backup, sentence) => {
    master.responses['GET /api/backup'] = backup;
    location.hash = '';
    render(Admin);
    expect(await screen.findByText(sentence)).toBeVisible();
  });

  it('confirms before it undrains a node, and offers to remove only inactive nodes', async () => {
    master.responses['GET /cluster/nodes'] = { nodes: [node(1, { status: 'draining' }), node(2)], summary };
    master.responses['POST /cluster/undrain/relay-1'] = null;
    location.hash = '';
    render(Admin);
    await userEvent.click(await screen.findByRole('button', { name: 'Use again: relay-1' }));
    expect(master.calls).not.toContain('POST /cluster/undrain/relay-1');
    await userEvent.click(within(screen.getByRole('dialog')).getByRole('button', { name: 'Use again' }));
    expect(master.calls).toContain('POST /cluster/undrain/relay-1');
    expect(
      screen.getAllByRole('button', { name: /^Remove/ }).map((button) => button.getAttribute('aria-label')),
    ).toEqual(['Remove: relay-1']);
  });

  it('shows settings with their secrets hidden', async () => {
    location.hash = '#/settings';
    render(Admin);
    expect(within(await screen.findByRole('row', { name: /CLUSTER_SECRET/ })).getByText('***')).toBeVisible();
  });
});
